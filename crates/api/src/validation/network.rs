//! Rules on addresses: canonical, apart from each other and from what the provider reserves, and large enough.

use std::net::IpAddr;

use ipnet::IpNet;

use super::labels::is_domain;
use super::provider::capability_missing;
use super::{FieldPath, FieldProblem, Review, did_you_mean, list};
use crate::kubernetes_cluster::ApiServerAccess;
use crate::problem::ProblemCode::{InvalidDescription, LimitExceeded, NetworksOverlap};

/// A range of the description that could be read.
struct Range {
    path: FieldPath,
    network: IpNet,
}

pub(super) fn check(review: &mut Review<'_>) {
    let path = FieldPath::root().child("spec").child("network");
    let network = &review.description.spec.network;
    let mut ranges = vec![
        cidr(review, path.child("nodeCIDR"), &network.node_cidr, Some(4)),
        cidr(review, path.child("podCIDR"), &network.pod_cidr, Some(4)),
        cidr(review, path.child("serviceCIDR"), &network.service_cidr, Some(4)),
    ];
    service_size(review, ranges[2].as_ref());
    capacity(review, ranges[0].as_ref(), ranges[1].as_ref(), 24);
    if let Some(ipv6) = &network.ipv6 {
        let path = path.child("ipv6");
        ranges.push(cidr(review, path.child("nodeCIDR"), &ipv6.node_cidr, Some(6)));
        ranges.push(cidr(review, path.child("podCIDR"), &ipv6.pod_cidr, Some(6)));
        ranges.push(cidr(review, path.child("serviceCIDR"), &ipv6.service_cidr, Some(6)));
        capacity(review, ranges[3].as_ref(), ranges[4].as_ref(), 64);
    }
    let ranges: Vec<Range> = ranges.into_iter().flatten().collect();
    disjoint(review, &ranges);
    reserved(review, &ranges);
    external_network(review, &path.child("externalNetwork"));
    dns_servers(review, &path.child("dnsServers"));
    proxy(review, &path.child("proxy"));
    api_server(review);
}

/// Reads a network and reports what is wrong with it; `None` then.
fn cidr(review: &mut Review<'_>, path: FieldPath, text: &str, family: Option<u8>) -> Option<Range> {
    let problem = |message: String, accepted: String| {
        FieldProblem::new(InvalidDescription, &path, Some(text.into()), "a network in canonical form", message)
            .accepting(accepted)
    };
    let example = if family == Some(6) { "fd00:10:8::/64" } else { "10.8.0.0/20" };
    let Ok(network) = text.parse::<IpNet>() else {
        let (message, accepted) = match text.parse::<IpAddr>() {
            Ok(address) => {
                let length = if address.is_ipv4() { 32 } else { 128 };
                (
                    format!("`{text}` is an address, not a network; write {address}/{length} for this one address"),
                    format!("{address}/{length}"),
                )
            }
            Err(_) => (
                format!("`{text}` is not a network; write for example {example}"),
                format!("a network such as {example}"),
            ),
        };
        review.add(problem(message, accepted));
        return None;
    };
    let canonical = network.trunc().to_string();
    if canonical != text {
        review.add(problem(format!("`{text}` is not in canonical form; write {canonical}"), canonical));
        return None;
    }
    let found = if network.addr().is_ipv4() { 4 } else { 6 };
    if family.is_some_and(|family| family != found) {
        let wanted = family.unwrap_or(found);
        review.add(problem(
            format!("`{text}` is an IPv{found} network; an IPv{wanted} network is needed, such as {example}"),
            format!("an IPv{wanted} network"),
        ));
        return None;
    }
    Some(Range { path, network })
}

fn service_size(review: &mut Review<'_>, range: Option<&Range>) {
    let Some(range) = range else { return };
    let length = range.network.prefix_len();
    if !(12..=24).contains(&length) {
        review.add(
            FieldProblem::new(
                InvalidDescription,
                &range.path,
                Some(range.network.to_string().into()),
                "between /12 and /24",
                format!(
                    "a /{length} for services is too {}; use /12 to /24",
                    if length < 12 { "large" } else { "small" }
                ),
            )
            .accepting("/12 to /24"),
        );
    }
}

/// Every possible node needs an address, and a range of pod addresses (a /24, with IPv6 a /64). One machine more than
/// described is there while machines are replaced, in each group.
fn capacity(review: &mut Review<'_>, nodes: Option<&Range>, pods: Option<&Range>, pods_of_a_node: u8) {
    let spec = &review.description.spec;
    let workers: u64 = spec.workers.iter().map(|pool| u64::from(pool.maximum_count()) + 1).sum();
    let machines = u64::from(spec.control_plane.count) + 1 + workers;
    if let Some(pods) = pods {
        let length = pods.network.prefix_len();
        let room = if length > pods_of_a_node {
            0
        } else {
            1u64.checked_shl(u32::from(pods_of_a_node - length)).unwrap_or(u64::MAX)
        };
        if room < machines {
            let needed = pods_of_a_node.saturating_sub(bits(machines));
            review.add(
                FieldProblem::new(
                    LimitExceeded,
                    &pods.path,
                    Some(pods.network.to_string().into()),
                    &format!("a /{pods_of_a_node} for each possible node"),
                    format!(
                        "`{}` has room for the pods of {room} nodes, but there can be {machines} while machines are replaced; use a /{needed} or larger",
                        pods.network
                    ),
                )
                .accepting(format!("/{needed} or larger")),
            );
        }
    }
    if let Some(nodes) = nodes {
        let host_bits = nodes.network.max_prefix_len() - nodes.network.prefix_len();
        // Network, broadcast, router, load balancer, and three for name and address service take seven.
        let needed_addresses = machines + 7;
        if host_bits < 64 && (1u64 << host_bits) < needed_addresses {
            let needed = nodes.network.max_prefix_len() - bits(needed_addresses);
            review.add(
                FieldProblem::new(
                    LimitExceeded,
                    &nodes.path,
                    Some(nodes.network.to_string().into()),
                    "an address for each possible node",
                    format!("`{}` is too small for {machines} machines; use a /{needed} or larger", nodes.network),
                )
                .accepting(format!("/{needed} or larger")),
            );
        }
    }
}

/// The fewest bits that count to `number`.
fn bits(number: u64) -> u8 {
    u8::try_from(number.next_power_of_two().trailing_zeros()).unwrap_or(64)
}

fn overlap(left: &IpNet, right: &IpNet) -> bool {
    left.contains(right) || right.contains(left)
}

fn disjoint(review: &mut Review<'_>, ranges: &[Range]) {
    for (position, later) in ranges.iter().enumerate() {
        for earlier in &ranges[..position] {
            if overlap(&earlier.network, &later.network) {
                review.add(
                    FieldProblem::new(
                        NetworksOverlap,
                        &later.path,
                        Some(later.network.to_string().into()),
                        "no address in common with the other networks",
                        format!("{} overlaps with {} {}", later.network, earlier.path, earlier.network),
                    )
                    .accepting(format!("a network outside {}", earlier.network)),
                );
            }
        }
    }
}

fn reserved(review: &mut Review<'_>, ranges: &[Range]) {
    let Some(profile) = review.profile else { return };
    let reserved: Vec<IpNet> = profile.spec.limits.reserved_cidrs.iter().filter_map(|text| text.parse().ok()).collect();
    for range in ranges {
        if let Some(taken) = reserved.iter().find(|taken| overlap(taken, &range.network)) {
            let message =
                format!("{} overlaps with {taken}, which profile `{}` reserves", range.network, review.profile_name());
            review.add(
                FieldProblem::new(
                    NetworksOverlap,
                    &range.path,
                    Some(range.network.to_string().into()),
                    "apart from the provider's networks",
                    message,
                )
                .accepting(format!("a network outside {taken}")),
            );
        }
    }
}

fn external_network(review: &mut Review<'_>, path: &FieldPath) {
    let (Some(profile), Some(name)) = (review.profile, &review.description.spec.network.external_network) else {
        return;
    };
    let offered = &profile.spec.defaults.external_networks;
    if !offered.contains(name) {
        let message = format!(
            "network `{name}` is not offered by profile `{}`{}; offered: {}",
            review.profile_name(),
            did_you_mean(name, offered.iter().map(String::as_str)),
            list(offered)
        );
        review.add(
            FieldProblem::new(
                InvalidDescription,
                path,
                Some(name.as_str().into()),
                "a network of the profile",
                message,
            )
            .accepting(list(offered)),
        );
    }
}

fn dns_servers(review: &mut Review<'_>, path: &FieldPath) {
    let servers = &review.description.spec.network.dns_servers;
    if servers.len() > 3 {
        let message = format!("{} name servers; machines use at most 3", servers.len());
        review.add(
            FieldProblem::new(InvalidDescription, path, None, "1 to 3 addresses", message)
                .accepting("1 to 3 addresses"),
        );
    }
    for (position, server) in servers.iter().enumerate() {
        if server.parse::<IpAddr>().is_err() {
            let message = format!("`{server}` is not an IP address");
            review.add(
                FieldProblem::new(
                    InvalidDescription,
                    &path.index(position),
                    Some(server.as_str().into()),
                    "an IP address",
                    message,
                )
                .accepting("an address such as 192.0.2.53"),
            );
        }
    }
}

fn proxy(review: &mut Review<'_>, path: &FieldPath) {
    let Some(proxy) = &review.description.spec.network.proxy else { return };
    let rest = proxy.url.strip_prefix("http://").or_else(|| proxy.url.strip_prefix("https://"));
    let message = match rest {
        None => {
            Some(format!("`{}` is not the address of a proxy; write http://HOST:PORT or https://HOST:PORT", proxy.url))
        }
        Some(rest) if rest.contains('@') => {
            Some("user and password do not belong into the address; put them into the Secret secretRef names".into())
        }
        Some(rest) if rest.trim_end_matches('/').is_empty() || rest.trim_end_matches('/').contains(['/', ' ']) => {
            Some(format!("`{}` is not the address of a proxy; write http://HOST:PORT without a path", proxy.url))
        }
        Some(_) => None,
    };
    if let Some(message) = message {
        review.add(
            FieldProblem::new(
                InvalidDescription,
                &path.child("url"),
                Some(proxy.url.as_str().into()),
                "http://HOST:PORT or https://HOST:PORT",
                message,
            )
            .accepting("http://HOST:PORT or https://HOST:PORT"),
        );
    }
}

fn api_server(review: &mut Review<'_>) {
    let path = FieldPath::root().child("spec").child("apiServer");
    let api_server = &review.description.spec.api_server;
    let list_path = path.child("allowedCIDRs");
    for (position, text) in api_server.allowed_cidrs.iter().enumerate() {
        cidr(review, list_path.index(position), text, None);
    }
    if api_server.allowed_cidrs.len() > 100 {
        let message = format!("{} networks; at most 100 are possible", api_server.allowed_cidrs.len());
        review.add(
            FieldProblem::new(InvalidDescription, &list_path, None, "at most 100 networks", message)
                .accepting("at most 100"),
        );
    }
    if api_server.access == Some(ApiServerAccess::Public) && !api_server.allowed_cidrs.is_empty() {
        review.add(
            FieldProblem::new(
                InvalidDescription,
                &path.child("access"),
                Some("Public".into()),
                "Public needs an empty allowedCIDRs",
                "access is Public, but allowedCIDRs restricts it; set access to AllowList or remove the list".into(),
            )
            .accepting("AllowList, or no allowedCIDRs"),
        );
    }
    for (position, name) in api_server.cert_sans.iter().enumerate() {
        let domain = name.strip_prefix("*.").unwrap_or(name).to_lowercase();
        if name.parse::<IpAddr>().is_err() && !is_domain(&domain) {
            let message = format!("`{name}` is neither a DNS name nor an IP address");
            review.add(
                FieldProblem::new(
                    InvalidDescription,
                    &path.child("certSANs").index(position),
                    Some(name.as_str().into()),
                    "a DNS name or IP address",
                    message,
                )
                .accepting("a DNS name or IP address"),
            );
        }
    }
    let Some(profile) = review.profile else { return };
    let needed = match api_server.effective_access() {
        ApiServerAccess::Public => return,
        ApiServerAccess::AllowList => {
            (profile.spec.capabilities.api_allow_list, "apiAllowList", "a list of allowed networks")
        }
        ApiServerAccess::Internal => {
            (profile.spec.capabilities.api_internal, "apiInternal", "an API server without public address")
        }
    };
    if !needed.0 {
        let problem = capability_missing(review, &path.child("access"), needed.1, needed.2).accepting("Public");
        review.add(problem);
    }
}
