//! Keys and certificates of a cluster, and the kubeconfig made with them.

use std::time::{Duration, SystemTime};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use kogge_apiserver::certificates::{CertificateError, create_authority, issue_client_certificate};
use serde_json::{Value, json};

use crate::write::SecretContent;

/// How long the administrator's certificate is valid, as kubeadm makes it.
const CLIENT_VALIDITY: Duration = Duration::from_hours(365 * 24);

/// Why a secret could not be made.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum SecretError {
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error("failed to make a key: {0}")]
    Key(#[from] rcgen::Error),
    #[error("the cluster's certificate authority is not readable")]
    AuthorityUnreadable,
}

/// What a kubeconfig is made from.
pub struct KubeconfigInput<'a> {
    /// Cluster name.
    pub cluster: &'a str,
    /// URL of the API.
    pub server: &'a str,
    /// Authority of the API's serving certificate, PEM.
    pub server_authority: &'a str,
    /// The cluster's `-ca` Secret, which signs clients.
    pub authority: &'a Value,
}

/// The `data` of a Secret, base64 as the API wants it. A kubeconfig needs `kubeconfig`.
///
/// # Errors
/// When a key or certificate cannot be generated, or the authority's Secret is broken.
pub fn secret_data(
    content: &SecretContent,
    kubeconfig: Option<&KubeconfigInput<'_>>,
    now: SystemTime,
) -> Result<Value, SecretError> {
    let encoded = |text: &str| json!(STANDARD.encode(text));
    Ok(match content {
        SecretContent::CertificateAuthority(common_name) => {
            let authority = create_authority(common_name, now)?;
            json!({"tls.crt": encoded(&authority.certificate_pem), "tls.key": encoded(&authority.key_pem)})
        }
        SecretContent::ServiceAccountKey => {
            let key = rcgen::KeyPair::generate()?;
            json!({"tls.crt": encoded(&key.public_key_pem()), "tls.key": encoded(&key.serialize_pem())})
        }
        SecretContent::Kubeconfig => {
            let input = kubeconfig.ok_or(SecretError::AuthorityUnreadable)?;
            json!({"value": encoded(&admin_kubeconfig(input, now)?)})
        }
        SecretContent::Bootstrap(data) => json!({"value": encoded(data), "format": encoded("cloud-config")}),
    })
}

/// The `data` of a kubeconfig Secret that is to lead to another address, `None` if it leads there already (or holds no
/// kubeconfig).
pub fn moved_kubeconfig(secret: &Value, server: &str) -> Option<Value> {
    let mut config: Value = serde_saphyr::from_str(&secret_text(secret, "value")?).ok()?;
    let known = config.pointer_mut("/clusters/0/cluster/server")?;
    if *known == server {
        return None;
    }
    *known = json!(server);
    Some(json!({"value": STANDARD.encode(serde_saphyr::to_string(&config).ok()?)}))
}

/// A field of a Secret as text.
pub fn secret_text(secret: &Value, field: &str) -> Option<String> {
    let bytes = STANDARD.decode(secret["data"][field].as_str()?).ok()?;
    String::from_utf8(bytes).ok()
}

fn admin_kubeconfig(input: &KubeconfigInput<'_>, now: SystemTime) -> Result<String, SecretError> {
    let field = |name| secret_text(input.authority, name).ok_or(SecretError::AuthorityUnreadable);
    let client = issue_client_certificate(
        &field("tls.crt")?,
        &field("tls.key")?,
        "kubernetes-admin",
        &["system:masters"],
        CLIENT_VALIDITY,
        now,
    )?;
    let name = input.cluster;
    let user = format!("{name}-admin");
    let context = format!("{user}@{name}");
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": context, "preferences": {},
        "clusters": [{"name": name, "cluster": {
            "server": input.server, "certificate-authority-data": STANDARD.encode(input.server_authority)}}],
        "contexts": [{"name": context, "context": {"cluster": name, "user": user}}],
        "users": [{"name": user, "user": {
            "client-certificate-data": STANDARD.encode(&client.certificate_pem),
            "client-key-data": STANDARD.encode(&client.key_pem)}}],
    });
    serde_saphyr::to_string(&config).map_err(|_| SecretError::AuthorityUnreadable)
}
