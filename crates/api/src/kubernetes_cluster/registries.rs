//! Where container images come from and whom the machines trust.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::LocalReference;

/// Where container images come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct Registries {
    /// Mirrors of registries, tried before the registry itself. Default: the profile's. A change replaces the machines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["upstream"]))]
    pub mirrors: Vec<RegistryMirror>,
}

/// The mirrors of one registry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct RegistryMirror {
    /// Host (and port) of the mirrored registry, such as `docker.io`, or `*` for all.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^(\*|[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?)$")
    )]
    pub upstream: String,
    /// The mirrors, in the order in which they are tried.
    #[schemars(length(min = 1, max = 10), extend("x-kubernetes-list-type" = "atomic"))]
    pub endpoints: Vec<MirrorEndpoint>,
}

/// One mirror.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MirrorEndpoint {
    /// Address of the mirror, `https://` (or `http://` where the profile allows it).
    #[schemars(length(max = 2048), regex(pattern = r"^https?://[^/@\s]+(/[^\s]*)?$"))]
    pub url: String,
    /// What the mirror is used for. Default `[pull, resolve]`.
    #[serde(default = "default_capabilities")]
    #[schemars(length(min = 1, max = 3), extend("x-kubernetes-list-type" = "set"))]
    pub capabilities: Vec<MirrorCapability>,
    /// Whether the path of `url` replaces the usual `/v2` prefix. Default false.
    #[serde(default)]
    pub override_path: bool,
    /// Secret with the mirror's certificate authority in the key `ca.crt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<LocalReference>,
    /// Secret with the keys `username` and `password`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<LocalReference>,
}

fn default_capabilities() -> Vec<MirrorCapability> {
    vec![MirrorCapability::Pull, MirrorCapability::Resolve]
}

impl Default for MirrorEndpoint {
    fn default() -> Self {
        Self {
            url: String::new(),
            capabilities: default_capabilities(),
            override_path: false,
            ca_secret_ref: None,
            credentials_secret_ref: None,
        }
    }
}

/// What a mirror is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MirrorCapability {
    /// Fetching layers and manifests by digest.
    Pull,
    /// Finding the digest of a tag.
    Resolve,
    /// Writing images.
    Push,
}

/// Additional certificate authorities the machines trust.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Trust {
    /// Secret in the same namespace with certificates (PEM) in the key `ca.crt`. A change replaces the machines.
    pub ca_secret_ref: LocalReference,
}
