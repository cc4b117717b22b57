//! Reading the files given with `-f`: all of them, or none.

use std::io::Read as _;

use kogge_api::document::{self, Object};
use kogge_api::problem::ProblemCode;
use kogge_api::validation::{FieldPath, FieldProblem};
use reqwest::Method;
use serde_json::Value;

use crate::outcome::{CommandError, Exit};
use crate::rest_client::{Body, RestClient};

/// A description on its way to the server.
#[derive(Debug, Clone)]
pub struct Document {
    /// Name of the cluster.
    pub name: String,
    /// The document as it was written.
    pub body: Value,
    /// The text it comes from, if any.
    source: Option<document::Document>,
}

impl Document {
    /// A document that comes from no file.
    pub fn new(name: &str, body: Value) -> Self {
        Self { name: name.to_owned(), body, source: None }
    }

    /// The tenant the document names.
    pub fn tenant(&self) -> Option<&str> {
        self.body.pointer("/metadata/namespace").and_then(Value::as_str)
    }

    /// The client for the tenant the document names, else for the client's own.
    pub fn client(&self, client: &RestClient) -> RestClient {
        self.tenant().map_or_else(|| client.clone(), |tenant| client.for_tenant(tenant))
    }

    /// Sends it; a dry run stores nothing.
    ///
    /// # Errors
    /// As the server answers.
    pub async fn put(&self, client: &RestClient, dry_run: bool) -> Result<Value, CommandError> {
        let client = self.client(client);
        let path = client.clusters_path(&format!("/{}{}", self.name, if dry_run { "?dryRun=true" } else { "" }));
        client.call(Method::PUT, &path, Body::Json(&self.body)).await.map_err(|error| self.locate(error))
    }

    /// Adds the lines of the file that the server's findings are about.
    fn locate(&self, mut error: CommandError) -> CommandError {
        let located: Vec<String> = match &self.source {
            Some(source) => error
                .fields
                .iter()
                .map(|field| {
                    let code = field.code.parse().unwrap_or(ProblemCode::InvalidDescription);
                    let mut problem = FieldProblem::new(code, &FieldPath::root(), None, "", field.message.clone());
                    problem.pointer.clone_from(&field.pointer);
                    problem.field.clone_from(&field.field);
                    source.locate(vec![problem]).iter().map(ToString::to_string).collect()
                })
                .collect(),
            None => Vec::new(),
        };
        if located.is_empty() {
            error.message = format!("{}: {}", self.name, error.message);
        } else {
            error.message = match located.len() {
                1 => format!("{} is refused", self.name),
                many => format!("{} is refused for {many} reasons", self.name),
            };
            error.details = located;
        }
        error
    }
}

/// The text of a file, or of standard input for `-`.
///
/// # Errors
/// Exit code 2 if it cannot be read or is no UTF-8.
pub fn read_text(file: &str) -> Result<String, CommandError> {
    let refused =
        |why: &dyn std::fmt::Display| CommandError::new(Exit::Refused, format!("failed to read {file}: {why}"));
    let bytes = read_bytes(file)?;
    String::from_utf8(bytes).map_err(|error| refused(&error))
}

fn read_bytes(file: &str) -> Result<Vec<u8>, CommandError> {
    let refused = |error: std::io::Error| CommandError::new(Exit::Refused, format!("failed to read {file}: {error}"));
    // One byte more than is read tells that there is too much, without reading whatever is there.
    let limit = document::MAX_BYTES as u64 + 1;
    let mut bytes = Vec::new();
    if file == "-" {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes).map_err(refused)?;
    } else {
        std::fs::File::open(file).and_then(|opened| opened.take(limit).read_to_end(&mut bytes)).map_err(refused)?;
    }
    Ok(bytes)
}

/// The descriptions in files. Problems of all files are told together.
///
/// # Errors
/// Exit code 2 with each problem, its place in the file and the line it is in; then nothing was sent anywhere.
pub fn read_clusters(files: &[String]) -> Result<Vec<Document>, CommandError> {
    let mut documents = Vec::new();
    let mut details = Vec::new();
    let mut messages = Vec::new();
    for file in files {
        let name = if file == "-" { "standard input" } else { file };
        match document::read(name, &read_bytes(file)?) {
            Ok(read) => {
                for document in read {
                    match document.object {
                        Object::Cluster(ref cluster) => documents.push(Document {
                            name: cluster.metadata.name.clone().unwrap_or_default(),
                            body: document.value.clone(),
                            source: Some(document),
                        }),
                        Object::Profile(_) | Object::Other(_) => {
                            let kind =
                                document.value["kind"].as_str().unwrap_or("a document without a kind").to_owned();
                            messages.push(format!("{name}: {kind} is no KubernetesCluster"));
                            details.push(format!(
                                "{kind} {} goes to the Kubernetes-style API: kubectl apply -f {file}",
                                document.value["metadata"]["name"].as_str().unwrap_or_default()
                            ));
                        }
                    }
                }
            }
            Err(error) => {
                messages.push(match error.problems.len() {
                    1 => format!("{name} is refused"),
                    many => format!("{name} is refused for {many} reasons"),
                });
                details.extend(error.problems.iter().map(ToString::to_string));
            }
        }
    }
    if messages.is_empty() {
        return Ok(documents);
    }
    let mut error = CommandError::new(Exit::Refused, messages.join("; "));
    error.details = details;
    Err(error)
}
