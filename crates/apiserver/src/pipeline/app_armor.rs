//! AppArmor profiles of new pods that are named the old way, by annotations (`applyAppArmorVersionSkew` of Kubernetes'
//! `pkg/registry/core/pod`).

use serde_json::{Value, json};

const ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";

/// The longest path of a profile.
const LONGEST: usize = 4095;

/// Puts the profiles of annotations into the fields of containers that name none. Answers what the client is told of it.
pub(super) fn fields_of_annotations(pod: &mut Value) -> Vec<String> {
    let mut warnings = Vec::new();
    let annotations = pod["metadata"]["annotations"].clone();
    let has_any = annotations.as_object().is_some_and(|all| all.keys().any(|key| key.starts_with(ANNOTATION)));
    if !has_any || pod["spec"]["os"]["name"] == "windows" {
        return warnings;
    }
    let of_pod = pod["spec"]["securityContext"]["appArmorProfile"].clone();
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        let containers = pod.get_mut("spec").and_then(|spec| spec.get_mut(list)).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let key = format!("{ANNOTATION}{}", container["name"].as_str().unwrap_or_default());
            let Some(annotation) = annotations[&key].as_str() else { continue };
            if container["securityContext"]["appArmorProfile"].is_object() {
                continue;
            }
            let profile = profile_of(annotation);
            // One that the pod has anyway is no reason to write it, nor to speak of it.
            if profile.as_ref() == Some(&of_pod) {
                continue;
            }
            if let (Some(profile), Some(fields)) = (profile, container.as_object_mut()) {
                let context = fields.entry("securityContext").or_insert(Value::Null);
                if !context.is_object() {
                    *context = json!({});
                }
                context["appArmorProfile"] = profile;
            }
            warnings.push(format!(
                "metadata.annotations[{key}]: deprecated since v1.30; use the \"appArmorProfile\" field instead"
            ));
        }
    }
    warnings
}

/// The field an annotation stands for, if it is a valid one.
fn profile_of(annotation: &str) -> Option<Value> {
    match annotation {
        "unconfined" => Some(json!({"type": "Unconfined"})),
        "runtime/default" => Some(json!({"type": "RuntimeDefault"})),
        _ => {
            let path = annotation.strip_prefix("localhost/")?;
            let is_valid = !path.is_empty() && path.trim() == path && path.len() <= LONGEST;
            is_valid.then(|| json!({"type": "Localhost", "localhostProfile": path}))
        }
    }
}
