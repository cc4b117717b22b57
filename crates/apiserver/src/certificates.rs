//! The server's own certificates: authority, serving certificate and the administrator's client certificate.
//!
//! Everything is P-256. With a data directory the files live in `DATA/pki` (keys readable by the owner only) and are
//! renewed when less than a tenth of their life is left; without one they live as long as the process.

use std::{
    io::Write,
    net::IpAddr,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

/// Ten years: how long an authority is valid.
const AUTHORITY_VALIDITY: Duration = Duration::from_hours(10 * 365 * 24);
/// One year: how long the serving and the administrator's certificate are valid.
const LEAF_VALIDITY: Duration = Duration::from_hours(365 * 24);
/// Clocks of clients may be behind ours by this much.
const CLOCK_SKEW: Duration = Duration::from_mins(5);

/// Why certificates could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file below `pki` could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A key or certificate could not be generated or signed.
    #[error("failed to make a certificate: {0}")]
    Generate(#[from] rcgen::Error),
    /// More organizations than a certificate made here can carry.
    #[error("a client certificate carries at most two organizations, not {0}")]
    TooManyOrganizations(usize),
    /// A stored certificate is not readable.
    #[error("not a certificate: {0}")]
    Parse(String),
    /// An authority's stored certificate or key is missing, broken or of another authority.
    #[error(
        "{}: {problem}; put the .crt and .key of this authority back from one backup, or remove both: then a new authority is \
         made, and kubeconfigs and certificates of the one before are void",
        path.display()
    )]
    Authority {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

/// A certificate and its private key, both PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct CertificateAndKey {
    /// X.509 certificate.
    pub certificate_pem: String,
    /// PKCS#8 private key.
    pub key_pem: String,
}

impl std::fmt::Debug for CertificateAndKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("CertificateAndKey").finish_non_exhaustive()
    }
}

/// The certificates a server starts with.
#[derive(Clone)]
pub struct ServerCertificates {
    /// Authority of the serving certificate.
    pub serving_authority: CertificateAndKey,
    /// What the TLS listener shows.
    pub serving: CertificateAndKey,
    /// Authority of client certificates on the management plane.
    pub client_authority: CertificateAndKey,
    /// Client certificate of `system:admin` in `system:masters`.
    pub admin: CertificateAndKey,
    /// Signs the tokens of ServiceAccounts: a P-256 key, PKCS#8 PEM. Never renewed, as that would end all tokens.
    pub service_account_key_pem: String,
}

impl std::fmt::Debug for ServerCertificates {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ServerCertificates").finish_non_exhaustive()
    }
}

impl ServerCertificates {
    /// Reads the certificates in `directory` (made if absent, renewed if they end soon or lack a host name); without
    /// a directory makes fresh ones.
    ///
    /// # Errors
    /// When a file cannot be read or written, or is no certificate.
    pub fn load_or_create(
        directory: Option<&Path>,
        host_names: &[String],
        now: SystemTime,
    ) -> Result<Self, CertificateError> {
        if let Some(directory) = directory {
            std::fs::create_dir_all(directory)
                .map_err(|source| CertificateError::File { path: directory.to_owned(), source })?;
        }
        // Leaves are there after the first start.
        let is_used = directory.is_some_and(|directory| directory.join("admin.crt").exists());
        let serving_authority = stored_or_new_authority(directory, "ca", "kogge-server-ca", now, is_used)?;
        let client_authority = stored_or_new_authority(directory, "client-ca", "kogge-client-ca", now, is_used)?;
        let serving = stored_or_new(directory, "server", now, &serving_authority.certificate_pem, || {
            issue_serving_certificate(&serving_authority, "kogge-apiserver", &serving_names(host_names), now)
        })?;
        let serving = if covers(&serving.certificate_pem, host_names)? {
            serving
        } else {
            let fresh =
                issue_serving_certificate(&serving_authority, "kogge-apiserver", &serving_names(host_names), now)?;
            store(directory, "server", &fresh)?;
            fresh
        };
        let admin = stored_or_new(directory, "admin", now, &client_authority.certificate_pem, || {
            issue_client_certificate(
                &client_authority.certificate_pem,
                &client_authority.key_pem,
                "system:admin",
                &["system:masters"],
                LEAF_VALIDITY,
                now,
            )
        })?;
        let service_account_key_pem = stored_or_new_key(directory, "service-account")?;
        Ok(Self { serving_authority, serving, client_authority, admin, service_account_key_pem })
    }
}

/// Makes a self-signed authority with the given common name.
///
/// # Errors
/// When the key or the certificate cannot be generated.
pub fn create_authority(common_name: &str, now: SystemTime) -> Result<CertificateAndKey, CertificateError> {
    let key = KeyPair::generate()?;
    let mut parameters = parameters(common_name, &[], AUTHORITY_VALIDITY, now);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages =
        vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = parameters.self_signed(&key)?;
    Ok(CertificateAndKey { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
}

/// Issues a client certificate: `common_name` is the user, `organizations` (at most two) are the groups.
///
/// # Errors
/// When the authority is not readable, signing fails or there are more than two organizations.
pub fn issue_client_certificate(
    authority_pem: &str,
    authority_key_pem: &str,
    common_name: &str,
    organizations: &[&str],
    validity: Duration,
    now: SystemTime,
) -> Result<CertificateAndKey, CertificateError> {
    if organizations.len() > 2 {
        return Err(CertificateError::TooManyOrganizations(organizations.len()));
    }
    let mut parameters = parameters(common_name, organizations, validity, now);
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    sign(&parameters, authority_pem, authority_key_pem)
}

/// Issues a certificate for a server with these names and addresses, valid for a year.
///
/// # Errors
/// When the authority is not readable, a name is none, or signing fails.
pub fn issue_serving_certificate(
    authority: &CertificateAndKey,
    common_name: &str,
    names: &[String],
    now: SystemTime,
) -> Result<CertificateAndKey, CertificateError> {
    let mut parameters = parameters(common_name, &[], LEAF_VALIDITY, now);
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    for name in names {
        parameters.subject_alt_names.push(match name.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(name.as_str().try_into()?),
        });
    }
    sign(&parameters, &authority.certificate_pem, &authority.key_pem)
}

/// The names every serving certificate has, and the given ones.
fn serving_names(host_names: &[String]) -> Vec<String> {
    let mut names: Vec<String> =
        ["localhost", "127.0.0.1", "::1", "kubernetes", "kubernetes.default", "kubernetes.default.svc"]
            .map(str::to_owned)
            .to_vec();
    for name in host_names {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

fn parameters(common_name: &str, organizations: &[&str], validity: Duration, now: SystemTime) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    let mut name = DistinguishedName::new();
    // rcgen writes one entry an attribute type; the same type by its object identifier makes room for a second one.
    for (organization, attribute) in
        organizations.iter().zip([DnType::OrganizationName, DnType::CustomDnType(vec![2, 5, 4, 10])])
    {
        name.push(attribute, *organization);
    }
    name.push(DnType::CommonName, common_name);
    parameters.distinguished_name = name;
    parameters.not_before = (now - CLOCK_SKEW).into();
    parameters.not_after = (now + validity).into();
    parameters.use_authority_key_identifier_extension = true;
    parameters
}

fn sign(
    parameters: &CertificateParams,
    authority_pem: &str,
    authority_key_pem: &str,
) -> Result<CertificateAndKey, CertificateError> {
    let issuer = Issuer::from_ca_cert_pem(authority_pem, KeyPair::from_pem(authority_key_pem)?)?;
    let key = KeyPair::generate()?;
    let certificate = parameters.signed_by(&key, &issuer)?;
    Ok(CertificateAndKey { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
}

/// The authority in `directory` under `name`, or a new one where there is none or its life ends soon. `is_used` says
/// whether somebody may trust an earlier one.
fn stored_or_new_authority(
    directory: Option<&Path>,
    name: &str,
    common_name: &str,
    now: SystemTime,
    is_used: bool,
) -> Result<CertificateAndKey, CertificateError> {
    if let Some(directory) = directory {
        let paths = [directory.join(format!("{name}.crt")), directory.join(format!("{name}.key"))];
        let refused = |path: &Path, problem: &dyn std::fmt::Display| CertificateError::Authority {
            path: path.to_owned(),
            problem: problem.to_string(),
        };
        match (read(&paths[0])?, read(&paths[1])?) {
            (Some(certificate_pem), Some(key_pem)) => {
                let current = is_current(&certificate_pem, None, now).map_err(|error| refused(&paths[0], &error))?;
                if !belong_together(&certificate_pem, &key_pem).map_err(|error| refused(&paths[1], &error))? {
                    return Err(refused(&paths[1], &format_args!("it is not the key of {name}.crt")));
                }
                if current {
                    return Ok(CertificateAndKey { certificate_pem, key_pem });
                }
            }
            // The key is written first: a start that was cut short in between leaves it alone, and nothing signed by it.
            (None, Some(_)) if !is_used => {}
            (None, Some(_)) => return Err(refused(&paths[0], &"there is no such file, but its key")),
            (Some(_), None) => return Err(refused(&paths[1], &"there is no such file, but its certificate")),
            (None, None) => {}
        }
    }
    let fresh = create_authority(common_name, now)?;
    store(directory, name, &fresh)?;
    if is_used {
        tracing::error!(name, "a new authority was made: kubeconfigs and certificates of the one before are void");
    }
    Ok(fresh)
}

/// Whether the key is the certificate's.
fn belong_together(certificate_pem: &str, key_pem: &str) -> Result<bool, CertificateError> {
    let key = KeyPair::from_pem(key_pem)?;
    with_certificate(certificate_pem, |certificate| {
        *certificate.public_key().subject_public_key.data == *key.public_key_raw()
    })
}

/// What is in `directory` under `name` if it is still good and of this issuer, or what `create` makes (and is stored).
fn stored_or_new(
    directory: Option<&Path>,
    name: &str,
    now: SystemTime,
    issuer_pem: &str,
    create: impl FnOnce() -> Result<CertificateAndKey, CertificateError>,
) -> Result<CertificateAndKey, CertificateError> {
    if let Some(directory) = directory
        && let (Some(certificate_pem), Some(key_pem)) =
            (read(&directory.join(format!("{name}.crt")))?, read(&directory.join(format!("{name}.key")))?)
        // What is no certificate, or not with this key, is as good as not there: a new one is as good.
        && is_current(&certificate_pem, Some(issuer_pem), now).unwrap_or(false)
        && belong_together(&certificate_pem, &key_pem).unwrap_or(false)
    {
        return Ok(CertificateAndKey { certificate_pem, key_pem });
    }
    let fresh = create()?;
    store(directory, name, &fresh)?;
    Ok(fresh)
}

/// The key in `directory` under `name`, made at the first call.
fn stored_or_new_key(directory: Option<&Path>, name: &str) -> Result<String, CertificateError> {
    let path = directory.map(|directory| directory.join(format!("{name}.key")));
    if let Some(path) = &path
        && let Some(key_pem) = read(path)?
    {
        return Ok(key_pem);
    }
    let key_pem = KeyPair::generate()?.serialize_pem();
    if let Some(path) = &path {
        write_private(path, &key_pem)?;
    }
    Ok(key_pem)
}

fn read(path: &Path) -> Result<Option<String>, CertificateError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(CertificateError::File { path: path.to_owned(), source }),
    }
}

fn store(directory: Option<&Path>, name: &str, certificate: &CertificateAndKey) -> Result<(), CertificateError> {
    let Some(directory) = directory else { return Ok(()) };
    write_private(&directory.join(format!("{name}.key")), &certificate.key_pem)?;
    write_private(&directory.join(format!("{name}.crt")), &certificate.certificate_pem)
}

/// Writes a file only its owner may read, replacing it in one step so a crash leaves the old or the new one.
fn write_private(path: &Path, text: &str) -> Result<(), CertificateError> {
    let failed = |source| CertificateError::File { path: path.to_owned(), source };
    let temporary = path.with_extension("new");
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let mut file = options.open(&temporary).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    std::fs::rename(&temporary, path).map_err(failed)
}

/// Whether more than a tenth of the certificate's life is left and it was issued by `issuer_pem` (if given).
fn is_current(certificate_pem: &str, issuer_pem: Option<&str>, now: SystemTime) -> Result<bool, CertificateError> {
    with_certificate(certificate_pem, |certificate| {
        let validity = certificate.validity();
        let now = i64::try_from(now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()).unwrap_or(0);
        let (start, end) = (validity.not_before.timestamp(), validity.not_after.timestamp());
        let fresh = now < end - (end - start) / 10;
        let issued = match issuer_pem {
            Some(issuer_pem) => with_certificate(issuer_pem, |issuer| {
                use x509_parser::extensions::ParsedExtension;
                let subject_key = issuer.extensions().iter().find_map(|extension| match extension.parsed_extension() {
                    ParsedExtension::SubjectKeyIdentifier(key) => Some(key.0.to_vec()),
                    _ => None,
                });
                let authority_key =
                    certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
                        ParsedExtension::AuthorityKeyIdentifier(key) => {
                            key.key_identifier.as_ref().map(|key| key.0.to_vec())
                        }
                        _ => None,
                    });
                subject_key.is_some() && subject_key == authority_key
            })?,
            None => true,
        };
        Ok(fresh && issued)
    })?
}

/// Whether the serving certificate names all of [`serving_names`].
fn covers(certificate_pem: &str, host_names: &[String]) -> Result<bool, CertificateError> {
    with_certificate(certificate_pem, |certificate| {
        use x509_parser::extensions::GeneralName;
        let Ok(Some(names)) = certificate.subject_alternative_name() else { return false };
        serving_names(host_names).iter().all(|wanted| {
            names.value.general_names.iter().any(|name| match name {
                GeneralName::DNSName(name) => name == wanted,
                GeneralName::IPAddress(bytes) => match wanted.parse::<IpAddr>() {
                    Ok(IpAddr::V4(address)) => address.octets() == *bytes,
                    Ok(IpAddr::V6(address)) => address.octets() == *bytes,
                    Err(_) => false,
                },
                _ => false,
            })
        })
    })
}

fn with_certificate<T>(
    pem: &str,
    read: impl FnOnce(&x509_parser::certificate::X509Certificate<'_>) -> T,
) -> Result<T, CertificateError> {
    let (_, pem) =
        x509_parser::pem::parse_x509_pem(pem.as_bytes()).map_err(|error| CertificateError::Parse(error.to_string()))?;
    let certificate = pem.parse_x509().map_err(|error| CertificateError::Parse(error.to_string()))?;
    Ok(read(&certificate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_kept_until_they_end_soon_or_lack_a_name() {
        let directory = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let load = |names: &[&str], now| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            ServerCertificates::load_or_create(Some(directory.path()), &names, now).unwrap()
        };
        let first = load(&[], now);
        assert_eq!(first.serving, load(&[], now).serving, "kept");
        let renamed = load(&["kogge.example.org"], now);
        assert_ne!(first.serving, renamed.serving, "a new name needs a new certificate");
        assert_eq!(first.serving_authority, renamed.serving_authority, "of the same authority");
        let later = load(&["kogge.example.org"], now + LEAF_VALIDITY);
        assert_ne!(renamed.admin, later.admin, "renewed at the end of its life");
        assert_eq!(first.client_authority, later.client_authority);
        #[cfg(unix)]
        for name in ["ca.key", "client-ca.key", "server.key", "admin.key", "service-account.key"] {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(directory.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn a_folder_that_does_not_fit_together_is_refused_or_mended() {
        let now = SystemTime::now();
        let load = |folder: &Path| ServerCertificates::load_or_create(Some(folder), &[], now);
        let refusal = |damage: &dyn Fn(&Path)| {
            let directory = tempfile::tempdir().unwrap();
            load(directory.path()).unwrap();
            damage(directory.path());
            let text = load(directory.path()).map(drop).unwrap_err().to_string();
            text.replace(&directory.path().display().to_string(), "PKI")
        };
        let other = create_authority("other", now).unwrap();
        let remedy = "; put the .crt and .key of this authority back from one backup, or remove both: then a new authority is \
                      made, and kubeconfigs and certificates of the one before are void";
        for name in ["ca", "client-ca"] {
            let file = |folder: &Path, end: &str| folder.join(format!("{name}.{end}"));
            let text = refusal(&|folder| std::fs::write(file(folder, "crt"), &other.certificate_pem).unwrap());
            assert_eq!(text, format!("PKI/{name}.key: it is not the key of {name}.crt{remedy}"));
            let text = refusal(&|folder| std::fs::write(file(folder, "key"), "no key").unwrap());
            assert!(text.starts_with(&format!("PKI/{name}.key: ")) && text.ends_with(remedy), "{text}");
            let text = refusal(&|folder| std::fs::write(file(folder, "crt"), "no certificate").unwrap());
            assert!(text.starts_with(&format!("PKI/{name}.crt: ")) && text.ends_with(remedy), "{text}");
            let text = refusal(&|folder| std::fs::remove_file(file(folder, "key")).unwrap());
            assert_eq!(text, format!("PKI/{name}.key: there is no such file, but its certificate{remedy}"));
            let text = refusal(&|folder| std::fs::remove_file(file(folder, "crt")).unwrap());
            assert_eq!(text, format!("PKI/{name}.crt: there is no such file, but its key{remedy}"));
        }
        // A whole authority of another backup, and leaves with keys of others: the leaves are made anew.
        let directory = tempfile::tempdir().unwrap();
        let first = load(directory.path()).unwrap();
        store(Some(directory.path()), "client-ca", &other).unwrap();
        std::fs::write(directory.path().join("server.key"), &other.key_pem).unwrap();
        let second = load(directory.path()).unwrap();
        assert!(second.client_authority == other && second.admin != first.admin && second.serving != first.serving);
        assert!(is_current(&second.admin.certificate_pem, Some(&other.certificate_pem), now).unwrap());
        assert!(belong_together(&second.serving.certificate_pem, &second.serving.key_pem).unwrap());
        assert!(second.serving_authority == first.serving_authority);
    }

    #[test]
    fn a_client_certificate_names_its_user_and_groups() {
        let now = SystemTime::now();
        let authority = create_authority("test", now).unwrap();
        let issued = issue_client_certificate(
            &authority.certificate_pem,
            &authority.key_pem,
            "anna",
            &["developers", "testers"],
            Duration::from_mins(1),
            now,
        )
        .unwrap();
        with_certificate(&issued.certificate_pem, |certificate| {
            assert_eq!(certificate.subject().to_string(), "O=developers, O=testers, CN=anna");
        })
        .unwrap();
    }
}
