//! Services: load balancers and endpoints.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    event::Note,
    plane_state::{PlaneDecision, PlaneState, Resource, controller, is_finished, is_ready},
    selects,
};
use crate::{
    clock::{Clock, Stage},
    cloud::address::nth_address,
    object::{Object, equal_as_stored, joined_name, name_suffix, stable_hash},
};

/// Addresses of simulated load balancers (documentation range of RFC 5737).
const LOAD_BALANCER_NETWORK: &str = "203.0.113.0/24";

/// Gives every Service its load balancer and endpoints.
pub fn reconcile(state: &PlaneState, clock: &Clock, now: Timestamp, decision: &mut PlaneDecision) {
    for service in state.all(Resource::Service).iter().filter(|it| !it.deleting()) {
        if service.text("/spec/type") == "ExternalName" {
            continue;
        }
        load_balancer(state, service, clock, now, decision);
        endpoints(state, service, decision);
    }
}

fn load_balancer(state: &PlaneState, service: &Object, clock: &Clock, now: Timestamp, decision: &mut PlaneDecision) {
    let ingress = service.list("/status/loadBalancer/ingress");
    if service.text("/spec/type") != "LoadBalancer" {
        if !ingress.is_empty() {
            decision.status(Resource::Service, service, &json!({"loadBalancer": {}}));
        }
        return;
    }
    if !ingress.is_empty() || !service.text("/spec/loadBalancerClass").is_empty() {
        return;
    }
    let at = service.created().saturating_add(clock.delay(Stage::LoadBalancerCreate, service.name())).unwrap_or(now);
    if at > now {
        decision.wake(at);
        return;
    }
    let taken: BTreeSet<&str> = state
        .all(Resource::Service)
        .iter()
        .filter_map(|it| it.at("/status/loadBalancer/ingress/0/ip").as_str())
        .collect();
    let start = u128::from(stable_hash(&[service.uid()]) % 250);
    let free = (0..250)
        .filter_map(|step| nth_address(LOAD_BALANCER_NETWORK, 2 + (start + step) % 250))
        .map(|it| it.to_string())
        .find(|it| !taken.contains(it.as_str()));
    if let Some(address) = free {
        let status = json!({"loadBalancer": {"ingress": [{"ip": address, "ipMode": "VIP"}]}});
        decision.status(Resource::Service, service, &status);
        let note = Note::normal("service-controller", "EnsuredLoadBalancer", "Ensured load balancer");
        decision.note(Resource::Service, service, &note, now);
    }
}

fn endpoints(state: &PlaneState, service: &Object, decision: &mut PlaneDecision) {
    let pods: Vec<&Object> = if service.namespace() == "default" && service.name() == "kubernetes" {
        state.all(Resource::Pod).iter().filter(|it| it.label("component") == Some("kube-apiserver")).collect()
    } else if service.at("/spec/selector").is_object() {
        let selector = json!({"matchLabels": service.at("/spec/selector")});
        state
            .all(Resource::Pod)
            .iter()
            .filter(|it| it.namespace() == service.namespace() && selects(&selector, it.at("/metadata/labels")))
            .collect()
    } else {
        // Without a selector its owner writes the endpoints.
        return;
    };
    let publish = service.flag("/spec/publishNotReadyAddresses");
    let mut endpoints: Vec<Value> = pods
        .iter()
        .filter(|it| !it.text("/status/podIP").is_empty() && !is_finished(it))
        .map(|pod| {
            let ready = is_ready(pod) || publish;
            let zone = state
                .all(Resource::Node)
                .iter()
                .find(|it| it.name() == pod.text("/spec/nodeName"))
                .and_then(|it| it.label("topology.kubernetes.io/zone"));
            let mut endpoint = json!({
                "addresses": [pod.text("/status/podIP")], "nodeName": pod.text("/spec/nodeName"),
                "conditions": {"ready": ready, "serving": is_ready(pod), "terminating": pod.deleting()},
                "targetRef": {"kind": "Pod", "namespace": pod.namespace(), "name": pod.name(), "uid": pod.uid()},
            });
            if let Some(zone) = zone {
                endpoint["zone"] = json!(zone);
            }
            endpoint
        })
        .collect();
    endpoints.sort_by_key(|it| it["addresses"][0].as_str().unwrap_or_default().to_owned());
    let ports: Vec<Value> = service
        .list("/spec/ports")
        .iter()
        .map(|port| {
            let target = port["targetPort"].as_i64().or(port["port"].as_i64());
            let named = port["targetPort"].as_str().and_then(|name| named_port(&pods, name));
            json!({
                "name": port["name"].as_str().unwrap_or_default(), "protocol": port["protocol"].as_str().unwrap_or("TCP"),
                "port": named.or(target),
            })
        })
        .collect();
    legacy_endpoints(state, service, &endpoints, &ports, decision);
    let name = joined_name(service.name(), &name_suffix(&[service.uid()]));
    let existing =
        state.all(Resource::EndpointSlice).iter().find(|it| it.namespace() == service.namespace() && it.name() == name);
    match existing {
        None => decision.create.push(json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {
                "namespace": service.namespace(), "name": name,
                "labels": {
                    "kubernetes.io/service-name": service.name(),
                    "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
                },
                "ownerReferences": [controller(Resource::Service, service)],
            },
            "endpoints": endpoints, "ports": ports,
        })),
        Some(slice) => {
            let old = json!({"endpoints": slice.at("/endpoints"), "ports": slice.at("/ports")});
            let new = json!({"endpoints": endpoints, "ports": ports});
            if !equal_as_stored(&old, &new) {
                decision.patch(Resource::EndpointSlice, slice, new);
            }
        }
    }
}

/// The older form of the same, one object named as its Service, which `kubectl get endpoints` shows.
fn legacy_endpoints(
    state: &PlaneState,
    service: &Object,
    endpoints: &[Value],
    ports: &[Value],
    decision: &mut PlaneDecision,
) {
    let addresses = |ready: bool| -> Vec<Value> {
        let chosen = endpoints.iter().filter(|it| it["conditions"]["ready"] == ready);
        chosen
            .map(|it| json!({"ip": it["addresses"][0], "nodeName": it["nodeName"], "targetRef": it["targetRef"]}))
            .collect()
    };
    let mut subset = json!({});
    for (field, list) in [("addresses", addresses(true)), ("notReadyAddresses", addresses(false))] {
        if !list.is_empty() {
            subset[field] = list.into();
        }
    }
    let mut subsets = Vec::new();
    if subset != json!({}) {
        let mut ports = ports.to_vec();
        for port in &mut ports {
            // The name of an only port is left out here.
            if port["name"] == "" {
                port.as_object_mut().map(|it| it.remove("name"));
            }
        }
        subset["ports"] = ports.into();
        subsets.push(subset);
    }
    let existing = state
        .all(Resource::Endpoints)
        .iter()
        .find(|it| it.namespace() == service.namespace() && it.name() == service.name());
    match existing {
        None => decision.create.push(json!({
            "apiVersion": "v1", "kind": "Endpoints",
            "metadata": {
                "namespace": service.namespace(), "name": service.name(),
                "labels": {"endpoints.kubernetes.io/managed-by": "endpoint-controller"},
                "ownerReferences": [controller(Resource::Service, service)],
            },
            "subsets": subsets,
        })),
        Some(known) => {
            let subsets = Value::from(subsets);
            if !equal_as_stored(known.at("/subsets"), &subsets) {
                decision.patch(Resource::Endpoints, known, json!({"subsets": subsets}));
            }
        }
    }
}

fn named_port(pods: &[&Object], name: &str) -> Option<i64> {
    pods.iter()
        .flat_map(|it| it.list("/spec/containers"))
        .flat_map(|it| it["ports"].as_array().map_or(&[][..], Vec::as_slice))
        .find(|it| it["name"] == name)
        .and_then(|it| it["containerPort"].as_i64())
}
