//! The valid objects that mutations start from, and the definition of the custom one among them.

use serde::Deserialize;
use serde_json::{Value, json};

/// Stands in a body for the revision of the stored object, which each server counts for itself.
pub(crate) const REVISION: &str = "$revision";

/// Collections of kinds that can only be updated by who names the revision (`AllowUnconditionalUpdate`).
const CONDITIONAL: &[&str] = &[
    "/csidrivers",
    "/csinodes",
    "/csistoragecapacities",
    "/customresourcedefinitions",
    "/leases",
    "/poddisruptionbudgets",
    "/runtimeclasses",
    "/shelves",
    "/things",
    "/volumeattachments",
];

/// A valid object.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Seed {
    /// Path of its collection.
    pub(crate) at: String,
    /// The object, at first without `apiVersion` and `kind`, which the real server's answer tells.
    pub(crate) object: Value,
    /// What its status is set to, where the kind has one.
    #[serde(default)]
    pub(crate) status: Option<Value>,
    /// Whether it is stored, so that it can be changed.
    #[serde(default = "yes")]
    pub(crate) stored: bool,
}

fn yes() -> bool {
    true
}

/// All seeds, in the order of the file.
pub(crate) fn all() -> Vec<Seed> {
    serde_saphyr::from_str(include_str!("seeds.yaml")).unwrap_or_else(|error| panic!("seeds.yaml: {error}"))
}

/// The definition of the custom resource.
pub(crate) fn definition() -> Value {
    serde_saphyr::from_str(include_str!("definition.yaml")).unwrap_or_else(|error| panic!("definition.yaml: {error}"))
}

impl Seed {
    /// Its name; empty for reviews.
    pub(crate) fn name(&self) -> &str {
        self.object["metadata"]["name"].as_str().unwrap_or_default()
    }

    /// Path of the object.
    pub(crate) fn path(&self) -> String {
        format!("{}/{}", self.at, self.name())
    }

    /// What reports call it: `apps/v1 deployments seed`.
    pub(crate) fn title(&self) -> String {
        let segments: Vec<&str> = self.at.trim_start_matches("/apis/").trim_start_matches("/api/").split('/').collect();
        let group_version = if self.at.starts_with("/api/") { segments[0].to_owned() } else { segments[..2].join("/") };
        let plural = segments.last().copied().unwrap_or_default();
        format!("{group_version} {plural} {}", self.name()).trim_end().to_owned()
    }

    /// Says what the object is, as `answer` has it.
    pub(crate) fn name_type(&mut self, answer: &Value) {
        for field in ["apiVersion", "kind"] {
            self.object[field] = answer[field].clone();
        }
    }

    /// The object as its status is set.
    pub(crate) fn with_status(&self) -> Option<Value> {
        let mut object = self.object.clone();
        object["status"] = self.status.clone()?;
        Some(object)
    }

    /// The object of an update, which names the revision where it has to.
    pub(crate) fn with_revision(&self, mut object: Value) -> Value {
        if self.needs_revision()
            && let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut)
        {
            metadata.entry("resourceVersion").or_insert(json!(REVISION));
        }
        object
    }

    /// Whether its kind can only be updated by who names the revision.
    pub(crate) fn needs_revision(&self) -> bool {
        CONDITIONAL.iter().any(|plural| self.at.ends_with(plural))
    }
}

/// The namespace of seeds that decide about others in theirs.
pub(crate) fn namespace() -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "seeds"}})
}
