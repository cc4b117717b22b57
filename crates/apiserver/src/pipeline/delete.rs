//! DELETE of an object and of a collection.
//!
//! The rules are those of the generic registry (`rest.BeforeDelete`, `Store.Delete`): finalizers and a grace period
//! turn a delete into a mark, which the last finalizer or a delete with grace 0 completes.

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

use super::{
    RequestContext,
    admission::{self, Review},
    answer::{Document, document_response},
    body, definition_write, dependents,
    get::object_response,
    list::{list_document, list_options, read_page},
    list_options::{Selection, VersionMatch},
    node_restriction,
    object_decoding::named_type,
    object_write::{WriteScope, timestamp, write_error},
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

/// Grace of a pod that names none (`terminationGracePeriodSeconds`), in seconds.
const DEFAULT_POD_GRACE: i64 = 30;
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
    dry_run: Option<Vec<String>>,
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
    fn dry_run(&self) -> bool {
        self.dry_run.as_ref().is_some_and(|stages| !stages.is_empty())
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
            review.delete(&object).await?;
        }
        if options.dry_run() {
            return Ok(match decision {
                Decision::Remove(object) => Deleted::Removed(object),
                Decision::Keep => Deleted::Marked(object),
                Decision::Mark(object) => Deleted::Marked(object),
            });
        }
        let change = match decision {
            Decision::Keep => return Ok(Deleted::Marked(object)),
            Decision::Mark(marked) => Change::Put(convert_to_stored(served, marked).await?),
            Decision::Remove(last) => Change::Delete(convert_to_stored(served, last).await?),
        };
        let removes = matches!(change, Change::Delete(_));
        match plane.write(key.clone(), change, Expected::Revision(stored.revision)).await {
            Ok(StoredObject { json, revision, .. }) => {
                let object = present_shared(served, &json, revision).await?.into_value()?;
                if removes {
                    service_endpoints::follow(plane, served, key).await;
                }
                return Ok(if removes { Deleted::Removed(object) } else { Deleted::Marked(object) });
            }
            Err(WriteError::Conflict { .. }) => {}
            Err(WriteError::Missing) => return Err(ApiError::not_found(&resource, &key.name)),
            Err(error) => return Err(write_error(&error)),
        }
    }
}

fn check_preconditions(served: &ServedResource, object: &Value, options: &DeleteOptions) -> Result<(), ApiError> {
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

/// What a delete does to an object.
#[derive(Debug, PartialEq)]
enum Decision {
    /// It is being deleted already and nothing changes.
    Keep,
    Mark(Value),
    Remove(Value),
}

fn decide(served: &ServedResource, object: &Value, options: &DeleteOptions, now: jiff::Timestamp) -> Decision {
    let mut new = object.clone();
    let is_marked = object["metadata"]["deletionTimestamp"].is_string();
    if definition_write::is_definition(served) && !is_marked {
        definition_write::mark_terminating(&mut new, &timestamp(now));
    }
    let finalizers = dependents::finalizers(served, &new, options);
    let finalizers_changed = new["metadata"]["finalizers"].as_array().map_or(&[][..], Vec::as_slice) != finalizers;
    if let Some(metadata) = new["metadata"].as_object_mut() {
        if finalizers.is_empty() {
            metadata.remove("finalizers");
        } else {
            metadata.insert("finalizers".to_owned(), finalizers.clone().into());
        }
    }
    let namespace_content = served.is_core("namespaces")
        && new["spec"]["finalizers"].as_array().is_some_and(|finalizers| !finalizers.is_empty());
    let grace = grace_period(served, object, options);
    let known_grace = object["metadata"]["deletionGracePeriodSeconds"].as_i64();
    // A later delete may only shorten the grace of an earlier one.
    let grace = if is_marked { grace.min(known_grace.unwrap_or(0)) } else { grace };
    if finalizers.is_empty() && !namespace_content && grace == 0 {
        return Decision::Remove(new);
    }
    if is_marked {
        let shortened = grace < known_grace.unwrap_or(0);
        if shortened {
            mark(&mut new, served, grace, now, false);
        }
        return if shortened || finalizers_changed { Decision::Mark(new) } else { Decision::Keep };
    }
    mark(&mut new, served, grace, now, true);
    Decision::Mark(new)
}

fn mark(object: &mut Value, served: &ServedResource, grace: i64, now: jiff::Timestamp, first: bool) {
    let at = now.checked_add(jiff::SignedDuration::from_secs(grace)).unwrap_or(now);
    object["metadata"]["deletionTimestamp"] = timestamp(at).into();
    // Namespaces and definitions are marked by code of their own, which sets the time alone.
    let alone = served.is_core("namespaces") || definition_write::is_definition(served);
    if !alone {
        object["metadata"]["deletionGracePeriodSeconds"] = grace.into();
    }
    if first
        && !alone
        && let Some(generation) = object["metadata"]["generation"].as_i64().filter(|generation| *generation > 0)
    {
        object["metadata"]["generation"] = (generation + 1).into();
    }
    if served.is_core("namespaces") {
        match object["status"].as_object_mut() {
            Some(status) => drop(status.insert("phase".to_owned(), "Terminating".into())),
            None => object["status"] = json!({"phase": "Terminating"}),
        }
    }
}

/// Seconds the object may live on. Only pods that a kubelet may still run have any.
fn grace_period(served: &ServedResource, object: &Value, options: &DeleteOptions) -> i64 {
    if !served.is_core("pods") {
        return 0;
    }
    let runs_nowhere = object["spec"]["nodeName"].as_str().is_none_or(str::is_empty);
    let ended = matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    if runs_nowhere || ended {
        return 0;
    }
    let own = object["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(DEFAULT_POD_GRACE);
    match options.grace_period_seconds.unwrap_or(own) {
        // A negative period means one second, as the real server has it.
        seconds if seconds < 0 => 1,
        seconds => seconds,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn served(plural: &str) -> std::sync::Arc<ServedResource> {
        crate::registry::Registry::default().find("", "v1", plural).unwrap()
    }

    fn options(value: Value) -> DeleteOptions {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_pod_on_a_node_gets_its_grace_and_a_forced_delete_ends_it() {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let pod = json!({"metadata": {"name": "a"}, "spec": {"nodeName": "n", "terminationGracePeriodSeconds": 5}});
        let Decision::Mark(marked) = decide(&served("pods"), &pod, &DeleteOptions::default(), now) else {
            panic!("a pod with a node is marked")
        };
        assert_eq!(marked["metadata"]["deletionTimestamp"], "2026-01-01T00:00:05Z");
        assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 5);
        assert_eq!(decide(&served("pods"), &marked, &DeleteOptions::default(), now), Decision::Keep);
        let forced = decide(&served("pods"), &marked, &options(json!({"gracePeriodSeconds": 0})), now);
        assert!(matches!(forced, Decision::Remove(_)));
        let unscheduled = json!({"metadata": {"name": "a"}, "spec": {}});
        assert!(matches!(decide(&served("pods"), &unscheduled, &DeleteOptions::default(), now), Decision::Remove(_)));
    }
}
