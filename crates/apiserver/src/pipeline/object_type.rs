//! Whether an object is of the type its path names, and keeps it.

use kogge_machinery::{
    resource::ResourceType,
    status_error::{ApiError, FieldError, quote},
    typed_object::{self, TypedKind},
};
use serde_json::Value;

use super::strategy;
use crate::{builtin::autoscaler_conversion, registry::ServedResource};

/// Writes the type of an object where it says none itself.
pub(crate) fn set_type(object: &mut Value, api_version: &str, kind: &str) {
    let Some(fields) = object.as_object_mut() else { return };
    for (field, value) in [("kind", kind), ("apiVersion", api_version)] {
        if fields.get(field).is_none_or(|given| given.is_null() || given == "") {
            fields.insert(field.to_owned(), value.into());
        }
    }
}

/// Why an object of a built-in kind cannot be one of the path's type, in the words of the real server's decoder; none
/// where it is.
pub(crate) fn conversion_problem(resource: &ResourceType, object: &Value) -> Option<String> {
    let go_type = || format!("{}.{}", resource.go_package(), resource.kind);
    type_problem(&resource.api_version(), &resource.kind, || Some(go_type()), object)
        .or_else(|| strategy::annotation_problem(resource, object))
}

/// As [`conversion_problem`], for any type, whose name in Go `go_type` tells; none where the decoder knows no other types.
pub(super) fn type_problem(
    wanted_version: &str,
    wanted_kind: &str,
    go_type: impl FnOnce() -> Option<String>,
    object: &Value,
) -> Option<String> {
    let text = |field: &str| object[field].as_str().unwrap_or_default();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    if api_version == wanted_version && kind == wanted_kind {
        return None;
    }
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    if autoscaler_conversion::is_autoscaler(api_version, kind)
        && autoscaler_conversion::is_autoscaler(wanted_version, wanted_kind)
    {
        // The real server converts first, and compares versions later.
        return None;
    }
    let is_known =
        crate::registry::is_built_in_kind(group, version, kind) || TypedKind::of(api_version, kind).is_some();
    Some(match go_type().filter(|_| is_known) {
        Some(go_type) => format!("converting ({version}.{kind}) to ({go_type}): unknown conversion"),
        None => format!(
            "no kind {} is registered for version {} in scheme \"pkg/runtime/scheme.go:111\"",
            quote(kind),
            quote(api_version)
        ),
    })
}

/// Checks that an object is of the type its path names. The kind of a custom resource is told with what else is wrong with
/// it.
///
/// # Errors
/// 400 where it is not an object, has no kind, or a built-in one another.
pub(crate) fn check_type(served: &ServedResource, object: &Value) -> Result<(), ApiError> {
    let resource = &served.resource;
    if !object.is_object() {
        return Err(ApiError::bad_request(format!("the request body is not an object of kind {}", resource.kind)));
    }
    let Some(kind) = object["kind"].as_str().filter(|kind| !kind.is_empty()) else {
        let body = object.to_string();
        let mut shown: String = body.chars().take(1024).collect();
        if shown.len() < body.len() {
            shown.push_str(" [truncated]");
        }
        return Err(ApiError::bad_request(format!(
            "the object provided is unrecognized (must be of type {}): Object 'Kind' is missing in '{body}' ({shown})",
            resource.kind
        )));
    };
    let api_version = object["apiVersion"].as_str().unwrap_or_default();
    let expected = resource.api_version();
    if !resource.custom
        && let Some(why) = conversion_problem(resource, object)
    {
        return Err(unreadable(served, object, &why));
    }
    if api_version != expected {
        // Metadata is read first.
        typed_object::canonicalize_metadata(&mut object["metadata"].clone())
            .map_err(|why| unreadable(served, object, &why))?;
        return Err(ApiError::bad_request(format!(
            "the API version in the data ({api_version}) does not match the expected API version ({expected})"
        )));
    }
    if kind != resource.kind && !resource.custom {
        return Err(ApiError::bad_request(format!(
            "the kind in the data ({kind}) does not match the expected kind ({})",
            resource.kind
        )));
    }
    Ok(())
}

/// What the real server says of an object that it cannot read as one of its resource's kind.
pub(super) fn unreadable(served: &ServedResource, object: &Value, why: &str) -> ApiError {
    let text = |field: &str| object[field].as_str().unwrap_or_default();
    let version = quote(text("apiVersion").rsplit('/').next().unwrap_or_default());
    let (kind, wanted) = (text("kind"), &served.resource.kind);
    ApiError::bad_request(format!("{kind} in version {version} cannot be handled as a {wanted}: {why}"))
}

/// The object of a request to one object has to say its name.
pub(crate) fn nameless(name: &str) -> ApiError {
    ApiError::bad_request(format!(
        "the name of the object ({name} based on URL) was undeterminable: name must be provided"
    ))
}

/// A patch may not turn an object into another one.
pub(super) fn check_unchanged_type(served: &ServedResource, old: &Value, new: &Value) -> Result<(), ApiError> {
    let resource = &served.resource;
    let given = |field: &str| new[field].as_str().unwrap_or_default();
    if resource.custom && !given("kind").is_empty() {
        let api_version = resource.api_version();
        let wrong = |(field, wanted): (&str, &str)| {
            let detail = format!("must be {wanted}");
            (given(field) != wanted).then(|| FieldError::invalid(field, &new[field], &detail))
        };
        let fields = [("kind", resource.kind.as_str()), ("apiVersion", api_version.as_str())];
        let errors: Vec<FieldError> = fields.into_iter().filter_map(wrong).collect();
        if !errors.is_empty() {
            let name = old["metadata"]["name"].as_str().unwrap_or_default();
            let group = given("apiVersion").split_once('/').map_or("", |(group, _)| group);
            return Err(ApiError::invalid(group, given("kind"), name, &errors));
        }
    }
    check_type(served, new)?;
    check_place(served, old, new)
}

/// An object stays where it is, and keeps its name.
pub(super) fn check_place(served: &ServedResource, old: &Value, new: &Value) -> Result<(), ApiError> {
    if served.resource.namespaced
        && new["metadata"]["namespace"].as_str().is_some_and(|namespace| !namespace.is_empty())
        && new["metadata"]["namespace"] != old["metadata"]["namespace"]
    {
        return Err(ApiError::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    check_name(
        new["metadata"]["name"].as_str().unwrap_or_default(),
        old["metadata"]["name"].as_str().unwrap_or_default(),
    )
}

/// The name an object gives itself has to be that of its path.
pub(super) fn check_name(given: &str, of_path: &str) -> Result<(), ApiError> {
    if given == of_path {
        return Ok(());
    }
    if given.is_empty() {
        return Err(nameless(of_path));
    }
    let message = format!("the name of the object ({given}) does not match the name on the URL ({of_path})");
    Err(ApiError::bad_request(message))
}
