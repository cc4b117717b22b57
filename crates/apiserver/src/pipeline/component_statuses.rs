//! `componentstatuses`: how the parts behind the API are, as `kubectl get componentstatuses` asks. Nothing of it is stored.
//!
//! The parts are this server's own: the controllers it runs, and its store, under the names by which tools look for them.

use axum::body::Body;
use http::{Response, StatusCode};
use kogge_machinery::{resource::GroupResource, status_error::ApiError};
use serde_json::{Value, json};

use super::{
    RequestContext,
    answer::{Document, document_response},
    get::object_response,
    list::{Page, list_document},
    list_options::Selection,
};

/// Answers a get or a list.
///
/// # Errors
/// 404 for a part there is not.
pub(crate) fn read(context: &RequestContext<'_>) -> Result<Response<Body>, ApiError> {
    let store = context.plane.server.store().health();
    // The controllers run in this process as long as it answers.
    let parts = [component("controller-manager", Ok(())), component("etcd-0", store)];
    if context.name.is_empty() {
        let selection = Selection::parse(&context.query, &context.served.resource)?;
        let items = parts.into_iter().filter(|part| selection.matches(part)).map(Document::Value).collect();
        let page = Page::without_revision(items);
        return document_response(&context.answer, StatusCode::OK, list_document(context, page)?);
    }
    let named = parts.into_iter().find(|part| part["metadata"]["name"] == context.name.as_str());
    // The real server names the kind here, in the singular.
    let resource = GroupResource { group: String::new(), resource: "componentstatus".to_owned() };
    let part = named.ok_or_else(|| ApiError::not_found(&resource, &context.name))?;
    object_response(context, StatusCode::OK, Document::Value(part))
}

fn component(name: &str, health: Result<(), String>) -> Value {
    let mut condition = json!({"type": "Healthy", "status": "True", "message": "ok"});
    if let Err(error) = health {
        condition = json!({"type": "Healthy", "status": "False", "error": error});
    }
    json!({
        "apiVersion": "v1",
        "kind": "ComponentStatus",
        "metadata": {"name": name},
        "conditions": [condition],
    })
}
