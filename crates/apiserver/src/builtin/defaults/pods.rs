//! Defaults of pod specs (`pkg/apis/core/v1/defaults.go`).

use kogge_machinery::pod_resources;
use serde_json::{Value, json};

use super::{at, fill, fill_empty, items, made, round_amounts, text};

/// Completes the spec of a Pod, which gets more than that of a template.
pub(super) fn apply_pod(spec: &mut Value) {
    apply_spec(spec);
    let host_network = spec.get("hostNetwork") == Some(&json!(true));
    for list in ["containers", "initContainers"] {
        for container in items(spec, &[list]) {
            if let Some(Value::Object(limits)) = container.pointer("/resources/limits").cloned()
                && let Some(Value::Object(requests)) = made(container, &["resources", "requests"])
            {
                for (resource, limit) in limits {
                    requests.entry(resource).or_insert(limit);
                }
            }
            if host_network {
                for port in items(container, &["ports"]) {
                    let number = port.get("containerPort").cloned().unwrap_or_default();
                    fill_empty(Some(port), &[("hostPort", number)]);
                }
            }
        }
    }
    pod_resources::default_own(spec);
    fill(Some(spec), &[("enableServiceLinks", json!(true))]);
}

/// Completes any pod spec.
pub(super) fn apply_spec(spec: &mut Value) {
    fill_empty(
        Some(spec),
        &[
            ("dnsPolicy", json!("ClusterFirst")),
            ("restartPolicy", json!("Always")),
            ("schedulerName", json!("default-scheduler")),
        ],
    );
    fill(Some(spec), &[("securityContext", json!({})), ("terminationGracePeriodSeconds", json!(30))]);
    // The deprecated name is kept beside the current one.
    let account = text(spec, "/serviceAccountName").to_owned();
    if account.is_empty() {
        let deprecated = text(spec, "/serviceAccount").to_owned();
        if !deprecated.is_empty() {
            fill_empty(Some(spec), &[("serviceAccountName", deprecated.into())]);
        }
    } else if let Some(members) = spec.as_object_mut() {
        members.insert("serviceAccount".to_owned(), account.into());
    }
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        items(spec, &[list]).for_each(container);
    }
    items(spec, &["volumes"]).for_each(volume);
    for field in ["limits", "requests"] {
        round_amounts(at(spec, &["resources"]), field);
    }
    round_amounts(Some(spec), "overhead");
}

fn container(container: &mut Value) {
    let pull_policy = if is_latest(text(container, "/image")) { "Always" } else { "IfNotPresent" };
    fill_empty(
        Some(container),
        &[
            ("imagePullPolicy", json!(pull_policy)),
            ("terminationMessagePath", json!("/dev/termination-log")),
            ("terminationMessagePolicy", json!("File")),
        ],
    );
    fill(Some(container), &[("resources", json!({}))]);
    for field in ["limits", "requests"] {
        round_amounts(at(container, &["resources"]), field);
    }
    for port in items(container, &["ports"]) {
        fill_empty(Some(port), &[("protocol", json!("TCP"))]);
    }
    for variable in items(container, &["env"]) {
        fill_empty(at(variable, &["valueFrom", "fieldRef"]), &[("apiVersion", json!("v1"))]);
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let Some(probe) = at(container, &[probe]) else { continue };
        fill_empty(
            Some(probe),
            &[
                ("timeoutSeconds", json!(1)),
                ("periodSeconds", json!(10)),
                ("successThreshold", json!(1)),
                ("failureThreshold", json!(3)),
            ],
        );
        http_get(at(probe, &["httpGet"]));
        fill(at(probe, &["grpc"]), &[("service", json!(""))]);
    }
    for hook in ["postStart", "preStop"] {
        http_get(at(container, &["lifecycle", hook, "httpGet"]));
    }
}

fn http_get(action: Option<&mut Value>) {
    fill_empty(action, &[("path", json!("/")), ("scheme", json!("HTTP"))]);
}

/// Whether an image reference means the tag `latest`: by name, or by naming neither tag nor digest.
/// Whether an image is the latest of its name, which needs no tag. What is no image is none.
fn is_latest(image: &str) -> bool {
    const LONGEST: usize = 255;
    let allowed = |character: char| character.is_ascii_alphanumeric() || "._/:-".contains(character);
    if image.contains('@') || image.len() > LONGEST || !image.chars().all(allowed) {
        return false;
    }
    let name = image.rsplit('/').next().unwrap_or(image);
    // What is no name of an image has no tag either.
    let lower = |part: &str| {
        let inner = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit();
        part.starts_with(inner)
            && part.ends_with(inner)
            && part.chars().all(|character| inner(character) || "._-".contains(character))
    };
    if !lower(name.split(':').next().unwrap_or(name)) {
        return false;
    }
    name.split_once(':').is_none_or(|(_, tag)| tag == "latest")
}

fn volume(volume: &mut Value) {
    let Some(members) = volume.as_object_mut() else { return };
    if !members.iter().any(|(name, source)| name != "name" && !source.is_null()) {
        members.insert("emptyDir".to_owned(), json!({}));
    }
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        fill(at(volume, &[source]), &[("defaultMode", json!(0o644))]);
    }
    fill(at(volume, &["hostPath"]), &[("type", json!(""))]);
    for source in items(volume, &["projected", "sources"]) {
        fill(at(source, &["serviceAccountToken"]), &[("expirationSeconds", json!(3600))]);
        for item in items(source, &["downwardAPI", "items"]) {
            fill_empty(at(item, &["fieldRef"]), &[("apiVersion", json!("v1"))]);
        }
    }
    for item in items(volume, &["downwardAPI", "items"]) {
        fill_empty(at(item, &["fieldRef"]), &[("apiVersion", json!("v1"))]);
    }
    if let Some(image) = at(volume, &["image"]) {
        let pull_policy = if is_latest(text(image, "/reference")) { "Always" } else { "IfNotPresent" };
        fill_empty(Some(image), &[("pullPolicy", json!(pull_policy))]);
    }
    if let Some(spec) = at(volume, &["ephemeral", "volumeClaimTemplate", "spec"]) {
        fill(Some(spec), &[("volumeMode", json!("Filesystem"))]);
    }
}
