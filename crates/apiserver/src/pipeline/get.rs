//! GET of one object.

use axum::body::Body;
use http::{Response, StatusCode};
use kogge_machinery::{negotiation::Representation, status_error::ApiError};

use super::{
    RequestContext,
    answer::{Document, document_response},
    list::not_that_metadata,
    list_options::parse_resource_version,
    presentation::{include_object, present, represent},
};
use crate::store::StoredObject;

/// Answers a GET; also the GET of `/status`, which shows the whole object.
pub(crate) async fn get(context: &RequestContext<'_>) -> Result<Response<Body>, ApiError> {
    if let Some(wanted) = context.query.get("resourceVersion").map(parse_resource_version).transpose()? {
        let current = context.plane.store().revision();
        if wanted > current {
            return Err(ApiError::resource_version_too_large(wanted, current));
        }
    }
    let stored = load(context)?;
    let object = present(&context.served, &stored.json, stored.revision).await?;
    object_response(context, StatusCode::OK, object)
}

/// The stored object a request names.
///
/// # Errors
/// 404 if there is none.
pub(crate) fn load(context: &RequestContext<'_>) -> Result<StoredObject, ApiError> {
    context
        .plane
        .get(&context.key())?
        .ok_or_else(|| ApiError::not_found(&context.served.resource.group_resource(), &context.name))
}

/// An object in the representation and encoding the client asked for.
pub(crate) fn object_response(
    context: &RequestContext<'_>,
    code: StatusCode,
    object: Document,
) -> Result<Response<Body>, ApiError> {
    if context.answer.representation == Representation::PartialObjectMetadataList {
        return Err(not_that_metadata(context, false));
    }
    let include = include_object(&context.query, &context.answer)?;
    let document = represent(&context.served, &context.answer, include, true, object, context.now)?;
    document_response(&context.answer, code, document)
}
