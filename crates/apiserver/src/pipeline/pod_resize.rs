//! `/resize` of a pod, by which its containers get other resources while they run. Through it nothing else changes
//! (`podResizeStrategy` of Kubernetes); validation holds which resources can.

use serde_json::Value;

use super::strategy::made;

/// Name of the subresource.
pub(super) const SUBRESOURCE: &str = "resize";

/// Reduces a changed pod to what the endpoint may change. Containers that come, go or change places stay as they were sent,
/// for validation to refuse.
pub(super) fn prepare_update(old: &Value, object: &mut Value) {
    let lists = ["containers", "initContainers"];
    let length = |pod: &Value, list: &str| pod["spec"][list].as_array().map_or(0, Vec::len);
    if lists.iter().any(|list| length(old, list) != length(object, list)) {
        return;
    }
    let mut new = old.clone();
    for field in ["resourceVersion", "uid", "managedFields"] {
        if let Some(given) = object["metadata"].get(field).filter(|given| !given.is_null()) {
            new["metadata"][field] = given.clone();
        }
    }
    if let Some(spec) = made(&mut new, "spec") {
        take(&object["spec"], "resources", spec);
        for list in lists {
            let Some(sent) = object["spec"][list].as_array() else { continue };
            let Some(kept) = spec.get_mut(list).and_then(Value::as_array_mut) else { continue };
            if kept.iter().zip(sent).any(|(kept, sent)| kept["name"] != sent["name"]) {
                kept.clone_from(sent);
                continue;
            }
            for (kept, sent) in kept.iter_mut().zip(sent) {
                let Some(kept) = kept.as_object_mut() else { continue };
                take(sent, "resources", kept);
                take(sent, "resizePolicy", kept);
            }
        }
    }
    *object = new;
}

/// Puts a field as it was sent, or absent, in place of the one that is there.
fn take(sent: &Value, field: &str, into: &mut serde_json::Map<String, Value>) {
    match sent.get(field).filter(|value| !value.is_null()) {
        Some(value) => _ = into.insert(field.to_owned(), value.clone()),
        None => _ = into.remove(field),
    }
}
