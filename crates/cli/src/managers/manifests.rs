//! What upstream ships for a manager, made fit for a server without pods, Services and cert-manager.
//!
//! Webhooks lose their Service for a URL on this machine; Deployments, Services and cert-manager's objects are left out.
//! A Deployment still tells the arguments its manager is meant to have.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::file::{self, FileError};

/// What manifests come down to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Manifests {
    /// What to install, in this order.
    pub objects: Vec<Value>,
    /// `NAMESPACE/NAME` of the first ServiceAccount.
    pub service_account: Option<String>,
    /// Arguments of the first container of the first Deployment.
    pub arguments: Vec<String>,
    /// DNS names of the Services that webhooks were behind.
    pub service_names: Vec<String>,
}

/// Where the webhooks of a manager are.
#[derive(Debug, Clone)]
pub struct WebhookAddress {
    /// Port on 127.0.0.1.
    pub port: u16,
    /// Authority of its certificate, PEM in base64.
    pub ca_bundle: String,
}

/// Reads the documents of files, and of all `.yaml` and `.yml` files of folders.
///
/// # Errors
/// The first file that cannot be read.
pub fn read(paths: &[PathBuf]) -> Result<Vec<Value>, FileError> {
    let mut documents = Vec::new();
    for path in paths {
        for file in files(path)? {
            documents.extend(file::read(&file, parse)?);
        }
    }
    Ok(documents)
}

fn files(path: &Path) -> Result<Vec<PathBuf>, FileError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let failed = |source| FileError::Read { path: path.to_owned(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        if file.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// Parses the documents of a text; items of lists count as documents.
fn parse(text: &str) -> Result<Vec<Value>, String> {
    let mut objects = Vec::new();
    for document in split(text) {
        if document.lines().all(|line| line.trim().is_empty() || line.starts_with('#')) {
            continue;
        }
        match serde_saphyr::from_str(&document).map_err(|error| error.to_string())? {
            Value::Null => {}
            Value::Object(mut list) if list.get("kind").and_then(Value::as_str) == Some("List") => {
                if let Some(Value::Array(items)) = list.remove("items") {
                    objects.extend(items);
                }
            }
            other => objects.push(other),
        }
    }
    Ok(objects)
}

/// The documents of a stream, split as kubectl does: at lines that begin with `---`.
fn split(text: &str) -> Vec<String> {
    let mut documents = vec![String::new()];
    for line in text.lines() {
        if line.trim_end() == "---" || line.starts_with("--- ") {
            documents.push(String::new());
        } else if let Some(document) = documents.last_mut() {
            document.push_str(line);
            document.push('\n');
        }
    }
    documents
}

/// Groups and kinds that only make sense with pods, Services or cert-manager.
fn is_left_out(object: &Value) -> bool {
    let group = object["apiVersion"].as_str().unwrap_or_default().split_once('/').map_or("", |(group, _)| group);
    let kind = object["kind"].as_str().unwrap_or_default();
    matches!(group, "apps" | "batch" | "policy" | "cert-manager.io" | "monitoring.coreos.com" | "networking.k8s.io")
        || (group.is_empty() && matches!(kind, "Service" | "Pod" | "Endpoints"))
}

/// Kinds others depend on come first, webhooks last: from then on writes need the manager.
fn rank(object: &Value) -> u8 {
    match object["kind"].as_str().unwrap_or_default() {
        "CustomResourceDefinition" => 0,
        "Namespace" => 1,
        "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration" => 3,
        _ => 2,
    }
}

/// Wires documents to where the manager's webhooks are. `environment` answers `${NAME}` in the arguments of a Deployment.
pub fn wire(
    documents: Vec<Value>,
    address: &WebhookAddress,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Manifests {
    let mut manifests = Manifests::default();
    for mut object in documents {
        if object["kind"] == "Deployment" && manifests.arguments.is_empty() {
            let arguments = &object["spec"]["template"]["spec"]["containers"][0]["args"];
            manifests.arguments = texts(arguments).map(|argument| substitute(argument, environment)).collect();
        }
        if is_left_out(&object) || !object["kind"].is_string() {
            continue;
        }
        if object["kind"] == "ServiceAccount" && manifests.service_account.is_none() {
            let text = |field: &str| object["metadata"][field].as_str().unwrap_or("default");
            manifests.service_account = Some(format!("{}/{}", text("namespace"), text("name")));
        }
        let mut clients: Vec<&mut Value> = Vec::new();
        match rank(&object) {
            0 => clients.extend(object.pointer_mut("/spec/conversion/webhook/clientConfig")),
            3 => {
                let webhooks = object["webhooks"].as_array_mut().into_iter().flatten();
                clients.extend(webhooks.filter_map(|webhook| webhook.get_mut("clientConfig")));
            }
            _ => {}
        }
        for client in clients {
            if let Some(name) = rewire(client, address)
                && !manifests.service_names.contains(&name)
            {
                manifests.service_names.push(name);
            }
        }
        manifests.objects.push(object);
    }
    manifests.objects.sort_by_key(rank);
    manifests
}

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// Replaces the Service of a `clientConfig` by a URL; gives the name the Service had.
fn rewire(client: &mut Value, address: &WebhookAddress) -> Option<String> {
    let service = client.get("service").filter(|service| service.is_object())?;
    let text = |field: &str| service[field].as_str().unwrap_or_default();
    let name = format!("{}.{}.svc", text("name"), text("namespace"));
    let url = format!("https://127.0.0.1:{}/{}", address.port, text("path").trim_start_matches('/'));
    *client = json!({"url": url, "caBundle": address.ca_bundle});
    Some(name)
}

/// Fills in `${NAME}`, `${NAME:=default}` and `${NAME:-default}`, as `clusterctl` does.
fn substitute(text: &str, environment: &dyn Fn(&str) -> Option<String>) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        result.push_str(before);
        let Some((expression, behind)) = after.split_once('}') else {
            result.push_str("${");
            rest = after;
            continue;
        };
        let (name, default) =
            expression.split_once(":=").or_else(|| expression.split_once(":-")).unwrap_or((expression, ""));
        result.push_str(&environment(name).filter(|value| !value.is_empty()).unwrap_or_else(|| default.to_owned()));
        rest = behind;
    }
    result.push_str(rest);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn webhooks_lose_their_service_and_what_needs_pods_is_left_out() {
        let text = "
apiVersion: v1
kind: Service
metadata: {name: hooks, namespace: system}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: hooks}
webhooks:
- name: a.example.com
  clientConfig: {service: {name: hooks, namespace: system, path: /validate-a}}
---
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: ServiceAccount, metadata: {name: manager, namespace: system}}
- {apiVersion: v1, kind: Namespace, metadata: {name: system}}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: serving}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: manager}
spec: {template: {spec: {containers: [{args: ['--leader-elect', '--feature-gates=A=${A:=true},B=${B:=false},C=${C}']}]}}}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec: {conversion: {strategy: Webhook, webhook: {clientConfig: {service: {name: hooks, namespace: system, path: /convert}}}}}
";
        let address = WebhookAddress { port: 9443, ca_bundle: "Q0E=".into() };
        let environment = |name: &str| (name == "B").then(|| "true".to_owned());
        let manifests = wire(parse(text).unwrap(), &address, &environment);
        insta::assert_snapshot!(
            serde_saphyr::to_string(&json!({
                "objects": manifests.objects,
                "serviceAccount": manifests.service_account,
                "arguments": manifests.arguments,
                "serviceNames": manifests.service_names,
            }))
            .unwrap()
        );
    }
}
