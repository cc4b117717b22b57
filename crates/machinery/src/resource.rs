//! What the server knows of a kind: names, scope, subresources, columns and schema.
//!
//! Built-in kinds and kinds of a CustomResourceDefinition are the same [`ResourceType`] value; no code is written per
//! kind unless the kind has behaviour. One `ResourceType` is one (group, version, resource).

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::schema::LazySchema;

/// A resource across versions: the identity objects are stored under.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GroupResource {
    /// API group, empty for the core group.
    pub group: String,
    /// Plural resource name, e.g. `deployments`.
    pub resource: String,
}

impl std::fmt::Display for GroupResource {
    /// `deployments.apps`, or `pods` in the core group: the form of messages of the real API server.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.group.is_empty() {
            formatter.write_str(&self.resource)
        } else {
            write!(formatter, "{}.{}", self.resource, self.group)
        }
    }
}

/// A column of `kubectl get` (CRD `additionalPrinterColumns` and the built-in tables alike).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PrinterColumn {
    /// Header, e.g. `Ready`.
    pub name: String,
    /// OpenAPI type: `integer`, `number`, `string`, `boolean` or `date`.
    #[serde(rename = "type")]
    pub column_type: String,
    /// OpenAPI format, usually empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub format: String,
    /// Shown by `kubectl explain`-like clients.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// 0 is always shown, greater only with `-o wide`.
    #[serde(default)]
    pub priority: i32,
    /// Where the value is in the object, in CRD JSONPath form (`.spec.version`).
    pub json_path: String,
}

/// The `/scale` subresource of a kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScalePaths {
    /// Path of the desired replicas, e.g. `.spec.replicas`.
    pub spec_replicas_path: String,
    /// Path of the observed replicas, e.g. `.status.replicas`.
    pub status_replicas_path: String,
    /// Path of the serialised label selector, if the kind has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_selector_path: Option<String>,
}

/// A subresource other than `status` and `scale`, e.g. `pods/log`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubresourceType {
    /// Name below the object, e.g. `log`.
    pub name: String,
    /// Kind of the body, e.g. `Eviction`.
    pub kind: String,
    /// Group of the body's kind where it differs from the resource's, e.g. `policy`.
    pub group: String,
    /// Version of the body's kind.
    pub version: String,
    /// Verbs in discovery, e.g. `get`.
    pub verbs: Vec<String>,
}

/// One served (group, version, resource). Cheap to share: hold it in an `Arc`.
#[derive(Clone, Debug)]
pub struct ResourceType {
    /// API group, empty for the core group.
    pub group: String,
    /// Version, e.g. `v1beta2`.
    pub version: String,
    /// Kind, e.g. `Machine`.
    pub kind: String,
    /// Kind of the list, e.g. `MachineList`.
    pub list_kind: String,
    /// Resource name in paths, e.g. `machines`.
    pub plural: String,
    /// Name of one, e.g. `machine`.
    pub singular: String,
    /// Short names, e.g. `kc`.
    pub short_names: Vec<String>,
    /// Categories, e.g. `all`.
    pub categories: Vec<String>,
    /// Whether objects live in a namespace.
    pub namespaced: bool,
    /// Verbs in discovery order, e.g. `create`, `delete`, `get`, `list`, `watch`.
    pub verbs: Vec<String>,
    /// Version objects are stored in.
    pub storage_version: String,
    /// Whether `/status` is a separate endpoint.
    pub status_subresource: bool,
    /// `/scale`, where the kind has it.
    pub scale: Option<ScalePaths>,
    /// Other subresources.
    pub subresources: Vec<SubresourceType>,
    /// Columns beside the name; empty means Name and Age.
    pub columns: Vec<PrinterColumn>,
    /// JSONPaths that field selectors may use beside `metadata.name` and `metadata.namespace`.
    pub selectable_fields: Vec<String>,
    /// True for a kind of a CustomResourceDefinition. Custom kinds refuse strategic merge patches and unconditional
    /// updates, as in the real server.
    pub custom: bool,
    /// Whether `metadata.generation` is kept (kinds with a spec; not ConfigMap, Secret, Event and their like).
    pub has_generation: bool,
    /// Deprecation warning to send with each answer, if this version is deprecated.
    pub deprecation_warning: Option<String>,
    /// The schema, compiled at first use.
    pub schema: LazySchema,
    /// Computes the cells of a table row, for built-in kinds whose columns are more than a path (`READY 1/2`).
    /// None: cells come from the columns' JSONPaths. Of an object's `kind` they see nothing, and of its `metadata` only
    /// annotations, creationTimestamp, deletionTimestamp, labels, name and ownerReferences: the rest is not read for a table.
    pub cells: Option<RowCells>,
    /// Fields beside `metadata` of which `cells` only counts the members: their values are not read for a table.
    pub counted: &'static [&'static str],
}

/// The cells of one object, one for each of [`ResourceType::columns`] in order (not for the name, which the table itself
/// puts first unless the columns have one named `Name` of format `name`). `now` is in seconds since the epoch. Of the
/// object's metadata, `uid`, `resourceVersion`, `generation` and `managedFields` may be absent.
pub type RowCells = fn(object: &Value, now: i64) -> Vec<Value>;

impl ResourceType {
    /// Identity across versions.
    pub fn group_resource(&self) -> GroupResource {
        GroupResource { group: self.group.clone(), resource: self.plural.clone() }
    }

    /// `group/version`, or only the version in the core group: the `apiVersion` of objects.
    pub fn api_version(&self) -> String {
        self.group_version(&self.version)
    }

    /// The `apiVersion` of objects as they are stored.
    pub fn stored_api_version(&self) -> String {
        self.group_version(&self.storage_version)
    }

    /// The Go package of the kind's internal type, which some messages of the real server name: `core`, `apps`, `rbac`.
    pub fn go_package(&self) -> &str {
        self.group.split('.').next().filter(|name| !name.is_empty()).unwrap_or("core")
    }

    fn group_version(&self, version: &str) -> String {
        if self.group.is_empty() { version.to_owned() } else { format!("{}/{version}", self.group) }
    }
}

/// A shared [`ResourceType`].
pub type SharedResourceType = Arc<ResourceType>;
