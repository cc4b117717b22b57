//! The names that the definitions of a plane have accepted, so that no two of a group have the same.
//!
//! A definition that is refused one of its names has the others already, although it is not served.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use kogge_machinery::custom_resource_definition::NamePool;
use serde_json::Value;

/// Accepted names by definition.
#[derive(Debug, Default)]
pub(crate) struct AcceptedNames {
    definitions: Mutex<BTreeMap<String, Accepted>>,
}

/// What one definition has accepted.
#[derive(Debug)]
struct Accepted {
    /// Revision of the definition that says so.
    revision: u64,
    group: String,
    /// Plural, singular and short names.
    resources: Vec<String>,
    /// Kind and list kind.
    kinds: Vec<String>,
}

impl Accepted {
    fn of(definition: &Value, revision: u64) -> Self {
        let names = &definition["status"]["acceptedNames"];
        let text = |field: &str| names[field].as_str().filter(|name| !name.is_empty()).map(str::to_owned);
        let short_names = names["shortNames"].as_array().into_iter().flatten().filter_map(Value::as_str);
        Self {
            revision,
            group: definition["spec"]["group"].as_str().unwrap_or_default().to_owned(),
            resources: text("plural")
                .into_iter()
                .chain(text("singular"))
                .chain(short_names.map(str::to_owned))
                .collect(),
            kinds: text("kind").into_iter().chain(text("listKind")).collect(),
        }
    }

    fn pool(&self, pool: NamePool) -> &[String] {
        match pool {
            NamePool::Resources => &self.resources,
            NamePool::Kinds => &self.kinds,
        }
    }
}

impl AcceptedNames {
    /// Whether a definition of the group has accepted the name. Its own names are no fresh ones for it either.
    pub(crate) fn taken(&self, group: &str, pool: NamePool, name: &str) -> bool {
        let definitions = self.definitions.lock().unwrap_or_else(PoisonError::into_inner);
        definitions
            .values()
            .any(|accepted| accepted.group == group && accepted.pool(pool).iter().any(|accepted| accepted == name))
    }

    /// Takes over what a definition has accepted, unless a later state is known. Says whether it gave up a name.
    pub(crate) fn notice(&self, definition: &str, object: &Value, revision: u64) -> bool {
        let mut definitions = self.definitions.lock().unwrap_or_else(PoisonError::into_inner);
        let known = definitions.get(definition);
        if known.is_some_and(|known| known.revision >= revision) {
            return false;
        }
        let accepted = Accepted::of(object, revision);
        let lacks = |pool, name| !accepted.pool(pool).contains(name);
        let gave_up = known.is_some_and(|known| {
            known.resources.iter().any(|name| lacks(NamePool::Resources, name))
                || known.kinds.iter().any(|name| lacks(NamePool::Kinds, name))
        });
        definitions.insert(definition.to_owned(), accepted);
        gave_up
    }

    /// Forgets a definition that was removed at a revision.
    pub(crate) fn remove(&self, definition: &str, revision: u64) {
        let mut definitions = self.definitions.lock().unwrap_or_else(PoisonError::into_inner);
        if definitions.get(definition).is_some_and(|known| known.revision <= revision) {
            definitions.remove(definition);
        }
    }
}
