//! What is allowed and unwise: the warnings the real server sends with an accepted write of a built-in kind.

use std::collections::{BTreeMap, BTreeSet};

use kogge_machinery::{custom_resource_definition, object_meta::dns_1123_label_messages, resource::ResourceType};
use serde_json::Value;

use super::{
    configuration,
    field::{Field, same},
    services,
};

mod volumes;

const NODE_LABELS: [(&str, &str); 8] = [
    ("beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"),
    ("beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"),
    (
        "failure-domain.beta.kubernetes.io/region",
        "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead",
    ),
    ("failure-domain.beta.kubernetes.io/zone", "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead"),
    ("beta.kubernetes.io/instance-type", "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead"),
    ("app.kubernetes.io/created-by", "deprecated since v1.9"),
    ("scheduler.alpha.kubernetes.io/preferAvoidPods", "deprecated since v1.22; use Taints and Tolerations instead"),
    ("node-role.kubernetes.io/master", "use \"node-role.kubernetes.io/control-plane\" instead"),
];

const ANNOTATIONS: [(&str, &str); 3] = [
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        "non-functional in v1.16+; use the \"priorityClassName\" field instead",
    ),
    ("security.alpha.kubernetes.io/sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
    ("security.alpha.kubernetes.io/unsafe-sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
];

const VOLUMES: [(&str, &str); 9] = [
    ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
];

const TOKENS_IN_ATTRIBUTES: &str = "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to \
                                    prevent possible logging of tokens in volume attributes";

/// How names of what comes from files of the server end.
const STATIC_SUFFIX: &str = ".static.k8s.io";

/// The warnings about a new object (`old` absent) or a changed one.
pub fn warnings(resource: &ResourceType, object: &Value, old: Option<&Value>) -> Vec<String> {
    let root = Field::root(object);
    let new = old.is_none();
    let mut warnings = Vec::new();
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("admissionregistration.k8s.io", _) if root.at("metadata.name").text().ends_with(STATIC_SUFFIX) => {
            warnings.push(format!(
                "metadata.name: names ending with \"{STATIC_SUFFIX}\" are reserved for static manifest-based \
                 configurations and cannot be managed via the API"
            ));
        }
        ("apiextensions.k8s.io", "customresourcedefinitions") => {
            return custom_resource_definition::warnings(object, old);
        }
        ("", "pods") if new => {
            host_name(&root, "the Pod's hostname", &mut warnings);
            pod(&root, &mut warnings);
        }
        ("", "services") => return services::warnings(&root),
        ("storage.k8s.io", "csidrivers") => {
            let requests = root.at("spec.tokenRequests");
            let changed = old.is_none_or(|old| !same(&old["spec"]["tokenRequests"], requests.value));
            if changed && !requests.is_empty() && !root.at("spec.serviceAccountTokenInSecrets").is_set() {
                warnings.push(TOKENS_IN_ATTRIBUTES.to_owned());
            }
        }
        ("", "secrets") => return configuration::warnings(&root),
        ("", "persistentvolumes") => volumes::persistent_volume(&root, &mut warnings),
        ("", "persistentvolumeclaims") => volumes::claim(&root, &mut warnings),
        ("storage.k8s.io", "storageclasses") => {
            for term in root.at("allowedTopologies").items() {
                for key in term.at("matchLabelExpressions").items().map(|expression| expression.at("key")) {
                    if let Some(message) = deprecated_label(key.text()) {
                        warnings.push(format!("{}: {message}", key.path()));
                    }
                }
            }
        }
        ("storage.k8s.io", "csistoragecapacities") => {
            let selector = root.at("nodeTopology");
            volumes::deprecated_keys(&selector, &mut warnings);
            for (label, _) in selector.at("matchLabels").entries() {
                if let Some(message) = deprecated_label(label) {
                    warnings.push(format!("{}.{label}: {message}", selector.at("matchLabels").path()));
                }
            }
        }
        ("node.k8s.io", "runtimeclasses") => {
            let selector = root.at("scheduling.nodeSelector");
            let messages = selector.entries().filter_map(|(label, _)| deprecated_label(label));
            warnings.extend(messages.map(|message| format!("{}: {message}", selector.path())));
        }
        ("", "replicationcontrollers" | "podtemplates") | ("apps" | "batch", _) => {
            let named =
                matches!(resource.plural.as_str(), "deployments" | "replicationcontrollers" | "jobs" | "cronjobs");
            if new && named {
                host_name(&root, "Pod names and hostnames", &mut warnings);
            }
            let path = match resource.plural.as_str() {
                "podtemplates" => "template",
                "cronjobs" => "spec.jobTemplate.spec.template",
                "controllerrevisions" => return warnings,
                _ => "spec.template",
            };
            let generation = |object: &Value| object.pointer("/metadata/generation").cloned();
            if old.is_none_or(|old| generation(old) != generation(object)) {
                pod(&root.at(path), &mut warnings);
                for template in root.at("spec.volumeClaimTemplates").items() {
                    volumes::claim_spec(&template.at("spec").reported_as(template.path()), &mut warnings);
                }
            }
            let history = root.at("spec.revisionHistoryLimit");
            if resource.plural == "statefulsets" && history.count() < 0 {
                warnings.push(format!(
                    "{}: a negative value retains all historical revisions; a value >= 0 is recommended",
                    history.path()
                ));
            }
        }
        ("networking.k8s.io", "ingresses") if new => {
            let annotation = root.at("metadata.annotations").key("kubernetes.io/ingress.class");
            if annotation.is_set() && !root.at("spec.ingressClassName").is_set() {
                warnings.push(
                    "annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead"
                        .to_owned(),
                );
            }
        }
        _ => {}
    }
    warnings
}

/// What to say of a label of nodes that has another name by now.
fn deprecated_label(key: &str) -> Option<&'static str> {
    NODE_LABELS.iter().find(|(label, _)| *label == key).map(|(_, message)| *message)
}

fn host_name(object: &Field<'_>, what: &str, warnings: &mut Vec<String>) {
    let messages = dns_1123_label_messages(object.at("metadata.name").text());
    if !messages.is_empty() {
        warnings.push(format!(
            "metadata.name: this is used in {what}, which can result in surprising behavior; a DNS label is recommended: [{}]",
            messages.join(" ")
        ));
    }
}

/// A pod, or the template of one.
fn pod(pod: &Field<'_>, warnings: &mut Vec<String>) {
    let (spec, annotations) = (pod.at("spec"), pod.at("metadata.annotations"));
    scheduling(&spec, warnings);
    for (key, message) in ANNOTATIONS {
        if annotations.key(key).is_set() {
            warnings.push(format!("{}: {message}", annotations.key(key).path()));
        }
    }
    for volume in spec.at("volumes").items() {
        for (source, message) in VOLUMES {
            if volume.at(source).is_set() {
                let shown = if source == "storageos" { "storageOS" } else { source };
                warnings.push(format!("{}: {message}", volume.at(shown).path()));
            }
        }
        volumes::claim_spec(&volume.at("ephemeral.volumeClaimTemplate.spec"), warnings);
    }
    volumes::overlapping_paths(&spec.at("volumes"), warnings);
    for (list, name, noun) in [("hostAliases", "ip", "ip"), ("imagePullSecrets", "name", "name")] {
        let mut seen = BTreeSet::new();
        for field in spec.at(list).items().map(|item| item.at(name)) {
            if !seen.insert(field.text()) {
                warnings.push(format!("{}: duplicate {noun} {:?}", field.path(), field.text()));
            }
        }
    }
    for name in spec.at("imagePullSecrets").items().map(|item| item.at("name")).filter(Field::is_empty) {
        warnings.push(format!("{}: invalid empty name \"\"", name.path()));
    }
    fractions(&spec.at("overhead"), warnings);
    seccomp(&annotations, &spec, warnings);
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for container in spec.at(list).items() {
            fractions(&container.at("resources.limits"), warnings);
            fractions(&container.at("resources.requests"), warnings);
            variables(&container.at("env"), warnings);
        }
    }
    ports(&spec, warnings);
    let grace = spec.at("terminationGracePeriodSeconds");
    if grace.count() < 0 {
        let path = grace.path();
        warnings.push(format!("{path}: must be >= 0; negative values are invalid and will be treated as 1"));
    }
    affinity(&spec, warnings);
}

fn scheduling(spec: &Field<'_>, warnings: &mut Vec<String>) {
    for (key, value) in spec.at("nodeSelector").entries() {
        if let Some(message) = deprecated_label(key) {
            warnings.push(format!("{}: {message}", value.path()));
        }
    }
    let nodes = spec.at("affinity.nodeAffinity");
    let required = nodes.at("requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms");
    let preferred = nodes.at("preferredDuringSchedulingIgnoredDuringExecution");
    let terms = required.items().chain(preferred.items().map(|term| term.at("preference"))).collect::<Vec<_>>();
    for key in terms
        .iter()
        .flat_map(|term| term.at("matchExpressions").items().map(|expression| expression.at("key")).collect::<Vec<_>>())
    {
        if let Some(message) = deprecated_label(key.text()) {
            warnings.push(format!("{}: {} is {message}", key.path(), key.text()));
        }
    }
    for constraint in spec.at("topologySpreadConstraints").items() {
        let key = constraint.at("topologyKey");
        if let Some(message) = deprecated_label(key.text()) {
            warnings.push(format!("{}: {} is {message}", key.path(), key.text()));
        }
        no_selector(&constraint.at("labelSelector"), warnings);
    }
}

fn no_selector(selector: &Field<'_>, warnings: &mut Vec<String>) {
    if !selector.is_set() {
        warnings.push(format!("{}: a null labelSelector results in matching no pod", selector.path()));
    }
}

fn affinity(spec: &Field<'_>, warnings: &mut Vec<String>) {
    for kind in ["podAffinity", "podAntiAffinity"] {
        let terms = spec.at("affinity").at(kind);
        for term in terms.at("requiredDuringSchedulingIgnoredDuringExecution").items() {
            no_selector(&term.at("labelSelector"), warnings);
        }
        for term in terms.at("preferredDuringSchedulingIgnoredDuringExecution").items() {
            no_selector(&term.at("podAffinityTerm.labelSelector"), warnings);
        }
    }
}

/// Bytes come whole.
fn fractions(resources: &Field<'_>, warnings: &mut Vec<String>) {
    for name in ["memory", "ephemeral-storage"] {
        let value = resources.key(name);
        if value.amount().is_some_and(|amount| !amount.is_whole()) {
            let (path, text) = (value.path(), value.text());
            warnings.push(format!("{path}: fractional byte value {text:?} is invalid, must be an integer"));
        }
    }
}

fn seccomp(annotations: &Field<'_>, spec: &Field<'_>, warnings: &mut Vec<String>) {
    let mut check = |key: &str, context: &Field<'_>| {
        let annotation = annotations.key(key);
        if annotation.is_set() && !context.at("seccompProfile").is_set() {
            let path = annotation.path();
            warnings.push(format!("{path}: non-functional in v1.27+; use the \"seccompProfile\" field instead"));
        }
    };
    check("seccomp.security.alpha.kubernetes.io/pod", &spec.at("securityContext"));
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for container in spec.at(list).items() {
            let name = container.at("name").text();
            let key = format!("container.seccomp.security.alpha.kubernetes.io/{name}");
            check(&key, &container.at("securityContext"));
        }
    }
}

fn variables(list: &Field<'_>, warnings: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for variable in list.items() {
        let (name, value) = (variable.at("name").text(), variable.at("value").text());
        let itself = format!("$({name})");
        let extends = !variable.at("valueFrom").is_set() && value != itself && value.contains(&itself);
        if !seen.insert(name) && !extends {
            let path = variable.path();
            warnings
                .push(format!("{path}: hides previous definition of {name:?}, which may be dropped when using apply"));
        }
    }
}

fn ports(spec: &Field<'_>, warnings: &mut Vec<String>) {
    let all: Vec<Field<'_>> = ["initContainers", "containers", "ephemeralContainers"]
        .iter()
        .flat_map(|list| spec.at(list).items().collect::<Vec<_>>())
        .flat_map(|container| container.at("ports").items().collect::<Vec<_>>())
        .collect();
    for (index, port) in all.iter().enumerate() {
        let number = |port: &Field<'_>| (port.at("containerPort").count(), port.at("protocol").text().to_owned());
        let host = |port: &Field<'_>| (port.at("hostIP").text().to_owned(), port.at("hostPort").count());
        for other in all[..index].iter().filter(|other| number(other) == number(port)) {
            let ((ip, host_port), (other_ip, other_port)) = (host(port), host(other));
            let kind = if ip == other_ip && host_port == other_port {
                "duplicate"
            } else if host_port == 0 || other_port == 0 {
                "overlapping"
            } else if host_port == other_port && ip.is_empty() != other_ip.is_empty() {
                "dangerously ambiguous"
            } else {
                continue;
            };
            warnings.push(format!("{}: {kind} port definition with {}", port.path(), other.path()));
        }
    }
    let mut names: BTreeMap<&str, &str> = BTreeMap::new();
    for port in &all {
        let name = port.at("name").text();
        if name.is_empty() {
            continue;
        }
        match names.get(name) {
            Some(other) => warnings.push(format!(
                "{}: duplicate port name {name:?} with {other}, services and probes that select ports by name will use {other}",
                port.path()
            )),
            None => {
                names.insert(name, port.path());
            }
        }
    }
}
