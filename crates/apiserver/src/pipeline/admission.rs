//! Admission: where a write may be refused, or changed, by more than its schema.
//!
//! [`admit`] runs for every create, also in a dry run, before anything else; [`admit_delete`] before a delete. What
//! webhooks have to say is in [`crate::admission`]; [`Review`] is how the stages of a write ask it, if at all.

use kogge_machinery::{
    admission::{GroupVersionName, Operation},
    object_meta,
    status_error::ApiError,
    typed_object::TypedKind,
};
use kube_core::response::StatusCause;
use serde_json::Value;

use super::{
    RequestContext, node_restriction,
    object_decoding::typed_kind,
    object_write::{WriteScope, Writer},
    reviews::is_review,
    scale,
};
use crate::{
    admission::{Attributes, Mutated, Requester, concerns},
    plane::{Plane, parse_stored},
    registry::ServedResource,
    store::ObjectKey,
};

/// Namespaces that may not be deleted (the real server's `NamespaceLifecycle`).
const IMMORTAL_NAMESPACES: [&str; 3] = ["default", "kube-system", "kube-public"];

/// Refuses writes the state of the plane does not allow. `old` is absent for a create.
///
/// # Errors
/// 404 without the object's namespace, 403 while it is being deleted.
pub(crate) fn admit(
    plane: &Plane,
    served: &ServedResource,
    old: Option<&Value>,
    object: &Value,
) -> Result<(), ApiError> {
    if old.is_none() && served.resource.namespaced {
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
        require_active_namespace(plane, served, text("namespace"), text("name"))?;
    }
    Ok(())
}

fn require_active_namespace(
    plane: &Plane,
    served: &ServedResource,
    namespace: &str,
    name: &str,
) -> Result<(), ApiError> {
    let namespaces =
        kogge_machinery::resource::GroupResource { group: String::new(), resource: "namespaces".to_owned() };
    let key = ObjectKey { resource: namespaces.clone(), namespace: String::new(), name: namespace.to_owned() };
    let Some(stored) = plane.get(&key)? else { return Err(ApiError::not_found(&namespaces, namespace)) };
    if !contains(&stored.json, b"\"deletionTimestamp\"") {
        return Ok(());
    }
    let parsed: Value = parse_stored(&stored.json)?;
    if !parsed["metadata"]["deletionTimestamp"].is_string() {
        return Ok(());
    }
    let mut error = ApiError::forbidden(
        &served.resource.group_resource(),
        name,
        &format!("unable to create new content in namespace {namespace} because it is being terminated"),
    );
    if let Some(details) = &mut error.0.details {
        details.causes.push(StatusCause {
            reason: "NamespaceTerminating".to_owned(),
            message: format!("namespace {namespace} is being terminated"),
            field: "metadata.namespace".to_owned(),
        });
    }
    Err(error)
}

pub(super) fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// Refuses the delete of what everything else depends on.
///
/// # Errors
/// 403 for the namespaces every cluster has.
pub(crate) fn admit_delete(served: &ServedResource, name: &str) -> Result<(), ApiError> {
    if served.is_core("namespaces") && IMMORTAL_NAMESPACES.contains(&name) {
        return Err(ApiError::forbidden(&served.resource.group_resource(), name, "this namespace may not be deleted"));
    }
    Ok(())
}

impl Requester {
    /// Who makes a request, with the options of its query.
    pub(crate) fn of(context: &RequestContext<'_>) -> Result<Self, ApiError> {
        let mut options = serde_json::Map::new();
        let dry_run = context.query.dry_run()?;
        if dry_run {
            options.insert("dryRun".to_owned(), Value::from(vec!["All"]));
        }
        for name in ["fieldManager", "fieldValidation"] {
            if let Some(value) = context.query.get(name) {
                options.insert(name.to_owned(), value.into());
            }
        }
        Ok(Self {
            user: context.user.clone(),
            dry_run,
            options,
            warnings: context.admission_warnings.clone(),
            audit_annotations: context.audit_annotations.clone(),
        })
    }
}

/// What webhooks are asked about one write. There is none where no webhook is concerned.
pub(crate) struct Review<'a> {
    attributes: Attributes<'a>,
    scope: WriteScope,
}

impl<'a> Review<'a> {
    /// The review of a write through an endpoint, if any webhook is concerned.
    pub(crate) fn of(
        plane: &'a Plane,
        served: &'a ServedResource,
        key: &'a ObjectKey,
        operation: Operation,
        scope: WriteScope,
        requester: Option<&'a Requester>,
    ) -> Option<Self> {
        let requester = requester?;
        // Requests for a namespace are in the namespace.
        let namespace = if served.is_core("namespaces") { &key.name } else { &key.namespace };
        let subresource = scope.subresource();
        if !concerns(plane, served, operation, subresource, namespace) {
            return None;
        }
        let body_kind = (scope == WriteScope::Composed("scale")).then(|| kind("autoscaling", "v1", "Scale"));
        let name = &key.name;
        let attributes = Attributes { plane, served, operation, subresource, body_kind, namespace, name, requester };
        Some(Self { attributes, scope })
    }

    /// Puts an object before the mutating webhooks. Says whether it has to be completed again.
    ///
    /// # Errors
    /// Where one denies, and 500 where one makes something else of the object than one of its kind.
    pub(crate) async fn mutate(&self, old: Option<&Value>, object: Value) -> Result<Mutated, ApiError> {
        if let (WriteScope::Composed("scale"), Some(paths)) = (self.scope, &self.attributes.served.resource.scale) {
            let old_scale = old.map(|old| scale::scale_of(paths, old));
            let mutated = self.attributes.mutate(old_scale.as_ref(), scale::scale_of(paths, &object)).await?;
            let mut object = object;
            if mutated.patched {
                scale::set_replicas(paths, &mut object, mutated.object["spec"]["replicas"].clone());
            }
            return Ok(Mutated { object, patched: mutated.patched });
        }
        let before = object["metadata"]["managedFields"].clone();
        let mut mutated = self.attributes.mutate(old, object).await?;
        if mutated.patched {
            if let Some(typed) = typed_kind(self.attributes.served) {
                decode_again(typed, &mut mutated.object)?;
            }
            if mutated.object["metadata"]["managedFields"] != before {
                self.keep_valid_managed_fields(before, &mut mutated.object);
            }
        }
        Ok(mutated)
    }

    /// A webhook may edit ownership, but not break it.
    fn keep_valid_managed_fields(&self, before: Value, object: &mut Value) {
        let errors = object_meta::validate_metadata(&self.attributes.served.resource, object);
        let Some(error) = errors.iter().find(|error| error.field.starts_with("metadata.managedFields")) else { return };
        self.attributes.requester.warnings.push(format!(
            ".metadata.managedFields was in an invalid state after admission; this could be caused by an outdated \
             mutating admission controller; please fix your requests: {error}"
        ));
        if before.is_null() {
            if let Some(metadata) = object["metadata"].as_object_mut() {
                metadata.remove("managedFields");
            }
        } else {
            object["metadata"]["managedFields"] = before;
        }
    }

    /// Puts a complete object before the validating webhooks.
    ///
    /// # Errors
    /// Where one denies.
    pub(crate) async fn validate(&self, old: Option<&Value>, object: &Value) -> Result<(), ApiError> {
        if let (WriteScope::Composed("scale"), Some(paths)) = (self.scope, &self.attributes.served.resource.scale) {
            let old_scale = old.map(|old| scale::scale_of(paths, old));
            return self.attributes.validate(old_scale.as_ref(), Some(&scale::scale_of(paths, object))).await;
        }
        // A generated name is known by now.
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let attributes = Attributes { name, body_kind: None, ..self.attributes };
        attributes.validate(old, Some(object)).await
    }

    /// Puts a delete before all webhooks. With its collection an object is deleted without its name being requested.
    ///
    /// # Errors
    /// Where one denies.
    pub(crate) async fn delete(&self, old: &Value, of_collection: bool) -> Result<(), ApiError> {
        let name = if of_collection { "" } else { self.attributes.name };
        Attributes { name, body_kind: None, ..self.attributes }.admit_delete(old).await
    }
}

/// Brings what a webhook patched into the form of its kind.
///
/// # Errors
/// 500 where it is no object of the kind.
fn decode_again(typed: TypedKind, object: &mut Value) -> Result<(), ApiError> {
    if typed.canonicalize(object).wrong_values
        && let Err(why) = typed.decode(object.to_string().as_bytes())
    {
        return Err(ApiError::internal(why));
    }
    Ok(())
}

/// The create of something that is not stored itself, a body of a subresource or a review, before admission.
pub(crate) struct UnstoredCreate<'a> {
    pub(crate) context: &'a RequestContext<'a>,
    pub(crate) writer: &'a Writer,
    pub(crate) subresource: &'a str,
    pub(crate) body_kind: GroupVersionName,
}

impl UnstoredCreate<'_> {
    /// What mutating admission makes of the body.
    ///
    /// # Errors
    /// 404 without the namespace, 403 while it is being deleted, where a node may not do this, or a webhook denies.
    pub(crate) async fn mutate(&self, body: Value) -> Result<Value, ApiError> {
        let RequestContext { plane, served, namespace, name, .. } = self.context;
        // Who may do what can be asked in any namespace.
        if !is_review(served) {
            require_active_namespace(plane, served, namespace, name)?;
        }
        let Some(requester) = &self.writer.requester else { return Ok(body) };
        let written = node_restriction::Written {
            operation: Operation::Create,
            subresource: self.subresource,
            namespace: &self.context.namespace,
            name: &self.context.name,
            object: Some(&body),
            old: None,
        };
        node_restriction::check(self.context.plane, &self.context.served, Some(requester), written)?;
        let Some(attributes) = self.attributes() else { return Ok(body) };
        let mut mutated = attributes.mutate(None, body).await?;
        let GroupVersionName { group, version, name } = &self.body_kind;
        let api_version = if group.is_empty() { version.clone() } else { format!("{group}/{version}") };
        if mutated.patched
            && let Some(typed) = TypedKind::of(&api_version, name)
        {
            decode_again(typed, &mut mutated.object)?;
        }
        Ok(mutated.object)
    }

    /// Puts the complete object before validating admission.
    ///
    /// # Errors
    /// Where a policy or a webhook denies.
    pub(crate) async fn validate(&self, object: &Value) -> Result<(), ApiError> {
        match self.attributes() {
            Some(attributes) => attributes.validate(None, Some(object)).await,
            None => Ok(()),
        }
    }

    /// Those of the request, if any webhook or policy is concerned.
    fn attributes(&self) -> Option<Attributes<'_>> {
        let Self { context, writer, subresource, ref body_kind } = *self;
        let requester = writer.requester.as_ref()?;
        let (namespace, name) = (context.namespace.as_str(), context.name.as_str());
        concerns(context.plane, &context.served, Operation::Create, subresource, namespace).then(|| Attributes {
            plane: context.plane,
            served: &context.served,
            operation: Operation::Create,
            subresource,
            body_kind: Some(body_kind.clone()),
            namespace,
            name,
            requester,
        })
    }
}

/// A kind by its parts.
pub(crate) fn kind(group: &str, version: &str, name: &str) -> GroupVersionName {
    GroupVersionName { group: group.to_owned(), version: version.to_owned(), name: name.to_owned() }
}
