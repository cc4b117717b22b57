//! The API verb of a request, which its method does not tell alone.

use http::Method;

use super::query::Query;

/// The API verb of a request for a resource; `by_path` says that its path asks for a watch.
pub(super) fn resource_verb(method: &Method, named: bool, query: &Query, by_path: bool) -> &'static str {
    match (verb(method, named, query.flag("watch")), by_path) {
        ("get" | "list" | "watch", true) => "watch",
        (_, true) => "unknown",
        (verb, false) => verb,
    }
}

/// The API verb of a method, as authorization and discovery name it.
fn verb(method: &Method, named: bool, watch: bool) -> &'static str {
    match (method.as_str(), named) {
        ("GET" | "HEAD", true) => "get",
        ("GET" | "HEAD", false) if watch => "watch",
        ("GET" | "HEAD", false) => "list",
        ("POST", _) => "create",
        ("PUT", true) => "update",
        ("PATCH", true) => "patch",
        ("DELETE", true) => "delete",
        ("DELETE", false) => "deletecollection",
        _ => "unknown",
    }
}
