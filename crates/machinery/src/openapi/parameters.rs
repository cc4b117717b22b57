//! Query and path parameters of operations.

use serde_json::{Value, json};

/// Parameters of GET and of nothing else.
pub(super) fn of_get() -> Vec<Value> {
    Vec::new()
}

/// Parameters of LIST.
pub(super) fn of_list() -> Vec<Value> {
    vec![
        query("allowWatchBookmarks", "boolean", "Whether a watch may send BOOKMARK events."),
        query("continue", "string", "The token of an earlier part of the list, to get the next one."),
        query("fieldSelector", "string", "Only objects whose fields match; defaults to everything."),
        query("labelSelector", "string", "Only objects whose labels match; defaults to everything."),
        query("limit", "integer", "Greatest number of objects in one answer."),
        query(
            "resourceVersion",
            "string",
            "The version that the answer must have; how is said by resourceVersionMatch.",
        ),
        query("resourceVersionMatch", "string", "How resourceVersion is applied: `Exact` or `NotOlderThan`."),
        query("sendInitialEvents", "boolean", "Whether a watch starts with ADDED events of what exists."),
        query("timeoutSeconds", "integer", "How long a list or watch may take."),
        query("watch", "boolean", "Watch for changes instead of listing."),
    ]
}

/// Parameters of POST and PUT.
pub(super) fn of_write() -> Vec<Value> {
    vec![
        query("dryRun", "string", "With `All`, nothing is stored; all checks run."),
        query("fieldManager", "string", "Who is making these changes; at most 128 characters."),
        query(
            "fieldValidation",
            "string",
            "What happens with unknown and duplicate fields: `Ignore`, `Warn` (the default) or `Strict`.",
        ),
    ]
}

/// Parameters of PATCH.
pub(super) fn of_patch() -> Vec<Value> {
    let mut parameters = of_write();
    parameters.push(query("force", "boolean", "Take fields that others own. Only for apply patches."));
    parameters
}

/// Parameters of DELETE.
pub(super) fn of_delete() -> Vec<Value> {
    vec![
        query("dryRun", "string", "With `All`, nothing is deleted; all checks run."),
        query("gracePeriodSeconds", "integer", "Seconds before the object is deleted; 0 deletes at once."),
        query("orphanDependents", "boolean", "Deprecated: use propagationPolicy."),
        query("propagationPolicy", "string", "What happens with dependents: `Orphan`, `Background` or `Foreground`."),
    ]
}

/// Parameters of all operations below a path.
pub(super) fn of_path(namespaced: bool, kind: Option<&str>) -> Vec<Value> {
    let mut parameters = Vec::new();
    if let Some(kind) = kind {
        parameters.push(in_path("name", &format!("name of the {kind}")));
    }
    if namespaced {
        parameters.push(in_path("namespace", "object name and auth scope, such as for teams and projects"));
    }
    parameters.push(query("pretty", "string", "With `true`, the output is pretty printed."));
    parameters
}

fn query(name: &str, value_type: &str, description: &str) -> Value {
    json!({
        "name": name, "in": "query", "description": description,
        "schema": {"type": value_type, "uniqueItems": true},
    })
}

fn in_path(name: &str, description: &str) -> Value {
    json!({
        "name": name, "in": "path", "description": description, "required": true,
        "schema": {"type": "string", "uniqueItems": true},
    })
}
