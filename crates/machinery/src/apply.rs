//! Server-side apply and field ownership (`metadata.managedFields`).
//!
//! The rules are those of structured-merge-diff v6 and of apimachinery's `managedfields` on top of it: who owns which
//! field, which applies conflict, what an apply removes. Entries written in another version of the kind are compared in
//! that version: [`OtherVersions`] converts. Entries of versions that are no longer served are dropped.

use serde_json::{Map, Value, json};

use crate::schema::SchemaNode;
use crate::status_error::ApiError;

mod comparison;
mod field_set;
mod managed_fields;
mod merge;
mod path_element;
mod scale;
mod typed;
mod updater;
mod versions;

pub use field_set::FieldSet;
pub use path_element::{ParsePathElementError, PathElement};
pub use scale::{has_untimed_owners, separate_replicas};
pub use versions::{OnlyVersion, OtherVersions};

use comparison::Comparison;
use managed_fields::{ManagerKey, Managers};
use path_element::equal_values;
pub(crate) use path_element::go_json;
use typed::Type;
use updater::{Conflicts, Refused, Updater};

/// Owner of what was there before anything was tracked.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";
/// Written by client-side `kubectl apply`.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// The only manager that takes over what client-side apply set.
const KUBECTL: &str = "kubectl";

/// Who writes, when, and where.
#[derive(Clone, Debug)]
pub struct FieldManager<'a> {
    /// Manager name (`fieldManager`, or the User-Agent up to `/`).
    pub name: &'a str,
    /// `apiVersion` of the write.
    pub api_version: &'a str,
    /// Empty, or `status`, `scale`.
    pub subresource: &'a str,
    /// Whether the kind has a status subresource: then nobody owns status by the main endpoint, and nothing but status
    /// by `/status`.
    pub status_subresource: bool,
    /// Whether `/status` takes metadata as well (see [`crate::object_meta::status_takes_metadata`]).
    pub status_takes_metadata: bool,
    /// Metadata it leaves nevertheless (see [`crate::object_meta::status_leaves_metadata`]).
    pub status_leaves_metadata: &'static [&'static str],
    /// Whether nobody owns the spec, which the server writes and nobody changes.
    pub resets_spec: bool,
    /// RFC 3339, seconds.
    pub now: &'a str,
    /// What an object of the kind holds when nothing is set, for kinds with Go types: of it nobody becomes the owner.
    pub empty: Option<&'a Value>,
    /// The kind's other versions; [`OnlyVersion`] for a kind that has none.
    pub versions: &'a dyn OtherVersions,
}

/// Subresources of pods that reset nothing: what is sent there and dropped is owned all the same.
const UNRESET: [&str; 2] = ["ephemeralcontainers", "resize"];

impl FieldManager<'_> {
    fn key(&self, applied: bool) -> ManagerKey {
        ManagerKey {
            manager: if self.name.is_empty() { "unknown".to_owned() } else { self.name.to_owned() },
            applied,
            api_version: if applied { String::new() } else { self.api_version.to_owned() },
            subresource: self.subresource.to_owned(),
        }
    }

    /// An object of the same type with nothing set.
    fn empty_like(&self, object: &Value) -> Value {
        let mut empty = type_only(object);
        if let (Value::Object(members), Some(Value::Object(zero))) = (&mut empty, self.empty) {
            members.extend(zero.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
        empty
    }

    /// Drops the fields the endpoint resets, which a writer there cannot own. Only fields of the version written are
    /// reset (the real server's reset fields are those of the endpoint's version).
    fn without_reset_fields(&self, set: &mut FieldSet) {
        if self.resets_spec {
            let mut spec = FieldSet::default();
            spec.insert(&[PathElement::field("spec")]);
            set.remove_recursively(&spec);
        }
        if self.subresource == "status" && self.status_takes_metadata {
            let mut spec = FieldSet::default();
            spec.insert(&[PathElement::field("spec")]);
            for name in self.status_leaves_metadata {
                spec.insert(&[PathElement::field("metadata"), PathElement::field(*name)]);
            }
            set.remove_recursively(&spec);
        } else if matches!(self.subresource, "status" | "approval") {
            set.retain_field("status");
        } else if self.status_subresource && !UNRESET.contains(&self.subresource) {
            let mut status = FieldSet::default();
            status.insert(&[PathElement::field("status")]);
            set.remove_recursively(&status);
        }
    }
}

/// Applies `applied` onto `live` (None creates). Returns the merged object with managedFields.
///
/// # Errors
/// 400 for managedFields in the body or a body of another version, 409 with one cause a conflicting field unless
/// `force`, 500 (as the real server answers) when the body does not fit the schema, and what [`OtherVersions::convert`]
/// fails with.
pub fn apply(
    live: Option<&Value>,
    applied: &Value,
    schema: Option<&SchemaNode>,
    manager: &FieldManager<'_>,
    force: bool,
) -> Result<Value, ApiError> {
    let body_version = applied.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
    if body_version != manager.api_version {
        return Err(ApiError::bad_request(format!(
            "Incorrect version specified in apply patch. Specified patch version: {body_version}, expected: {}",
            manager.api_version
        )));
    }
    let own = Type::root(schema);
    let nothing = type_only(applied);
    let live = live.unwrap_or(&nothing);
    let mut managers = managed_fields::decode(managed_fields::of(live))
        .map_err(|error| failure(format!("failed to decode managed fields: {error}")))?;
    // The order is that of the real server's chain of managers (managedfields/internal).
    if managers.is_empty() {
        track_before_first_apply(own, live, &mut managers, manager)?;
    }
    check(applied, schema)?;
    check_live(own, live, "failed to create typed live object", "")?;

    let updater = Updater { own, manager };
    let outcome = match updater.apply(live, applied, managers.clone(), force) {
        // kubectl's server-side apply takes over from its client-side apply what that had set and nobody changed.
        Err(Refused::Conflicts(conflicts)) if manager.name == KUBECTL => {
            let allowed = fields_of_client_side_apply(own, live, manager);
            let left = conflicts_beyond(conflicts, allowed);
            if left.is_empty() { updater.apply(live, applied, managers, true) } else { Err(Refused::Conflicts(left)) }
        }
        outcome => outcome,
    };
    let (mut object, managers) = outcome?;
    drop_null_metadata(&mut object);
    if manager.name == KUBECTL {
        refresh_last_applied(&mut object, applied);
    }
    managed_fields::encode_into(&mut object, &managers);
    Ok(object)
}

/// Checks that what is applied says nothing of managers, that its values are of their types, and that its lists have no
/// duplicate items. [`apply`] does so as well.
///
/// # Errors
/// 400 where it does, 500 with everything that is not, as the real server answers.
pub fn check(applied: &Value, schema: Option<&SchemaNode>) -> Result<(), ApiError> {
    if managed_fields::of(applied).is_some_and(|given| !given.is_null()) {
        return Err(ApiError::bad_request("metadata.managedFields must be nil"));
    }
    let errors = typed::validate(Type::root(schema), applied);
    if errors.is_empty() {
        return Ok(());
    }
    let (object, errors) = (describe(applied), error_list(&errors));
    Err(failure(format!("failed to create typed patch object ({object}): {errors}")))
}

/// Whether all values of an object are of their types. Only of such an object the real server can say who owns what.
pub fn fits(object: &Value, schema: Option<&SchemaNode>) -> bool {
    typed::fits(Type::root(schema), object)
}

/// The places (`.spec.list`) of the lists of an object that are owned as a whole.
pub fn atomic_lists(object: &Value, schema: Option<&SchemaNode>) -> Vec<String> {
    let mut found = Vec::new();
    typed::find_atomics(Type::root(schema), object, "", &mut |path, value| {
        if value.is_array() {
            found.push(path.to_owned());
        }
    });
    found
}

/// Records ownership of an Update (create, put, patch): sets the managedFields of `new`, computed from `live` and `new`.
///
/// `new` may carry managedFields itself, to edit ownership or, as `[]` or `[{}]`, to reset it; a subresource write may
/// not. An object whose ownership was reset stays untracked until the next apply.
///
/// # Errors
/// 500 with what [`OtherVersions::convert`] fails with; `new` is then as it was. The real server then stores the object
/// without managedFields.
pub fn track_update(
    live: Option<&Value>,
    new: &mut Value,
    schema: Option<&SchemaNode>,
    manager: &FieldManager<'_>,
) -> Result<(), ApiError> {
    let requested = managed_fields::take(new);
    match managers_after_update(live, new, requested.as_ref(), schema, manager) {
        Ok(Some(managers)) => managed_fields::encode_into(new, &managers),
        Ok(None) => {}
        Err(error) => {
            if let (Some(requested), Some(Value::Object(metadata))) = (requested, new.get_mut("metadata")) {
                metadata.insert("managedFields".to_owned(), requested);
            }
            return Err(error);
        }
    }
    Ok(())
}

/// The managers of an updated object, `None` for an untracked one.
fn managers_after_update(
    live: Option<&Value>,
    new: &Value,
    requested: Option<&Value>,
    schema: Option<&SchemaNode>,
    manager: &FieldManager<'_>,
) -> Result<Option<Managers>, ApiError> {
    let of_live = || managed_fields::decode(live.and_then(managed_fields::of)).unwrap_or_default();
    let mut managers = if !manager.subresource.is_empty() {
        of_live()
    } else if managed_fields::is_reset(requested) {
        Managers::new()
    } else {
        match managed_fields::decode(requested) {
            Ok(managers) if !managers.is_empty() => managers,
            _ => of_live(),
        }
    };
    if managers.is_empty() && live.is_some() {
        return Ok(None);
    }
    let nothing = manager.empty_like(new);
    let updater = Updater { own: Type::root(schema), manager };
    updater.update(live.unwrap_or(&nothing), new, &mut managers).map_err(|refused| {
        let step = format!("failed to update ManagedFields ({})", describe(new));
        ApiError::from(refused.during(&step))
    })?;
    managed_fields::cap_updates(&mut managers);
    Ok(Some(managers))
}

/// Whether two objects differ only in `managedFields[].time` (such a write is no write).
pub fn equal_except_managed_time(left: &Value, right: &Value) -> bool {
    fn entries(object: &Value) -> &[Value] {
        managed_fields::of(object).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }
    let (before, after) = (entries(left), entries(right));
    before.len() == after.len()
        && before.iter().zip(after).all(|(before, after)| equal_except(before, after, "time"))
        && equal_except_managed_fields(left, right)
}

/// Whether two objects are equal but for `metadata.managedFields`.
fn equal_except_managed_fields(left: &Value, right: &Value) -> bool {
    let empty = Map::new();
    let (Value::Object(before), Value::Object(after)) = (left, right) else { return equal_values(left, right) };
    before.len() == after.len()
        && before.iter().all(|(name, value)| match after.get(name) {
            Some(other) if name == "metadata" => {
                let metadata = |value: &Value| value.as_object().unwrap_or(&empty).contains_key("managedFields");
                if metadata(value) || metadata(other) {
                    equal_except(value, other, "managedFields")
                } else {
                    equal_values(value, other)
                }
            }
            Some(other) => equal_values(value, other),
            None => false,
        })
}

/// Whether two maps are equal but for one member.
fn equal_except(left: &Value, right: &Value, ignored: &str) -> bool {
    let (Value::Object(before), Value::Object(after)) = (left, right) else { return equal_values(left, right) };
    let count = |members: &Map<String, Value>| members.len() - usize::from(members.contains_key(ignored));
    count(before) == count(after)
        && before
            .iter()
            .filter(|(name, _)| *name != ignored)
            .all(|(name, value)| after.get(name).is_some_and(|other| equal_values(value, other)))
}

/// An object of the same type with nothing in it.
fn type_only(object: &Value) -> Value {
    let mut empty = Map::new();
    for name in ["apiVersion", "kind"] {
        if let Some(value) = object.get(name) {
            empty.insert(name.to_owned(), value.clone());
        }
    }
    Value::Object(empty)
}

/// Gives what an untracked object holds to [`BEFORE_FIRST_APPLY`], so that the first apply conflicts with it where it
/// must.
fn track_before_first_apply(
    own: Type<'_>,
    live: &Value,
    managers: &mut Managers,
    manager: &FieldManager<'_>,
) -> Result<(), ApiError> {
    check_live(
        own,
        live,
        "failed to create manager for existing fields: failed to convert new object",
        " to smd typed",
    )?;
    let before = FieldManager { name: BEFORE_FIRST_APPLY, ..manager.clone() };
    Updater { own, manager: &before }.update(&manager.empty_like(live), live, managers)?;
    Ok(())
}

/// Checks that an object that is there can be compared. Its lists may have duplicate items.
fn check_live(own: Type<'_>, live: &Value, step: &str, purpose: &str) -> Result<(), ApiError> {
    let errors = typed::validate_with_duplicates(own, live);
    if errors.is_empty() {
        return Ok(());
    }
    Err(failure(format!("{step} ({}){purpose}: {}", describe(live), error_list(&errors))))
}

/// The conflicts over other fields than the allowed ones.
fn conflicts_beyond(mut conflicts: Conflicts, allowed: Option<FieldSet>) -> Conflicts {
    if let Some(allowed) = allowed {
        for (_, fields) in &mut conflicts {
            fields.remove(&allowed);
        }
        conflicts.retain(|(_, fields)| !fields.is_empty());
    }
    conflicts
}

/// The fields the last client-side apply set and that still have its values; `None` when there was none.
fn fields_of_client_side_apply(own: Type<'_>, live: &Value, manager: &FieldManager<'_>) -> Option<FieldSet> {
    let annotation = live.get("metadata")?.get("annotations")?.get(LAST_APPLIED)?.as_str()?;
    let last: Value = serde_json::from_str(annotation).ok()?;
    if last.get("apiVersion").and_then(Value::as_str) != Some(manager.api_version) {
        return None;
    }
    if !typed::validate(own, &last).is_empty() {
        return None;
    }
    let mut fields = typed::field_set(own, &last);
    let comparison = Comparison::of(own, &last, live);
    for changed in [&comparison.modified, &comparison.added, &comparison.removed] {
        fields.remove(changed);
    }
    Some(fields)
}

/// Keeps the annotation of client-side apply in step, so that users may go back to it.
fn refresh_last_applied(object: &mut Value, applied: &Value) {
    let Some(Value::Object(annotations)) =
        object.get_mut("metadata").and_then(|metadata| metadata.get_mut("annotations"))
    else {
        return;
    };
    if annotations.contains_key(LAST_APPLIED) {
        let mut applied = applied.clone();
        if let Some(Value::Object(annotations)) =
            applied.get_mut("metadata").and_then(|metadata| metadata.get_mut("annotations"))
        {
            annotations.remove(LAST_APPLIED);
        }
        annotations.insert(LAST_APPLIED.to_owned(), json!(go_json(&applied) + "\n"));
    }
}

/// Metadata has no null members; emptied maps and lists are absent.
fn drop_null_metadata(object: &mut Value) {
    if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
        metadata.retain(|_, value| !value.is_null());
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Conflicts(mut conflicts) => {
                conflicts.sort_by_cached_key(|(key, _)| managed_fields::identifier(key));
                conflict(&conflicts)
            }
            Refused::Conversion(error) => error,
        }
    }
}

fn conflict(conflicts: &[(ManagerKey, FieldSet)]) -> ApiError {
    let mut causes = Vec::new();
    for (key, fields) in conflicts {
        let manager = key.describe();
        fields.for_each(&mut |path| {
            causes.push((manager.clone(), path.iter().map(ToString::to_string).collect::<String>()));
        });
    }
    ApiError::apply_conflict(&causes)
}

/// Lays `applied` over `live` without owning anything, as mutating policies do. What is owned as a whole can not be laid
/// over.
///
/// # Errors
/// In the words of the real server.
pub(crate) fn merge_unowned(live: &Value, applied: &Value, schema: Option<&SchemaNode>) -> Result<Value, String> {
    let own = Type::root(schema);
    let errors = typed::validate(own, applied);
    if !errors.is_empty() {
        return Err(format!("failed to convert patch object to typed object: {}", error_list(&errors)));
    }
    let mut atomics = Vec::new();
    typed::find_atomics(own, applied, "", &mut |path, _| atomics.push(path.to_owned()));
    if !atomics.is_empty() {
        let atomics = atomics.join(", ");
        return Err(format!("invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: {atomics}"));
    }
    Ok(merge::merge(own, live, applied))
}

/// Several errors as structured-merge-diff lists them.
fn error_list(errors: &[String]) -> String {
    match errors {
        [error] => error.clone(),
        errors => format!("errors:\n  {}", errors.join("\n  ")),
    }
}

fn failure(message: String) -> ApiError {
    ApiError::new(500, "", message)
}

/// How errors name an object: `NAMESPACE/NAME; GROUP/VERSION, Kind=KIND`.
pub fn describe(object: &Value) -> String {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let metadata = |name: &str| text(object.get("metadata").and_then(|metadata| metadata.get(name)));
    let api_version = text(object.get("apiVersion"));
    let api_version = if api_version.contains('/') { api_version } else { format!("/{api_version}") };
    format!("{}/{}; {api_version}, Kind={}", metadata("namespace"), metadata("name"), text(object.get("kind")))
}

#[cfg(test)]
mod tests;
