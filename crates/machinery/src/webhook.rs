//! Where a webhook is: the `clientConfig` of webhook configurations and of conversions.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

/// How to reach a webhook.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// At a URL.
    Url(String),
    /// Behind a Service.
    Service {
        /// Namespace of the Service.
        namespace: String,
        /// Name of the Service.
        name: String,
        /// Port of the Service, 443 unless given.
        port: u16,
        /// Path of the request, with a slash, or empty.
        path: String,
    },
}

/// A webhook's address and whom to trust there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClientConfig {
    /// Where it is.
    pub target: Target,
    /// Authorities of its certificate, PEM; empty for those the system trusts.
    pub ca_bundle: Vec<u8>,
}

impl ClientConfig {
    /// From the JSON of a `clientConfig`.
    ///
    /// # Errors
    /// Why it names no webhook, in the real server's words where it has any.
    pub fn from_json(config: &Value) -> Result<Self, String> {
        let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let service = &config["service"];
        let target = if service.is_object() {
            Target::Service {
                namespace: text(service, "namespace"),
                name: text(service, "name"),
                port: service["port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or(443),
                path: text(service, "path"),
            }
        } else {
            match config["url"].as_str().filter(|url| !url.is_empty()) {
                Some(url) => Target::Url(url.to_owned()),
                None => return Err("webhook configuration must have either service or URL".to_owned()),
            }
        };
        let bundle = STANDARD
            .decode(config["caBundle"].as_str().unwrap_or_default())
            .map_err(|error| format!("unable to decode the caBundle: {error}"))?;
        // The real server treats a bundle of blanks as none.
        let ca_bundle = if bundle.trim_ascii().is_empty() { Vec::new() } else { bundle };
        Ok(Self { target, ca_bundle })
    }
}
