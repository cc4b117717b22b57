//! How a write is committed: the loop that computes a change on the state that is there and commits it if it still is.

use http::StatusCode;
use kogge_machinery::{
    admission::Operation,
    apply::{self, FieldManager},
    object_meta,
    status_error::{ApiError, FieldError, quote},
    typed_object,
};
use serde_json::Value;

use super::{
    RequestContext,
    admission::Review,
    answer::Document,
    builtin_admission, certificate_request,
    create::warn,
    escalation, node_restriction,
    object_completion::complete_update,
    other_versions::ServedVersions,
    pod_security, policy_access,
    presentation::{begins_with_version, convert_to_stored, present, present_shared},
    quota_charge::{self, Charge},
    service_endpoints,
    update::needs_revision,
};
use crate::{
    admission::{Requester, Warnings},
    certificate_signing,
    in_process_client::ValidDefinitions,
    registry::ServedResource,
    store::{Change, Expected, ObjectKey, Write, WriteError},
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
    /// A subresource that changes only what its handler lets through (`/scale`, `/finalize`), or
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
    /// For admission; none in a plane that configures none unless it is a node, and for writes that are not put before it.
    pub(crate) requester: Option<Requester>,
    /// Where its warnings are told.
    pub(crate) warnings: Warnings,
    /// Whether definitions it creates are valid, see [`Plane::installer`].
    pub(crate) valid_definitions: bool,
    /// The endpoint through which it creates.
    pub(crate) creates_through: WriteScope,
}

impl Writer {
    pub(crate) fn of(context: &RequestContext<'_>) -> Result<Self, ApiError> {
        let asked = context.plane.admission().current().is_some() || context.user.node_name().is_some();
        let requester = if asked { Some(Requester::of(context)?) } else { None };
        let valid_definitions = context.parts.extensions.get::<ValidDefinitions>().is_some();
        let (manager, warnings) = (context.field_manager()?, context.admission_warnings.clone());
        let creates_through = WriteScope::Main;
        Ok(Self { manager, now: timestamp(context.now), requester, warnings, valid_definitions, creates_through })
    }

    /// For what the server itself does at this [`timestamp`].
    pub(crate) fn own(manager: &str, now: String) -> Self {
        Self {
            manager: manager.to_owned(),
            now,
            requester: None,
            warnings: Warnings::default(),
            valid_definitions: false,
            creates_through: WriteScope::Main,
        }
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
            resets_spec: served.resource.group == certificate_signing::GROUP,
            status_takes_metadata: object_meta::status_takes_metadata(&served.resource),
            status_leaves_metadata: object_meta::status_leaves_metadata(&served.resource),
            now: &self.now,
            empty: None,
            versions,
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
        check_preconditions(served, &old, merged.object_mut(), review.is_some())?;
        // What is stored went through everything below already, but for what webhooks think of it now: most writes of
        // controllers end here.
        let is_current = is_current_storage(served, &stored.json);
        let through_scale = scope == WriteScope::Composed("scale");
        if review.is_none()
            // Even one that changes nothing separates who owns the replicas.
            && !through_scale
            && !apply::has_untimed_owners(&old)
            && !has_transition_rules(served)
            && !node_restriction::concerns(writer.requester.as_ref())
            && is_current
            && apply::equal_except_managed_time(&old, merged.object())
        {
            if scope == WriteScope::Main {
                warn(context, &old, Some(&old));
            }
            pod_security::check(context, scope, Some(&old), &old)?;
            return Ok(Written { object: old_document, code: StatusCode::OK });
        }
        certificate_request::prepare_update(context, scope, &old, &mut merged)?;
        escalation::check(context, merged.object(), Some(&old))?;
        let mut new = complete_update(context.plane, served, &old, merged, scope, writer, review.as_ref()).await?;
        certificate_request::authorize(context, scope, &old, &new)?;
        if scope == WriteScope::Main {
            policy_access::check(context, &new, Some(&old))?;
        }
        if scope == WriteScope::Main || through_scale {
            warn(context, &new, Some(&old));
        }
        pod_security::check(context, scope, Some(&old), &new)?;
        if scope == WriteScope::Main {
            builtin_admission::validate(context.plane, &served.resource, Some(&old), &new)?;
        }
        if let Some(review) = &review {
            review.validate(Some(&old), &new).await?;
            prune_admitted(served, &mut new);
        }
        write_out_numbers(served, &mut new);
        let removed = is_last_finalizer_gone(served, &old, &new);
        let of_quotas = Charge::of(context.plane, served, scope, Some(&old), &new)?;
        if !removed && is_current && apply::equal_except_managed_time(&old, &new) {
            return Ok(Written { object: old_document, code: StatusCode::OK });
        }
        if dry_run {
            if let Some(charge) = &of_quotas {
                charge.check(context.plane)?;
            }
            return Ok(Written { object: Document::Value(new), code: StatusCode::OK });
        }
        // What goes is what was stored, as watches show it; who took the last finalizer sees what was left of it.
        let (change, remains) = if removed {
            (Change::Delete(convert_to_stored(served, old).await?), Some(new))
        } else {
            (Change::Put(convert_to_stored(served, new).await?), None)
        };
        let write = Write { key: key.clone(), change, expected: Expected::Revision(stored.revision) };
        match quota_charge::write(context.plane, of_quotas, write).await? {
            Ok(_) if remains.is_some() => {
                service_endpoints::follow(context.plane, served, &key).await;
                let object = Document::Value(remains.unwrap_or_default());
                return Ok(Written { object, code: StatusCode::OK });
            }
            Ok(written) => {
                let object = present_shared(served, &written.json, written.revision).await?;
                return Ok(Written { object, code: StatusCode::OK });
            }
            Err(WriteError::Conflict { .. }) => {}
            Err(WriteError::Missing) => return Err(not_found()),
            Err(error) => return Err(write_error(&error)),
        }
    }
    Err(modified(&group_resource, &key.name))
}

/// Takes out what webhooks gave a custom object that its schema does not know: validating ones still see it, and it counts as
/// a change.
pub(super) fn prune_admitted(served: &ServedResource, object: &mut Value) {
    if let Some(schema) = served.resource.schema.get().filter(|_| served.resource.custom) {
        schema.prune(object);
    }
}

/// Whether a kind has rules that look at the old state as well: they are asked even where nothing changes.
fn has_transition_rules(served: &ServedResource) -> bool {
    served.resource.custom && served.resource.schema.get().is_some_and(|schema| schema.has_transition_rules())
}

/// Writes numbers of what has no Go type as JSON of Go has them: `3.0` is `3`.
pub(super) fn write_out_numbers(served: &ServedResource, object: &mut Value) {
    if served.resource.custom || served.resource.kind == "CustomResourceDefinition" {
        typed_object::write_out_whole_numbers(object);
    }
}

/// The revision a body names is a precondition. Without one the change is based on what is there, where the kind allows it;
/// what is `reviewed` is told so only afterwards.
fn check_preconditions(served: &ServedResource, old: &Value, new: &mut Value, reviewed: bool) -> Result<(), ApiError> {
    let resource = &served.resource;
    let Some(metadata) = new.get_mut("metadata").and_then(Value::as_object_mut) else { return Ok(()) };
    let current = &old["metadata"];
    match metadata.get("resourceVersion").and_then(Value::as_str) {
        Some(named) if !named.is_empty() && named != "0" => {
            if named.parse::<u64>().is_err() {
                return Err(ApiError::new(
                    500,
                    "",
                    format!("strconv.ParseUint: parsing {}: invalid syntax", quote(named)),
                ));
            }
            if Some(named) != current["resourceVersion"].as_str() {
                return Err(modified(&resource.group_resource(), current["name"].as_str().unwrap_or_default()));
            }
        }
        _ if needs_revision(resource) => {
            let error =
                FieldError::invalid("metadata.resourceVersion", &Value::from(0), "must be specified for an update");
            let name = current["name"].as_str().unwrap_or_default();
            // The real server names the resource, not the kind, in this one message.
            return Err(ApiError::invalid(&resource.group, &resource.plural, name, &[error]));
        }
        _ if reviewed => {}
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
    begins_with_version(resource, &resource.storage_version, json) || {
        let stored: Option<Value> = serde_json::from_slice(json).ok();
        stored.is_some_and(|stored| stored["apiVersion"] == resource.stored_api_version().as_str())
    }
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
