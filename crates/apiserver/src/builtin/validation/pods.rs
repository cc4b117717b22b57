//! Pods, and the templates they are made from.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    Change,
    containers::{self, PodContext, untrimmed_image},
    field::{Errors, Field},
    resources, scheduling, security,
    text::{self, address, label, labels, qualified_name, subdomain},
    volumes,
};

mod annotations;
mod status;
mod update;

pub(super) use self::{
    status::validate_status,
    update::{validate_ephemeral_containers, validate_resize},
};

const LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// A pod that is created or changed.
pub(super) fn validate(change: &Change<'_>, errors: &mut Errors) {
    let pod = &change.new;
    let spec = pod.at("spec");
    annotations::check(&pod.at("metadata.annotations"), &spec, errors);
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
        Some(old) => update::validate_update(pod, old, errors),
    }
}

fn validate_create(pod: &Field<'_>, spec: &Field<'_>, errors: &mut Errors) {
    if !spec.at("ephemeralContainers").is_empty() {
        errors.forbidden(&spec.at("ephemeralContainers"), "cannot be set on create");
    }
    if !spec.at("nodeName").is_empty() && !spec.at("schedulingGates").is_empty() {
        errors.forbidden(&spec.at("nodeName"), "cannot be set until all schedulingGates have been cleared");
    }
    annotations::check_fields(&pod.at("metadata.annotations"), spec, errors);
}

/// The template of pods. `claims` are the volumes a StatefulSet adds; it also names its pods itself.
pub(super) fn validate_template<'o>(template: &Field<'o>, claims: Option<&BTreeSet<&'o str>>, errors: &mut Errors) {
    let (metadata, spec) = (template.at("metadata"), template.at("spec"));
    labels(&metadata.at("labels").reported_at(template, "labels"), errors);
    let given = metadata.at("annotations").reported_at(template, "annotations");
    text::annotations(&given, errors);
    annotations::check(&given, &spec, errors);
    validate_spec(&spec, None, claims, errors);
    annotations::check_fields(&given, &spec, errors);
    if !spec.at("ephemeralContainers").is_empty() {
        errors.forbidden(&spec.at("ephemeralContainers"), "ephemeral containers not allowed in pod template");
    }
}

/// What the rules of a StatefulSet ask of the metadata of its template once more.
pub(super) fn validate_template_metadata(template: &Field<'_>, errors: &mut Errors) {
    let (metadata, spec) = (template.at("metadata"), template.at("spec"));
    labels(&metadata.at("labels").reported_at(template, "labels"), errors);
    let given = metadata.at("annotations").reported_at(template, "annotations");
    text::annotations(&given, errors);
    annotations::check(&given, &spec, errors);
    annotations::check_fields(&given, &spec, errors);
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
