//! Optional services inside the cluster. What every production cluster needs is always on and not listed here.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::crd::rule_at;

/// Optional services inside the cluster. Turning one off removes it, its load balancers and its volumes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = addon_rules()))]
pub struct Addons {
    /// Resource metrics for `kubectl top` and autoscaling. On by default.
    #[serde(default)]
    pub metrics_server: MetricsServer,
    /// An ingress controller with a load balancer. Off by default; on when Harbor has a domain.
    #[serde(default)]
    pub ingress: Ingress,
    /// The Gateway API, served by the network plugin. Off by default.
    #[serde(default, rename = "gatewayAPI")]
    pub gateway_api: GatewayApi,
    /// Certificates by cert-manager. Off by default; on when Harbor has a domain.
    #[serde(default)]
    pub cert_manager: Addon,
    /// Deployment from Git by Flux. Off by default; on with Harbor.
    #[serde(default)]
    pub flux: Addon,
    /// A container registry. Off by default.
    #[serde(default)]
    pub harbor: Harbor,
}

impl Addons {
    /// Whether the ingress controller runs: as given, else when Harbor has a domain.
    pub fn ingress_enabled(&self) -> bool {
        self.ingress.enabled.unwrap_or_else(|| self.harbor.is_published())
    }

    /// Whether cert-manager runs: as given, else when Harbor has a domain.
    pub fn cert_manager_enabled(&self) -> bool {
        self.cert_manager.enabled.unwrap_or_else(|| self.harbor.is_published())
    }

    /// Whether Flux runs: as given, else with Harbor.
    pub fn flux_enabled(&self) -> bool {
        self.flux.enabled.unwrap_or(self.harbor.enabled)
    }
}

fn addon_rules() -> serde_json::Value {
    const PUBLISHED: &str =
        "has(self.harbor) && has(self.harbor.enabled) && self.harbor.enabled && has(self.harbor.domain)";
    const HARBOR: &str = "has(self.harbor) && has(self.harbor.enabled) && self.harbor.enabled";
    let refused = |addon: &str| format!("has(self.{addon}) && has(self.{addon}.enabled) && !self.{addon}.enabled");
    serde_json::json!([
        rule_at(
            ".flux",
            &format!("!({HARBOR}) || !({})", refused("flux")),
            "addons.harbor needs Flux: remove addons.flux.enabled or set it to true"
        ),
        rule_at(
            ".certManager",
            &format!("!({PUBLISHED}) || !({})", refused("certManager")),
            "addons.harbor.domain needs cert-manager: remove addons.certManager.enabled or set it to true"
        ),
        rule_at(
            ".ingress",
            &format!("!({PUBLISHED}) || !({})", refused("ingress")),
            "addons.harbor.domain needs an ingress controller: remove addons.ingress.enabled or set it to true"
        ),
    ])
}

/// An add-on that is off unless asked for or needed by another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct Addon {
    /// Whether it runs. Default: only if another add-on needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Its version. Default: the stack's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub version: Option<String>,
}

/// Common view of an add-on, whatever its own type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddonOptions<'a> {
    /// Field name under `spec.addons`.
    pub name: &'static str,
    /// Whether the document says so explicitly.
    pub explicit: Option<bool>,
    /// Whether it runs, other add-ons' needs included.
    pub enabled: bool,
    /// The version asked for.
    pub version: Option<&'a str>,
}

impl Addons {
    /// All add-ons, running or not, in a fixed order.
    pub fn all(&self) -> [AddonOptions<'_>; 6] {
        [
            AddonOptions {
                name: "metricsServer",
                explicit: Some(self.metrics_server.enabled),
                enabled: self.metrics_server.enabled,
                version: self.metrics_server.version.as_deref(),
            },
            AddonOptions {
                name: "ingress",
                explicit: self.ingress.enabled,
                enabled: self.ingress_enabled(),
                version: self.ingress.version.as_deref(),
            },
            AddonOptions {
                name: "gatewayAPI",
                explicit: Some(self.gateway_api.enabled),
                enabled: self.gateway_api.enabled,
                version: self.gateway_api.version.as_deref(),
            },
            AddonOptions {
                name: "certManager",
                explicit: self.cert_manager.enabled,
                enabled: self.cert_manager_enabled(),
                version: self.cert_manager.version.as_deref(),
            },
            AddonOptions {
                name: "flux",
                explicit: self.flux.enabled,
                enabled: self.flux_enabled(),
                version: self.flux.version.as_deref(),
            },
            AddonOptions {
                name: "harbor",
                explicit: Some(self.harbor.enabled),
                enabled: self.harbor.enabled,
                version: self.harbor.version.as_deref(),
            },
        ]
    }
}

/// Resource metrics for `kubectl top` and autoscaling.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct MetricsServer {
    /// Whether it runs. Default true.
    #[serde(default = "enabled_by_default")]
    pub enabled: bool,
    /// Its version. Default: the stack's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub version: Option<String>,
}

fn enabled_by_default() -> bool {
    true
}

impl Default for MetricsServer {
    fn default() -> Self {
        Self { enabled: true, version: None }
    }
}

/// An ingress controller with a load balancer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ingress {
    /// Whether it runs. Default: only if another add-on needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Whether services see the address of the client rather than that of the load balancer. Default true.
    #[serde(default = "enabled_by_default", rename = "preserveClientIP")]
    pub preserve_client_ip: bool,
    /// Its version. Default: the stack's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub version: Option<String>,
}

impl Default for Ingress {
    fn default() -> Self {
        Self { enabled: None, preserve_client_ip: true, version: None }
    }
}

/// The Gateway API, served by the network plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct GatewayApi {
    /// Whether it is served. Default false.
    #[serde(default)]
    pub enabled: bool,
    /// Its version. Default: the stack's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub version: Option<String>,
}

/// The Harbor container registry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    rule_at(".acmeEmail", "!has(self.acmeEmail) || has(self.domain)", "addons.harbor.acmeEmail needs addons.harbor.domain"),
]))]
pub struct Harbor {
    /// Whether it runs. Default false. With Harbor, Flux runs too.
    #[serde(default)]
    pub enabled: bool,
    /// Its version. Default: the stack's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub version: Option<String>,
    /// Domain name under which it is reached from outside; needs ingress and cert-manager, which then run too.
    /// Default: reachable inside the cluster only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 3, max = 253),
        regex(pattern = r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$")
    )]
    pub domain: Option<String>,
    /// Mail address for the certificate authority's notices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 254), regex(pattern = r"^[^@\s]+@[^@\s]+\.[^@\s]+$"))]
    pub acme_email: Option<String>,
    /// Whether its data survives a restart on volumes of their own. Default false.
    #[serde(default)]
    pub persistence: bool,
    /// Sizes of the volumes; they can only grow.
    #[serde(default)]
    pub sizes: HarborSizes,
}

impl Harbor {
    /// Whether it runs and is reachable from outside.
    pub fn is_published(&self) -> bool {
        self.enabled && self.domain.is_some()
    }
}

/// Sizes of Harbor's volumes, as Kubernetes quantities; they can only grow.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct HarborSizes {
    /// Volume of the database. Default `1Gi`.
    #[serde(default = "one_gibibyte")]
    #[schemars(length(max = 32), extend("x-kubernetes-validations" = size_rules("addons.harbor.sizes.database")))]
    pub database: String,
    /// Volume of the job queue. Default `1Gi`.
    #[serde(default = "one_gibibyte")]
    #[schemars(length(max = 32), extend("x-kubernetes-validations" = size_rules("addons.harbor.sizes.redis")))]
    pub redis: String,
    /// Volume of the vulnerability scanner. Default `5Gi`.
    #[serde(default = "five_gibibytes")]
    #[schemars(length(max = 32), extend("x-kubernetes-validations" = size_rules("addons.harbor.sizes.trivy")))]
    pub trivy: String,
}

fn one_gibibyte() -> String {
    "1Gi".into()
}

fn five_gibibytes() -> String {
    "5Gi".into()
}

impl Default for HarborSizes {
    fn default() -> Self {
        Self { database: one_gibibyte(), redis: one_gibibyte(), trivy: five_gibibytes() }
    }
}

fn size_rules(field: &str) -> serde_json::Value {
    serde_json::json!([
        crate::crd::rule(
            "isQuantity(self) && quantity(self).isGreaterThan(quantity('0'))",
            &format!("{field} must be a quantity above zero, such as 5Gi")
        ),
        crate::crd::rule(
            "!isQuantity(self) || !isQuantity(oldSelf) || !quantity(self).isLessThan(quantity(oldSelf))",
            &format!("{field} can only grow")
        ),
    ])
}
