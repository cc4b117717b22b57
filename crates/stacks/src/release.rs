//! A stack release: the Cluster API templates and the class that joins them, as data.
//!
//! A release is a folder: `stack.yaml` with its identity, and one YAML file per object. Nothing in the code knows an
//! infrastructure provider; kinds, field names and patches are all in the files. Releases are immutable: another
//! content is another release, and therefore another ClusterClass name.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Annotation on what Kogge writes: digest of the content as written, to recognise it without a request.
pub const CONTENT_ANNOTATION: &str = "kogge.dev/content";
/// API group of the kinds every stack uses, whatever its provider.
const CLUSTER_GROUP: &str = "cluster.x-k8s.io";

/// A stack release, read and checked.
#[derive(Clone, Debug, PartialEq)]
pub struct StackRelease {
    /// Name of the stack, for example `sim-scs`.
    pub name: String,
    /// Release, for example `v1`. Releases are ordered by number.
    pub release: String,
    /// Minor versions it is made for, for example `1.34`.
    pub kubernetes_minors: Vec<String>,
    /// Pattern of the node image's name; `{version}` stands for the exact Kubernetes version.
    pub node_image: String,
    /// Name of the class of worker machines.
    pub worker_class: String,
    cluster_class: Value,
    templates: Vec<Value>,
    variables: BTreeSet<String>,
    content: String,
}

/// Group, version and kind of an object the stack's provider makes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKind {
    /// API group.
    pub group: String,
    /// API version within the group.
    pub version: String,
    /// Kind.
    pub kind: String,
}

/// Which parts of a cluster a variable reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VariableScope {
    /// The control plane's machines.
    pub control_plane: bool,
    /// Worker machines.
    pub workers: bool,
    /// Network, load balancer and the like, which change in place.
    pub infrastructure: bool,
}

/// Why a stack release could not be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReadReleaseError {
    /// A file is missing.
    #[error("the stack release has no {0}")]
    MissingFile(&'static str),
    /// A file is not valid YAML, or not of the expected shape.
    #[error("{file} of the stack release is not readable: {reason}")]
    InvalidFile {
        /// Name of the file.
        file: String,
        /// What the reader says.
        reason: String,
    },
    /// The class refers to a template that is not part of the release.
    #[error("the cluster class refers to {kind} `{name}`, which the stack release does not contain")]
    MissingTemplate {
        /// Kind of the template.
        kind: String,
        /// Name of the template.
        name: String,
    },
    /// The class has no worker class of the name `stack.yaml` gives.
    #[error("the cluster class has no worker class `{0}`")]
    MissingWorkerClass(String),
}

fn invalid(file: &str, reason: String) -> ReadReleaseError {
    ReadReleaseError::InvalidFile { file: file.to_owned(), reason }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Identity {
    name: String,
    release: String,
    kubernetes_minors: Vec<String>,
    node_image: String,
    worker_class: String,
}

impl StackRelease {
    /// Reads a release from its files, given as name and content.
    ///
    /// # Errors
    /// When `stack.yaml` or the ClusterClass is missing, a file is no YAML object, or the class refers to something the
    /// release does not contain.
    pub fn from_files<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, ReadReleaseError> {
        let documents = files.into_iter().map(|(file, content)| {
            let read = serde_saphyr::from_str(content);
            Ok((file.to_owned(), read.map_err(|error| invalid(file, error.to_string()))?))
        });
        Self::from_documents(documents.collect::<Result<Vec<_>, _>>()?)
    }

    /// As [`Self::from_files`], given as names and what the files hold.
    ///
    /// # Errors
    /// As [`Self::from_files`].
    pub fn from_documents(documents: impl IntoIterator<Item = (String, Value)>) -> Result<Self, ReadReleaseError> {
        let mut identity: Option<Identity> = None;
        let mut cluster_class = None;
        let mut templates = Vec::new();
        for (file, object) in documents {
            if file == "stack.yaml" {
                identity = Some(Identity::deserialize(object).map_err(|error| invalid(&file, error.to_string()))?);
                continue;
            }
            if name_of(&object).is_empty()
                || text(&object, "/kind").is_empty()
                || text(&object, "/apiVersion").is_empty()
            {
                return Err(invalid(&file, "an object needs apiVersion, kind and metadata.name".to_owned()));
            }
            if text(&object, "/kind") == "ClusterClass" && text(&object, "/apiVersion").starts_with(CLUSTER_GROUP) {
                cluster_class = Some(object);
            } else {
                templates.push(object);
            }
        }
        let identity = identity.ok_or(ReadReleaseError::MissingFile("stack.yaml"))?;
        let cluster_class = cluster_class.ok_or(ReadReleaseError::MissingFile("ClusterClass"))?;
        templates.sort_by(|left, right| name_of(left).cmp(name_of(right)));
        let variables = items(&cluster_class, "/spec/variables")
            .iter()
            .filter_map(|variable| variable["name"].as_str().map(str::to_owned))
            .collect();
        let mut digest = Sha256::new();
        for object in templates.iter().chain([&cluster_class]) {
            digest.update(object.to_string().as_bytes());
        }
        let release = Self {
            content: short_digest(digest),
            name: identity.name,
            release: identity.release,
            kubernetes_minors: identity.kubernetes_minors,
            node_image: identity.node_image,
            worker_class: identity.worker_class,
            cluster_class,
            templates,
            variables,
        };
        release.check()?;
        Ok(release)
    }

    fn check(&self) -> Result<(), ReadReleaseError> {
        if self.worker().is_null() {
            return Err(ReadReleaseError::MissingWorkerClass(self.worker_class.clone()));
        }
        let mut class = self.cluster_class.clone();
        let mut missing = None;
        visit_template_references(&mut class, &mut |reference| {
            if self.template(reference).is_none() {
                missing.get_or_insert(ReadReleaseError::MissingTemplate {
                    kind: text(reference, "/kind").to_owned(),
                    name: text(reference, "/name").to_owned(),
                });
            }
        });
        missing.map_or(Ok(()), Err)
    }

    /// Name of the ClusterClass of this release for a minor version, for example `sim-scs-1-34-v1`.
    pub fn class_name(&self, minor: &str) -> String {
        format!("{}-{}-{}", self.name, minor.replace('.', "-"), self.release)
    }

    /// Digest of all objects of the release: what is published under the name of a class is this, or something else.
    pub fn content(&self) -> &str {
        &self.content
    }

    /// Name of the node image for an exact version such as `v1.34.2`.
    pub fn node_image(&self, version: &str) -> String {
        self.node_image.replace("{version}", version)
    }

    /// Whether the release was made for this minor version, for example `1.34`.
    pub fn supports(&self, minor: &str) -> bool {
        self.kubernetes_minors.iter().any(|known| known == minor)
    }

    /// Whether the stack can honour a variable of this name.
    pub fn has_variable(&self, name: &str) -> bool {
        self.variables.contains(name)
    }

    /// Default of a variable as its schema states it.
    pub fn variable_default(&self, name: &str) -> Option<&Value> {
        items(&self.cluster_class, "/spec/variables")
            .iter()
            .find(|variable| variable["name"] == name)
            .and_then(|variable| variable.pointer("/schema/openAPIV3Schema/default"))
    }

    /// All objects of the release for a minor version, names and namespace set: templates first, the ClusterClass last,
    /// so that a class that exists is a class that works.
    pub fn objects(&self, minor: &str, namespace: &str) -> Vec<Value> {
        let class_name = self.class_name(minor);
        let mut objects: Vec<Value> = self.templates.clone();
        let mut class = self.cluster_class.clone();
        visit_template_references(&mut class, &mut |reference| {
            let name = format!("{class_name}-{}", text(reference, "/name"));
            reference["name"] = Value::String(name);
        });
        for template in &mut objects {
            let name = format!("{class_name}-{}", name_of(template));
            template["metadata"]["name"] = Value::String(name);
        }
        class["metadata"]["name"] = Value::String(class_name.clone());
        objects.push(class);
        for object in &mut objects {
            object["metadata"]["namespace"] = json!(namespace);
            object["metadata"]["labels"] = json!({
                "app.kubernetes.io/managed-by": "kogge",
                "kogge.dev/stack": self.name,
                "kogge.dev/stack-release": class_name,
            });
            object["metadata"]["annotations"] = json!({CONTENT_ANNOTATION: self.content});
        }
        objects
    }

    /// Kind of the object that represents one machine at the provider, for example `SimulatedMachine`.
    pub fn machine_kinds(&self) -> Vec<ObjectKind> {
        let mut kinds = vec![
            kind_behind_template(&self.cluster_class["spec"]["controlPlane"]["machineInfrastructure"]["templateRef"]),
            kind_behind_template(&self.worker()["infrastructure"]["templateRef"]),
        ];
        kinds.sort();
        kinds.dedup();
        kinds
    }

    /// Kind of the object that represents the cluster's network and load balancer at the provider.
    pub fn cluster_kind(&self) -> ObjectKind {
        kind_behind_template(&self.cluster_class["spec"]["infrastructure"]["templateRef"])
    }

    /// A list of the control plane template, by its pointer below `kubeadmConfigSpec`, for example `/files`.
    pub fn control_plane_list(&self, pointer: &str) -> Vec<Value> {
        let reference = &self.cluster_class["spec"]["controlPlane"]["templateRef"];
        self.template(reference).map_or_else(Vec::new, |template| {
            items(template, &format!("/spec/template/spec/kubeadmConfigSpec{pointer}")).to_vec()
        })
    }

    /// A list of the workers' bootstrap template, by its pointer below `spec.template.spec`, for example `/files`.
    pub fn worker_list(&self, pointer: &str) -> Vec<Value> {
        let reference = &self.worker()["bootstrap"]["templateRef"];
        self.template(reference)
            .map_or_else(Vec::new, |template| items(template, &format!("/spec/template/spec{pointer}")).to_vec())
    }

    /// The health check the class prescribes for the control plane.
    pub fn control_plane_health_check(&self) -> &Value {
        &self.cluster_class["spec"]["controlPlane"]["healthCheck"]
    }

    /// The health check the class prescribes for workers.
    pub fn worker_health_check(&self) -> &Value {
        &self.worker()["healthCheck"]
    }

    /// What a variable reaches, as the patches of the class say.
    pub fn variable_scope(&self, name: &str) -> VariableScope {
        let mut scope = VariableScope::default();
        for patch in items(&self.cluster_class, "/spec/patches") {
            let guarded = text(patch, "/enabledIf").contains(&format!(".{name}"));
            for definition in items(patch, "/definitions") {
                let used = items(definition, "/jsonPatches").iter().any(|operation| {
                    let variable = text(operation, "/valueFrom/variable");
                    variable == name || variable.strip_prefix(name).is_some_and(|rest| rest.starts_with(['.', '[']))
                });
                if used || guarded {
                    let matches = &definition["selector"]["matchResources"];
                    scope.control_plane |= matches["controlPlane"] == true;
                    scope.workers |= matches["machineDeploymentClass"].is_object();
                    scope.infrastructure |= matches["infrastructureCluster"] == true;
                }
            }
        }
        scope
    }

    fn worker(&self) -> &Value {
        items(&self.cluster_class, "/spec/workers/machineDeployments")
            .iter()
            .find(|class| class["class"] == self.worker_class.as_str())
            .unwrap_or(&Value::Null)
    }

    fn template(&self, reference: &Value) -> Option<&Value> {
        self.templates
            .iter()
            .find(|template| template["kind"] == reference["kind"] && name_of(template) == text(reference, "/name"))
    }
}

/// The kind a template makes: `SimulatedMachineTemplate` makes `SimulatedMachine`.
fn kind_behind_template(reference: &Value) -> ObjectKind {
    let (group, version) = text(reference, "/apiVersion").split_once('/').unwrap_or_default();
    let kind = text(reference, "/kind");
    ObjectKind {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: kind.strip_suffix("Template").unwrap_or(kind).to_owned(),
    }
}

/// The first 128 bits of a digest, in hexadecimal.
pub(crate) fn short_digest(digest: Sha256) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.finalize()[..16]);
    format!("{:032x}", u128::from_be_bytes(bytes))
}

fn visit_template_references(value: &mut Value, visit: &mut impl FnMut(&mut Value)) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if name == "templateRef" { visit(field) } else { visit_template_references(field, visit) }
            }
        }
        Value::Array(entries) => entries.iter_mut().for_each(|entry| visit_template_references(entry, visit)),
        _ => {}
    }
}

fn name_of(object: &Value) -> &str {
    text(object, "/metadata/name")
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn items<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
