//! What lies below an object: status, scale, finalize and approval here; those of pods that are no part of one in their own module.

use axum::body::Body;
use http::Response;
use kogge_machinery::status_error::ApiError;

use super::{
    RequestContext, ephemeral_containers, get, object_write::WriteScope, patch, pod_resize, pod_subresources, scale,
    token_request, update,
};

/// Answers a request for a subresource.
///
/// # Errors
/// 404 for one the kind does not have, 405 for a verb it does not have.
pub(crate) async fn handle(
    context: &mut RequestContext<'_>,
    subresource: &str,
    verb: &'static str,
    body: Body,
) -> Result<Response<Body>, ApiError> {
    let served = context.served.clone();
    let resource = &served.resource;
    match subresource {
        "status" if resource.status_subresource => {
            whole_object(context, verb, body, WriteScope::Status("status")).await
        }
        "scale" => match &resource.scale {
            Some(paths) => scale::handle(context, paths, verb, body).await,
            None => Err(without_subresource(context)),
        },
        // The last finalizer to go takes the namespace with it.
        "finalize" if served.is_core("namespaces") => match verb {
            "update" => update::update_scope(context, body, WriteScope::Composed("finalize")).await,
            _ => Err(wrong_method(context, verb)),
        },
        "approval" if served.is("certificates.k8s.io", "certificatesigningrequests") => {
            whole_object(context, verb, body, WriteScope::Status("approval")).await
        }
        "token" if served.is_core("serviceaccounts") && verb == "create" => token_request::create(context, body).await,
        ephemeral_containers::SUBRESOURCE if served.is_core("pods") => {
            whole_object(context, verb, body, WriteScope::Composed(ephemeral_containers::SUBRESOURCE)).await
        }
        pod_resize::SUBRESOURCE if served.is_core("pods") => {
            whole_object(context, verb, body, WriteScope::Composed(pod_resize::SUBRESOURCE)).await
        }
        _ if served.is_core("pods") => pod_subresources::handle(context, subresource, verb, body).await,
        _ => Err(without_subresource(context)),
    }
}

/// 404: of a custom resource it is the object that is not found, of a built-in kind the path.
fn without_subresource(context: &RequestContext<'_>) -> ApiError {
    let resource = &context.served.resource;
    if resource.custom {
        ApiError::not_found(&resource.group_resource(), &context.name)
    } else {
        ApiError::unknown_path()
    }
}

/// 405: of built-in kinds in the words of the router, which knows the methods of each path.
pub(super) fn wrong_method(context: &RequestContext<'_>, verb: &str) -> ApiError {
    let resource = &context.served.resource;
    if resource.custom {
        ApiError::method_not_supported(&resource.group_resource(), if verb == "unknown" { "" } else { verb })
    } else {
        ApiError::method_not_allowed()
    }
}

async fn whole_object(
    context: &mut RequestContext<'_>,
    verb: &'static str,
    body: Body,
    scope: WriteScope,
) -> Result<Response<Body>, ApiError> {
    match verb {
        "get" => get::get(context).await,
        "update" => update::update_scope(context, body, scope).await,
        "patch" => patch::patch_scope(context, body, scope).await,
        _ => Err(wrong_method(context, verb)),
    }
}
