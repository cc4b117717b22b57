//! A server in memory and requests to it.

use std::fmt::Write as _;

use http::{HeaderMap, Method, Request};
use http_body_util::BodyExt as _;
use kogge_apiserver::server::{Server, ServerOptions};
use serde_json::{Value, json};

/// A client of the management plane of a fresh server.
pub(crate) async fn open() -> Client {
    let server = Server::open(ServerOptions::default()).await.unwrap();
    Client { kube: server.management().client(), _server: server }
}

/// As [`open`], for definitions that are known to be valid.
pub(crate) async fn open_as_installer() -> Client {
    let server = Server::open(ServerOptions::default()).await.unwrap();
    Client { kube: server.management().installer(), _server: server }
}

pub(crate) struct Client {
    /// Keeps the server open.
    pub(crate) _server: Server,
    pub(crate) kube: kube::Client,
}

/// An answer with its parsed body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    /// The body of an answer that must be a success.
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert!(self.code < 300, "{} {:#}", self.code, self.body);
        self.body
    }

    /// Code, reason and message of an error, with its causes.
    #[track_caller]
    pub(crate) fn error(&self) -> String {
        if let (404, Value::String(text)) = (self.code, &self.body) {
            return format!("404: {text}");
        }
        assert_eq!(self.body["kind"], "Status", "{:#}", self.body);
        assert_eq!(self.body["code"], self.code);
        let mut text = format!(
            "{} {}: {}",
            self.code,
            self.body["reason"].as_str().unwrap_or_default(),
            self.body["message"].as_str().unwrap_or_default()
        );
        for cause in self.body["details"]["causes"].as_array().into_iter().flatten() {
            let part = |field: &str| cause[field].as_str().unwrap_or_default();
            let _ = write!(text, "\n  {} {}: {}", part("reason"), part("field"), part("message"));
        }
        text
    }

    pub(crate) fn warnings(&self) -> Vec<&str> {
        self.headers.get_all("warning").iter().map(|value| value.to_str().unwrap()).collect()
    }
}

impl Client {
    pub(crate) async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.kube.send(request.body(kube::client::Body::from(body)).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        Answer { code: parts.status.as_u16(), headers: parts.headers, body }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], Vec::new()).await
    }

    pub(crate) async fn get_as(&self, path: &str, accept: &str) -> Answer {
        self.send(Method::GET, path, &[("accept", accept)], Vec::new()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, &[("content-type", "application/json")], body.to_string().into_bytes()).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PUT, path, &[("content-type", "application/json")], body.to_string().into_bytes()).await
    }

    pub(crate) async fn delete(&self, path: &str, options: &Value) -> Answer {
        self.send(Method::DELETE, path, &[("content-type", "application/json")], options.to_string().into_bytes()).await
    }

    /// A patch of the kind `json`, `merge`, `strategic-merge` or `apply`.
    pub(crate) async fn patch(&self, path: &str, kind: &str, body: &Value) -> Answer {
        let suffix = if kind == "apply" { "yaml" } else { "json" };
        let content_type = format!("application/{kind}-patch+{suffix}");
        self.send(Method::PATCH, path, &[("content-type", &content_type)], body.to_string().into_bytes()).await
    }

    /// Creates the definition of a kind `Widget` in `example.com/v1`, with status and scale.
    pub(crate) async fn define_widgets(&self) -> Value {
        self.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &widgets()).await.ok()
    }
}

pub(crate) const WIDGETS: &str = "/apis/example.com/v1/namespaces/default/widgets";
pub(crate) const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

pub(crate) fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "1"}})
}

pub(crate) fn widget(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec})
}

pub(crate) fn widgets() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"], "categories": ["all"]},
            "versions": [{
                "name": "v1",
                "served": true,
                "storage": true,
                "subresources": {
                    "status": {},
                    "scale": {
                        "specReplicasPath": ".spec.replicas",
                        "statusReplicasPath": ".status.replicas",
                        "labelSelectorPath": ".status.selector",
                    },
                },
                "additionalPrinterColumns": [
                    {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas"},
                    {"name": "Size", "type": "string", "jsonPath": ".spec.size", "priority": 1},
                    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
                ],
                "selectableFields": [{"jsonPath": ".spec.size"}],
                "schema": {"openAPIV3Schema": {
                    "type": "object",
                    "description": "A widget to test with.",
                    "properties": {
                        "spec": {
                            "type": "object",
                            "properties": {
                                "size": {"type": "string", "enum": ["small", "large"], "default": "small"},
                                "replicas": {"type": "integer", "minimum": 0},
                                "immutable": {"type": "string", "x-kubernetes-validations": [
                                    {"rule": "self == oldSelf", "message": "must not change"},
                                ]},
                                "parts": {
                                    "type": "array",
                                    "x-kubernetes-list-type": "map",
                                    "x-kubernetes-list-map-keys": ["name"],
                                    "items": {
                                        "type": "object",
                                        "required": ["name"],
                                        "properties": {"name": {"type": "string"}, "weight": {"type": "integer"}},
                                    },
                                },
                            },
                        },
                        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                    },
                }},
            }],
        },
    })
}
