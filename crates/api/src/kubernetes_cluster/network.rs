//! Addresses, name resolution and the way to the API server.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::LocalReference;
use crate::crd::{immutable, immutable_optional, rule, rule_at};

/// Addresses and name resolution inside the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = network_rules()))]
pub struct Network {
    /// Network of the machines. Must not overlap with the other two. Default `10.8.0.0/20`. Cannot be changed.
    #[serde(default = "default_node_cidr", rename = "nodeCIDR")]
    #[schemars(length(max = 43), extend("x-kubernetes-validations" = cidr_rules(4, "network.nodeCIDR")))]
    pub node_cidr: String,
    /// Addresses of the pods; one /24 for each node. Default `192.168.0.0/16`. Cannot be changed.
    #[serde(default = "default_pod_cidr", rename = "podCIDR")]
    #[schemars(length(max = 43), extend("x-kubernetes-validations" = cidr_rules(4, "network.podCIDR")))]
    pub pod_cidr: String,
    /// Addresses of the services, between /12 and /24. Default `10.96.0.0/12`. Cannot be changed.
    #[serde(default = "default_service_cidr", rename = "serviceCIDR")]
    #[schemars(length(max = 43), extend("x-kubernetes-validations" = service_cidr_rules()))]
    pub service_cidr: String,
    /// Adds IPv6 to IPv4 (dual stack). All three ranges or none. Default off. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<Ipv6Network>,
    /// The provider's network with public addresses, where the profile lists several. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub external_network: Option<String>,
    /// One to three name servers for the machines. Default: the profile's. Machines learn a change when their lease of
    /// addresses is renewed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 3),
        inner(length(max = 45)),
        extend("x-kubernetes-list-type" = "atomic", "x-kubernetes-validations" = [
            rule("self.all(a, isIP(a))", "network.dnsServers must be IP addresses"),
        ])
    )]
    pub dns_servers: Vec<String>,
    /// HTTP proxy for everything the machines fetch. Default: the profile's. A change replaces the machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Proxy>,
}

/// Default of `network.nodeCIDR`.
pub(crate) fn default_node_cidr() -> String {
    "10.8.0.0/20".into()
}

/// Default of `network.podCIDR`.
pub(crate) fn default_pod_cidr() -> String {
    "192.168.0.0/16".into()
}

/// Default of `network.serviceCIDR`.
pub(crate) fn default_service_cidr() -> String {
    "10.96.0.0/12".into()
}

impl Default for Network {
    fn default() -> Self {
        Self {
            node_cidr: default_node_cidr(),
            pod_cidr: default_pod_cidr(),
            service_cidr: default_service_cidr(),
            ipv6: None,
            external_network: None,
            dns_servers: Vec::new(),
            proxy: None,
        }
    }
}

fn cidr_rules(family: u8, field: &str) -> serde_json::Value {
    serde_json::json!([
        rule(
            "isCIDR(self) && string(cidr(self).masked()) == self",
            &format!("{field} must be a network in canonical form, such as {}", example(family))
        ),
        rule(
            &format!("!isCIDR(self) || cidr(self).ip().family() == {family}"),
            &format!("{field} must be an IPv{family} network")
        ),
        immutable(field),
    ])
}

fn service_cidr_rules() -> serde_json::Value {
    let mut rules = cidr_rules(4, "network.serviceCIDR");
    if let Some(list) = rules.as_array_mut() {
        list.push(rule(
            "!isCIDR(self) || (cidr(self).prefixLength() >= 12 && cidr(self).prefixLength() <= 24)",
            "network.serviceCIDR must be between /12 and /24",
        ));
    }
    rules
}

fn example(family: u8) -> &'static str {
    if family == 4 { "10.8.0.0/20 (not 10.8.0.1/20)" } else { "fd00:10:8::/64" }
}

/// Rule: two ranges have no address in common. Ranges that do not parse are left to their own rule.
fn disjoint(left: &str, right: &str) -> serde_json::Value {
    rule(
        &format!(
            "!isCIDR(self.{left}) || !isCIDR(self.{right}) || \
             (!cidr(self.{left}).containsIP(cidr(self.{right}).ip()) && !cidr(self.{right}).containsIP(cidr(self.{left}).ip()))"
        ),
        &format!("{left} and {right} must not overlap"),
    )
}

fn network_rules() -> serde_json::Value {
    serde_json::json!([
        disjoint("nodeCIDR", "podCIDR"),
        disjoint("nodeCIDR", "serviceCIDR"),
        disjoint("podCIDR", "serviceCIDR"),
        immutable_optional("ipv6"),
        immutable_optional("externalNetwork"),
    ])
}

fn ipv6_rules() -> serde_json::Value {
    serde_json::json!([
        disjoint("nodeCIDR", "podCIDR"),
        disjoint("nodeCIDR", "serviceCIDR"),
        disjoint("podCIDR", "serviceCIDR"),
    ])
}

/// The IPv6 ranges of a dual stack cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = ipv6_rules()))]
pub struct Ipv6Network {
    /// IPv6 network of the machines.
    #[serde(rename = "nodeCIDR")]
    #[schemars(length(max = 43), extend("x-kubernetes-validations" = cidr_rules(6, "network.ipv6.nodeCIDR")))]
    pub node_cidr: String,
    /// IPv6 addresses of the pods.
    #[serde(rename = "podCIDR")]
    #[schemars(length(max = 43), extend("x-kubernetes-validations" = cidr_rules(6, "network.ipv6.podCIDR")))]
    pub pod_cidr: String,
    /// IPv6 addresses of the services.
    #[serde(rename = "serviceCIDR")]
    #[schemars(length(max = 43), extend("x-kubernetes-validations" = cidr_rules(6, "network.ipv6.serviceCIDR")))]
    pub service_cidr: String,
}

/// An HTTP proxy for everything the machines fetch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Proxy {
    /// Address of the proxy, `http://` or `https://`, without user and password.
    #[schemars(length(max = 2048), regex(pattern = r"^https?://[^/@\s]+/?$"))]
    pub url: String,
    /// Names, domains and networks reached directly. The cluster's own networks, `.svc` and the provider's metadata
    /// address are always added.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 253)), extend("x-kubernetes-list-type" = "atomic"))]
    pub no_proxy: Vec<String>,
    /// Secret in the same namespace with the keys `username` and `password`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalReference>,
}

/// How the cluster's API server is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = api_server_rules()))]
pub struct ApiServer {
    /// From where the API server is reachable. Default `AllowList` if `allowedCIDRs` is given, else `Public`. Changed
    /// in place, except from and to `Internal`, which cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<ApiServerAccess>,
    /// The networks that may connect. Kogge's own address, the node network and the router are always added.
    #[serde(default, rename = "allowedCIDRs", skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 100),
        inner(length(max = 43)),
        extend("x-kubernetes-list-type" = "atomic", "x-kubernetes-validations" = [
            rule(
                "self.all(c, isCIDR(c) && string(cidr(c).masked()) == c)",
                "apiServer.allowedCIDRs must be networks in canonical form, such as 198.51.100.0/24, or 203.0.113.7/32 for one address"
            ),
        ])
    )]
    pub allowed_cidrs: Vec<String>,
    /// Further names and addresses in the API server's certificate. A change replaces the control plane machines.
    #[serde(default, rename = "certSANs", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub cert_sans: Vec<String>,
}

impl ApiServer {
    /// The access in force: as given, else `AllowList` if there is a list and `Public` if there is none.
    pub fn effective_access(&self) -> ApiServerAccess {
        self.access.unwrap_or(if self.allowed_cidrs.is_empty() {
            ApiServerAccess::Public
        } else {
            ApiServerAccess::AllowList
        })
    }
}

fn api_server_rules() -> serde_json::Value {
    serde_json::json!([
        rule_at(
            ".allowedCIDRs",
            "!has(self.access) || self.access != 'Public' || !has(self.allowedCIDRs) || size(self.allowedCIDRs) == 0",
            "apiServer.access Public needs an empty allowedCIDRs; use access AllowList to restrict it"
        ),
        rule_at(
            ".access",
            "(has(self.access) && self.access == 'Internal') == (has(oldSelf.access) && oldSelf.access == 'Internal')",
            "apiServer.access cannot be changed from or to Internal after creation; create a new cluster instead"
        ),
    ])
}

/// From where the API server is reachable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum ApiServerAccess {
    /// From everywhere.
    #[default]
    Public,
    /// From the listed networks.
    AllowList,
    /// Only from inside the provider's network: it has no public address.
    Internal,
}
