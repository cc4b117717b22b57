//! Who makes a request: client certificates checked against a plane's authorities, bearer tokens, and in-process
//! callers.
//!
//! The TLS layer accepts any client certificate whose key the client holds and attaches the chain to the request; the
//! plane the request addresses decides here whether it trusts that chain. So one listener serves planes with
//! different authorities.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use http::{header, request::Parts};
use kogge_machinery::{node, rbac::Requester};

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, UnixTime, pem::PemObject as _},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use x509_parser::{certificate::X509Certificate, time::ASN1Time, x509::X509Version};

use crate::{
    certificate_signing::{request::is_signed, subject::Subject},
    plane::Plane,
    token,
};

/// The group whose members may do everything.
pub const MASTERS: &str = "system:masters";

/// The group of everybody who has shown credentials.
pub(crate) const AUTHENTICATED: &str = "system:authenticated";
/// The group of everybody who has not.
pub(crate) const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The user without credentials.
pub(crate) const ANONYMOUS: &str = "system:anonymous";
/// The key of [`User::extra`] that names the credential.
pub(crate) const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

/// An authenticated user. It is serialised as the `UserInfo` of `authentication.k8s.io/v1`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct User {
    /// Name, e.g. `system:admin`.
    #[serde(rename = "username", skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Identity across renaming, if the source of the user has one: the uid of a ServiceAccount.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// Groups, `system:authenticated` among them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// What else the credentials tell, e.g. `authentication.kubernetes.io/pod-name`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// A user without uid and extra.
    pub fn new(name: impl Into<String>, groups: Vec<String>) -> Self {
        Self { name: name.into(), groups, ..Self::default() }
    }

    /// The identity of calls made inside the process.
    pub fn in_process() -> Self {
        Self::new("system:admin", vec![MASTERS.to_owned(), AUTHENTICATED.to_owned()])
    }

    /// Who reaches the public paths without credentials.
    pub fn anonymous() -> Self {
        Self::new(ANONYMOUS, vec![UNAUTHENTICATED.to_owned()])
    }

    /// Whether nothing is forbidden to the user.
    pub fn is_master(&self) -> bool {
        self.groups.iter().any(|group| group == MASTERS)
    }

    /// The name of the node the user is, empty for a node without one; none for everybody else.
    pub(crate) fn node_name(&self) -> Option<&str> {
        node::node_name(&self.name, &self.groups)
    }

    /// The `UserInfo` of review answers and admission.
    pub(crate) fn user_info(&self) -> Value {
        json!(self)
    }

    /// The user as the access rules see them.
    pub(crate) fn requester(&self) -> Requester<'_> {
        Requester { name: &self.name, groups: &self.groups }
    }
}

/// Why the authorities given for a plane cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the client certificate authority is not usable: {0}")]
pub struct ClientAuthorityError(String);

/// The authorities a plane trusts for client certificates.
#[derive(Clone)]
pub(crate) struct ClientAuthorities {
    verifier: Arc<dyn ClientCertVerifier>,
    roots: Vec<CertificateDer<'static>>,
}

impl ClientAuthorities {
    /// From one or more PEM certificates.
    pub(crate) fn from_pem(pem: &str) -> Result<Self, ClientAuthorityError> {
        let mut store = RootCertStore::empty();
        let mut roots = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let certificate = certificate.map_err(|error| ClientAuthorityError(error.to_string()))?;
            store.add(certificate.clone()).map_err(|error| ClientAuthorityError(error.to_string()))?;
            roots.push(certificate);
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider)
            .build()
            .map_err(|error| ClientAuthorityError(error.to_string()))?;
        Ok(Self { verifier, roots })
    }

    /// The user of a chain (leaf first), if it leads to one of these authorities and is valid `now`.
    pub(crate) fn verify(&self, chain: &[CertificateDer<'_>], now: SystemTime) -> Option<User> {
        let (leaf, intermediates) = chain.split_first()?;
        let since_epoch = now.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        let (_, certificate) = x509_parser::parse_x509_certificate(leaf).ok()?;
        if certificate.version() == X509Version::V1 {
            self.verify_without_extensions(&certificate, since_epoch)?;
        } else {
            let now = UnixTime::since_unix_epoch(since_epoch);
            self.verifier.verify_client_cert(leaf, intermediates, now).ok()?;
        }
        let subject = Subject::of(certificate.subject()).filter(|subject| !subject.common_name.is_empty())?;
        let uid = match subject.uids.as_slice() {
            [] => String::new(),
            [uid] if !uid.is_empty() => uid.clone(),
            _ => return None,
        };
        let mut groups = subject.organizations().to_vec();
        let says_itself = groups.iter().any(|group| [AUTHENTICATED, UNAUTHENTICATED].contains(&group.as_str()));
        if subject.common_name != ANONYMOUS && !says_itself {
            groups.push(AUTHENTICATED.to_owned());
        }
        let mut credential = "X509SHA256=".to_owned();
        for byte in Sha256::digest(leaf) {
            let _ = write!(credential, "{byte:02x}");
        }
        let extra = BTreeMap::from([(CREDENTIAL_ID.to_owned(), vec![credential])]);
        Some(User { name: subject.common_name, uid, groups, extra })
    }

    /// Verifies a certificate of version 1, as `openssl x509 -req` makes without a file of extensions: its issuer has to
    /// be one of these authorities. The library that verifies the others knows version 3 only.
    fn verify_without_extensions(&self, certificate: &X509Certificate<'_>, since_epoch: Duration) -> Option<()> {
        let now = ASN1Time::from_timestamp(i64::try_from(since_epoch.as_secs()).ok()?).ok()?;
        let issued = self.roots.iter().any(|root| {
            x509_parser::parse_x509_certificate(root).is_ok_and(|(_, root)| {
                root.subject().as_raw() == certificate.issuer().as_raw()
                    && root.validity().is_valid_at(now)
                    && is_signed(
                        &certificate.signature_algorithm,
                        root.public_key(),
                        certificate.tbs_certificate.as_ref(),
                        &certificate.signature_value,
                    )
            })
        });
        (issued && certificate.validity().is_valid_at(now)).then_some(())
    }
}

/// How a request reached the server; an extension of every request. Absent means an anonymous connection.
#[derive(Clone)]
pub(crate) enum Caller {
    /// Our own code in this process.
    InProcess,
    /// A TLS connection with a client certificate.
    Certificate(Arc<PresentedChain>),
}

/// A client certificate chain of one connection, with the answer of the plane last asked.
pub(crate) struct PresentedChain {
    chain: Vec<CertificateDer<'static>>,
    verified: Mutex<Option<Verified>>,
}

struct Verified {
    authorities: Arc<ClientAuthorities>,
    user: Option<User>,
    at: SystemTime,
}

/// A verified chain is checked again after this time, so a certificate that ends stops working.
const VERIFY_AGAIN_AFTER: Duration = Duration::from_secs(10);

impl PresentedChain {
    pub(crate) fn new(chain: Vec<CertificateDer<'static>>) -> Self {
        Self { chain, verified: Mutex::new(None) }
    }

    fn user(&self, authorities: &Arc<ClientAuthorities>, now: SystemTime) -> Option<User> {
        let mut verified = self.verified.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(known) = verified.as_ref()
            && Arc::ptr_eq(&known.authorities, authorities)
            && now.duration_since(known.at).is_ok_and(|age| age < VERIFY_AGAIN_AFTER)
        {
            return known.user.clone();
        }
        let user = authorities.verify(&self.chain, now);
        *verified = Some(Verified { authorities: authorities.clone(), user: user.clone(), at: now });
        user
    }
}

/// The user of a request, or `None` where it has no acceptable credentials. The connection's certificate counts first,
/// then a bearer token.
pub(crate) async fn authenticate(plane: &Plane, parts: &Parts, now: SystemTime, remarks: &mut Remarks) -> Option<User> {
    let caller = parts.extensions.get::<Caller>();
    let authorities = plane.client_authorities();
    let authorization = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    // What is wrong with a token is said even to those whose certificate counts.
    let token = authorization.and_then(|authorization| bearer_token(authorization, remarks));
    if let Some(user) = of_connection(caller, authorities.as_ref(), now) {
        return Some(user);
    }
    let token = token?;
    match of_token(plane, token, &[], now, remarks).await {
        Ok(authenticated) => Some(authenticated.user),
        Err(reason) => {
            tracing::debug!(plane = %plane.name(), %reason, "refused a bearer token");
            None
        }
    }
}

/// Whether a request has a token, whoever's it is.
pub(crate) fn presents_token(parts: &Parts) -> bool {
    let authorization = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    authorization.is_some_and(|text| bearer_token(text, &mut Remarks::default()).is_some())
}

/// What credentials give rise to say besides whose they are.
#[derive(Debug, Default)]
pub(crate) struct Remarks {
    /// Texts for `Warning` headers.
    pub(crate) warnings: Vec<String>,
    /// Keys and values for the audit log.
    pub(crate) audit_annotations: Vec<(&'static str, String)>,
}

/// Whose token it is.
pub(crate) struct Authenticated {
    pub(crate) user: User,
    /// Those of the wanted audiences the token is for.
    pub(crate) audiences: Vec<String>,
}

/// What is said of a token that nobody here has issued.
pub(crate) const INVALID_BEARER_TOKEN: &str = "invalid bearer token";

/// The user of a bearer token that is for one of `audiences` (none: for this plane's API).
///
/// # Errors
/// Why the token is not accepted, without anything of the token.
pub(crate) async fn of_token(
    plane: &Plane,
    token: &str,
    audiences: &[String],
    now: SystemTime,
    remarks: &mut Remarks,
) -> Result<Authenticated, String> {
    let tokens = plane.server.service_account_tokens();
    if let Some(account) = tokens.authenticate(plane, token, audiences, now, remarks).await? {
        return Ok(account);
    }
    let own = token::issuer(plane.name());
    // The issuers of the configuration are the management plane's. Their tokens are for its API, whatever they say.
    if plane.name().0.is_empty()
        && (audiences.is_empty() || audiences.contains(&own))
        && let Some(user) = plane.server.trusted_issuers().authenticate(token, now).await?
    {
        return Ok(Authenticated { user, audiences: vec![own] });
    }
    Err(INVALID_BEARER_TOKEN.to_owned())
}

/// The token of an `Authorization` header's text; none, with a warning, for one behind more than one space.
pub(crate) fn bearer_token<'a>(authorization: &'a str, remarks: &mut Remarks) -> Option<&'a str> {
    let (scheme, token) = authorization.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let token = token.split(' ').next().unwrap_or_default();
    if token.is_empty() {
        let warning = "the provided Authorization header contains extra space before the bearer token, and is ignored";
        remarks.warnings.push(warning.to_owned());
        return None;
    }
    Some(token)
}

/// The user of a connection.
fn of_connection(
    caller: Option<&Caller>,
    authorities: Option<&Arc<ClientAuthorities>>,
    now: SystemTime,
) -> Option<User> {
    match caller? {
        Caller::InProcess => Some(User::in_process()),
        Caller::Certificate(chain) => chain.user(authorities?, now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificates::{create_authority, issue_client_certificate};

    #[test]
    fn a_chain_is_trusted_only_by_its_own_authority_and_only_while_valid() {
        let now = SystemTime::now();
        let ours = create_authority("ours", now).unwrap();
        let theirs = create_authority("theirs", now).unwrap();
        let trusted = Arc::new(ClientAuthorities::from_pem(&ours.certificate_pem).unwrap());
        let present = |authority: &crate::certificates::CertificateAndKey| {
            let issued = issue_client_certificate(
                &authority.certificate_pem,
                &authority.key_pem,
                "anna",
                &["developers"],
                Duration::from_hours(1),
                now,
            )
            .unwrap();
            let chain = CertificateDer::pem_slice_iter(issued.certificate_pem.as_bytes()).collect::<Result<_, _>>();
            Caller::Certificate(Arc::new(PresentedChain::new(chain.unwrap())))
        };
        let good = present(&ours);
        let user = of_connection(Some(&good), Some(&trusted), now).unwrap();
        assert_eq!((user.name.as_str(), user.groups[0].as_str(), user.is_master()), ("anna", "developers", false));
        assert_eq!(of_connection(Some(&good), Some(&trusted), now + Duration::from_hours(2)), None, "ended");
        assert_eq!(of_connection(Some(&present(&theirs)), Some(&trusted), now), None, "another authority");
        assert_eq!(of_connection(None, Some(&trusted), now), None, "no certificate");
        assert!(of_connection(Some(&Caller::InProcess), None, now).unwrap().is_master());
    }
}
