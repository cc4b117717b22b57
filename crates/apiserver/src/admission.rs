//! Dynamic admission: the webhooks a plane's users register are asked about writes.
//!
//! The order is that of the real server: mutating policies and webhooks one after the other, then (the object is complete and valid)
//! validating ones all at once. What is asked and what the answers mean is in `kogge_machinery::admission`. A plane
//! without configurations pays one pointer read a write.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use kogge_machinery::{
    admission::{GroupVersionName, Operation, RequestedResource},
    resource::{GroupResource, ResourceType},
    status_error::ApiError,
    typed_object::TypedKind,
};
use serde_json::{Map, Value};

use crate::{
    audit::Annotations,
    authentication::User,
    builtin::{autoscaler_conversion, event_conversion},
    plane::Plane,
    registry::ServedResource,
    store::ObjectKey,
};

mod configurations;
mod mutating_policies;
mod mutation;
mod policies;
mod webhooks;

pub(crate) use configurations::{Configurations, is_configuration};

/// Texts for `Warning` headers that webhooks and policies give while a write is under way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    pub(crate) fn push(&self, text: impl Into<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(text.into());
    }

    /// Takes what was said so far.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// In whose name a write is made, and with which options.
#[derive(Clone, Debug)]
pub(crate) struct Requester {
    pub(crate) user: User,
    pub(crate) dry_run: bool,
    /// The options of the request without `apiVersion` and `kind`.
    pub(crate) options: Map<String, Value>,
    pub(crate) warnings: Warnings,
    pub(crate) audit_annotations: Annotations,
}

impl Requester {
    /// One of the server's own controllers.
    pub(crate) fn controller(name: &str) -> Self {
        let mut user = User::in_process();
        user.name = format!("system:serviceaccount:kube-system:{name}");
        user.groups = ["system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"]
            .map(str::to_owned)
            .to_vec();
        Self {
            user,
            dry_run: false,
            options: Map::new(),
            warnings: Warnings::default(),
            audit_annotations: Annotations::default(),
        }
    }

    /// Who asks for a connection, which has no options.
    pub(crate) fn connecting(user: User, audit_annotations: Annotations) -> Self {
        let (options, warnings) = (Map::new(), Warnings::default());
        Self { user, dry_run: false, options, warnings, audit_annotations }
    }

    /// The options object of an operation.
    fn options(&self, operation: Operation) -> Value {
        let kind = match operation {
            Operation::Create => "CreateOptions",
            Operation::Update => "UpdateOptions",
            Operation::Delete => "DeleteOptions",
            Operation::Connect => return Value::Null,
        };
        let mut options = self.options.clone();
        options.insert("apiVersion".to_owned(), "meta.k8s.io/v1".into());
        options.insert("kind".to_owned(), kind.into());
        Value::Object(options)
    }
}

/// Whether admission has anything to say about writes to a resource. If not, nothing of this module needs to be called.
pub(crate) fn concerns(
    plane: &Plane,
    served: &ServedResource,
    operation: Operation,
    subresource: &str,
    namespace: &str,
) -> bool {
    let Some(configured) = plane.admission().current() else { return false };
    if is_configuration(&served.resource.group, &served.resource.plural) {
        return false;
    }
    let concerned = |served: &ServedResource| {
        let resource = resource_of(&served.resource);
        configured.may_concern(&RequestedResource { operation, resource: &resource, subresource, namespace, name: "" })
    };
    concerned(served) || (is_event(served) && plane.registry().equivalents(served).iter().any(|other| concerned(other)))
}

/// Events are one resource in two groups.
fn is_event(served: &ServedResource) -> bool {
    served.stored_as.resource == "events" && !served.resource.custom
}

fn resource_of(resource: &ResourceType) -> GroupVersionName {
    let ResourceType { group, version, plural, .. } = resource;
    GroupVersionName { group: group.clone(), version: version.clone(), name: plural.clone() }
}

fn kind_of(resource: &ResourceType) -> GroupVersionName {
    let ResourceType { group, version, kind, .. } = resource;
    GroupVersionName { group: group.clone(), version: version.clone(), name: kind.clone() }
}

/// One request to admit.
pub(crate) struct Attributes<'a> {
    pub(crate) plane: &'a Plane,
    pub(crate) served: &'a ServedResource,
    pub(crate) operation: Operation,
    /// Empty for the object itself.
    pub(crate) subresource: &'a str,
    /// Kind of the body where it is not the resource's own (`Scale`, `Eviction`).
    pub(crate) body_kind: Option<GroupVersionName>,
    /// Empty for cluster-scoped objects; of a namespace itself: its name.
    pub(crate) namespace: &'a str,
    /// Empty where it is still to be generated.
    pub(crate) name: &'a str,
    pub(crate) requester: &'a Requester,
}

/// What mutating admission made of an object.
pub(crate) struct Mutated {
    pub(crate) object: Value,
    /// Whether any webhook sent a patch: the object must then be completed again.
    pub(crate) patched: bool,
}

impl Attributes<'_> {
    /// Asks the mutating policies and webhooks about a create or an update.
    ///
    /// # Errors
    /// Where one denies, or can not be asked and its failures count.
    pub(crate) async fn mutate(&self, old: Option<&Value>, object: Value) -> Result<Mutated, ApiError> {
        match self.plane.admission().current() {
            Some(configured) => mutation::mutate(self, &configured, old, object).await,
            None => Ok(Mutated { object, patched: false }),
        }
    }

    /// Holds a request against policies, then asks the validating webhooks. `object` is absent for a delete.
    ///
    /// # Errors
    /// As [`Self::mutate`].
    pub(crate) async fn validate(&self, old: Option<&Value>, object: Option<&Value>) -> Result<(), ApiError> {
        match self.plane.admission().current() {
            Some(configured) => {
                policies::validate(self, configured.policies(), old, object).await?;
                webhooks::validate(self, configured.validating(), old, object).await
            }
            None => Ok(()),
        }
    }

    /// Asks all webhooks about a delete.
    ///
    /// # Errors
    /// As [`Self::mutate`].
    pub(crate) async fn admit_delete(&self, old: &Value) -> Result<(), ApiError> {
        if let Some(configured) = self.plane.admission().current() {
            webhooks::mutate_delete(self, configured.mutating(), old).await?;
        }
        self.validate(Some(old), None).await
    }

    /// The request as rules see it, for a version of its resource.
    fn request<'r>(&'r self, resource: &'r GroupVersionName) -> RequestedResource<'r> {
        let Self { operation, subresource, namespace, name, .. } = *self;
        RequestedResource { operation, resource, subresource, namespace, name }
    }

    /// What a policy's refusal calls the object: what has no name yet is called as its name will begin, and those of a
    /// collection that is deleted have none.
    fn called<'o>(&'o self, object: Option<&'o Value>) -> &'o str {
        let given = |field: &str| object.and_then(|object| object["metadata"][field].as_str());
        [Some(self.name), given("name"), given("generateName")]
            .into_iter()
            .flatten()
            .find(|name| !name.is_empty())
            .unwrap_or("Unknown")
    }

    fn kind(&self) -> GroupVersionName {
        self.body_kind.clone().unwrap_or_else(|| kind_of(&self.served.resource))
    }

    /// The labels that namespace selectors look at; none where the request is about no namespace.
    fn namespace_labels(&self, object: Option<&Value>) -> Result<Option<Map<String, Value>>, ApiError> {
        let is_namespace = self.served.is_core("namespaces");
        if self.namespace.is_empty() && !is_namespace {
            return Ok(None);
        }
        let labels = |object: &Value| object["metadata"]["labels"].as_object().cloned().unwrap_or_default();
        let writes = matches!(self.operation, Operation::Create | Operation::Update);
        if let (true, true, "", Some(object)) = (is_namespace, writes, self.subresource, object) {
            return Ok(Some(labels(object)));
        }
        self.namespace_object().map(|namespace| Some(labels(&namespace)))
    }

    /// The stored namespace of the request.
    fn namespace_object(&self) -> Result<Value, ApiError> {
        let resource = GroupResource { group: String::new(), resource: "namespaces".to_owned() };
        let key = ObjectKey { resource, namespace: String::new(), name: self.namespace.to_owned() };
        self.plane.get_value(&key)?.ok_or_else(|| ApiError::not_found(&key.resource, &key.name))
    }
}

/// An object of a request in the versions that webhooks want it in.
struct Versions<'a> {
    served: &'a ServedResource,
    original: &'a Value,
    converted: HashMap<String, Value>,
}

impl<'a> Versions<'a> {
    fn of(served: &'a ServedResource, original: &'a Value) -> Self {
        Self { served, original, converted: HashMap::new() }
    }

    /// Makes the object known in the version of `target`.
    async fn prepare(&mut self, target: &ServedResource) -> Result<(), ApiError> {
        let version = target.resource.api_version();
        if version != self.served.resource.api_version() && !self.converted.contains_key(&version) {
            let object = convert(self.served, target, self.original.clone()).await?;
            self.converted.insert(version, object);
        }
        Ok(())
    }

    /// The object in a version that was prepared.
    fn in_version(&self, target: &ServedResource) -> &Value {
        self.converted.get(&target.resource.api_version()).unwrap_or(self.original)
    }
}

/// An object of a request in another served version of its kind.
async fn convert(from: &ServedResource, to: &ServedResource, mut object: Value) -> Result<Value, ApiError> {
    let api_version = to.resource.api_version();
    if from.resource.api_version() == api_version {
        return Ok(object);
    }
    if is_event(from) {
        let mut event = if to.resource.group.is_empty() {
            event_conversion::to_core_group(object)
        } else {
            event_conversion::to_events_group(object)
        };
        if let Some(typed) = TypedKind::of(&api_version, &to.resource.kind) {
            typed.canonicalize(&mut event);
        }
        return Ok(event);
    }
    if from.is("autoscaling", "horizontalpodautoscalers") {
        return Ok(if autoscaler_conversion::is_older(&to.resource) {
            autoscaler_conversion::to_older(object)
        } else {
            autoscaler_conversion::to_newer(object)
        });
    }
    let Some(converter) = &from.converter else {
        object["apiVersion"] = api_version.into();
        return Ok(object);
    };
    let mut object = converter.convert(object, &api_version).await?;
    if let Some(schema) = to.resource.schema.get() {
        schema.prune(&mut object);
    }
    Ok(object)
}
