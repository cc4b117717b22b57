//! What every write does to an object between decoding and committing: prune, default, metadata, strategy, ownership,
//! admission, validation; and the loop that commits on the state it was computed from.

use http::StatusCode;
use kogge_machinery::{
    admission::Operation,
    apply::{self, FieldManager},
    custom_resource_definition, object_meta,
    resource::{ResourceType, ScalePaths},
    status_error::{ApiError, FieldError, FieldErrorKind, quote},
};
use serde_json::Value;

use super::{
    RequestContext,
    admission::Review,
    answer::Document,
    certificate_request, definition_write, ephemeral_containers, escalation,
    other_versions::ServedVersions,
    presentation::{convert_to_stored, present},
    query::FieldValidation,
    strategy,
};
use crate::{
    admission::Requester,
    builtin,
    plane::Plane,
    registry::ServedResource,
    store::{Change, Expected, ObjectKey, WriteError},
};

/// A write that loses this many races in a row gives up with a conflict.
pub(super) const ATTEMPTS: usize = 64;

/// Which endpoint a write came through: it decides what it may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteScope {
    /// The object itself: everything but status, where that is a subresource.
    Main,
    /// `/status` or a subresource that, like it, changes only the status (`/approval`).
    Status(&'static str),
    /// A subresource that changes only what its handler lets through (`/scale`, `/finalize`, `/binding`), or
    /// the preparation of the update (`/ephemeralcontainers`).
    Composed(&'static str),
}

impl WriteScope {
    /// Name of the endpoint; empty for the object itself.
    pub(crate) fn subresource(self) -> &'static str {
        match self {
            Self::Main => "",
            Self::Status(name) | Self::Composed(name) => name,
        }
    }
}

/// The writer, for ownership and admission.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    pub(crate) manager: String,
    /// RFC 3339, seconds.
    pub(crate) now: String,
    /// For admission; none in a plane that configures none, and for writes that are not put before it.
    pub(crate) requester: Option<Requester>,
}

impl Writer {
    pub(crate) fn of(context: &RequestContext<'_>) -> Result<Self, ApiError> {
        let configured = context.plane.admission().current().is_some();
        let requester = if configured { Some(Requester::of(context)?) } else { None };
        Ok(Self { manager: context.field_manager()?, now: timestamp(context.now), requester })
    }

    pub(crate) fn field_manager<'a>(
        &'a self,
        served: &ServedResource,
        api_version: &'a str,
        scope: WriteScope,
        versions: &'a ServedVersions<'_>,
    ) -> FieldManager<'a> {
        FieldManager {
            name: &self.manager,
            api_version,
            subresource: scope.subresource(),
            status_subresource: served.resource.status_subresource,
            now: &self.now,
            versions,
        }
    }
}

/// Records who owns what an update or create changed. As in the real server, a failing conversion between versions does
/// not stop the write: the object is then stored without ownership.
pub(crate) async fn track_update(
    plane: &Plane,
    served: &ServedResource,
    old: Option<&Value>,
    object: &mut Value,
    scope: WriteScope,
    writer: &Writer,
) {
    let schema = served.resource.schema.get();
    let root = schema.as_deref().map(|schema| &*schema.root);
    let api_version = served.resource.api_version();
    let versions = ServedVersions::of(plane, served);
    let manager = writer.field_manager(served, &api_version, scope, &versions);
    let tracked = versions.run(|| apply::track_update(old, object, root, &manager)).await;
    if let Err(error) = tracked {
        tracing::warn!(%error, "an object is stored without managedFields");
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("managedFields");
        }
    }
}

/// RFC 3339 with seconds, as `metav1.Time` is written.
pub(crate) fn timestamp(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// An object after the client's change was merged in.
#[derive(Clone)]
pub(crate) enum Merged {
    /// Ownership is still to be computed from the difference.
    Untracked(Value),
    /// A server-side apply, which has computed ownership.
    Applied(Value),
}

impl Merged {
    pub(crate) fn object(&self) -> &Value {
        let (Self::Untracked(object) | Self::Applied(object)) = self;
        object
    }

    pub(crate) fn object_mut(&mut self) -> &mut Value {
        let (Self::Untracked(object) | Self::Applied(object)) = self;
        object
    }
}

/// Removes unknown fields; warns of them and of duplicates, or refuses them.
///
/// # Errors
/// 400 for unknown or duplicate fields with `fieldValidation=Strict`.
pub(crate) fn clean_fields(
    served: &ServedResource,
    object: &mut Value,
    duplicates: &[String],
    validation: FieldValidation,
) -> Result<Vec<String>, ApiError> {
    let unknown = served.resource.schema.get().map(|schema| schema.prune(object)).unwrap_or_default();
    if validation == FieldValidation::Ignore || (unknown.is_empty() && duplicates.is_empty()) {
        return Ok(Vec::new());
    }
    let findings: Vec<String> = unknown
        .iter()
        .map(|path| format!("unknown field {path:?}"))
        .chain(duplicates.iter().map(|path| format!("duplicate field {path:?}")))
        .collect();
    if validation == FieldValidation::Strict {
        let resource = &served.resource;
        return Err(ApiError::bad_request(format!(
            "{kind} in version {version:?} cannot be handled as a {kind}: strict decoding error: {}",
            findings.join(", "),
            kind = resource.kind,
            version = resource.version,
        )));
    }
    Ok(findings)
}

/// Gives an object of a built-in kind the type its path names where it says none itself. Custom resources have to.
pub(crate) fn default_type(served: &ServedResource, object: &mut Value) {
    let resource = &served.resource;
    let Some(fields) = object.as_object_mut().filter(|_| !resource.custom) else { return };
    for (field, value) in [("kind", resource.kind.clone()), ("apiVersion", resource.api_version())] {
        if fields.get(field).is_none_or(|given| given.is_null() || given == "") {
            fields.insert(field.to_owned(), value.into());
        }
    }
}

/// The words of the real server's decoder for an object of another type than the path's.
fn wrong_built_in_type(resource: &ResourceType, api_version: &str, kind: &str) -> ApiError {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let package = |group: &str| group.split('.').next().filter(|name| !name.is_empty()).unwrap_or("core").to_owned();
    let why = if crate::registry::is_built_in_kind(group, version, kind) {
        format!("converting ({version}.{kind}) to ({}.{}): unknown conversion", package(&resource.group), resource.kind)
    } else {
        format!(
            "no kind {} is registered for version {} in scheme \"pkg/runtime/scheme.go:111\"",
            quote(kind),
            quote(api_version)
        )
    };
    ApiError::bad_request(format!(
        "{kind} in version {} cannot be handled as a {}: {why}",
        quote(version),
        resource.kind
    ))
}

/// Checks that an object is of the type its path names.
///
/// # Errors
/// 400 where it is not an object, has no kind, or another one.
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
    let Some(api_version) = object["apiVersion"].as_str().filter(|version| !version.is_empty()) else {
        return Err(ApiError::bad_request("Object 'apiVersion' is missing in the request body"));
    };
    let expected = resource.api_version();
    if !resource.custom && (api_version != expected || kind != resource.kind) {
        return Err(wrong_built_in_type(resource, api_version, kind));
    }
    if api_version != expected {
        return Err(ApiError::bad_request(format!(
            "the API version in the data ({api_version}) does not match the expected API version ({expected})"
        )));
    }
    if kind != resource.kind && resource.custom {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let error = FieldError::invalid("kind", &kind.into(), &format!("must be {}", resource.kind));
        return Err(ApiError::invalid(&resource.group, kind, name, &[error]));
    }
    if kind != resource.kind {
        return Err(ApiError::bad_request(format!(
            "the kind in the data ({kind}) does not match the expected kind ({})",
            resource.kind
        )));
    }
    Ok(())
}

/// Completes a new object as far as its sender is concerned: defaults and ownership. What the server adds comes later
/// ([`finish_create`]), when admission has seen the object.
pub(crate) async fn begin_create(plane: &Plane, served: &ServedResource, merged: Merged, writer: &Writer) -> Value {
    let resource = &served.resource;
    let schema = resource.schema.get();
    let (mut object, tracked) = match merged {
        Merged::Untracked(object) => (object, false),
        Merged::Applied(object) => (object, true),
    };
    if let Some(schema) = &schema {
        schema.apply_defaults(&mut object);
    }
    if definition_write::is_definition(served) {
        custom_resource_definition::apply_defaults(&mut object);
    } else if !resource.custom {
        builtin::defaults::apply(resource, &mut object);
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for field in ["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] {
            metadata.remove(field);
        }
    }
    if !tracked {
        track_update(plane, served, None, &mut object, WriteScope::Main, writer).await;
    }
    object
}

/// Completes a new object with what the server adds, except for committing it.
///
/// # Errors
/// 422 with every wrong field.
pub(crate) fn finish_create(
    plane: &Plane,
    served: &ServedResource,
    mut object: Value,
    now: &str,
    uid: &str,
) -> Result<Value, ApiError> {
    let resource = &served.resource;
    object_meta::prepare_create(resource, &mut object, uid, now)?;
    if resource.custom {
        // Nothing is written in code for custom kinds.
    } else if definition_write::is_definition(served) {
        definition_write::prepare(plane, &mut object, None, now);
    } else {
        if served.is_core("namespaces") {
            // A label carries the name, which may have been generated.
            builtin::defaults::apply(resource, &mut object);
        }
        strategy::prepare_create(plane, resource, &mut object)?;
    }
    validate(served, &object, None)?;
    Ok(object)
}

/// Completes a changed object, except for putting it before admission, validating and committing it.
///
/// # Errors
/// 409 for other identities.
async fn begin_update(
    plane: &Plane,
    served: &ServedResource,
    old: &Value,
    merged: Merged,
    scope: WriteScope,
    writer: &Writer,
) -> Result<Value, ApiError> {
    let resource = &served.resource;
    let schema = resource.schema.get();
    let (mut object, tracked) = match merged {
        Merged::Untracked(object) => (object, false),
        Merged::Applied(object) => (object, true),
    };
    check_unchanged_type(served, old, &object)?;
    if let Some(schema) = &schema {
        schema.apply_defaults(&mut object);
    }
    if !resource.custom {
        builtin::defaults::apply(resource, &mut object);
    }
    prepare_update(plane, served, old, &mut object, scope, &writer.now)?;
    if !tracked {
        track_update(plane, served, Some(old), &mut object, scope, writer).await;
    }
    Ok(object)
}

/// What the server adds to a changed object, and restores of what the endpoint does not change. May run again on an
/// object that webhooks changed.
fn prepare_update(
    plane: &Plane,
    served: &ServedResource,
    old: &Value,
    object: &mut Value,
    scope: WriteScope,
    now: &str,
) -> Result<(), ApiError> {
    let resource = &served.resource;
    if scope == WriteScope::Composed(ephemeral_containers::SUBRESOURCE) {
        ephemeral_containers::prepare_update(old, object)?;
    }
    match scope {
        WriteScope::Status(_) => object_meta::prepare_status_update(resource, old, object)?,
        WriteScope::Main | WriteScope::Composed(_) => object_meta::prepare_update(resource, old, object)?,
    }
    if definition_write::is_definition(served) {
        if scope == WriteScope::Main {
            definition_write::prepare(plane, object, Some(old), now);
        }
    } else if !resource.custom {
        strategy::prepare_update(plane, resource, old, object)?;
        // Only `/finalize` changes the finalizers of a namespace.
        if scope != WriteScope::Composed("finalize") && served.is_core("namespaces") && object["spec"].is_object() {
            object["spec"]["finalizers"] = old["spec"]["finalizers"].clone();
        }
    }
    Ok(())
}

/// Completes a changed object, except for committing it.
///
/// # Errors
/// 422 with every wrong field, 409 for other identities, and what admission refuses.
pub(crate) async fn complete_update(
    plane: &Plane,
    served: &ServedResource,
    old: &Value,
    merged: Merged,
    scope: WriteScope,
    writer: &Writer,
    review: Option<&Review<'_>>,
) -> Result<Value, ApiError> {
    let mut object = begin_update(plane, served, old, merged, scope, writer).await?;
    if let Some(review) = review {
        let mutated = review.mutate(Some(old), object).await?;
        object = mutated.object;
        if mutated.patched {
            check_unchanged_type(served, old, &object)?;
            prepare_update(plane, served, old, &mut object, scope, &writer.now)?;
        }
    }
    validate(served, &object, Some(old))?;
    if let Some(review) = review {
        review.validate(Some(old), &object).await?;
    }
    Ok(object)
}

/// The object of a request to one object has to say its name.
pub(crate) fn nameless(name: &str) -> ApiError {
    ApiError::bad_request(format!(
        "the name of the object ({name} based on URL) was undeterminable: name must be provided"
    ))
}

/// A patch may not turn an object into another one.
fn check_unchanged_type(served: &ServedResource, old: &Value, new: &Value) -> Result<(), ApiError> {
    let resource = &served.resource;
    let given = |field: &str| new[field].as_str().unwrap_or_default();
    if resource.custom && given("kind") == resource.kind && given("apiVersion") != resource.api_version() {
        let detail = format!("must be {}", resource.api_version());
        let error = FieldError::invalid("apiVersion", &new["apiVersion"], &detail);
        let name = old["metadata"]["name"].as_str().unwrap_or_default();
        return Err(ApiError::invalid(&resource.group, &resource.kind, name, &[error]));
    }
    check_type(served, new)?;
    if new["metadata"]["name"].as_str().is_none_or(str::is_empty) {
        return Err(nameless(old["metadata"]["name"].as_str().unwrap_or_default()));
    }
    if new["metadata"]["namespace"].as_str().is_some_and(|namespace| !namespace.is_empty())
        && new["metadata"]["namespace"] != old["metadata"]["namespace"]
    {
        return Err(ApiError::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    for (field, what) in [("name", "name"), ("namespace", "namespace")] {
        let (old, new) = (old["metadata"][field].as_str(), new["metadata"][field].as_str());
        if old != new {
            return Err(ApiError::bad_request(format!(
                "the {what} of the object ({}) does not match the {what} on the URL ({})",
                new.unwrap_or_default(),
                old.unwrap_or_default()
            )));
        }
    }
    Ok(())
}

fn validate(served: &ServedResource, object: &Value, old: Option<&Value>) -> Result<(), ApiError> {
    let resource = &served.resource;
    let mut errors: Vec<FieldError> = object_meta::validate_metadata(resource, object);
    let of_schema = resource.schema.get().map(|schema| schema.validate(object, old)).unwrap_or_default();
    if resource.custom {
        errors.extend(of_schema);
    } else {
        // The real server has types here and no schema. What the kind's own code says, it says in better words; metadata
        // and webhook configurations are covered by it altogether.
        let own = own_errors(served, object, old);
        let covered = |error: &FieldError| {
            let weak = matches!(error.kind, FieldErrorKind::Required | FieldErrorKind::Duplicate);
            error.field.starts_with("metadata")
                || (weak && definition_write::is_definition(served))
                || (weak && resource.group == kogge_machinery::admission::GROUP)
                || (weak && own.iter().any(|other| other.field.starts_with(&error.field)))
        };
        errors.extend(of_schema.into_iter().filter(|error| !covered(error)));
        errors.extend(own);
    }
    if resource.custom {
        let blocks = |error: &FieldError| {
            matches!(
                error.kind,
                FieldErrorKind::Required
                    | FieldErrorKind::TooLong
                    | FieldErrorKind::TooMany
                    | FieldErrorKind::TypeInvalid
            )
        };
        let has_rules = resource.schema.get().is_some_and(|schema| schema.has_rules());
        if has_rules && errors.iter().any(blocks) && !errors.iter().any(|error| error.field == "<nil>") {
            errors.push(FieldError::invalid("<nil>", &Value::Null, RULES_NOT_CHECKED));
        }
        errors.extend(resource.scale.as_ref().map(|paths| scale_errors(paths, object)).unwrap_or_default());
    }
    if errors.is_empty() {
        return Ok(());
    }
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    Err(ApiError::invalid(&resource.group, &resource.kind, name, &errors))
}

/// What the code of a built-in kind finds.
fn own_errors(served: &ServedResource, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    if !definition_write::is_definition(served) {
        return builtin::validation::validate(&served.resource, object, old);
    }
    // A write of the status alone is not judged, so that stored versions can be migrated.
    if old.is_some_and(|old| old["spec"] == object["spec"] && old["status"] != object["status"]) {
        return Vec::new();
    }
    custom_resource_definition::validate(object, old)
}

const RULES_NOT_CHECKED: &str = "some validation rules were not checked because the object was invalid; correct the \
                                 existing errors to complete validation";

/// What is wrong with the numbers that `/scale` shows.
fn scale_errors(paths: &ScalePaths, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for path in [&paths.spec_replicas_path, &paths.status_replicas_path] {
        let wrong = match object.pointer(&path.replace('.', "/")) {
            None | Some(Value::Null) => continue,
            Some(Value::Number(number)) => match number.as_i64() {
                Some(negative @ ..0) => (negative, "should be a non-negative integer".to_owned()),
                _ => continue,
            },
            Some(other) => {
                let (shown, kind) = match other {
                    Value::String(text) => (text.clone(), "string"),
                    Value::Bool(flag) => (flag.to_string(), "bool"),
                    Value::Array(_) => (other.to_string(), "[]interface {}"),
                    _ => (other.to_string(), "map[string]interface {}"),
                };
                (0, format!("{path} accessor error: {shown} is of the type {kind}, expected int64"))
            }
        };
        errors.push(FieldError::invalid(path.as_str(), &wrong.0.into(), &wrong.1));
    }
    errors
}

/// The result of a write.
pub(crate) struct Written {
    pub(crate) object: Document,
    pub(crate) code: StatusCode,
}

/// Changes a stored object: computes from what is there, commits if that is still there, else computes again. `merge`
/// gives the changed object from the current one and is called at least once an attempt; it may ask for the object in
/// other versions of its kind.
///
/// A change that leaves the object as it is writes nothing. One that takes the last finalizer of an object being
/// deleted removes it.
///
/// # Errors
/// 404 without an object, 409 where the merged object names another revision or uid, and what completing refuses.
pub(crate) async fn update_object(
    context: &RequestContext<'_>,
    key: ObjectKey,
    scope: WriteScope,
    writer: &Writer,
    dry_run: bool,
    mut merge: impl FnMut(&Value, &ServedVersions<'_>) -> Result<Merged, ApiError>,
) -> Result<Written, ApiError> {
    let served = &*context.served;
    let group_resource = served.resource.group_resource();
    let not_found = || ApiError::not_found(&group_resource, &key.name);
    let review = Review::of(context.plane, served, &key, Operation::Update, scope, writer.requester.as_ref());
    for _ in 0..ATTEMPTS {
        let stored = context.plane.get(&key)?.ok_or_else(not_found)?;
        let old_document = present(served, &stored.json, stored.revision).await?;
        let old = old_document.clone().into_value()?;
        let versions = ServedVersions::of(context.plane, served);
        let mut merged = versions.run(|| merge(&old, &versions)).await?;
        check_preconditions(&group_resource, &old, merged.object_mut())?;
        // What is stored went through everything below already, but for what webhooks think of it now: most writes of
        // controllers end here.
        let is_current = is_current_storage(served, &stored.json);
        if review.is_none() && is_current && apply::equal_except_managed_time(&old, merged.object()) {
            return Ok(Written { object: old_document, code: StatusCode::OK });
        }
        certificate_request::prepare_update(context, scope, &old, &mut merged)?;
        escalation::check(context, merged.object(), Some(&old))?;
        let new = complete_update(context.plane, served, &old, merged, scope, writer, review.as_ref()).await?;
        let removed = is_last_finalizer_gone(served, &old, &new);
        if !removed && is_current && apply::equal_except_managed_time(&old, &new) {
            return Ok(Written { object: old_document, code: StatusCode::OK });
        }
        if dry_run {
            return Ok(Written { object: Document::Value(new), code: StatusCode::OK });
        }
        // What goes is what was stored, as watches show it; who took the last finalizer sees what was left of it.
        let (change, remains) = if removed {
            (Change::Delete(convert_to_stored(served, old).await?), Some(new))
        } else {
            (Change::Put(convert_to_stored(served, new).await?), None)
        };
        match context.plane.write(key.clone(), change, Expected::Revision(stored.revision)).await {
            Ok(_) if remains.is_some() => {
                let object = Document::Value(remains.unwrap_or_default());
                return Ok(Written { object, code: StatusCode::OK });
            }
            Ok(written) => {
                let object = present(served, &written.json, written.revision).await?;
                return Ok(Written { object, code: StatusCode::OK });
            }
            Err(WriteError::Conflict { .. }) => {}
            Err(WriteError::Missing) => return Err(not_found()),
            Err(error) => return Err(write_error(&error)),
        }
    }
    Err(modified(&group_resource, &key.name))
}

/// The revision a body names is a precondition. Without one the change is based on what is there.
fn check_preconditions(
    resource: &kogge_machinery::resource::GroupResource,
    old: &Value,
    new: &mut Value,
) -> Result<(), ApiError> {
    let Some(metadata) = new.get_mut("metadata").and_then(Value::as_object_mut) else { return Ok(()) };
    let current = &old["metadata"];
    match metadata.get("resourceVersion").and_then(Value::as_str) {
        Some(named) if !named.is_empty() && named != "0" => {
            if named.parse::<u64>().is_err() {
                // kube-apiserver answers 500. It is the client's error, and clients that retry on 5xx would do so for ever.
                let message = format!("strconv.ParseUint: parsing {}: invalid syntax", quote(named));
                return Err(ApiError::bad_request(message));
            }
            if Some(named) != current["resourceVersion"].as_str() {
                return Err(modified(resource, current["name"].as_str().unwrap_or_default()));
            }
        }
        _ => {
            metadata.insert("resourceVersion".to_owned(), current["resourceVersion"].clone());
        }
    }
    Ok(())
}

/// The conflict every client knows.
pub(crate) fn modified(resource: &kogge_machinery::resource::GroupResource, name: &str) -> ApiError {
    ApiError::conflict(
        resource,
        name,
        "the object has been modified; please apply your changes to the latest version and try again",
    )
}

/// Whether what is stored is in the version that is stored now; if not, even an unchanged object is written.
fn is_current_storage(served: &ServedResource, json: &[u8]) -> bool {
    if served.single_version || served.stored_as.resource == "events" {
        return true;
    }
    let resource = &served.resource;
    let stored: Option<Value> = serde_json::from_slice(json).ok();
    stored.is_some_and(|stored| stored["apiVersion"] == resource.stored_api_version().as_str())
}

/// Whether an update completes a deletion (`ShouldDeleteDuringUpdate` of the generic registry).
pub(super) fn is_last_finalizer_gone(served: &ServedResource, old: &Value, new: &Value) -> bool {
    let is_empty = |list: &Value| list.as_array().is_none_or(Vec::is_empty);
    old["metadata"]["deletionTimestamp"].is_string()
        && old["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) == 0
        && is_empty(&new["metadata"]["finalizers"])
        && (!served.is_core("namespaces") || is_empty(&new["spec"]["finalizers"]))
}

/// What a refused commit means for a client.
pub(crate) fn write_error(error: &WriteError) -> ApiError {
    match error {
        WriteError::PlaneGone => ApiError::unknown_path(),
        WriteError::Malformed(text) => ApiError::bad_request(text.clone()),
        other => ApiError::internal(other.to_string()),
    }
}
