//! Classes that a cluster takes for what names none (`DefaultStorageClass` and `DefaultIngressClass`).

use kogge_machinery::{resource::GroupResource, status_error::ApiError};
use serde_json::Value;

use super::strategy::made;
use crate::{
    plane::{Plane, list_error, parse_stored},
    store::Scope,
};

/// Gives a claim the default class of storage, unless it says that it has a class, or none.
///
/// # Errors
/// Those of the store.
pub(super) fn of_claim(plane: &Plane, claim: &mut Value) -> Result<(), ApiError> {
    if has_annotation(claim, "volume.beta.kubernetes.io/storage-class") || !claim["spec"]["storageClassName"].is_null()
    {
        return Ok(());
    }
    let annotations =
        ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
    let class = default_class(plane, "storage.k8s.io", "storageclasses", &annotations)?;
    name_class(claim, "storageClassName", class);
    Ok(())
}

/// As [`of_claim`], of an ingress.
///
/// # Errors
/// As [`of_claim`].
pub(super) fn of_ingress(plane: &Plane, ingress: &mut Value) -> Result<(), ApiError> {
    if has_annotation(ingress, "kubernetes.io/ingress.class") || !ingress["spec"]["ingressClassName"].is_null() {
        return Ok(());
    }
    let annotations = ["ingressclass.kubernetes.io/is-default-class"];
    let class = default_class(plane, "networking.k8s.io", "ingressclasses", &annotations)?;
    name_class(ingress, "ingressClassName", class);
    Ok(())
}

fn has_annotation(object: &Value, key: &str) -> bool {
    object["metadata"]["annotations"].get(key).is_some()
}

fn name_class(object: &mut Value, field: &str, class: Option<String>) {
    if let (Some(class), Some(spec)) = (class, made(object, "spec")) {
        spec.insert(field.to_owned(), class.into());
    }
}

/// The newest class that one of these annotations marks; of several in one second the first by name.
fn default_class(plane: &Plane, group: &str, resource: &str, annotations: &[&str]) -> Result<Option<String>, ApiError> {
    let scope = Scope::Resource(GroupResource { group: group.to_owned(), resource: resource.to_owned() });
    let page = plane.store().list(&scope, None, 0, None).map_err(|error| list_error(&error))?;
    let mut newest: Option<(String, String)> = None;
    for stored in &page.items {
        let class: Value = parse_stored(&stored.json)?;
        let metadata = &class["metadata"];
        if !annotations.iter().any(|annotation| metadata["annotations"][annotation] == "true") {
            continue;
        }
        let text = |field: &str| metadata[field].as_str().unwrap_or_default().to_owned();
        let (created, name) = (text("creationTimestamp"), text("name"));
        let is_first =
            newest.as_ref().is_none_or(|(known, first)| created > *known || (created == *known && name < *first));
        if is_first {
            newest = Some((created, name));
        }
    }
    Ok(newest.map(|(_, name)| name))
}
