//! Short-lived kubeconfigs, signed with the cluster's own certificate authority.
//!
//! Cluster API keeps the authority in the Secret `<cluster>-ca` (`tls.crt`, `tls.key`) and an administrator's kubeconfig, good
//! for a year, in `<cluster>-kubeconfig`. Nobody is handed the latter: each request gets a certificate of its own.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair, KeyUsagePurpose};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// The shortest validity that is given.
pub const SHORTEST: Duration = Duration::from_mins(10);
/// The longest validity that is given.
pub const LONGEST: Duration = Duration::from_hours(720);

/// A kubeconfig and how long it is good for.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Kubeconfig {
    /// The kubeconfig, as YAML text.
    pub kubeconfig: String,
    /// When its certificate ends, RFC 3339.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub expires_at: Timestamp,
}

/// A failed step of issuing.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// A Secret lacks a key or holds no text.
    #[error("Secret {secret} has no usable `{key}`")]
    ReadSecret {
        /// The Secret.
        secret: String,
        /// The key.
        key: &'static str,
    },
    /// The administrator's kubeconfig could not be read.
    #[error("failed to read the administrator's kubeconfig: {0}")]
    ReadKubeconfig(String),
    /// The certificate could not be made.
    #[error("failed to sign a certificate: {0}")]
    Sign(#[from] rcgen::Error),
}

/// Issues a kubeconfig for the administrators' group, valid from a minute ago (clocks differ) for `valid_for`, which is
/// brought between [`SHORTEST`] and [`LONGEST`].
///
/// # Errors
/// The step that failed; nothing is stored in any case.
pub fn issue(
    tenant: &str,
    name: &str,
    authority: &Secret,
    admin: &Secret,
    valid_for: Duration,
    now: Timestamp,
) -> Result<Kubeconfig, IssueError> {
    let admin_text = text(admin, "value")?;
    let admin: serde_json::Value =
        serde_saphyr::from_str(&admin_text).map_err(|error| IssueError::ReadKubeconfig(error.to_string()))?;
    let cluster = admin
        .pointer("/clusters/0/cluster")
        .cloned()
        .ok_or_else(|| IssueError::ReadKubeconfig("it names no cluster".into()))?;

    let key = KeyPair::from_pem(&text(authority, "tls.key")?)?;
    let issuer = Issuer::from_ca_cert_pem(&text(authority, "tls.crt")?, key)?;
    let valid_for = valid_for.clamp(SHORTEST, LONGEST);
    let expires_at = now + SignedDuration::try_from(valid_for).unwrap_or(SignedDuration::from_hours(24));
    let mut parameters = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, "system:masters");
    subject.push(DnType::CommonName, format!("kogge:{tenant}:{name}"));
    parameters.distinguished_name = subject;
    parameters.not_before = certificate_time(now - SignedDuration::from_mins(1));
    parameters.not_after = certificate_time(expires_at);
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let client_key = KeyPair::generate()?;
    let certificate = parameters.signed_by(&client_key, &issuer)?;

    let context = format!("{tenant}-{name}");
    let kubeconfig = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": name, "cluster": cluster }],
        "users": [{ "name": context, "user": {
            "client-certificate-data": STANDARD.encode(certificate.pem()),
            "client-key-data": STANDARD.encode(client_key.serialize_pem()),
        }}],
        "contexts": [{ "name": context, "context": { "cluster": name, "user": context } }],
        "current-context": context,
    });
    let kubeconfig =
        serde_saphyr::to_string(&kubeconfig).map_err(|error| IssueError::ReadKubeconfig(error.to_string()))?;
    Ok(Kubeconfig { kubeconfig, expires_at })
}

fn text(secret: &Secret, key: &'static str) -> Result<String, IssueError> {
    let bytes = secret.data.as_ref().and_then(|data| data.get(key)).map(|value| value.0.clone());
    bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| IssueError::ReadSecret { secret: secret.metadata.name.clone().unwrap_or_default(), key })
}

fn certificate_time(time: Timestamp) -> time::OffsetDateTime {
    time::OffsetDateTime::from_unix_timestamp(time.as_second()).unwrap_or(time::OffsetDateTime::UNIX_EPOCH)
}
