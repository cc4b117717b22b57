//! DELETE of an object and of a collection.
//!
//! The rules are those of the generic registry (`rest.BeforeDelete`, `Store.Delete`): finalizers and a grace period
//! turn a delete into a mark, which the last finalizer or a delete with grace 0 completes.

mod decision;

use axum::body::Body;
use futures::{StreamExt as _, TryStreamExt as _};
use http::{Response, StatusCode};
use kogge_machinery::{
    admission::Operation,
    negotiation::{self, BodyEncoding},
    protobuf,
    resource::GroupResource,
    status_error::{ApiError, FieldError, quote},
    typed_object::TypedKind,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::decision::{Decision, decide};
use super::{
    RequestContext,
    admission::{self, Review},
    answer::{Document, document_response},
    body, dependents,
    get::object_response,
    list::{list_document, list_options, read_page},
    list_options::{Selection, VersionMatch},
    node_restriction,
    object_decoding::named_type,
    object_write::{WriteScope, write_error},
    presentation::{convert_to_stored, present_shared, present_value},
    query::unsupported_dry_run,
    service_endpoints,
};
use crate::{
    admission::Requester,
    audit::Succeeded,
    plane::Plane,
    registry::ServedResource,
    store::{Change, Expected, ObjectKey, StoredObject, WriteError},
};

/// So many objects of a collection are deleted at a time.
const CONCURRENT_DELETES: usize = 64;

/// `DeleteOptions`, from the body or the query.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct DeleteOptions {
    pub(crate) grace_period_seconds: Option<i64>,
    pub(crate) propagation_policy: Option<String>,
    pub(crate) orphan_dependents: Option<bool>,
    pub(crate) preconditions: Option<Preconditions>,
    pub(crate) dry_run: Option<Vec<String>>,
    /// Whether the object is deleted with its collection, by no name.
    #[serde(skip)]
    of_collection: bool,
}

/// What must hold for a delete.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Preconditions {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) uid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) resource_version: Option<String>,
}

impl DeleteOptions {
    pub(crate) fn dry_run(&self) -> bool {
        self.dry_run.as_ref().is_some_and(|stages| !stages.is_empty())
    }

    /// The revision that is a precondition.
    pub(crate) fn revision(&self) -> Option<&str> {
        self.preconditions.as_ref()?.resource_version.as_deref()
    }

    /// Makes a revision a precondition.
    pub(crate) fn set_revision(&mut self, revision: u64) {
        self.preconditions.get_or_insert_default().resource_version = Some(revision.to_string());
    }

    /// Who deletes, if admission has to be asked.
    fn requester(&self, context: &RequestContext<'_>) -> Result<Option<Requester>, ApiError> {
        if context.plane.admission().current().is_none() && context.user.node_name().is_none() {
            return Ok(None);
        }
        let mut requester = Requester::of(context)?;
        requester.dry_run = self.dry_run();
        requester.options = match json!(self) {
            Value::Object(options) => options.into_iter().filter(|(_, value)| !value.is_null()).collect(),
            _ => serde_json::Map::new(),
        };
        Ok(Some(requester))
    }

    fn check(&self) -> Result<(), ApiError> {
        let stages: Vec<&str> = self.dry_run.iter().flatten().map(String::as_str).collect();
        if let Some(error) = unsupported_dry_run(&stages) {
            return Err(invalid_options(error));
        }
        let Some(policy) = &self.propagation_policy else { return Ok(()) };
        if self.orphan_dependents.is_some() {
            let detail = "orphanDependents and deletionPropagation cannot be both set";
            return Err(invalid_options(FieldError::invalid("propagationPolicy", &json!(policy), detail)));
        }
        if !matches!(policy.as_str(), "Background" | "Foreground" | "Orphan") {
            let supported = ["Foreground", "Background", "Orphan", "nil"];
            return Err(invalid_options(FieldError::not_supported("propagationPolicy", &json!(policy), &supported)));
        }
        Ok(())
    }
}

fn invalid_options(error: FieldError) -> ApiError {
    ApiError::invalid("meta.k8s.io", "DeleteOptions", "", &[error])
}

/// The options of a request: those of the body, or without one those of the query.
async fn read_options(context: &RequestContext<'_>, request_body: Body) -> Result<DeleteOptions, ApiError> {
    let bytes = body::read(request_body).await?;
    let mut options = if bytes.is_empty() {
        DeleteOptions::default()
    } else {
        let encoding = negotiation::body_encoding(context.content_type(), false, false)?;
        let value = if encoding == BodyEncoding::Protobuf {
            protobuf::decode(&bytes, ("v1", "DeleteOptions"))?
        } else {
            let decoded = body::decode(&bytes, encoding).map_err(|why| match encoding {
                BodyEncoding::Json => {
                    ApiError::bad_request(format!("couldn't get version/kind; json parse error: {why}"))
                }
                _ => why,
            });
            decoded?.value
        };
        let (api_version, kind) = named_type(&value).map_err(ApiError::bad_request)?;
        if api_version.matches('/').count() > 1 {
            return Err(ApiError::bad_request(format!("unexpected GroupVersion string: {api_version}")));
        }
        if !matches!(kind.as_str(), "" | "DeleteOptions") {
            let api_version = if api_version.is_empty() { "meta.k8s.io/v1" } else { &api_version };
            return Err(ApiError::bad_request(format!(
                "no kind {} is registered for version {} in scheme \"pkg/runtime/scheme.go:111\"",
                quote(&kind),
                quote(api_version)
            )));
        }
        decoded_options(value, &bytes, encoding)?
    };
    if bytes.is_empty() {
        let query = &context.query;
        options.grace_period_seconds = query.number("gracePeriodSeconds")?;
        options.propagation_policy = query.given("propagationPolicy").map(str::to_owned);
        options.orphan_dependents = query.has("orphanDependents").then(|| query.flag("orphanDependents"));
        let given = |name: &str| query.get(name).filter(|text| !text.is_empty()).map(str::to_owned);
        let preconditions = Preconditions { uid: given("uid"), resource_version: given("resourceVersion") };
        if preconditions.uid.is_some() || preconditions.resource_version.is_some() {
            options.preconditions = Some(preconditions);
        }
        if query.dry_run()? {
            options.dry_run = Some(vec!["All".to_owned()]);
        }
    }
    options.check()?;
    Ok(options)
}

/// The options in a body, which are read as Go's type has them; unknown fields are passed over.
fn decoded_options(mut value: Value, bytes: &[u8], encoding: BodyEncoding) -> Result<DeleteOptions, ApiError> {
    if let Some(typed) = TypedKind::of("v1", "DeleteOptions")
        && typed.canonicalize(&mut value).wrong_values
    {
        let written = if encoding == BodyEncoding::Json { None } else { Some(value.to_string()) };
        let again = typed.decode(written.as_ref().map_or(bytes, String::as_bytes));
        value = again.map_err(ApiError::bad_request)?.object;
    }
    serde_json::from_value(value).map_err(|error| ApiError::bad_request(error.to_string()))
}

/// What a delete did.
pub(crate) enum Deleted {
    /// The object is gone; its last state.
    Removed(Value),
    /// The object is marked and still there.
    Marked(Value),
}

/// Answers a delete.
pub(crate) async fn delete(context: &mut RequestContext<'_>, body: Body) -> Result<Response<Body>, ApiError> {
    let options = read_options(context, body).await?;
    let requester = options.requester(context)?;
    context.warnings.extend(dependents::warning(&context.served, &options).map(str::to_owned));
    let deleted = delete_object(context.plane, &context.served, &context.key(), &options, requester.as_ref()).await?;
    match deleted {
        Deleted::Marked(object) => object_response(context, StatusCode::OK, Document::Value(object)),
        Deleted::Removed(object) if returns_deleted_object(&context.served) => {
            object_response(context, StatusCode::OK, Document::Value(object))
        }
        Deleted::Removed(object) => {
            let resource = &context.served.resource;
            let mut details = json!({
                "name": context.name,
                "kind": resource.plural,
                "uid": object["metadata"]["uid"],
            });
            if !resource.group.is_empty() {
                details["group"] = resource.group.as_str().into();
            }
            let status = json!({
                "apiVersion": "v1",
                "kind": "Status",
                "metadata": {},
                "status": "Success",
                "details": details.clone(),
            });
            let mut response = document_response(&context.answer, StatusCode::OK, Document::Value(status))?;
            response.extensions_mut().insert(Succeeded(details));
            Ok(response)
        }
    }
}

/// Answers the delete of everything that is selected: each object as if deleted alone, and the list of them.
pub(crate) async fn delete_collection(
    context: &mut RequestContext<'_>,
    body: Body,
) -> Result<Response<Body>, ApiError> {
    let mut options = read_options(context, body).await?;
    options.of_collection = true;
    let requester = options.requester(context)?;
    context.warnings.extend(dependents::warning(&context.served, &options).map(str::to_owned));
    let mut list_options = list_options(context)?;
    // The real server reads what it deletes page by page, and a page is of the very revision that is asked for.
    list_options.version_match = list_options.version_match.or(Some(VersionMatch::Exact));
    let selection = Selection::parse(&context.query, &context.served.resource)?;
    let page = read_page(context, &list_options, &selection).await?;
    let keys = page
        .items
        .iter()
        .map(|item| {
            let value = item.clone().into_value()?;
            Ok(ObjectKey {
                resource: context.served.stored_as.clone(),
                namespace: value["metadata"]["namespace"].as_str().unwrap_or_default().to_owned(),
                name: value["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
            })
        })
        .collect::<Result<Vec<_>, ApiError>>()?;
    let (plane, served) = (context.plane, &context.served);
    futures::stream::iter(keys)
        .map(|key| {
            let (options, requester) = (&options, requester.as_ref());
            async move {
                match delete_object(plane, served, &key, options, requester).await {
                    Err(error) if error.code() != 404 => Err(error),
                    _ => Ok(()),
                }
            }
        })
        .buffer_unordered(CONCURRENT_DELETES)
        .try_collect::<()>()
        .await?;
    document_response(&context.answer, StatusCode::OK, list_document(context, page)?)
}

/// Deletes an object or marks it for deletion. Without a requester, no webhook is asked.
///
/// # Errors
/// 404 without an object, 409 where a precondition does not hold, 403 for what may not be deleted.
pub(crate) async fn delete_object(
    plane: &Plane,
    served: &ServedResource,
    key: &ObjectKey,
    options: &DeleteOptions,
    requester: Option<&Requester>,
) -> Result<Deleted, ApiError> {
    let resource = served.resource.group_resource();
    admission::admit_delete(served, &key.name)?;
    let review = Review::of(plane, served, key, Operation::Delete, WriteScope::Main, requester);
    loop {
        let stored = plane.get(key)?.ok_or_else(|| ApiError::not_found(&resource, &key.name))?;
        let object = present_value(served, &stored.json, stored.revision).await?;
        check_preconditions(served, &object, options)?;
        let now = jiff::Timestamp::now();
        let decision = decide(served, &object, options, now);
        let written = node_restriction::Written {
            operation: Operation::Delete,
            subresource: "",
            namespace: &key.namespace,
            name: if options.of_collection { "" } else { &key.name },
            object: None,
            old: Some(&object),
        };
        node_restriction::check(plane, served, requester, written)?;
        if let Some(review) = &review {
            review.delete(&object, options.of_collection).await?;
        }
        if options.dry_run() {
            return Ok(match decision {
                Decision::Remove(object) | Decision::MarkAndRemove(object) => Deleted::Removed(object),
                Decision::Keep => Deleted::Marked(object),
                Decision::Mark(object) => Deleted::Marked(object),
            });
        }
        let (new, marks, removes) = match decision {
            Decision::Keep => return Ok(Deleted::Marked(object)),
            Decision::Mark(new) => (new, true, false),
            Decision::MarkAndRemove(new) => (new, true, true),
            Decision::Remove(last) => (last, false, true),
        };
        let new = convert_to_stored(served, new).await?;
        let mut revision = stored.revision;
        if marks {
            match plane.write(key.clone(), Change::Put(new.clone()), Expected::Revision(revision)).await {
                Ok(marked) if removes => {
                    revision = marked.revision;
                    // The real server asks before either of its writes.
                    if let Some(review) = &review {
                        let marked = present_shared(served, &marked.json, revision).await?.into_value()?;
                        review.delete(&marked, options.of_collection).await?;
                    }
                }
                Ok(StoredObject { json, revision, .. }) => {
                    return Ok(Deleted::Marked(present_shared(served, &json, revision).await?.into_value()?));
                }
                Err(WriteError::Conflict { .. }) => continue,
                Err(WriteError::Missing) => return Err(ApiError::not_found(&resource, &key.name)),
                Err(error) => return Err(write_error(&error)),
            }
        }
        match plane.write(key.clone(), Change::Delete(new), Expected::Revision(revision)).await {
            Ok(StoredObject { json, revision, .. }) => {
                let object = present_shared(served, &json, revision).await?.into_value()?;
                service_endpoints::follow(plane, served, key).await;
                return Ok(Deleted::Removed(object));
            }
            Err(WriteError::Conflict { .. }) => {}
            // Somebody else was faster with what was marked.
            Err(WriteError::Missing) if marks => return Ok(Deleted::Removed(object)),
            Err(WriteError::Missing) => return Err(ApiError::not_found(&resource, &key.name)),
            Err(error) => return Err(write_error(&error)),
        }
    }
}

/// Refuses the delete of another object, or of another state of it, than was asked for.
///
/// # Errors
/// 409 where a precondition does not hold.
pub(crate) fn check_preconditions(
    served: &ServedResource,
    object: &Value,
    options: &DeleteOptions,
) -> Result<(), ApiError> {
    let Some(preconditions) = &options.preconditions else { return Ok(()) };
    let metadata = &object["metadata"];
    for (wanted, field, label, happened) in [
        (&preconditions.uid, "uid", "UID", "deleted and then recreated"),
        (&preconditions.resource_version, "resourceVersion", "ResourceVersion", "modified"),
    ] {
        let found = metadata[field].as_str().unwrap_or_default();
        if let Some(wanted) = wanted
            && wanted != found
        {
            let message = format!(
                "the {label} in the precondition ({wanted}) does not match the {label} in record ({found}). The object \
                 might have been {happened}"
            );
            // The real server names the kind in these two messages.
            let kind = GroupResource { group: served.resource.group.clone(), resource: served.resource.kind.clone() };
            return Err(ApiError::conflict(&kind, metadata["name"].as_str().unwrap_or_default(), &message));
        }
    }
    Ok(())
}

/// Built-in kinds whose delete answers with the object and not with a `Status`.
fn returns_deleted_object(served: &ServedResource) -> bool {
    matches!(
        (served.resource.group.as_str(), served.resource.plural.as_str()),
        (
            "",
            "pods"
                | "services"
                | "serviceaccounts"
                | "persistentvolumes"
                | "persistentvolumeclaims"
                | "resourcequotas"
                | "podtemplates"
        ) | (
            "storage.k8s.io",
            "csidrivers" | "csinodes" | "storageclasses" | "volumeattachments" | "volumeattributesclasses"
        )
    )
}
