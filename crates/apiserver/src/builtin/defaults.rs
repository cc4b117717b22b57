//! What the real server fills in for built-in kinds: the `SetDefaults_` functions of Kubernetes' `pkg/apis`, and the
//! canonical form of quantities, which its decoding gives.
//!
//! Fields the server decides by state (cluster IPs, node ports, job selectors) are no defaults and not here.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use kogge_machinery::{quantity, resource::ResourceType};
use serde_json::{Map, Value, json};

use super::autoscaler_conversion;

mod pods;

/// Completes an object of a built-in kind. Applying it twice changes nothing.
pub fn apply(resource: &ResourceType, object: &mut Value) {
    if !object.is_object() {
        return;
    }
    match resource.group.as_str() {
        "" => core(&resource.plural, object),
        "apiregistration.k8s.io" => fill(at(object, &["spec", "service"]), &[("port", json!(443))]),
        "apps" => apps(&resource.plural, object),
        "batch" => batch(&resource.plural, object),
        "autoscaling" if autoscaler_conversion::is_older(resource) => autoscaler_conversion::complete_older(object),
        "autoscaling" => autoscaler(object),
        "networking.k8s.io" => networking(&resource.plural, object),
        "storage.k8s.io" => storage(&resource.plural, object),
        "rbac.authorization.k8s.io" => access(&resource.plural, object),
        "admissionregistration.k8s.io" => admission(object),
        "scheduling.k8s.io" => fill(Some(object), &[("preemptionPolicy", json!("PreemptLowerPriority"))]),
        "discovery.k8s.io" => {
            for port in items(object, &["ports"]) {
                fill(Some(port), &[("name", json!("")), ("protocol", json!("TCP"))]);
            }
        }
        "flowcontrol.apiserver.k8s.io" if resource.plural == "flowschemas" => {
            fill_empty(at(object, &["spec"]), &[("matchingPrecedence", json!(1000))]);
        }
        "flowcontrol.apiserver.k8s.io" => flow_control(object),
        _ => {}
    }
}

/// A PriorityLevelConfiguration.
fn flow_control(object: &mut Value) {
    let percent = ("lendablePercent", json!(0));
    fill(at(object, &["spec", "exempt"]), &[("nominalConcurrencyShares", json!(0)), percent.clone()]);
    fill(at(object, &["spec", "limited"]), &[("nominalConcurrencyShares", json!(30)), percent]);
    fill_empty(
        at(object, &["spec", "limited", "limitResponse", "queuing"]),
        &[("handSize", json!(8)), ("queues", json!(64)), ("queueLengthLimit", json!(50))],
    );
}

/// Sets the members of an object that are absent or null.
#[allow(clippy::needless_pass_by_value)] // an option of a borrow, as `at` gives it
fn fill<const N: usize>(object: Option<&mut Value>, defaults: &[(&str, Value); N]) {
    let Some(Value::Object(members)) = object else { return };
    for (name, default) in defaults {
        if members.get(*name).is_none_or(Value::is_null) {
            members.insert((*name).to_owned(), default.clone());
        }
    }
}

/// Like [`fill`], for fields whose empty string or 0 means absent.
#[allow(clippy::needless_pass_by_value)] // as above
fn fill_empty<const N: usize>(object: Option<&mut Value>, defaults: &[(&str, Value); N]) {
    let Some(Value::Object(members)) = object else { return };
    for (name, default) in defaults {
        if members.get(*name).is_none_or(|value| value.is_null() || value == "" || value == 0) {
            members.insert((*name).to_owned(), default.clone());
        }
    }
}

/// The object at a path that is there.
fn at<'o>(object: &'o mut Value, path: &[&str]) -> Option<&'o mut Value> {
    path.iter().try_fold(object, |inner, name| inner.get_mut(*name)).filter(|found| found.is_object())
}

/// The object at a path, made where absent.
fn made<'o>(object: &'o mut Value, path: &[&str]) -> Option<&'o mut Value> {
    let mut inner = object;
    for name in path {
        let Value::Object(members) = inner else { return None };
        let member = members.entry((*name).to_owned()).or_insert(Value::Null);
        if member.is_null() {
            *member = Value::Object(Map::new());
        }
        inner = member;
    }
    inner.is_object().then_some(inner)
}

/// The items of the list at a path.
fn items<'o>(object: &'o mut Value, path: &[&str]) -> impl Iterator<Item = &'o mut Value> {
    path.iter().try_fold(object, |inner, name| inner.get_mut(*name)).and_then(Value::as_array_mut).into_iter().flatten()
}

fn text<'o>(object: &'o Value, pointer: &str) -> &'o str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn is_absent(object: &Value, pointer: &str) -> bool {
    object.pointer(pointer).is_none_or(Value::is_null)
}

fn core(plural: &str, object: &mut Value) {
    match plural {
        "pods" => {
            if let Some(spec) = made(object, &["spec"]) {
                pods::apply_pod(spec);
                // Of a pod, not of a template.
                if spec["terminationGracePeriodSeconds"].as_i64().is_some_and(i64::is_negative) {
                    spec["terminationGracePeriodSeconds"] = json!(1);
                }
            }
            if let Some(status) = at(object, &["status"]) {
                same_addresses(status);
            }
        }
        "podtemplates" => template(object, &["template", "spec"]),
        "replicationcontrollers" => {
            if at(object, &["spec", "template"]).is_some() {
                template(object, &["spec", "template", "spec"]);
            }
            let labels = object.pointer("/spec/template/metadata/labels").cloned().unwrap_or_default();
            if labels.is_object() {
                fill(at(object, &["spec"]), &[("selector", labels.clone())]);
                fill(at(object, &["metadata"]), &[("labels", labels)]);
            }
            fill(at(object, &["spec"]), &[("replicas", json!(1))]);
        }
        "namespaces" => {
            let name = text(object, "/metadata/name").to_owned();
            if !name.is_empty()
                && let Some(Value::Object(labels)) = made(object, &["metadata", "labels"])
            {
                labels.insert("kubernetes.io/metadata.name".to_owned(), name.into());
            }
            fill_empty(made(object, &["status"]), &[("phase", json!("Active"))]);
        }
        "secrets" => {
            merge_string_data(object);
            fill_empty(Some(object), &[("type", json!("Opaque"))]);
        }
        "services" => service(object),
        "endpoints" => {
            for subset in items(object, &["subsets"]) {
                for port in items(subset, &["ports"]) {
                    fill_empty(Some(port), &[("protocol", json!("TCP"))]);
                }
            }
        }
        "persistentvolumes" => {
            fill_empty(at(object, &["spec"]), &[("persistentVolumeReclaimPolicy", json!("Retain"))]);
            fill(at(object, &["spec"]), &[("volumeMode", json!("Filesystem"))]);
            fill(at(object, &["spec", "hostPath"]), &[("type", json!(""))]);
            round_amounts(at(object, &["spec"]), "capacity");
            fill_empty(made(object, &["status"]), &[("phase", json!("Pending"))]);
        }
        "persistentvolumeclaims" => {
            claim(object);
            fill_empty(made(object, &["status"]), &[("phase", json!("Pending"))]);
        }
        "nodes" => {
            if let Some(spec) = at(object, &["spec"]) {
                same_networks(spec);
            }
            if let Some(status) = at(object, &["status"]) {
                round_amounts(Some(status), "capacity");
                round_amounts(Some(status), "allocatable");
                if let Some(capacity) = status.get("capacity").filter(|capacity| capacity.is_object()).cloned() {
                    fill(Some(status), &[("allocatable", capacity)]);
                }
            }
        }
        "resourcequotas" => {
            round_amounts(at(object, &["spec"]), "hard");
            for field in ["hard", "used"] {
                round_amounts(at(object, &["status"]), field);
            }
        }
        "limitranges" => items(object, &["spec", "limits"]).for_each(limit),
        _ => {}
    }
}

/// Rounds the amounts of a map of resources up to thousandths. What is no quantity stays, for validation to refuse.
fn round_amounts(object: Option<&mut Value>, field: &str) {
    let Some(Value::Object(resources)) = object.and_then(|object| object.get_mut(field)) else { return };
    for value in resources.values_mut() {
        let rounded = match &*value {
            Value::String(text) => quantity::in_thousandths(text).filter(|rounded| rounded != text),
            Value::Number(number) => quantity::in_thousandths(&number.to_string()),
            _ => None,
        };
        if let Some(text) = rounded {
            *value = Value::String(text);
        }
    }
}

/// As [`same_networks`], of the addresses of a pod.
fn same_addresses(status: &mut Value) {
    let one = text(status, "/podIP").to_owned();
    let first = status.pointer("/podIPs/0").map(|first| text(first, "/ip").to_owned());
    if !one.is_empty() && first.as_deref() != Some(&*one) {
        status["podIPs"] = json!([{"ip": one}]);
    } else if let Some(first) = first {
        status["podIP"] = first.into();
    }
}

/// The older of two fields is the first of the newer, and counts where they differ.
fn same_networks(spec: &mut Value) {
    let one = text(spec, "/podCIDR").to_owned();
    let first = spec.pointer("/podCIDRs/0").and_then(Value::as_str).map(str::to_owned);
    if !one.is_empty() && first.as_deref() != Some(&*one) {
        spec["podCIDRs"] = json!([one]);
    } else if let Some(first) = first.filter(|_| one.is_empty()) {
        spec["podCIDR"] = first.into();
    }
}

/// `stringData` is only a way to write `data`.
fn merge_string_data(object: &mut Value) {
    let Some(Value::Object(texts)) = object.as_object_mut().and_then(|members| members.remove("stringData")) else {
        return;
    };
    if let Some(Value::Object(data)) = made(object, &["data"]) {
        for (key, text) in texts {
            if let Value::String(text) = text {
                data.insert(key, STANDARD.encode(text).into());
            }
        }
    }
}

fn service(object: &mut Value) {
    let Some(spec) = made(object, &["spec"]) else { return };
    fill_empty(Some(spec), &[("type", json!("ClusterIP")), ("sessionAffinity", json!("None"))]);
    match text(spec, "/sessionAffinity") {
        "ClientIP" => fill(made(spec, &["sessionAffinityConfig", "clientIP"]), &[("timeoutSeconds", json!(10800))]),
        "None" => _ = spec.as_object_mut().and_then(|members| members.remove("sessionAffinityConfig")),
        _ => {}
    }
    for port in items(spec, &["ports"]) {
        let number = port.get("port").filter(|number| !number.is_null()).cloned().unwrap_or(json!(0));
        fill_empty(Some(port), &[("protocol", json!("TCP")), ("targetPort", number)]);
    }
    let service_type = text(spec, "/type").to_owned();
    let has_external_ips = spec.pointer("/externalIPs").and_then(Value::as_array).is_some_and(|ips| !ips.is_empty());
    if matches!(service_type.as_str(), "NodePort" | "LoadBalancer") || service_type == "ClusterIP" && has_external_ips {
        fill_empty(Some(spec), &[("externalTrafficPolicy", json!("Cluster"))]);
    }
    if service_type != "ExternalName" {
        fill(Some(spec), &[("internalTrafficPolicy", json!("Cluster"))]);
    }
    if service_type == "LoadBalancer" {
        fill(Some(spec), &[("allocateLoadBalancerNodePorts", json!(true))]);
        for ingress in items(object, &["status", "loadBalancer", "ingress"]) {
            if !text(ingress, "/ip").is_empty() {
                fill(Some(ingress), &[("ipMode", json!("VIP"))]);
            }
        }
    }
}

fn claim(object: &mut Value) {
    fill(at(object, &["spec"]), &[("volumeMode", json!("Filesystem"))]);
    for field in ["requests", "limits"] {
        round_amounts(at(object, &["spec", "resources"]), field);
    }
    round_amounts(at(object, &["status"]), "capacity");
}

fn limit(item: &mut Value) {
    for field in ["default", "defaultRequest", "max", "min", "maxLimitRequestRatio"] {
        round_amounts(Some(item), field);
    }
    if text(item, "/type") != "Container" {
        return;
    }
    for (into, from) in [("default", "max"), ("defaultRequest", "default"), ("defaultRequest", "min")] {
        let Some(Value::Object(source)) = item.get(from).cloned() else { continue };
        if let Some(Value::Object(target)) = made(item, &[into]) {
            for (resource, value) in source {
                target.entry(resource).or_insert(value);
            }
        }
    }
}

/// Completes the pod spec of a template.
fn template(object: &mut Value, path: &[&str]) {
    if let Some(spec) = made(object, path) {
        pods::apply_spec(spec);
    }
}

fn apps(plural: &str, object: &mut Value) {
    template(object, &["spec", "template", "spec"]);
    let Some(spec) = at(object, &["spec"]) else { return };
    match plural {
        "deployments" => {
            fill(
                Some(spec),
                &[("replicas", json!(1)), ("revisionHistoryLimit", json!(10)), ("progressDeadlineSeconds", json!(600))],
            );
            fill_empty(made(spec, &["strategy"]), &[("type", json!("RollingUpdate"))]);
            if text(spec, "/strategy/type") == "RollingUpdate" {
                fill(
                    made(spec, &["strategy", "rollingUpdate"]),
                    &[("maxUnavailable", json!("25%")), ("maxSurge", json!("25%"))],
                );
            }
        }
        "replicasets" => fill(Some(spec), &[("replicas", json!(1))]),
        "daemonsets" => {
            fill(Some(spec), &[("revisionHistoryLimit", json!(10))]);
            fill_empty(made(spec, &["updateStrategy"]), &[("type", json!("RollingUpdate"))]);
            if text(spec, "/updateStrategy/type") == "RollingUpdate" {
                fill(
                    made(spec, &["updateStrategy", "rollingUpdate"]),
                    &[("maxUnavailable", json!(1)), ("maxSurge", json!(0))],
                );
            }
        }
        "statefulsets" => {
            fill(Some(spec), &[("replicas", json!(1)), ("revisionHistoryLimit", json!(10))]);
            fill_empty(Some(spec), &[("podManagementPolicy", json!("OrderedReady"))]);
            if text(spec, "/updateStrategy/type").is_empty() {
                fill_empty(made(spec, &["updateStrategy"]), &[("type", json!("RollingUpdate"))]);
                made(spec, &["updateStrategy", "rollingUpdate"]);
            }
            if text(spec, "/updateStrategy/type") == "RollingUpdate" {
                fill(at(spec, &["updateStrategy", "rollingUpdate"]), &[("partition", json!(0))]);
            }
            fill_empty(
                made(spec, &["persistentVolumeClaimRetentionPolicy"]),
                &[("whenDeleted", json!("Retain")), ("whenScaled", json!("Retain"))],
            );
            for claim_template in items(spec, &["volumeClaimTemplates"]) {
                if let Some(members) = claim_template.as_object_mut() {
                    // Whatever was written there (apps/v1's own conversion).
                    members.insert("apiVersion".to_owned(), "v1".into());
                    members.insert("kind".to_owned(), "PersistentVolumeClaim".into());
                }
                claim(claim_template);
                fill_empty(made(claim_template, &["status"]), &[("phase", json!("Pending"))]);
            }
        }
        _ => {}
    }
}

fn batch(plural: &str, object: &mut Value) {
    if plural == "cronjobs" {
        template(object, &["spec", "jobTemplate", "spec", "template", "spec"]);
        let Some(spec) = at(object, &["spec"]) else { return };
        fill_empty(Some(spec), &[("concurrencyPolicy", json!("Allow"))]);
        fill(
            Some(spec),
            &[
                ("suspend", json!(false)),
                ("successfulJobsHistoryLimit", json!(3)),
                ("failedJobsHistoryLimit", json!(1)),
            ],
        );
        return;
    }
    template(object, &["spec", "template", "spec"]);
    let labels = object.pointer("/spec/template/metadata/labels").cloned().unwrap_or_default();
    if labels.is_object() {
        fill(at(object, &["metadata"]), &[("labels", labels)]);
    }
    let Some(spec) = at(object, &["spec"]) else { return };
    if is_absent(spec, "/completions") && is_absent(spec, "/parallelism") {
        fill(Some(spec), &[("completions", json!(1))]);
    }
    let per_index = !is_absent(spec, "/backoffLimitPerIndex");
    let replacement = if is_absent(spec, "/podFailurePolicy") { "TerminatingOrFailed" } else { "Failed" };
    fill(
        Some(spec),
        &[
            ("parallelism", json!(1)),
            ("backoffLimit", json!(if per_index { i32::MAX } else { 6 })),
            ("completionMode", json!("NonIndexed")),
            ("suspend", json!(false)),
            ("podReplacementPolicy", json!(replacement)),
            ("manualSelector", json!(false)),
        ],
    );
    for rule in items(spec, &["podFailurePolicy", "rules"]) {
        for pattern in items(rule, &["onPodConditions"]) {
            fill_empty(Some(pattern), &[("status", json!("True"))]);
        }
    }
}

fn autoscaler(object: &mut Value) {
    let Some(spec) = at(object, &["spec"]) else { return };
    fill(Some(spec), &[("minReplicas", json!(1))]);
    if spec.get("metrics").and_then(Value::as_array).is_none_or(Vec::is_empty) {
        spec["metrics"] = json!([{
            "type": "Resource",
            "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}
        }]);
    }
    if at(spec, &["behavior"]).is_some() {
        let all = json!([{"type": "Percent", "value": 100, "periodSeconds": 15}]);
        let up = json!([
            {"type": "Pods", "value": 4, "periodSeconds": 15}, {"type": "Percent", "value": 100, "periodSeconds": 15}
        ]);
        fill(
            made(spec, &["behavior", "scaleUp"]),
            &[("stabilizationWindowSeconds", json!(0)), ("selectPolicy", json!("Max")), ("policies", up)],
        );
        fill(made(spec, &["behavior", "scaleDown"]), &[("selectPolicy", json!("Max")), ("policies", all)]);
    }
}

fn networking(plural: &str, object: &mut Value) {
    let Some(spec) = at(object, &["spec"]) else { return };
    match plural {
        "networkpolicies" => {
            for rules in ["ingress", "egress"] {
                for rule in items(spec, &[rules]) {
                    for port in items(rule, &["ports"]) {
                        fill(Some(port), &[("protocol", json!("TCP"))]);
                    }
                }
            }
            if spec.get("policyTypes").and_then(Value::as_array).is_none_or(Vec::is_empty) {
                let egress = spec.get("egress").and_then(Value::as_array).is_some_and(|rules| !rules.is_empty());
                spec["policyTypes"] = if egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) };
            }
            made(spec, &["podSelector"]);
        }
        "ingressclasses" => fill(at(spec, &["parameters"]), &[("scope", json!("Cluster"))]),
        _ => {}
    }
}

fn storage(plural: &str, object: &mut Value) {
    match plural {
        "storageclasses" => {
            fill(Some(object), &[("reclaimPolicy", json!("Delete")), ("volumeBindingMode", json!("Immediate"))]);
        }
        "csidrivers" => fill(
            at(object, &["spec"]),
            &[
                ("attachRequired", json!(true)),
                ("podInfoOnMount", json!(false)),
                ("storageCapacity", json!(false)),
                ("fsGroupPolicy", json!("ReadWriteOnceWithFSType")),
                ("volumeLifecycleModes", json!(["Persistent"])),
                ("requiresRepublish", json!(false)),
                ("seLinuxMount", json!(false)),
            ],
        ),
        _ => {}
    }
}

fn access(plural: &str, object: &mut Value) {
    const GROUP: &str = "rbac.authorization.k8s.io";
    if plural.ends_with("bindings") {
        fill_empty(made(object, &["roleRef"]), &[("apiGroup", json!(GROUP))]);
        for subject in items(object, &["subjects"]) {
            if matches!(text(subject, "/kind"), "User" | "Group") {
                fill_empty(Some(subject), &[("apiGroup", json!(GROUP))]);
            }
        }
    }
}

fn admission(object: &mut Value) {
    let mutating = text(object, "/kind") == "MutatingWebhookConfiguration";
    for webhook in items(object, &["webhooks"]) {
        fill(
            Some(webhook),
            &[
                ("failurePolicy", json!("Fail")),
                ("matchPolicy", json!("Equivalent")),
                ("namespaceSelector", json!({})),
                ("objectSelector", json!({})),
                ("timeoutSeconds", json!(10)),
            ],
        );
        if mutating {
            fill(Some(webhook), &[("reinvocationPolicy", json!("Never"))]);
        }
        for rule in items(webhook, &["rules"]) {
            fill(Some(rule), &[("scope", json!("*"))]);
        }
        fill(at(webhook, &["clientConfig", "service"]), &[("port", json!(443))]);
    }
    if text(object, "/kind").ends_with("AdmissionPolicy") {
        fill(at(object, &["spec"]), &[("failurePolicy", json!("Fail"))]);
    }
    for path in [&["spec", "matchConstraints"], &["spec", "matchResources"]] {
        let Some(resources) = at(object, path) else { continue };
        fill(
            Some(resources),
            &[("matchPolicy", json!("Equivalent")), ("namespaceSelector", json!({})), ("objectSelector", json!({}))],
        );
        for list in ["resourceRules", "excludeResourceRules"] {
            for rule in items(resources, &[list]) {
                fill(Some(rule), &[("scope", json!("*"))]);
            }
        }
    }
}

/// The status a new object of a kind starts with, where that is not nothing.
pub fn initial_status(resource: &ResourceType) -> Option<Value> {
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "namespaces") => Some(json!({"phase": "Active"})),
        ("", "pods" | "persistentvolumes" | "persistentvolumeclaims") => Some(json!({"phase": "Pending"})),
        ("", "services") => Some(json!({"loadBalancer": {}})),
        ("certificates.k8s.io", "certificatesigningrequests") => Some(json!({})),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
