//! The two writes ownership knows: an update takes over what it changes, an apply owns exactly what it states.

use std::sync::LazyLock;

use serde_json::Value;

use super::comparison::Comparison;
use super::field_set::FieldSet;
use super::managed_fields::{ManagedSet, ManagerKey, Managers};
use super::merge::{merge, remove_items};
use super::path_element::PathElement;
use super::typed::{Type, field_set, reconcile, with_named_parents};
use super::{FieldManager, equal_except_managed_fields};

/// Fields nobody owns: they identify the object or belong to the server.
static STRIPPED: LazyLock<FieldSet> = LazyLock::new(|| {
    let mut set = FieldSet::default();
    for name in ["apiVersion", "kind", "metadata"] {
        set.insert(&[PathElement::field(name)]);
    }
    for name in [
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "clusterName",
        "generation",
        "managedFields",
        "resourceVersion",
    ] {
        set.insert(&[PathElement::field("metadata"), PathElement::field(name)]);
    }
    set
});

/// What conflicts: the owners and the fields of theirs that the write would change.
pub(super) type Conflicts = Vec<(ManagerKey, FieldSet)>;

/// One write of one manager on one kind.
pub(super) struct Updater<'w> {
    pub(super) own: Type<'w>,
    pub(super) manager: &'w FieldManager<'w>,
}

impl Updater<'_> {
    /// Records an update from `live` to `new`.
    pub(super) fn update(&self, live: &Value, new: &Value, managers: &mut Managers) {
        self.reconcile(managers);
        let comparison = self.compare(live, new);
        if comparison.is_empty() {
            managers.retain(|_, set| !set.fields.is_empty());
            return;
        }
        // Forced, so without conflicts.
        let _ = self.settle(&comparison, managers, None, true);
        let mut fields = comparison.modified;
        fields.add(comparison.added);
        fields.remove(&STRIPPED);
        if fields.is_empty() {
            return;
        }
        let now = Some(self.manager.now.to_owned());
        match managers.entry(self.manager.key(false)) {
            std::collections::btree_map::Entry::Occupied(mut entry) => {
                let set = entry.get_mut();
                set.fields.add(fields);
                set.time = now;
            }
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(ManagedSet { api_version: self.manager.api_version.to_owned(), fields, time: now });
            }
        }
    }

    /// Applies `applied` over `live`; answers the object without managedFields, and its managers.
    ///
    /// # Errors
    /// What conflicts, unless forced.
    pub(super) fn apply(
        &self,
        live: &Value,
        applied: &Value,
        mut managers: Managers,
        force: bool,
    ) -> Result<(Value, Managers), Conflicts> {
        self.reconcile(&mut managers);
        let key = self.manager.key(true);
        let mut merged = merge(self.own, live, applied);
        remove_managed_fields(&mut merged);

        let mut fields = field_set(self.own, applied);
        self.manager.without_reset_fields(&mut fields);
        let set = ManagedSet {
            api_version: self.manager.api_version.to_owned(),
            fields,
            time: managers.get(&key).and_then(|last| last.time.clone()),
        };
        let last = managers.insert(key.clone(), set);
        let new = match last {
            Some(last) if last.api_version == self.manager.api_version => {
                self.without_dropped_fields(merged, &last.fields, &managers, &key)
            }
            _ => merged,
        };

        let comparison = self.compare(live, &new);
        self.settle(&comparison, &mut managers, Some(&key), force)?;
        let changed = !equal_except_managed_fields(live, &new);
        if let Some(set) = managers.get_mut(&key) {
            set.fields.remove(&STRIPPED);
            if set.fields.is_empty() {
                managers.remove(&key);
            } else if changed {
                set.time = Some(self.manager.now.to_owned());
            }
        }
        Ok((new, managers))
    }

    fn compare(&self, live: &Value, new: &Value) -> Comparison {
        let mut comparison = Comparison::of(self.own, live, new);
        comparison.filter(|set| self.manager.without_reset_fields(set));
        comparison
    }

    /// Takes what changed from its other owners, and what is gone from everybody.
    fn settle(
        &self,
        comparison: &Comparison,
        managers: &mut Managers,
        writer: Option<&ManagerKey>,
        force: bool,
    ) -> Result<(), Conflicts> {
        let others =
            |key: &ManagerKey, set: &ManagedSet| Some(key) != writer && set.api_version == self.manager.api_version;
        let changed = comparison.changed();
        let mut conflicts = Vec::new();
        if !changed.is_empty() {
            for (key, set) in managers.iter().filter(|(key, set)| others(key, set)) {
                let fields = set.fields.intersection(&changed);
                if !fields.is_empty() {
                    conflicts.push((key.clone(), fields));
                }
            }
        }
        if !force && !conflicts.is_empty() {
            return Err(conflicts);
        }
        for (key, fields) in &conflicts {
            if let Some(set) = managers.get_mut(key) {
                set.fields.remove(fields);
            }
        }
        if !comparison.removed.is_empty() {
            for (key, set) in managers.iter_mut() {
                if others(key, set) {
                    set.fields.remove(&comparison.removed);
                }
            }
        }
        managers.retain(|_, set| !set.fields.is_empty());
        Ok(())
    }

    /// Removes what the manager applied last time, does not apply now, and nobody else owns.
    fn without_dropped_fields(&self, merged: Value, last: &FieldSet, managers: &Managers, key: &ManagerKey) -> Value {
        let mut dropped = last.clone();
        if let Some(set) = managers.get(key) {
            dropped.remove(&set.fields);
        }
        if dropped.is_empty() {
            // Nothing it owned can go: everything it owned is still stated, and so are all parents.
            return merged;
        }
        let full = |set: &FieldSet| with_named_parents(self.own, set);
        let last = full(last);
        let merged_set = full(&field_set(self.own, &merged));
        let pruned = remove_items(self.own, merged.clone(), &last);

        // Fields others own, or this apply states, come back.
        let mut kept = full(&field_set(self.own, &pruned));
        let mut owned = FieldSet::default();
        for set in managers.values() {
            owned.add(set.fields.clone());
        }
        kept.add(full(&owned));
        let mut removed = merged_set.clone();
        removed.remove(&kept);
        let pruned = remove_items(self.own, merged.clone(), &removed);

        // And so do fields nobody owns, or only updates own, that were inside something removed.
        let mut removed = merged_set;
        removed.remove(&full(&field_set(self.own, &pruned)));
        remove_items(self.own, merged, &removed.intersection(&last))
    }

    fn reconcile(&self, managers: &mut Managers) {
        if matches!(self.own, Type::Deduced) {
            return;
        }
        for set in managers.values_mut().filter(|set| set.api_version == self.manager.api_version) {
            reconcile(self.own, &mut set.fields);
        }
    }
}

fn remove_managed_fields(object: &mut Value) {
    if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
        metadata.remove("managedFields");
    }
}
