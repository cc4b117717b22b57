//! The OpenAPI 3.1 document of the REST API, made from the types that are served.

use kogge_api::{GROUP, KubernetesClusterSpec, KubernetesClusterStatus, ProviderProfileSpec, VERSION};
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::cluster_routes::{KubeconfigRequest, PlanAnswer};
use crate::diagnostics::Diagnostics;
use crate::kubeconfig::Kubeconfig;
use crate::problem_document::ProblemDocument;
use crate::tree::TreeNode;

/// One operation: method, path, id (noun and verb), what it does, body, and the schema of its success.
struct Operation {
    method: &'static str,
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    body: Option<(&'static str, &'static [&'static str])>,
    success: (&'static str, Option<&'static str>),
    write: bool,
}

/// Routes without a token.
const OPEN: &[&str] = &["/livez", "/readyz", "/openapi.json"];
/// An answer that is text.
const TEXT: &str = "text/plain";
const CLUSTER: &str = "/v1/tenants/{tenant}/clusters/{name}";
const DOCUMENT: &[&str] = &["application/json", "application/yaml"];

/// Every route that is served; a test holds that there is no other.
const OPERATIONS: &[Operation] = &[
    read("/livez", "live", "Whether the process lives; needs no token", TEXT),
    read("/readyz", "ready", "Whether requests can be answered; needs no token", TEXT),
    read("/openapi.json", "openapi_view", "This document; needs no token", "OpenApiDocument"),
    read("/v1/tenants", "tenant_list", "List the tenants", "TenantList"),
    read("/v1/profiles", "profile_list", "List the provider profiles", "ProviderProfileList"),
    read("/v1/profiles/{name}", "profile_view", "Show a provider profile", "ProviderProfile"),
    read("/v1/problems", "problem_list", "List the problem codes", "ProblemCodeList"),
    read("/v1/problems/{code}", "problem_view", "Explain a problem code", "ProblemCode"),
    read("/v1/tenants/{tenant}/clusters", "cluster_list", "List the clusters of a tenant", "KubernetesClusterList"),
    read(CLUSTER, "cluster_view", "Show a cluster", "KubernetesCluster"),
    Operation {
        method: "put",
        path: CLUSTER,
        id: "cluster_replace",
        summary: "Create a cluster or replace its description; doing it twice changes nothing the second time",
        body: Some(("KubernetesCluster", DOCUMENT)),
        success: ("200", Some("KubernetesCluster")),
        write: true,
    },
    Operation {
        method: "patch",
        path: CLUSTER,
        id: "cluster_update",
        summary: "Change parts of a description by a JSON merge patch",
        body: Some(("MergePatch", &["application/merge-patch+json"])),
        success: ("200", Some("KubernetesCluster")),
        write: true,
    },
    Operation {
        method: "delete",
        path: CLUSTER,
        id: "cluster_delete",
        summary: "Delete a cluster and everything in it; 202 while it goes, 204 once it is gone",
        body: None,
        success: ("202", Some("KubernetesCluster")),
        write: true,
    },
    Operation {
        method: "post",
        path: "/v1/tenants/{tenant}/clusters/{name}/plan",
        id: "cluster_plan",
        summary: "Show what a proposed description, or the stored one, would do",
        body: Some(("KubernetesCluster", DOCUMENT)),
        success: ("200", Some("Plan")),
        write: false,
    },
    Operation {
        method: "post",
        path: "/v1/tenants/{tenant}/clusters/{name}/kubeconfigs",
        id: "kubeconfig_create",
        summary: "Issue a short-lived kubeconfig",
        body: Some(("KubeconfigRequest", &["application/json"])),
        success: ("201", Some("Kubeconfig")),
        write: false,
    },
    read(
        "/v1/tenants/{tenant}/clusters/{name}/events",
        "cluster_events",
        "Follow a cluster: server-sent events `status`, `event` and `deleted`",
        "",
    ),
    read("/v1/tenants/{tenant}/clusters/{name}/tree", "cluster_tree", "Show the objects of a cluster", "TreeNode"),
    read(
        "/v1/tenants/{tenant}/clusters/{name}/diagnostics",
        "cluster_diagnostics",
        "Diagnose a cluster",
        "Diagnostics",
    ),
];

const fn read(path: &'static str, id: &'static str, summary: &'static str, schema: &'static str) -> Operation {
    Operation { method: "get", path, id, summary, body: None, success: ("200", Some(schema)), write: false }
}

/// The document, as served at `/openapi.json` and checked in at `crates/portal/openapi.json`.
pub fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for operation in OPERATIONS {
        let item = paths.entry(operation.path).or_insert_with(|| json!({}));
        item[operation.method] = operation.document();
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Kogge",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Kubernetes clusters from one short description.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "schemas": schemas(),
        },
    })
}

impl Operation {
    fn document(&self) -> Value {
        let mut parameters: Vec<Value> = self
            .path
            .split('/')
            .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
            .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
            .collect();
        if self.write {
            parameters.push(json!({ "name": "dryRun", "in": "query", "schema": { "type": "boolean" }, "description": "Only check; store nothing" }));
            parameters.push(json!({ "name": "wait", "in": "query", "schema": { "type": "integer", "minimum": 0, "maximum": 3600 }, "description": "Answer once the cluster is Ready or gone, at most after this many seconds" }));
            parameters.push(json!({ "name": "If-Match", "in": "header", "schema": { "type": "string" }, "description": "Entity tag of the document the caller has seen" }));
        }
        let problem = json!({ "description": "A problem", "content": { "application/problem+json": { "schema": reference("ProblemDocument") } } });
        let success = match self.success.1 {
            Some("") => {
                json!({ "description": "The stream", "content": { "text/event-stream": { "schema": { "type": "string" } } } })
            }
            Some(TEXT) => {
                json!({ "description": "Yes", "content": { TEXT: { "schema": { "type": "string" } } } })
            }
            Some(schema) => {
                json!({ "description": "Done", "content": { "application/json": { "schema": reference(schema) } } })
            }
            None => json!({ "description": "Done" }),
        };
        let mut responses = json!({ self.success.0: success, "default": problem });
        match self.id {
            "cluster_replace" => {
                responses["201"] = json!({ "description": "Created", "content": { "application/json": { "schema": reference("KubernetesCluster") } } });
            }
            "cluster_delete" => responses["204"] = json!({ "description": "Gone" }),
            _ => {}
        }
        let mut document = json!({
            "operationId": self.id, "summary": self.summary, "parameters": parameters, "responses": responses,
        });
        if OPEN.contains(&self.path) {
            document["security"] = json!([]);
        }
        if let Some((schema, media_types)) = self.body {
            let content: Map<String, Value> = media_types
                .iter()
                .map(|media_type| ((*media_type).to_owned(), json!({ "schema": reference(schema) })))
                .collect();
            let required = !matches!(self.id, "cluster_plan" | "kubeconfig_create");
            document["requestBody"] = json!({ "required": required, "content": content });
        }
        document
    }
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn schemas() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        "/components/schemas".clone_into(settings.definitions_path.to_mut());
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    generator.subschema_for::<KubernetesClusterSpec>();
    generator.subschema_for::<KubernetesClusterStatus>();
    generator.subschema_for::<ProviderProfileSpec>();
    generator.subschema_for::<ProblemDocument>();
    generator.subschema_for::<TreeNode>();
    generator.subschema_for::<Diagnostics>();
    generator.subschema_for::<Kubeconfig>();
    generator.subschema_for::<KubeconfigRequest>();
    generator.subschema_for::<PlanAnswer>();
    let mut schemas: Map<String, Value> = generator.take_definitions(true);
    if let Some(plan) = schemas.remove("PlanAnswer") {
        schemas.insert("Plan".into(), plan);
    }
    // The outer object is the same for every kind of Kubernetes and not worth a schema of each.
    let object = |kind: &str, properties: Value| {
        let mut object = json!({
            "type": "object",
            "required": ["spec"],
            "properties": {
                "apiVersion": { "const": format!("{GROUP}/{VERSION}") },
                "kind": { "const": kind },
                "metadata": { "type": "object", "properties": {
                    "name": { "type": "string" }, "namespace": { "type": "string" },
                    "labels": { "type": "object", "additionalProperties": { "type": "string" } },
                    "annotations": { "type": "object", "additionalProperties": { "type": "string" } },
                    "resourceVersion": { "type": "string", "readOnly": true },
                    "generation": { "type": "integer", "readOnly": true },
                    "creationTimestamp": { "type": "string", "format": "date-time", "readOnly": true },
                }},
            },
        });
        for (name, schema) in properties.as_object().into_iter().flatten() {
            object["properties"][name] = schema.clone();
        }
        object
    };
    let cluster = json!({ "spec": reference("KubernetesClusterSpec"), "status": reference("KubernetesClusterStatus") });
    schemas.insert("KubernetesCluster".into(), object("KubernetesCluster", cluster));
    schemas.insert(
        "ProviderProfile".into(),
        object("ProviderProfile", json!({ "spec": reference("ProviderProfileSpec") })),
    );
    let list = |item: Value| json!({ "type": "object", "required": ["items"], "properties": { "items": { "type": "array", "items": item } } });
    schemas.insert("KubernetesClusterList".into(), list(reference("KubernetesCluster")));
    schemas.insert("ProviderProfileList".into(), list(reference("ProviderProfile")));
    schemas.insert("ProblemCodeList".into(), list(reference("ProblemCode")));
    schemas.insert(
        "TenantList".into(),
        list(json!({ "type": "object", "required": ["name"], "properties": { "name": { "type": "string" } } })),
    );
    schemas.insert(
        "ProblemCode".into(),
        json!({ "type": "object", "required": ["code", "actor", "retryable", "title"], "properties": {
            "code": { "type": "string" }, "actor": { "enum": ["User", "Provider", "Platform"] }, "retryable": { "type": "boolean" },
            "severity": { "enum": ["Warning", "Error"] }, "title": { "type": "string" }, "remedy": { "type": "string" }, "page": { "type": "string", "description": "Markdown" },
        }}),
    );
    schemas.insert("OpenApiDocument".into(), json!({ "type": "object", "description": "An OpenAPI 3.1 document" }));
    schemas.insert(
        "MergePatch".into(),
        json!({ "type": "object", "description": "JSON merge patch (RFC 7396) of a KubernetesCluster" }),
    );
    Value::Object(schemas)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Accept a wanted change with `KOGGE_UPDATE=1`.
    #[test]
    fn the_checked_in_document_is_what_is_served() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
        let text = serde_json::to_string_pretty(&document()).unwrap() + "\n";
        if std::env::var_os("KOGGE_UPDATE").is_some() {
            std::fs::write(file, &text).unwrap();
        }
        let checked_in = std::fs::read_to_string(file).unwrap_or_default();
        assert!(checked_in == text, "crates/portal/openapi.json is out of date; run the tests with KOGGE_UPDATE=1");
    }

    #[test]
    fn every_reference_has_its_schema() {
        let document = document();
        let schemas = &document["components"]["schemas"];
        let text = document.to_string();
        for part in text.split("#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(schemas.get(name).is_some(), "{name}");
        }
    }
}
