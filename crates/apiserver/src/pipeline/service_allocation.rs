//! Addresses and node ports of Services: given where they are wanted, refused where they are not free
//! (Kubernetes' `pkg/registry/core/service/storage/alloc.go`).

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::Range,
};

use kogge_machinery::{
    resource::GroupResource,
    status_error::{ApiError, FieldError},
};
use serde_json::{Map, Value, json};

use super::{service_families, strategy::made};
use crate::{
    builtin,
    plane::{Plane, list_error},
    store::Scope,
};

/// Ports of services on nodes.
const NODE_PORTS: Range<u128> = 30_000..32_768;

/// The addresses of a plane's Services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceNetwork {
    base: u128,
    size: u128,
    is_ipv6: bool,
}

impl ServiceNetwork {
    /// What the real server takes by default (`--service-cluster-ip-range` of kubeadm).
    pub(crate) const DEFAULT: Self = Self { base: 0x0a60_0000, size: 1 << 20, is_ipv6: false };

    /// Reads a network in CIDR form.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/')?;
        let (address, length): (IpAddr, u32) = (address.parse().ok()?, length.parse().ok()?);
        let bits: u32 = if address.is_ipv4() { 32 } else { 128 };
        // Of a large network only the beginning is used, as in the real server.
        let size = 1_u128 << bits.checked_sub(length)?.min(64);
        Some(Self { base: number(address) / size * size, size, is_ipv6: address.is_ipv6() })
    }

    /// The address of the Service `kubernetes`.
    pub(crate) fn first(&self) -> String {
        self.text(self.base + 1)
    }

    fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv6() == self.is_ipv6 && (self.base..self.base + self.size).contains(&number(address))
    }

    fn text(&self, number: u128) -> String {
        match u32::try_from(number) {
            Ok(number) if !self.is_ipv6 => Ipv4Addr::from_bits(number).to_string(),
            _ => Ipv6Addr::from_bits(number).to_string(),
        }
    }

    /// The ranges addresses are chosen from: the upper one first, the lower one, from which users choose, when that is full.
    /// Neither holds the first address nor, for IPv4, the last.
    fn ranges(&self) -> [Range<u128>; 2] {
        let chosen = (self.size / 16).clamp(16, 256).min(self.size);
        let end = self.base + self.size - u128::from(!self.is_ipv6 && self.size > 1);
        let begin = (self.base + 1).min(end);
        let middle = (self.base + chosen).clamp(begin, end.max(begin));
        [middle..end, begin..middle]
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// What a Service was given stays where a change leaves it out.
pub(crate) fn keep(old: &Value, service: &mut Value) {
    let Some(spec) = made(service, "spec") else { return };
    forget_of_other_type(old, spec);
    if !is_external(spec) {
        // The older of two fields for one address stands for both where only it was changed.
        let moved = spec.get("clusterIP").is_some_and(|address| !is_empty(address) && *address != old["clusterIP"]);
        if moved && spec.get("clusterIPs").is_none_or(|all| *all == old["clusterIPs"]) {
            let address = spec.get("clusterIP").cloned().unwrap_or_default();
            spec.insert("clusterIPs".to_owned(), json!([address]));
        }
        for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            if is_left_out(spec, field) && !is_empty(&old[field]) {
                spec.insert(field.to_owned(), old[field].clone());
            }
        }
    }
    keep_node_ports(&old["ports"], spec);
}

/// What a Service of its new type does not need goes with a change of the type that does not name it anew
/// (`dropTypeDependentFields`).
fn forget_of_other_type(old: &Value, spec: &mut Map<String, Value>) {
    let kind = |spec: &dyn Fn(&str) -> Option<Value>| {
        spec("type").and_then(|kind| kind.as_str().map(str::to_owned)).unwrap_or_default()
    };
    let (before, after) = (kind(&|name| old.get(name).cloned()), kind(&|name| spec.get(name).cloned()));
    if before == after {
        return;
    }
    let keeps_policy = after == "ClusterIP" && spec.get("externalIPs").is_some_and(|addresses| !is_empty(addresses));
    let mut forget = |needs: &dyn Fn(&str) -> bool, fields: &[&str]| {
        if needs(&before)
            && !needs(&after)
            && fields.iter().all(|field| spec.get(*field).unwrap_or(&Value::Null) == &old[*field])
        {
            for field in fields {
                spec.remove(*field);
            }
        }
    };
    forget(&|kind| kind != "ExternalName", &["clusterIP", "clusterIPs"]);
    forget(&|kind| kind != "ExternalName", &["ipFamilies", "ipFamilyPolicy"]);
    forget(&|kind| kind == "LoadBalancer", &["healthCheckNodePort"]);
    forget(&|kind| kind == "LoadBalancer", &["loadBalancerClass"]);
    forget(&|kind| kind == "LoadBalancer", &["allocateLoadBalancerNodePorts"]);
    if !keeps_policy {
        forget(&|kind| matches!(kind, "LoadBalancer" | "NodePort"), &["externalTrafficPolicy"]);
    }
    let on_nodes = |kind: &str| matches!(kind, "LoadBalancer" | "NodePort");
    if on_nodes(&before) && !on_nodes(&after) {
        for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
            let known =
                old["ports"].as_array().into_iter().flatten().any(|known| known["nodePort"] == port["nodePort"]);
            if let Some(port) = port.as_object_mut().filter(|_| known) {
                port.remove("nodePort");
            }
        }
    }
}

/// Gives a Service its address and its ports on nodes, where it should have them and does not.
///
/// # Errors
/// Where it asks for what is not free, if nothing is free, or if the plane cannot be read.
pub(crate) fn allocate(plane: &Plane, old: Option<&Value>, service: &mut Value) -> Result<(), ApiError> {
    let seed = service["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    let name = service["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let Some(spec) = made(service, "spec") else { return Ok(()) };
    if is_external(spec) {
        return Ok(());
    }
    if let Some(address) = spec.get("clusterIP").filter(|address| !is_empty(address)).cloned()
        && is_left_out(spec, "clusterIPs")
    {
        spec.insert("clusterIPs".to_owned(), json!([address]));
    }
    // Who gives a Service its addresses looks at them before anybody looks at the rest.
    let errors = builtin::validation::address_errors(service, old);
    if !errors.is_empty() {
        return Err(ApiError::invalid("", "Service", &name, &errors));
    }
    let Some(spec) = made(service, "spec") else { return Ok(()) };
    let own_family = if plane.service_network().is_ipv6 { "IPv6" } else { "IPv4" };
    service_families::decide(spec, old.map(|old| &old["spec"]), own_family)
        .map_err(|errors| ApiError::invalid("", "Service", &name, &errors))?;
    // One that has none though it could (made by its status) gets none by a change either.
    let was_without = |old: &Value| old["spec"].as_object().is_some_and(is_external);
    let wants_address = spec.get("clusterIP").is_none_or(is_empty) && old.is_none_or(was_without);
    let asked: Option<IpAddr> = spec
        .get("clusterIP")
        // An address that is there does not change: that is refused later.
        .filter(|_| old.is_none_or(|old| is_empty(&old["spec"]["clusterIP"])))
        .and_then(|address| address.as_str()?.parse().ok());
    let balanced = spec.get("type").is_some_and(|kind| kind == "LoadBalancer");
    let without_ports = balanced && spec.get("allocateLoadBalancerNodePorts") == Some(&Value::Bool(false));
    let on_nodes =
        !without_ports && matches!(spec.get("type").and_then(Value::as_str), Some("NodePort" | "LoadBalancer"));
    let wants_health_port = balanced
        && spec.get("externalTrafficPolicy").is_some_and(|policy| policy == "Local")
        && spec.get("healthCheckNodePort").is_none_or(is_empty);
    let old_ports: HashSet<u128> = old.map(node_ports).into_iter().flatten().collect();
    let ports = spec.get("ports").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let concerns_ports =
        on_nodes && ports.iter().any(|port| !node_port(port).is_some_and(|port| old_ports.contains(&port)));
    if wants_address || asked.is_some() || concerns_ports || wants_health_port {
        let taken = Allocated::read(plane)?;
        let network = plane.service_network();
        let refused = |error: FieldError| Err(ApiError::invalid("", "Service", &name, &[error]));
        if let Some(address) = asked {
            let problem = if !network.contains(address) {
                Some("the provided network does not match the current range")
            } else if taken.addresses.contains(&number(address)) {
                Some("provided IP is already allocated")
            } else {
                None
            };
            if let Some(problem) = problem {
                let addresses = spec.get("clusterIPs").filter(|it| !is_empty(it)).cloned();
                let addresses = addresses.unwrap_or_else(|| json!([address.to_string()]));
                let detail = format!("failed to allocate IP {address}: {problem}");
                return refused(FieldError::invalid("spec.clusterIPs", &addresses, &detail));
            }
        } else if wants_address {
            let free = network.ranges().into_iter().find_map(|range| free(range, &seed, &taken.addresses));
            let free = free.ok_or_else(|| ApiError::internal("failed to allocate a serviceIP: range is full"))?;
            spec.insert("clusterIP".to_owned(), network.text(free).into());
        }
        if on_nodes {
            let ports = spec.get_mut("ports").and_then(Value::as_array_mut);
            let own = (old.is_none(), &old_ports);
            if let Some(error) = allocate_ports(ports, &seed, own, taken.ports.clone())? {
                return refused(error);
            }
        }
        if wants_health_port {
            let own = spec.get("ports").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            let all: HashSet<u128> = taken.ports.iter().copied().chain(own.iter().filter_map(node_port)).collect();
            let free = free(NODE_PORTS, &seed, &all)
                .ok_or_else(|| ApiError::internal("failed to allocate a healthCheckNodePort: range is full"))?;
            spec.insert("healthCheckNodePort".to_owned(), u32::try_from(free).unwrap_or_default().into());
        }
    }
    if let Some(address) = spec.get("clusterIP").filter(|address| address.is_string()).cloned()
        && is_left_out(spec, "clusterIPs")
    {
        spec.insert("clusterIPs".to_owned(), json!([address]));
    }
    Ok(())
}

/// Takes out what an `ExternalName` does not have, though the real server stores it.
pub(crate) fn forget_unused(service: &mut Value) {
    let Some(spec) = service.get_mut("spec").and_then(Value::as_object_mut).filter(|spec| is_external(spec)) else {
        return;
    };
    // What else there is, is refused when it is validated.
    if matches!(spec.get("internalTrafficPolicy").and_then(Value::as_str), Some("Cluster" | "Local")) {
        spec.remove("internalTrafficPolicy");
    }
}

/// Takes the addresses of a load balancer from a Service that has none any more.
pub(crate) fn forget_balancer(old: &Value, service: &mut Value) {
    if service["spec"]["type"] == "LoadBalancer" || service["status"]["loadBalancer"] != old["status"]["loadBalancer"] {
        return;
    }
    if let Some(status) = made(service, "status") {
        status.insert("loadBalancer".to_owned(), json!({}));
    }
}

/// Ports of a new Service with the same number, such as those of DNS for both protocols, share one on nodes.
fn allocate_ports(
    ports: Option<&mut Vec<Value>>,
    seed: &str,
    (is_new, own): (bool, &HashSet<u128>),
    mut taken: HashSet<u128>,
) -> Result<Option<FieldError>, ApiError> {
    let Some(ports) = ports else { return Ok(None) };
    let mut shared: HashMap<u64, u128> = HashMap::new();
    for index in 0..ports.len() {
        let number = ports[index]["port"].as_u64().unwrap_or_default();
        let of_number = shared.get(&number).copied().filter(|_| is_new);
        let given = node_port(&ports[index]);
        let asked_later = || {
            let same = |port: &&Value| port["port"].as_u64().unwrap_or_default() == number;
            ports[index..].iter().filter(same).find_map(node_port).filter(|_| is_new)
        };
        let chosen = match (given, of_number) {
            (None, Some(known)) => known,
            (Some(asked), Some(known)) if asked == known => known,
            _ => {
                let asked = given.or_else(asked_later);
                if let Some((asked, problem)) = asked.and_then(|asked| Some((asked, refusal(asked, own, &taken)?))) {
                    let shown = u32::try_from(asked).unwrap_or_default().into();
                    let field = format!("spec.ports[{index}].nodePort");
                    // The real server tells the first only.
                    return Ok(Some(FieldError::invalid(field, &shown, problem)));
                }
                let found = asked.or_else(|| free(NODE_PORTS, seed, &taken));
                let found = found.ok_or_else(|| ApiError::internal("failed to allocate a nodePort: range is full"))?;
                if is_new || asked.is_none() {
                    taken.insert(found);
                }
                found
            }
        };
        shared.entry(number).or_insert(chosen);
        if let Some(port) = ports[index].as_object_mut().filter(|_| given.is_none()) {
            port.insert("nodePort".to_owned(), u32::try_from(chosen).unwrap_or_default().into());
        }
    }
    Ok(None)
}

/// Why a port on nodes that is asked for cannot be given.
fn refusal(asked: u128, own: &HashSet<u128>, taken: &HashSet<u128>) -> Option<&'static str> {
    if own.contains(&asked) {
        None
    } else if !NODE_PORTS.contains(&asked) {
        Some("provided port is not in the valid range. The range of valid ports is 30000-32767")
    } else if taken.contains(&asked) {
        Some("provided port is already allocated")
    } else {
        None
    }
}

/// Ports of the same name and port keep the node port they have.
fn keep_node_ports(old: &Value, spec: &mut Map<String, Value>) {
    let wants = matches!(spec.get("type").and_then(Value::as_str), Some("NodePort" | "LoadBalancer"));
    let ports = spec.get_mut("ports").and_then(Value::as_array_mut);
    for port in ports.into_iter().flatten().filter(|_| wants) {
        let same = |known: &&Value| known["name"] == port["name"] && known["port"] == port["port"];
        let known = old.as_array().into_iter().flatten().find(same).map(|known| known["nodePort"].clone());
        if let (Some(known), Some(port)) = (known, port.as_object_mut())
            && port.get("nodePort").is_none_or(is_empty)
            && !is_empty(&known)
        {
            port.insert("nodePort".to_owned(), known);
        }
    }
}

fn is_external(spec: &Map<String, Value>) -> bool {
    spec.get("type").is_some_and(|kind| kind == "ExternalName")
}

/// Whether a Service says nothing of a field. An empty policy is one, which is refused.
fn is_left_out(spec: &Map<String, Value>, field: &str) -> bool {
    spec.get(field).is_none_or(|value| if field == "ipFamilyPolicy" { value.is_null() } else { is_empty(value) })
}

/// Whether a field says nothing.
pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Number(number) => number.as_u64() == Some(0),
        _ => false,
    }
}

fn node_port(port: &Value) -> Option<u128> {
    port["nodePort"].as_u64().filter(|port| *port > 0).map(u128::from)
}

fn node_ports(service: &Value) -> Vec<u128> {
    service["spec"]["ports"].as_array().into_iter().flatten().filter_map(node_port).collect()
}

/// What Services of a plane have been given.
struct Allocated {
    addresses: HashSet<u128>,
    ports: HashSet<u128>,
}

impl Allocated {
    fn read(plane: &Plane) -> Result<Self, ApiError> {
        let services = GroupResource { group: String::new(), resource: "services".to_owned() };
        let page = plane.store().list(&Scope::Resource(services), None, 0, None).map_err(|error| list_error(&error))?;
        let mut allocated = Self { addresses: HashSet::new(), ports: HashSet::new() };
        for item in page.items {
            let service: Value = serde_json::from_slice(&item.json).unwrap_or_default();
            let address = service["spec"]["clusterIP"].as_str().and_then(|text| text.parse().ok());
            allocated.addresses.extend(address.map(number));
            allocated.ports.extend(node_ports(&service));
            allocated.ports.extend(service["spec"]["healthCheckNodePort"].as_u64().map(u128::from));
        }
        Ok(allocated)
    }
}

/// A value of the range that is not taken, found from a place that the seed decides.
fn free(range: Range<u128>, seed: &str, taken: &HashSet<u128>) -> Option<u128> {
    let length = range.end - range.start;
    // FNV-1a: uids are random already, this only brings them into the range.
    let hash = seed.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    // One of so many is free, however many there are.
    let tries = length.min(taken.len() as u128 + 1);
    (0..tries).map(|step| range.start + (u128::from(hash) + step) % length).find(|found| !taken.contains(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_from_the_upper_part_of_the_network_first() {
        let ranges = |text: &str| {
            let network = ServiceNetwork::parse(text).unwrap();
            network.ranges().map(|range| format!("{}..{}", network.text(range.start), network.text(range.end)))
        };
        assert_eq!(ranges("10.200.0.0/16"), ["10.200.1.0..10.200.255.255", "10.200.0.1..10.200.1.0"]);
        assert_eq!(ranges("10.0.0.0/28"), ["10.0.0.15..10.0.0.15", "10.0.0.1..10.0.0.15"]);
        assert_eq!(ranges("10.0.0.7/32"), ["10.0.0.8..10.0.0.8", "10.0.0.8..10.0.0.8"]);
        assert_eq!(ranges("fd00:10:96::/112")[0], "fd00:10:96::100..fd00:10:96::1:0");
        assert_eq!(ServiceNetwork::parse("10.96.0.0/12"), Some(ServiceNetwork::DEFAULT));
        assert_eq!(ServiceNetwork::parse("10.96.0.0/33"), None);
        assert_eq!(ServiceNetwork::parse("nonsense"), None);
    }

    #[test]
    fn ports_of_a_new_service_with_one_number_share_one_on_nodes() {
        let given = |ports: Value, is_new: bool| {
            let mut ports = ports.as_array().cloned().unwrap_or_default();
            let refused =
                allocate_ports(Some(&mut ports), "seed", (is_new, &HashSet::new()), HashSet::from([30_000])).unwrap();
            let numbers: Vec<u128> = ports.iter().filter_map(node_port).collect();
            (numbers, refused.map(|error| error.to_string()))
        };
        let (dns, refused) = given(json!([{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]), true);
        assert_eq!((dns[0] == dns[1], refused), (true, None));
        let (changed, _) = given(json!([{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]), false);
        assert_ne!(changed[0], changed[1]);
        let named = json!([{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP", "nodePort": 30_053}]);
        assert_eq!(given(named, true), (vec![30_053, 30_053], None));
        let twice = json!([{"port": 1, "nodePort": 30_053}, {"port": 2, "nodePort": 30_053}]);
        insta::assert_snapshot!(given(twice, true).1.unwrap(), @"spec.ports[1].nodePort: Invalid value: 30053: provided port is already allocated");
        let taken = json!([{"port": 1, "nodePort": 30_000}, {"port": 2, "nodePort": 1}]);
        insta::assert_snapshot!(given(taken, true).1.unwrap(), @"spec.ports[0].nodePort: Invalid value: 30000: provided port is already allocated");
    }

    #[test]
    fn a_full_range_has_nothing_free() {
        assert_eq!(free(5..7, "seed", &HashSet::from([5])), Some(6));
        assert_eq!(free(5..7, "seed", &HashSet::from([5, 6])), None);
        assert_eq!(free(5..5, "seed", &HashSet::new()), None);
    }
}
