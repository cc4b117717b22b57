//! Paths into a schema: `selectableFields` and the `fieldPath` of rules.

use serde_json::Value;

use crate::{
    schema::{messages, path::FieldPath},
    status_error::FieldError,
};

const MAXIMUM_SELECTABLE_FIELDS: i64 = 8;

/// Errors in the `selectableFields` of a version with schema `schema`.
pub(super) fn errors(version: &Value, old_version: Option<&Value>, path: &FieldPath<'_>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let path = path.field("selectableFields");
    let Some(fields) = version.get("selectableFields").and_then(Value::as_array).filter(|fields| !fields.is_empty())
    else {
        return errors;
    };
    let Some(schema) = version.pointer("/schema/openAPIV3Schema").filter(|schema| schema.is_object()) else {
        let detail = "may only be set when `version.schema.openAPIV3Schema` is not included";
        errors.push(messages::invalid(path.to_field(), &Value::from(""), detail));
        return errors;
    };
    let mut seen: Vec<&str> = Vec::new();
    for (index, field) in fields.iter().enumerate() {
        let item_path = path.index(index);
        let item_path = item_path.field("jsonPath");
        let json_path = field.get("jsonPath").and_then(Value::as_str).unwrap_or_default();
        if json_path.is_empty() {
            errors.push(messages::required(item_path.to_field(), ""));
            continue;
        }
        let refuse = |detail: &str| messages::invalid(item_path.to_field(), &Value::from(json_path), detail);
        let target = if json_path.contains(['[', ']']) {
            Err("array notation is not allowed".to_owned())
        } else {
            resolve(json_path, schema)
        };
        let target = match target {
            Ok(target) => target,
            Err(reason) => {
                errors.push(refuse(&format!("is an invalid path: {reason}")));
                continue;
            }
        };
        if json_path.starts_with(".metadata.") || json_path == ".metadata" {
            errors.push(refuse("must not point to fields in metadata"));
        }
        if !matches!(target.get("type").and_then(Value::as_str), Some("string" | "boolean" | "integer")) {
            errors.push(refuse(
                "must point to a field of type string, boolean or integer. Enum string fields and strings with formats \
                 are allowed.",
            ));
        }
        if seen.contains(&json_path) {
            errors.push(messages::duplicate(item_path.to_field(), &Value::from(json_path)));
        } else {
            seen.push(json_path);
        }
    }
    let unchanged = old_version.and_then(|old| old.get("selectableFields")) == version.get("selectableFields");
    if i64::try_from(seen.len()).is_ok_and(|length| length > MAXIMUM_SELECTABLE_FIELDS) && !unchanged {
        errors.push(messages::too_many(path.to_field(), seen.len(), MAXIMUM_SELECTABLE_FIELDS));
    }
    errors
}

/// The schema that a path such as `.spec.items['a.b']` leads to.
///
/// # Errors
/// Why it leads nowhere.
pub(super) fn resolve<'a>(path: &str, schema: &'a Value) -> Result<&'a Value, String> {
    const NOWHERE: &str = "does not refer to a valid field";
    let mut schema = schema;
    let mut rest = path;
    while !rest.is_empty() {
        let (name, remaining) = if let Some(after) = rest.strip_prefix("['") {
            let end = after.find("']").ok_or("unexpected end of JSON path")?;
            (after[..end].to_owned(), &after[end + 2..])
        } else if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            if end == 0 {
                return Err("unexpected end of JSON path".to_owned());
            }
            (after[..end].to_owned(), &after[end..])
        } else {
            let found = rest.find(['.', '[']).map_or(rest, |end| &rest[..end.max(1)]);
            return Err(format!("expected [ or . but got: {found}"));
        };
        schema = match schema.get("properties") {
            Some(properties) => properties.get(&name).ok_or(NOWHERE)?,
            None => schema.get("additionalProperties").filter(|values| values.is_object()).ok_or(NOWHERE)?,
        };
        rest = remaining;
    }
    Ok(schema)
}
