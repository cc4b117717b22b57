//! The two writes ownership knows: an update takes over what it changes, an apply owns exactly what it states.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::Value;

use super::comparison::Comparison;
use super::field_set::FieldSet;
use super::managed_fields::{self, ManagedSet, ManagerKey, Managers};
use super::merge::{merge, remove_items};
use super::path_element::PathElement;
use super::typed::{Type, field_set, reconcile, with_named_parents};
use super::versions::Versioned;
use super::{FieldManager, equal_except_managed_fields, failure};
use crate::status_error::ApiError;

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

/// Why a write does not happen.
#[derive(Debug)]
pub(super) enum Refused {
    /// Others own what it would change.
    Conflicts(Conflicts),
    /// An object could not be converted into the version of an entry.
    Conversion(ApiError),
}

impl Refused {
    /// Says what was to be converted.
    pub(super) fn during(self, step: &str) -> Self {
        match self {
            Self::Conversion(error) => Self::Conversion(failure(format!("{step}: {}", error.status().message))),
            conflicts @ Self::Conflicts(_) => conflicts,
        }
    }
}

/// One write of one manager on one kind.
pub(super) struct Updater<'w> {
    pub(super) own: Type<'w>,
    pub(super) manager: &'w FieldManager<'w>,
}

impl<'w> Updater<'w> {
    /// Records an update from `live` to `new`.
    ///
    /// # Errors
    /// What the conversion into an entry's version fails with, and where a value is not of its type.
    pub(super) fn update(&self, live: &Value, new: &Value, managers: &mut Managers) -> Result<(), Refused> {
        self.reconcile(live, managers)?;
        let comparison = self.compare(live, new);
        if comparison.misfit {
            return Err(Refused::Conversion(failure("a value is not of its type".to_owned())));
        }
        let through_scale = self.manager.subresource == "scale";
        let changed = [&comparison.modified, &comparison.added];
        let was_owned =
            managers.values().any(|set| changed.iter().any(|changed| !set.fields.intersection(changed).is_empty()));
        // Forced, so without conflicts.
        self.settle(live, new, &comparison, managers, None, true)?;
        let mut fields = comparison.modified;
        fields.add(comparison.added);
        fields.remove(&STRIPPED);
        // A Scale whose replicas nobody owns is untracked, and one without replicas has none to own.
        if fields.is_empty() || (through_scale && (!was_owned || all_zero(&fields, new))) {
            return Ok(());
        }
        let set = managers.entry(self.manager.key(false)).or_insert_with(|| ManagedSet {
            api_version: self.manager.api_version.to_owned(),
            fields: FieldSet::default(),
            time: None,
        });
        set.fields.add(fields);
        // Of who comes to own replicas by way of a Scale, the real server loses the time (ScaleHandler.ToParent).
        if !through_scale {
            set.time = Some(self.manager.now.to_owned());
        }
        Ok(())
    }

    /// Applies `applied` over `live`; answers the object without managedFields, and its managers.
    ///
    /// # Errors
    /// What conflicts, unless forced; what a conversion fails with.
    pub(super) fn apply(
        &self,
        live: &Value,
        applied: &Value,
        mut managers: Managers,
        force: bool,
    ) -> Result<(Value, Managers), Refused> {
        self.reconcile(live, &mut managers)?;
        let key = self.manager.key(true);
        let mut merged = merge(self.own, live, applied);
        managed_fields::take(&mut merged);

        let mut fields = field_set(self.own, applied);
        self.manager.without_reset_fields(&mut fields);
        let set = ManagedSet {
            api_version: self.manager.api_version.to_owned(),
            fields,
            time: managers.get(&key).and_then(|last| last.time.clone()),
        };
        let new = match managers.insert(key.clone(), set) {
            Some(last) => self
                .without_dropped_fields(merged, &last, &managers, &key)
                .map_err(|error| error.during("failed to prune fields"))?,
            None => merged,
        };

        let comparison = self.compare(live, &new);
        self.settle(live, &new, &comparison, &mut managers, Some(&key), force)?;
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

    /// An object of the version written.
    fn versioned(&self, object: &Value) -> Versioned<'w> {
        Versioned { own: self.own, api_version: self.manager.api_version.to_owned(), object: object.clone() }
    }

    /// Converts; `None` when `api_version` is not served.
    fn convert(&self, from: &Versioned<'w>, api_version: &str) -> Result<Option<Versioned<'w>>, Refused> {
        from.to(api_version, (self.manager.api_version, self.own), self.manager.versions)
    }

    /// The differences in another version; `None` when it is not served.
    fn compare_in(&self, live: &Value, new: &Value, api_version: &str) -> Result<Option<Comparison>, Refused> {
        let live = self.convert(&self.versioned(live), api_version);
        let Some(live) = live.map_err(|error| error.during("failed to convert old object"))? else { return Ok(None) };
        let new = self.convert(&self.versioned(new), api_version);
        let Some(new) = new.map_err(|error| error.during("failed to convert new object"))? else { return Ok(None) };
        Ok(Some(Comparison::of(live.own, &live.object, &new.object)))
    }

    /// Takes what changed from its other owners, and what is gone from everybody but the writer. Entries of versions
    /// that are not served any more go.
    fn settle(
        &self,
        live: &Value,
        new: &Value,
        comparison: &Comparison,
        managers: &mut Managers,
        writer: Option<&ManagerKey>,
        force: bool,
    ) -> Result<(), Refused> {
        let mut elsewhere: BTreeMap<String, Option<Comparison>> = BTreeMap::new();
        for (key, set) in managers.iter() {
            if Some(key) != writer
                && set.api_version != self.manager.api_version
                && !elsewhere.contains_key(&set.api_version)
            {
                elsewhere.insert(set.api_version.clone(), self.compare_in(live, new, &set.api_version)?);
            }
        }
        managers.retain(|key, set| Some(key) == writer || !matches!(elsewhere.get(&set.api_version), Some(None)));
        let of_version = |set: &ManagedSet| match elsewhere.get(&set.api_version) {
            Some(Some(other)) => other,
            _ => comparison,
        };

        let mut conflicts = Vec::new();
        for (key, set) in managers.iter().filter(|(key, _)| Some(*key) != writer) {
            let differences = of_version(set);
            let mut fields = set.fields.intersection(&differences.modified);
            fields.add(set.fields.intersection(&differences.added));
            if !fields.is_empty() {
                conflicts.push((key.clone(), fields));
            }
        }
        if !force && !conflicts.is_empty() {
            return Err(Refused::Conflicts(conflicts));
        }
        for (key, fields) in &conflicts {
            if let Some(set) = managers.get_mut(key) {
                set.fields.remove(fields);
            }
        }
        for (key, set) in managers.iter_mut() {
            if Some(key) != writer {
                let removed = &of_version(set).removed;
                if !removed.is_empty() {
                    set.fields.remove(removed);
                }
            }
        }
        managers.retain(|key, set| Some(key) == writer || !set.fields.is_empty());
        Ok(())
    }

    /// Removes what the manager applied last time, does not apply now, and nobody else owns. What it applied last is
    /// known in the version of that time, so the removal happens there.
    fn without_dropped_fields(
        &self,
        merged: Value,
        last: &ManagedSet,
        managers: &Managers,
        key: &ManagerKey,
    ) -> Result<Value, Refused> {
        if last.fields.is_empty() {
            return Ok(merged);
        }
        if last.api_version == self.manager.api_version {
            let mut dropped = last.fields.clone();
            if let Some(set) = managers.get(key) {
                dropped.remove(&set.fields);
            }
            if dropped.is_empty() {
                // Nothing it owned can go: everything it owned is still stated, and so are all parents.
                return Ok(merged);
            }
        }
        let Some(at_last) = self.convert(&self.versioned(&merged), &last.api_version)? else { return Ok(merged) };
        let last_fields = with_named_parents(at_last.own, &last.fields);
        let pruned = at_last.with(remove_items(at_last.own, at_last.object.clone(), &last_fields));

        // Fields others own, or this apply states, come back: first those of the version of last time, since what they
        // bring back may be needed to convert to the others.
        let mut owned: BTreeMap<&str, FieldSet> = BTreeMap::new();
        for set in managers.values() {
            owned.entry(&set.api_version).or_default().add(set.fields.clone());
        }
        let (mut whole, mut pruned) = (at_last.clone(), pruned);
        let first = owned.remove_entry(last.api_version.as_str());
        for (api_version, fields) in first.into_iter().chain(owned) {
            let Some(whole_there) = self.convert(&whole, api_version)? else { continue };
            whole = whole_there;
            let Some(pruned_there) = self.convert(&pruned, api_version)? else { continue };
            let own = whole.own;
            let mut kept = with_named_parents(own, &field_set(own, &pruned_there.object));
            kept.add(with_named_parents(own, &fields));
            let mut removed = with_named_parents(own, &field_set(own, &whole.object));
            removed.remove(&kept);
            pruned = whole.with(remove_items(own, whole.object.clone(), &removed));
        }

        // And so do fields nobody owns, or only updates own, that were inside something removed.
        let Some(pruned) = self.convert(&pruned, &last.api_version)? else { return Ok(merged) };
        let mut removed = with_named_parents(at_last.own, &field_set(at_last.own, &at_last.object));
        removed.remove(&with_named_parents(at_last.own, &field_set(at_last.own, &pruned.object)));
        let removed = removed.intersection(&last_fields);
        let result = at_last.with(remove_items(at_last.own, at_last.object.clone(), &removed));
        let result = self.convert(&result, self.manager.api_version)?;
        Ok(result.map_or(merged, |result| result.object))
    }

    /// Fits the entries to the current schemas of their versions.
    fn reconcile(&self, live: &Value, managers: &mut Managers) -> Result<(), Refused> {
        for set in managers.values_mut() {
            let own = if set.api_version == self.manager.api_version {
                self.own
            } else {
                match self.convert(&self.versioned(live), &set.api_version)? {
                    Some(there) => there.own,
                    None => continue,
                }
            };
            if !matches!(own, Type::Deduced) {
                reconcile(own, &mut set.fields);
            }
        }
        Ok(())
    }
}

/// Whether all of some fields of maps are the number 0.
fn all_zero(fields: &FieldSet, object: &Value) -> bool {
    let mut zero = true;
    fields.for_each(&mut |path| {
        let found = path.iter().try_fold(object, |value, element| match element {
            PathElement::Field(name) => value.get(name),
            _ => None,
        });
        zero &= found.and_then(Value::as_i64) == Some(0);
    });
    zero
}
