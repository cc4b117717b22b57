//! The resource types a plane serves: the built-in ones, shared by all planes, and those of its own
//! CustomResourceDefinitions.
//!
//! A plane without definitions costs one empty map here. Readers never wait: the custom part is swapped as a whole.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, LazyLock, Mutex, PoisonError, atomic::AtomicBool},
};

use arc_swap::ArcSwap;
use kogge_machinery::{
    custom_resource_definition::{self, CompressedDefinition, NamePool},
    resource::{GroupResource, ResourceType, SharedResourceType},
    schema::LazySchema,
    status_error::ApiError,
};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::{
    builtin, conversion::Converter, definition_names::AcceptedNames, store::StoredObject,
    webhook_client::WebhookClients,
};

/// A resource type and how its objects are stored.
#[derive(Debug)]
pub(crate) struct ServedResource {
    pub(crate) resource: SharedResourceType,
    /// What objects are stored under. Differs from the resource only for events, which have one store for two groups.
    pub(crate) stored_as: GroupResource,
    /// Whether stored objects always are in the served version.
    pub(crate) single_version: bool,
    /// Objects written at or before this revision may lack defaults of the current schema.
    pub(crate) schema_revision: u64,
    /// Whether the definition is being deleted, so nothing new may be created.
    pub(crate) terminating: bool,
    /// Converts between versions, where that takes a webhook.
    pub(crate) converter: Option<Arc<Converter>>,
    /// The schema of the storage version, where this is another one.
    pub(crate) storage_schema: LazySchema,
    /// Cancelled once this is not what is served any more: the definition asks for something else, or is gone.
    pub(crate) ended: CancellationToken,
    /// Whether an object that breaks rules of the current schema was written, as it broke them before.
    pub(crate) tolerates: Arc<AtomicBool>,
}

impl ServedResource {
    pub(crate) fn is(&self, group: &str, plural: &str) -> bool {
        self.resource.group == group && self.resource.plural == plural
    }

    /// Whether this is the core kind with this plural.
    pub(crate) fn is_core(&self, plural: &str) -> bool {
        self.is("", plural)
    }
}

/// Types of one origin, found by plural name, then group and version.
#[derive(Debug, Default)]
struct Types {
    by_plural: HashMap<String, Vec<Arc<ServedResource>>>,
}

impl Types {
    fn new(types: impl Iterator<Item = Arc<ServedResource>>) -> Self {
        let mut by_plural: HashMap<String, Vec<_>> = HashMap::new();
        for served in types {
            by_plural.entry(served.resource.plural.clone()).or_default().push(served);
        }
        Self { by_plural }
    }

    fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<ServedResource>> {
        self.by_plural
            .get(plural)?
            .iter()
            .find(|served| served.resource.group == group && served.resource.version == version)
    }
}

/// Whether a built-in group and version has this kind.
pub(crate) fn is_built_in_kind(group: &str, version: &str, kind: &str) -> bool {
    let is_it = |served: &Arc<ServedResource>| {
        let resource = &served.resource;
        resource.group == group && resource.version == version && resource.kind == kind
    };
    BUILT_IN.by_plural.values().flatten().any(is_it)
}

static BUILT_IN: LazyLock<Types> = LazyLock::new(|| {
    Types::new(builtin::resource_types().iter().map(|resource| {
        let mut stored_as = resource.group_resource();
        let event = resource.plural == "events" && resource.group == "events.k8s.io";
        if event {
            stored_as.group.clear();
        }
        Arc::new(ServedResource {
            resource: resource.clone(),
            stored_as,
            single_version: !event && resource.version == resource.storage_version,
            schema_revision: 0,
            terminating: false,
            converter: None,
            storage_schema: LazySchema::none(),
            ended: CancellationToken::new(),
            tolerates: Arc::default(),
        })
    }))
});

/// One established definition.
#[derive(Debug)]
struct Definition {
    /// Revision of the definition object last seen.
    revision: u64,
    group: String,
    /// `metadata.uid` and `metadata.generation`, which tell a change of `spec` from a change of status.
    generation: (String, i64),
    /// `spec.conversion`.
    conversion: Value,
    /// `status.acceptedNames`.
    accepted_names: Value,
    types: Vec<Arc<ServedResource>>,
    converter: Option<Arc<Converter>>,
    /// That of its types.
    ended: CancellationToken,
}

#[derive(Debug, Default)]
struct Custom {
    definitions: BTreeMap<String, Arc<Definition>>,
    types: Types,
}

/// The resource types of one plane.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    custom: ArcSwap<Custom>,
    /// Definition changes are rare and take turns; removed definitions with the revision that removed them, so that a
    /// late notice of an earlier state does not bring one back.
    changes: Mutex<BTreeMap<String, u64>>,
    /// Also of definitions that are not served.
    names: AcceptedNames,
    /// For conversion webhooks.
    clients: Arc<WebhookClients>,
}

impl Registry {
    /// An empty registry whose conversion webhooks are called by these clients.
    pub(crate) fn new(clients: Arc<WebhookClients>) -> Self {
        Self { clients, ..Self::default() }
    }

    /// The type a request path names.
    pub(crate) fn find(&self, group: &str, version: &str, plural: &str) -> Option<Arc<ServedResource>> {
        BUILT_IN
            .find(group, version, plural)
            .cloned()
            .or_else(|| self.custom.load().types.find(group, version, plural).cloned())
    }

    /// 404 for a path that names nothing: built-in groups answer it themselves, any other path is nobody's.
    pub(crate) fn unknown_path(group: &str) -> ApiError {
        let built_in = |served: &Arc<ServedResource>| served.resource.group == group;
        if group.is_empty() || BUILT_IN.by_plural.values().flatten().any(built_in) {
            ApiError::unknown_path()
        } else {
            ApiError::page_not_found()
        }
    }

    /// A type of this group and plural in its storage version.
    pub(crate) fn find_stored(&self, stored_as: &GroupResource) -> Option<Arc<ServedResource>> {
        let by_plural = |types: &Types| {
            types.by_plural.get(&stored_as.resource).and_then(|served| {
                let mut same = served.iter().filter(|served| served.resource.group == stored_as.group);
                let first = same.next()?;
                let storage =
                    |served: &&Arc<ServedResource>| served.resource.version == served.resource.storage_version;
                Some(if storage(&first) { first } else { same.find(storage).unwrap_or(first) }.clone())
            })
        };
        by_plural(&BUILT_IN).or_else(|| by_plural(&self.custom.load().types))
    }

    /// Every served version of a resource.
    pub(crate) fn versions(&self, resource: &GroupResource) -> Vec<Arc<ServedResource>> {
        let same = |types: &Types| -> Vec<Arc<ServedResource>> {
            let all = types.by_plural.get(&resource.resource).into_iter().flatten();
            all.filter(|served| served.resource.group == resource.group).cloned().collect()
        };
        let built_in = same(&BUILT_IN);
        if built_in.is_empty() { same(&self.custom.load().types) } else { built_in }
    }

    /// The same resource in other served versions, and events in their other group.
    pub(crate) fn equivalents(&self, served: &ServedResource) -> Vec<Arc<ServedResource>> {
        let same = |types: &Types| -> Vec<Arc<ServedResource>> {
            let all = types.by_plural.get(&served.stored_as.resource).into_iter().flatten();
            all.filter(|other| other.stored_as == served.stored_as).cloned().collect()
        };
        let mut all = if served.resource.custom { same(&self.custom.load().types) } else { same(&BUILT_IN) };
        let ResourceType { group, version, .. } = &*served.resource;
        all.retain(|other| (&other.resource.group, &other.resource.version) != (group, version));
        all
    }

    /// The type of this group, version and kind.
    pub(crate) fn find_version_of_kind(&self, group: &str, version: &str, kind: &str) -> Option<Arc<ServedResource>> {
        let by_kind = |types: &Types| {
            let is_it = |served: &&Arc<ServedResource>| {
                let resource = &served.resource;
                resource.group == group && resource.version == version && resource.kind == kind
            };
            types.by_plural.values().flatten().find(is_it).cloned()
        };
        by_kind(&BUILT_IN).or_else(|| by_kind(&self.custom.load().types))
    }

    /// Every type, built-in ones first, for discovery.
    pub(crate) fn resource_types(&self) -> Vec<SharedResourceType> {
        let custom = self.custom.load();
        builtin::resource_types()
            .iter()
            .cloned()
            .chain(
                custom
                    .definitions
                    .values()
                    .flat_map(|definition| definition.types.iter().map(|served| served.resource.clone())),
            )
            .collect()
    }

    /// As [`Self::resource_types`], with what discovery tells of those that end: they are not written any more.
    pub(crate) fn discovered_types(&self) -> Vec<SharedResourceType> {
        let custom = self.custom.load();
        let of_custom = custom.definitions.values().flat_map(|definition| &definition.types).map(|served| {
            if !served.terminating {
                return served.resource.clone();
            }
            let mut ending = (*served.resource).clone();
            ending.verbs.retain(|verb| !matches!(verb.as_str(), "create" | "patch" | "update"));
            Arc::new(ending)
        });
        builtin::resource_types().iter().cloned().chain(of_custom).collect()
    }

    /// Types of one group and version.
    pub(crate) fn group_version(&self, group: &str, version: &str) -> Vec<SharedResourceType> {
        self.resource_types()
            .into_iter()
            .filter(|resource| resource.group == group && resource.version == version)
            .collect()
    }

    /// A number that changes whenever a custom type of the group and version does; 0 without any.
    pub(crate) fn group_version_revision(&self, group: &str, version: &str) -> u64 {
        let custom = self.custom.load();
        custom
            .definitions
            .values()
            .filter(|definition| definition.group == group)
            .flat_map(|definition| &definition.types)
            .filter(|served| served.resource.version == version)
            .map(|served| served.schema_revision)
            .sum()
    }

    /// Whether a definition has accepted this name in this group.
    pub(crate) fn name_taken(&self, group: &str, pool: NamePool, name: &str) -> bool {
        self.names.taken(group, pool, name)
    }

    /// Takes over the state of a definition that is stored as this; earlier states than the known one are ignored. Says
    /// whether it gave up a name that others may wait for.
    pub(crate) fn define(&self, definition: &Value, stored: &StoredObject) -> bool {
        let revision = stored.revision;
        let Some(name) = definition.pointer("/metadata/name").and_then(Value::as_str) else {
            return false;
        };
        let mut removed = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let custom = self.custom.load_full();
        let known = custom.definitions.get(name);
        if known.is_some_and(|known| known.revision >= revision) || removed.get(name).is_some_and(|at| *at >= revision)
        {
            return false;
        }
        removed.remove(name);
        let gave_up = self.names.notice(name, definition, revision);
        if !is_established(definition) {
            // Once established a definition stays served, even if it later asks for names it cannot have.
            return gave_up;
        }
        let spec = definition.get("spec").unwrap_or(&Value::Null);
        let uid = definition["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        let generation = (uid, definition["metadata"]["generation"].as_i64().unwrap_or_default());
        let conversion = spec.get("conversion").cloned().unwrap_or_default();
        let schema_revision = match known {
            Some(known) if known.generation == generation => {
                known.types.first().map_or(revision, |served| served.schema_revision)
            }
            _ => revision,
        };
        let terminating = definition.pointer("/metadata/deletionTimestamp").is_some();
        let accepted_names = definition["status"]["acceptedNames"].clone();
        let tolerates = match known.and_then(|known| Some((known, known.types.first()?))) {
            Some((known, served)) if known.generation == generation => served.tolerates.clone(),
            _ => Arc::default(),
        };
        // As the real server compares: with another spec or other names the storage is made anew.
        let ended = match known {
            Some(known) if known.generation == generation && known.accepted_names == accepted_names => {
                known.ended.clone()
            }
            Some(known) => {
                known.ended.cancel();
                CancellationToken::new()
            }
            None => CancellationToken::new(),
        };
        let converter = match known {
            Some(known) if known.conversion == conversion => known.converter.clone(),
            _ => Converter::of(&conversion, &self.clients),
        };
        let text = match &stored.compressed {
            Some(field) if field.name == "spec" => CompressedDefinition::from_block(field.block.clone()),
            _ => CompressedDefinition::of(&stored.json),
        };
        let resources = custom_resource_definition::resource_types(definition, &text);
        let single_version = resources.len() == 1
            && definition.pointer("/status/storedVersions").and_then(Value::as_array).is_some_and(|versions| {
                versions.iter().all(|version| version.as_str() == Some(resources[0].version.as_str()))
            });
        let stored = resources.iter().find(|resource| resource.version == resource.storage_version);
        let storage_schema = match stored {
            Some(stored) => stored.schema.clone(),
            None => custom_resource_definition::storage_schema(definition, &text),
        };
        let types = resources
            .into_iter()
            .map(|resource| {
                let is_stored = resource.version == resource.storage_version;
                Arc::new(ServedResource {
                    storage_schema: if is_stored { LazySchema::none() } else { storage_schema.clone() },
                    stored_as: resource.group_resource(),
                    resource: Arc::new(resource),
                    single_version,
                    schema_revision,
                    terminating,
                    converter: converter.clone(),
                    ended: ended.clone(),
                    tolerates: tolerates.clone(),
                })
            })
            .collect();
        let group = spec.get("group").and_then(Value::as_str).unwrap_or_default().to_owned();
        let entry = Definition { revision, group, generation, conversion, accepted_names, types, converter, ended };
        let mut definitions = custom.definitions.clone();
        definitions.insert(name.to_owned(), Arc::new(entry));
        self.replace(definitions);
        gave_up
    }

    /// Whether it has taken over the state a definition had at a revision.
    pub(crate) fn knows(&self, definition: &str, revision: u64) -> bool {
        self.custom.load().definitions.get(definition).is_some_and(|known| known.revision >= revision)
    }

    /// Stops serving a definition removed at a revision.
    pub(crate) fn remove(&self, name: &str, revision: u64) {
        let mut removed = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        removed.insert(name.to_owned(), revision);
        self.names.remove(name, revision);
        let mut definitions = self.custom.load_full().definitions.clone();
        if definitions.get(name).is_some_and(|known| known.revision <= revision) {
            if let Some(removed) = definitions.remove(name) {
                removed.ended.cancel();
            }
            self.replace(definitions);
        }
    }

    fn replace(&self, definitions: BTreeMap<String, Arc<Definition>>) {
        let types = Types::new(definitions.values().flat_map(|definition| definition.types.iter().cloned()));
        self.custom.store(Arc::new(Custom { definitions, types }));
    }
}

/// References for functions of the machinery that take them.
pub(crate) fn references(resources: &[SharedResourceType]) -> Vec<&ResourceType> {
    resources.iter().map(AsRef::as_ref).collect()
}

/// Whether a definition's condition Established is true.
pub(crate) fn is_established(definition: &Value) -> bool {
    definition.pointer("/status/conditions").and_then(Value::as_array).is_some_and(|conditions| {
        conditions.iter().any(|condition| condition["type"] == "Established" && condition["status"] == "True")
    })
}
