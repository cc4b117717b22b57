//! Pods, and the templates they are made from.

use std::collections::BTreeSet;

use kogge_machinery::{object_meta::subdomain_messages, status_error::FieldError};
use serde_json::{Value, json};

use super::{
    Change,
    containers::{self, PodContext, untrimmed_image},
    field::{Errors, Field, same},
    resources, scheduling, security,
    text::{address, annotations, has_form, label, labels, qualified_name, subdomain},
    volumes,
};

const MIRROR: &str = "kubernetes.io/config.mirror";
const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
const LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// A pod that is created or changed.
pub(super) fn validate(change: &Change<'_>, errors: &mut Errors) {
    let pod = &change.new;
    let spec = pod.at("spec");
    pod_annotations(&pod.at("metadata.annotations"), &spec, errors);
    validate_spec(&spec, Some(pod), None, errors);
    if spec.at("serviceAccountName").is_empty() {
        for volume in spec.at("volumes").items() {
            for source in volume.at("projected.sources").items() {
                let token = source.at("serviceAccountToken");
                if token.is_set() {
                    errors.forbidden(&token, "must not be specified when serviceAccountName is not set");
                }
            }
        }
    }
    for list in ["containers", "initContainers"] {
        spec.at(list).items().for_each(|container| untrimmed_image(&container, errors));
    }
    match &change.old {
        None => validate_create(pod, &spec, errors),
        Some(old) => validate_update(pod, old, errors),
    }
}

fn validate_create(pod: &Field<'_>, spec: &Field<'_>, errors: &mut Errors) {
    if !spec.at("ephemeralContainers").is_empty() {
        errors.forbidden(&spec.at("ephemeralContainers"), "cannot be set on create");
    }
    if !spec.at("nodeName").is_empty() && !spec.at("schedulingGates").is_empty() {
        errors.forbidden(&spec.at("nodeName"), "cannot be set until all schedulingGates have been cleared");
    }
    matching_annotations(&pod.at("metadata.annotations"), spec, errors);
}

/// The template of pods. `claims` are the volumes a StatefulSet adds; it also names its pods itself.
pub(super) fn validate_template<'o>(template: &Field<'o>, claims: Option<&BTreeSet<&'o str>>, errors: &mut Errors) {
    let (metadata, spec) = (template.at("metadata"), template.at("spec"));
    labels(&metadata.at("labels").reported_at(template, "labels"), errors);
    let given = metadata.at("annotations").reported_at(template, "annotations");
    annotations(&given, errors);
    pod_annotations(&given, &spec, errors);
    validate_spec(&spec, None, claims, errors);
    matching_annotations(&given, &spec, errors);
    if !spec.at("ephemeralContainers").is_empty() {
        errors.forbidden(&spec.at("ephemeralContainers"), "ephemeral containers not allowed in pod template");
    }
}

/// Annotations that mean something to pods.
fn pod_annotations(annotations: &Field<'_>, spec: &Field<'_>, errors: &mut Errors) {
    let mirror = annotations.key(MIRROR);
    if mirror.is_set() && spec.at("nodeName").is_empty() {
        errors.invalid(&mirror, "must set spec.nodeName if mirror pod annotation is set");
    }
    let cost = annotations.key("controller.kubernetes.io/pod-deletion-cost");
    let is_cost = |text: &str| text.parse::<i32>().is_ok() && has_form(text, "0|-?[1-9][0-9]*");
    if cost.is_set() && !is_cost(cost.text()) {
        errors.invalid(&cost, "must be a 32bit integer");
    }
    for (key, value) in annotations.entries() {
        if key == "seccomp.security.alpha.kubernetes.io/pod"
            || key.starts_with("container.seccomp.security.alpha.kubernetes.io/")
        {
            security::seccomp_annotation(&value.reported_as(&format!("{}.{key}", annotations.path())), errors);
        }
        if let Some(container) = key.strip_prefix(APP_ARMOR) {
            let mut names = LISTS.iter().flat_map(|list| {
                spec.at(list).items().map(|item| item.at("name").text().to_owned()).collect::<Vec<_>>()
            });
            if !names.any(|name| name == container) {
                errors.show(&value, &container.into(), "container not found");
            }
            let profile = value.text();
            if !matches!(profile, "" | "runtime/default" | "unconfined") && !profile.starts_with("localhost/") {
                errors.invalid(&value, &format!("invalid AppArmor profile name: {profile:?}"));
            }
        }
    }
}

/// What annotations and fields both say has to be the same.
fn matching_annotations(annotations: &Field<'_>, spec: &Field<'_>, errors: &mut Errors) {
    let mut check = |annotation: &Field<'_>, profile: &Field<'_>, what: &str| {
        if !annotation.is_set() || !profile.is_set() {
            return;
        }
        let (text, local) = (annotation.text(), profile.at("localhostProfile"));
        let agrees = match profile.at("type").text() {
            "Unconfined" => text == "unconfined",
            "RuntimeDefault" => text == "runtime/default" || (what == "seccomp" && text == "docker/default"),
            "Localhost" => match text.strip_prefix("localhost/") {
                Some(path) if path != local.text() => {
                    errors.forbidden(&local, &format!("{what} profile in annotation and field must match"));
                    true
                }
                found => found.is_some(),
            },
            _ => true,
        };
        if !agrees {
            errors.forbidden(&profile.at("type"), &format!("{what} type in annotation and field must match"));
        }
    };
    let of_pod = annotations.key("seccomp.security.alpha.kubernetes.io/pod");
    check(&of_pod, &spec.at("securityContext.seccompProfile"), "seccomp");
    for list in LISTS {
        for container in spec.at(list).items() {
            let name = container.at("name").text();
            let seccomp = annotations.key(&format!("container.seccomp.security.alpha.kubernetes.io/{name}"));
            check(&seccomp, &container.at("securityContext.seccompProfile"), "seccomp");
            let own = container.at("securityContext.appArmorProfile");
            let profile = if own.is_set() {
                own
            } else {
                let of_pod = spec.at("securityContext.appArmorProfile");
                of_pod.reported_at(&container, "securityContext.appArmorProfile")
            };
            check(&annotations.key(&format!("{APP_ARMOR}{name}")), &profile, "apparmor");
        }
    }
}

/// A pod spec; `pod` is absent for a template.
fn validate_spec<'o>(
    spec: &Field<'o>,
    pod: Option<&Field<'o>>,
    claims: Option<&BTreeSet<&'o str>>,
    errors: &mut Errors,
) {
    let grace = spec.at("terminationGracePeriodSeconds");
    if !grace.is_set() {
        errors.required(&grace, "");
    }
    let name = pod.map(|pod| pod.at("metadata.name").text());
    let volumes =
        volumes::validate(&spec.at("volumes"), name, pod.is_some(), claims.unwrap_or(&BTreeSet::new()), errors);
    let resource_claims = spec.at("resourceClaims");
    validate_resource_claims(&resource_claims, errors);
    let operating_system = spec.at("os.name");
    let context = PodContext {
        volumes,
        claims: resource_claims.items().map(|claim| claim.at("name").text()).filter(|name| !name.is_empty()).collect(),
        grace_seconds: grace.number(),
        restart_policy: spec.at("restartPolicy").text(),
        host_users: spec.at("hostUsers").value != &Value::Bool(false),
        operating_system: Some(operating_system.text()).filter(|_| operating_system.is_set()),
        of_pod: pod.is_some(),
    };
    containers::validate(spec, &context, errors);
    pod_resources(spec, errors);
    host_network(spec, &context, errors);
    errors.one_of(&spec.at("restartPolicy"), &["Always", "OnFailure", "Never"]);
    errors.one_of(&spec.at("dnsPolicy"), &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"]);
    labels(&spec.at("nodeSelector"), errors);
    security::of_pod(spec, errors);
    scheduling::affinity(&spec.at("affinity"), errors);
    dns_configuration(spec, errors);
    for gate in spec.at("readinessGates").items() {
        qualified_name(&gate.at("conditionType"), errors);
    }
    let mut gates = BTreeSet::new();
    for gate in spec.at("schedulingGates").items() {
        let name = gate.at("name").reported_as(gate.path());
        qualified_name(&name, errors);
        if !gates.insert(name.text()) {
            errors.duplicate(&name);
        }
    }
    scheduling::spread(&spec.at("topologySpreadConstraints"), errors);
    windows_host_process(spec, errors);
    host_users(spec, &context, errors);
    host_name(spec, errors);
    identities(spec, claims.is_some(), errors);
    security::operating_system(spec, errors);
    let group = spec.at("schedulingGroup");
    if group.is_set() {
        let name = group.at("podGroupName");
        if name.is_empty() {
            errors.required(&name, "");
        } else {
            subdomain(&name, errors);
        }
    }
    containers::file_variables(spec, errors);
}

/// Names and numbers of a pod spec that stand for themselves.
fn identities(spec: &Field<'_>, named_by_owner: bool, errors: &mut Errors) {
    for name in ["serviceAccountName", "nodeName"] {
        if !spec.at(name).is_empty() {
            subdomain(&spec.at(name), errors);
        }
    }
    let deadline = spec.at("activeDeadlineSeconds");
    if deadline.number().is_some_and(|seconds| !(1..=i64::from(i32::MAX)).contains(&seconds)) {
        errors.invalid(&deadline, "must be between 1 and 2147483647, inclusive");
    }
    for name in ["hostname", "subdomain"] {
        if !named_by_owner && !spec.at(name).is_empty() {
            label(&spec.at(name), errors);
        }
    }
    scheduling::tolerations(&spec.at("tolerations"), errors);
    for alias in spec.at("hostAliases").items() {
        address(&alias.at("ip"), &[], errors);
        alias.at("hostnames").items().for_each(|name| subdomain(&name, errors));
    }
    if !spec.at("priorityClassName").is_empty() {
        subdomain(&spec.at("priorityClassName"), errors);
    }
    if spec.at("runtimeClassName").is_set() {
        subdomain(&spec.at("runtimeClassName"), errors);
    }
    if spec.at("preemptionPolicy").is_set() {
        errors.one_of(&spec.at("preemptionPolicy"), &["PreemptLowerPriority", "Never"]);
    }
    resources::of_overhead(&spec.at("overhead"), errors);
}

fn validate_resource_claims(list: &Field<'_>, errors: &mut Errors) {
    let mut names = BTreeSet::new();
    for claim in list.items() {
        let (name, claim_name, template) =
            (claim.at("name"), claim.at("resourceClaimName"), claim.at("resourceClaimTemplateName"));
        if name.is_empty() {
            errors.required(&name, "");
        } else if !names.insert(name.text()) {
            errors.duplicate(&name);
        } else {
            label(&name, errors);
        }
        let shown = json!({
            "Name": name.text(), "ResourceClaimName": claim_name.value, "ResourceClaimTemplateName": template.value
        });
        if claim_name.is_set() && template.is_set() {
            let detail = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified";
            errors.show(&claim, &shown, detail);
        }
        if !claim_name.is_set() && !template.is_set() {
            let detail = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`";
            errors.show(&claim, &shown, detail);
        }
        for field in [claim_name, template].iter().filter(|field| field.is_set()) {
            subdomain(field, errors);
        }
    }
}

/// Resources of the pod as a whole have to be enough for its containers.
fn pod_resources(spec: &Field<'_>, errors: &mut Errors) {
    let given = spec.at("resources");
    if !given.is_set() {
        return;
    }
    if spec.at("os.name").text() == "windows" {
        errors.forbidden(&given, "may not be set for a windows pod");
        return;
    }
    resources::of_pod(&given, errors);
    let limits = given.at("limits");
    for container in spec.at("containers").items() {
        for (resource, value) in container.at("resources.limits").entries() {
            let most = limits.key(resource);
            if value.amount().zip(most.amount()).is_some_and(|(limit, most)| limit > most) {
                let index = container.path().rsplit_once('[').map_or("", |(_, index)| index);
                let place = format!("{}.containers[{index}[{resource}].limits", given.path());
                let detail = format!("must be less than or equal to pod limits of {}", most.text());
                errors.show(&value.reported_as(&place), value.value, &detail);
            }
        }
    }
}

fn host_network(spec: &Field<'_>, context: &PodContext<'_>, errors: &mut Errors) {
    if !spec.at("hostNetwork").is_true() {
        return;
    }
    for container in spec.at("containers").items() {
        for port in container.at("ports").items() {
            let host = port.at("hostPort");
            if (context.of_pod || host.count() != 0) && host.count() != port.at("containerPort").count() {
                errors.invalid_number(&host, "must match `containerPort` when `hostNetwork` is true");
            }
        }
    }
}

fn dns_configuration(spec: &Field<'_>, errors: &mut Errors) {
    let config = spec.at("dnsConfig");
    let (servers, searches) = (config.at("nameservers"), config.at("searches"));
    if spec.at("dnsPolicy").text() == "None" {
        if !config.is_set() {
            errors.required(&config, "must provide `dnsConfig` when `dnsPolicy` is None");
            return;
        }
        if servers.is_empty() {
            errors.required(&servers, "must provide at least one DNS nameserver when `dnsPolicy` is None");
            return;
        }
    }
    if servers.len() > 3 {
        errors.invalid(&servers, "must not have more than 3 nameservers");
    }
    for server in servers.items() {
        address(&server, &[], errors);
    }
    if searches.len() > 32 {
        errors.invalid(&searches, "must not have more than 32 search paths");
    }
    if searches.texts().map(|search| search.len() + 1).sum::<usize>() > 2049 {
        errors.invalid(&searches, "must not have more than 2048 characters (including spaces) in the search list");
    }
    searches.items().for_each(|search| volumes::search_domain(&search, errors));
    for option in config.at("options").items() {
        if option.at("name").is_empty() {
            errors.required(&option, "must not be empty");
        }
    }
}

/// Containers of Windows run as processes of the host all together or not at all.
fn windows_host_process(spec: &Field<'_>, errors: &mut Errors) {
    let of_pod = spec.at("securityContext.windowsOptions.hostProcess");
    let mut of_containers = Vec::new();
    for list in LISTS {
        for container in spec.at(list).items() {
            let own = container.at("securityContext.windowsOptions.hostProcess");
            if of_pod.is_set() && own.is_set() && of_pod.value != own.value {
                let detail =
                    format!("pod hostProcess value must be identical if both are specified, was {}", of_pod.value);
                errors.invalid(&own, &detail);
            }
            of_containers.push(own.is_true() || (!own.is_set() && of_pod.is_true()));
        }
    }
    let any = of_containers.contains(&true);
    if any && of_containers.contains(&false) {
        let detail = "If pod contains any hostProcess containers then all containers must be HostProcess containers";
        errors.show(spec, &"".into(), detail);
    }
    let host_network = spec.at("hostNetwork");
    if any && !host_network.is_true() {
        let shown = host_network.is_true().into();
        errors.show(&host_network, &shown, "hostNetwork must be true if pod contains any hostProcess containers");
    }
}

fn host_users(spec: &Field<'_>, context: &PodContext<'_>, errors: &mut Errors) {
    const DETAIL: &str = "when `hostUsers` is false";
    if context.host_users {
        return;
    }
    for (field, reported) in [("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")] {
        if spec.at(field).is_true() {
            errors.forbidden(&spec.at(reported), DETAIL);
        }
    }
    for list in LISTS {
        for container in spec.at(list).items().filter(|container| !container.at("volumeDevices").is_empty()) {
            errors.forbidden(&container.at("volumeDevices"), DETAIL);
        }
    }
}

fn host_name(spec: &Field<'_>, errors: &mut Errors) {
    let name = spec.at("hostnameOverride");
    if !name.is_set() {
        return;
    }
    for (field, what) in [("setHostnameAsFQDN", "setHostnameAsFQDN"), ("hostNetwork", "hostNetwork")] {
        if spec.at(field).is_true() {
            errors.forbidden(&name, &format!("may not be specified when {what} is true"));
        }
    }
    if name.text().len() > 64 {
        errors.too_long(&name, 64);
    }
    subdomain(&name, errors);
}

/// What may change of a pod: images, deadlines, additional tolerations, fewer gates; and while it waits for a gate, where
/// it can go.
fn validate_update(pod: &Field<'_>, old: &Field<'_>, errors: &mut Errors) {
    annotation_updates(pod, old, errors);
    let (spec, before) = (pod.at("spec"), old.at("spec"));
    for list in ["containers", "initContainers"] {
        let (now, then) = (spec.at(list), before.at(list));
        if now.len() != then.len() {
            errors.forbidden(&now, "pod updates may not add or remove containers");
            return;
        }
        for container in now.items() {
            if container.at("image").is_empty() {
                errors.required(&container.at("image"), "");
            }
            untrimmed_image(&container, errors);
        }
    }
    let (deadline, earlier) = (spec.at("activeDeadlineSeconds"), before.at("activeDeadlineSeconds"));
    match (deadline.number(), earlier.number()) {
        (Some(seconds), _) if !(0..=i64::from(i32::MAX)).contains(&seconds) => {
            errors.invalid(&deadline, "must be between 0 and 2147483647, inclusive");
            return;
        }
        (Some(seconds), Some(most)) if seconds > most => {
            errors.invalid(&deadline, "must be less than or equal to previous value");
            return;
        }
        (None, Some(_)) => errors.invalid(&deadline, "must not update from a positive integer to nil value"),
        _ => {}
    }
    tolerations_only_added(&spec.at("tolerations"), &before.at("tolerations"), errors);
    for gate in spec.at("schedulingGates").items().map(|gate| gate.at("name")) {
        if !before.at("schedulingGates").items().any(|known| known.at("name").text() == gate.text()) {
            let detail = format!("only deletion is allowed, but found new scheduling gate '{}'", gate.text());
            errors.forbidden(&gate, &detail);
        }
    }
    let gated = !before.at("schedulingGates").is_empty();
    if gated {
        gated_update(&spec, &before, errors);
    }
    if !same(&without_mutable(spec.value, gated), &without_mutable(before.value, gated)) {
        errors.forbidden(
            &spec,
            "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,\
             `spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),\
             `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
        );
    }
}

fn annotation_updates(pod: &Field<'_>, old: &Field<'_>, errors: &mut Errors) {
    let (new, old) = (pod.at("metadata.annotations"), old.at("metadata.annotations"));
    let mut check = |key: &str, app_armor: &str, mirror: &str| {
        if key.starts_with(APP_ARMOR) {
            errors.forbidden(&new.key(key), &format!("may not {app_armor} AppArmor annotations"));
        }
        if key == MIRROR {
            errors.forbidden(&new.key(key), &format!("may not {mirror} mirror pod annotation"));
        }
    };
    for (key, value) in old.entries() {
        if new.key(key).value != value.value {
            check(key, "remove or update", "remove or update");
        }
    }
    for (key, _) in new.entries() {
        if !old.key(key).is_set() {
            check(key, "add", "add");
        }
    }
}

fn tolerations_only_added(new: &Field<'_>, old: &Field<'_>, errors: &mut Errors) {
    let untimed = |toleration: &Value| {
        let mut toleration = toleration.clone();
        if let Some(fields) = toleration.as_object_mut() {
            fields.remove("tolerationSeconds");
        }
        toleration
    };
    for known in old.items() {
        let known = untimed(known.value);
        if !new.items().any(|toleration| same(&untimed(toleration.value), &known)) {
            errors.forbidden(new, "existing toleration can not be modified except its tolerationSeconds");
            return;
        }
    }
}

/// A pod that waits may be bound to fewer nodes, never to others.
fn gated_update(spec: &Field<'_>, before: &Field<'_>, errors: &mut Errors) {
    let selector = spec.at("nodeSelector");
    if before.at("nodeSelector").entries().any(|(key, value)| selector.key(key).value != value.value) {
        let detail = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
        errors.invalid(&selector, detail);
    }
    let path = "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
    let (terms, known) = (spec.at(path), before.at(path));
    if !known.is_empty() && known.len() != terms.len() {
        errors.invalid(&terms, "no additions/deletions to non-empty NodeSelectorTerms list are allowed");
        return;
    }
    for (term, known) in terms.items().zip(known.items()) {
        let added = ["matchExpressions", "matchFields"].iter().all(|list| {
            let (now, then) = (term.at(list), known.at(list));
            now.len() >= then.len() && now.items().zip(then.items()).all(|(now, then)| same(now.value, then.value))
        });
        let was_empty = known.at("matchExpressions").is_empty() && known.at("matchFields").is_empty();
        let is_empty = term.at("matchExpressions").is_empty() && term.at("matchFields").is_empty();
        if !added || (was_empty && !is_empty) {
            errors.invalid(&term, "only additions are allowed (no mutations or deletions)");
        }
    }
}

fn without_mutable(spec: &Value, gated: bool) -> Value {
    let mut spec = spec.clone();
    let Value::Object(members) = &mut spec else { return spec };
    for field in ["activeDeadlineSeconds", "tolerations", "schedulingGates"] {
        members.remove(field);
    }
    if members.get("terminationGracePeriodSeconds").and_then(Value::as_i64).is_some_and(|seconds| seconds < 0) {
        members.insert("terminationGracePeriodSeconds".to_owned(), 1.into());
    }
    if gated {
        members.remove("nodeSelector");
        if let Some(affinity) = members.get_mut("affinity").and_then(Value::as_object_mut) {
            affinity.remove("nodeAffinity");
        }
    }
    for list in ["containers", "initContainers"] {
        for container in members.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            if let Value::Object(container) = container {
                container.remove("image");
            }
        }
    }
    spec
}

/// A pod whose ephemeral containers are changed: those that are there stay as they are.
pub(super) fn validate_ephemeral_containers(change: &Change<'_>, errors: &mut Errors) {
    let Some(old) = &change.old else { return };
    let (spec, before) = (change.new.at("spec"), old.at("spec"));
    validate_spec(&spec, Some(&change.new), None, errors);
    annotation_updates(&change.new, old, errors);
    let list = spec.at("ephemeralContainers");
    for known in before.at("ephemeralContainers").items() {
        let name = known.at("name").text();
        let done = match list.items().find(|container| container.at("name").text() == name) {
            None => "removed",
            Some(container) if !same(container.value, known.value) => "changed",
            Some(_) => continue,
        };
        errors.forbidden(&list, &format!("existing ephemeral containers {name:?} may not be {done}\n"));
    }
}

/// Resources of a pod that is there.
pub(super) fn validate_resize(change: &Change<'_>, errors: &mut Errors) {
    validate_spec(&change.new.at("spec"), Some(&change.new), None, errors);
}

/// What a kubelet or a controller says of a pod.
pub(super) fn validate_status(change: &Change<'_>, errors: &mut Errors) {
    let Some(old) = &change.old else { return };
    let (status, before) = (change.new.at("status"), old.at("status"));
    for condition in status.at("conditions").items() {
        if condition.at("observedGeneration").count() < 0 {
            errors.invalid(&condition.at("observedGeneration"), "must be a non-negative integer");
        }
        let kind = condition.at("type");
        if !matches!(kind.text(), "PodScheduled" | "Ready" | "Initialized") {
            qualified_name(&kind.reported_at(&condition, "Type"), errors);
        }
    }
    let nominated = status.at("nominatedNodeName");
    if !nominated.is_empty() && nominated.text() != before.at("nominatedNodeName").text() {
        errors.messages(&nominated, subdomain_messages(nominated.text(), 253));
        if !old.at("spec.nodeName").is_empty() {
            errors.forbidden(&nominated, "may not be set on pods that are already bound to a node");
        }
    }
    if status.at("observedGeneration").count() < 0 {
        errors.invalid(&status.at("observedGeneration"), "must be a non-negative integer");
    }
    errors.immutable(&status.at("qosClass"), &before.at("qosClass"));
    for (list, may_restart) in
        [("containerStatuses", true), ("initContainerStatuses", true), ("ephemeralContainerStatuses", false)]
    {
        let policy = old.at("spec.restartPolicy");
        ended_stays_ended(&status.at(list), &before.at(list), if may_restart { policy.text() } else { "" }, errors);
    }
    for (list, legacy) in [("podIPs", ""), ("hostIPs", "hostIP")] {
        addresses(&status, &before, list, legacy, errors);
    }
}

fn ended_stays_ended(new: &Field<'_>, old: &Field<'_>, policy: &str, errors: &mut Errors) {
    if policy == "Always" {
        return;
    }
    for known in old.items() {
        let ended = known.at("state.terminated");
        let restarts = policy == "OnFailure" && ended.at("exitCode").count() != 0;
        if !ended.is_set() || restarts {
            continue;
        }
        let name = known.at("name").text();
        let revived =
            new.items().any(|status| status.at("name").text() == name && !status.at("state.terminated").is_set());
        if revived {
            let index = known.path().rsplit_once('[').map_or("0]", |(_, index)| index);
            let place = format!("{}[{index}.state", new.path());
            errors.push(FieldError::forbidden(place, "may not be transitioned to non-terminated state"));
        }
    }
}

fn addresses(status: &Field<'_>, before: &Field<'_>, list: &str, legacy: &str, errors: &mut Errors) {
    let (now, then) = (status.at(list), before.at(list));
    let known: Vec<&str> = then.items().map(|item| item.at("ip").text()).collect();
    let first = now.items().next();
    if let Some(first) = first.filter(|_| !legacy.is_empty()).map(|first| first.at("ip"))
        && first.text() != status.at(legacy).text()
    {
        errors.invalid(&first, &format!("must be equal to `{legacy}`"));
    }
    for item in now.items() {
        address(&item.at("ip").reported_as(item.path()), &known, errors);
    }
    let versions: Vec<bool> = now.items().map(|item| item.at("ip").text().contains(':')).collect();
    if versions.len() > 1 && (versions.len() > 2 || versions[0] == versions[1]) {
        let shown: Value = now.items().map(|item| json!({"IP": item.at("ip").text()})).collect();
        errors.show(&now, &shown, "may specify no more than one IP for each IP family");
    }
}
