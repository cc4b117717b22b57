//! Which paths and methods there are for resources.
//!
//! kube-apiserver gives every built-in resource a route for each path and method it serves, so that a path without any
//! is 404 and a method without one 405, before anything of the request is looked at. Custom resources share one handler
//! that decides by itself, in other words.

use http::Method;
use kogge_machinery::{resource::ResourceType, status_error::ApiError};

use crate::registry::Registry;

/// What of a request its path and method say.
pub(super) struct Route<'a> {
    /// Verb of the request (see [`super::verb`]).
    pub(super) verb: &'static str,
    pub(super) method: &'a Method,
    /// Whether the path itself asks for a watch.
    pub(super) watch: bool,
    pub(super) namespace: Option<&'a str>,
    pub(super) name: Option<&'a str>,
    pub(super) subresource: Option<&'a str>,
    /// What follows a subresource.
    pub(super) rest: &'a [String],
}

/// Whether the resource has such a path, and such a method there.
///
/// # Errors
/// 404 for the path, 405 for the method, and for custom resources 400 for an object without a name.
pub(super) fn check(resource: &ResourceType, route: &Route<'_>) -> Result<(), ApiError> {
    if resource.custom { check_custom(resource, route) } else { check_built_in(resource, route) }
}

fn check_built_in(resource: &ResourceType, route: &Route<'_>) -> Result<(), ApiError> {
    let has = |verb: &str| resource.verbs.iter().any(|known| known == verb);
    let no_path = Err(Registry::unknown_path(&resource.group));
    let no_method = Err(ApiError::method_not_allowed());
    let of_all_namespaces = resource.namespaced && route.namespace.is_none();
    if of_all_namespaces && route.name.is_some() || !resource.namespaced && route.namespace.is_some() {
        return no_path;
    }
    if route.watch {
        return match route.subresource {
            None if !has("watch") => no_path,
            None if route.method != Method::GET => no_method,
            None => Ok(()),
            Some(_) => no_path,
        };
    }
    if let Some(subresource) = route.subresource {
        let Some(verbs) = verbs_of(resource, subresource) else { return no_path };
        // What is forwarded is so whatever its method and path are.
        let is_proxy = subresource == "proxy";
        if !route.rest.is_empty() && !is_proxy {
            return no_path;
        }
        let forwarded = is_proxy && matches!(*route.method, Method::HEAD | Method::OPTIONS);
        let known = route.method != Method::HEAD && verbs.contains(&route.verb);
        return if forwarded || known { Ok(()) } else { no_method };
    }
    let has_path = match route.name {
        Some(_) => ["get", "update", "patch", "delete"].into_iter().any(has),
        None => !of_all_namespaces || has("list"),
    };
    if !has_path {
        return no_path;
    }
    // A POST to an object has the verb of one to its collection, and nothing but reading reaches over all namespaces.
    let misplaced = match route.verb {
        "create" => route.name.is_some() || of_all_namespaces,
        "deletecollection" => of_all_namespaces,
        _ => false,
    };
    if misplaced || route.method == Method::HEAD || !has(route.verb) { no_method } else { Ok(()) }
}

/// The verbs of a subresource, if the resource has it.
fn verbs_of<'a>(resource: &'a ResourceType, subresource: &str) -> Option<Vec<&'a str>> {
    let of_object = match subresource {
        "status" => resource.status_subresource,
        "scale" => resource.scale.is_some(),
        _ => false,
    };
    if of_object {
        return Some(vec!["get", "patch", "update"]);
    }
    let found = resource.subresources.iter().find(|known| known.name == subresource)?;
    Some(found.verbs.iter().map(String::as_str).collect())
}

fn check_custom(resource: &ResourceType, route: &Route<'_>) -> Result<(), ApiError> {
    let of_all_namespaces = resource.namespaced && route.namespace.is_none();
    let reads_all = matches!(route.verb, "list" | "watch");
    let misplaced = of_all_namespaces && (route.name.is_some() || !reads_all);
    if misplaced || !resource.namespaced && route.namespace.is_some() {
        return Err(Registry::unknown_path(&resource.group));
    }
    if route.subresource.is_some_and(|subresource| verbs_of(resource, subresource).is_none()) {
        return Err(ApiError::not_found(&resource.group_resource(), route.name.unwrap_or_default()));
    }
    if route.subresource.is_none() && !resource.verbs.iter().any(|known| known == route.verb) {
        return Err(match route.method.as_str() {
            "PUT" | "PATCH" => ApiError::bad_request("name must be provided"),
            _ => {
                let verb = if route.verb == "unknown" { "" } else { route.verb };
                ApiError::method_not_supported(&resource.group_resource(), verb)
            }
        });
    }
    Ok(())
}
