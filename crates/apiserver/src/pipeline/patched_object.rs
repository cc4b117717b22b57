//! What a patch made of an object: brought into the form of its kind, or refused with the patched object in the answer,
//! as the real server does.

use std::fmt::Write as _;

use kogge_machinery::{
    negotiation::BodyEncoding,
    patch::{go_json, go_text, unknown_members},
    status_error::{ApiError, FieldError, quote},
    typed_object::{self, Touched, TypedKind},
};
use serde_json::Value;

use super::{
    object_completion::{schema_of, unknown_fields},
    object_decoding::{BodyType, NULL_VERSION, has_null_version, readable_type, typed_kind},
    object_type::{conversion_problem, set_type},
    query::FieldValidation,
    strategy::annotation_problem,
};
use crate::registry::ServedResource;

/// A decoded patch of any kind but apply.
pub(super) struct Patch<'a> {
    pub(super) encoding: BodyEncoding,
    pub(super) value: &'a Value,
    /// What is said of fields that are in it twice.
    pub(super) duplicates: &'a [String],
}

/// Why a value cannot become a text, as the conversion of maps to types says it.
fn text_problem(value: &Value) -> Option<&'static str> {
    match value {
        Value::Null | Value::String(_) => None,
        Value::Bool(_) => Some("cannot convert bool to string"),
        Value::Number(number) if number.is_f64() => Some("cannot convert float64 to string"),
        Value::Number(_) => Some("cannot convert int64 to string"),
        Value::Array(_) | Value::Object(_) => Some("unrecognized type: string"),
    }
}

/// A JSON pointer as errors write the place, without quotes; none where it leads nowhere.
fn place_of(pointer: &str, object: &Value) -> Option<String> {
    let mut place = String::new();
    let mut at = object;
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        at = if let Value::Array(items) = at {
            let index = if token == "-" { items.len().checked_sub(1)? } else { token.parse().ok()? };
            let _ = write!(place, "[{index}]");
            items.get(index)?
        } else {
            if !place.is_empty() {
                place.push('.');
            }
            place.push_str(quote(&token).trim_matches('"'));
            at.get(&token)?
        };
    }
    Some(place)
}

/// 422 with the patched object.
fn invalid_patch(shown: &str, why: &str) -> ApiError {
    ApiError::invalid("", "", "", &[FieldError::invalid("patch", &Value::from(shown), why)])
}

impl Patch<'_> {
    /// Decodes the object `patched` came out as. `patch_again` makes it once more, for the error. Answers the object, still
    /// with its empty lists and maps, and what the client is to be warned of.
    ///
    /// # Errors
    /// 422 for an object that is none of its kind, and with `fieldValidation=Strict` for unknown and duplicate fields.
    pub(super) fn decode_result(
        &self,
        served: &ServedResource,
        patched: Value,
        validation: FieldValidation,
        patch_again: impl Fn() -> Result<Value, ApiError>,
    ) -> Result<(Value, Vec<String>), ApiError> {
        let findings = self.duplicate_findings(&patched, validation);
        let Some(typed) = typed_kind(served) else {
            return decode_custom(served, patched, findings, validation, patch_again);
        };
        let resource = &served.resource;
        let api_version = resource.api_version();
        if self.encoding == BodyEncoding::StrategicMergePatch
            && let Some(why) = annotation_problem(resource, &patched)
        {
            // It becomes a Go value of its version first, and what is wrong then is not put into words.
            return Err(ApiError::new(500, "", why));
        }
        let problem = |object: &Value| conversion_problem(resource, object);
        self.decode_typed((typed, &api_version, &resource.kind), &problem, patched, findings, validation, patch_again)
    }

    /// As [`Self::decode_result`], for what a subresource makes of an object.
    ///
    /// # Errors
    /// As [`Self::decode_result`].
    pub(super) fn decode_body(
        &self,
        of: BodyType,
        patched: Value,
        validation: FieldValidation,
        patch_again: impl Fn() -> Result<Value, ApiError>,
    ) -> Result<(Value, Vec<String>), ApiError> {
        let findings = self.duplicate_findings(&patched, validation);
        match of.typed() {
            Some(typed) => {
                let kind = (typed, of.api_version, of.kind);
                let problem = |object: &Value| of.problem(object);
                let (mut object, findings) =
                    self.decode_typed(kind, &problem, patched, findings, validation, patch_again)?;
                typed.canonicalize(&mut object);
                Ok((object, findings))
            }
            None => Ok((patched, findings)),
        }
    }

    fn duplicate_findings(&self, patched: &Value, validation: FieldValidation) -> Vec<String> {
        if validation == FieldValidation::Ignore {
            return Vec::new();
        }
        let prefix = if self.encoding == BodyEncoding::JsonPatch { "json patch " } else { "" };
        let duplicates = self.duplicates.iter().map(|finding| format!("{prefix}{finding}"));
        let unknown = match self.encoding {
            BodyEncoding::JsonPatch => unknown_members(self.value),
            _ => Vec::new(),
        };
        let unknown = unknown.iter().map(|path| format!("{prefix}unknown field {}", quote(path)));
        duplicates.chain(unknown).chain(self.carried_duplicates(patched)).collect()
    }

    /// The duplicates of a JSON patch once more, where they are in the patched object: the real server's library puts values
    /// there as they were sent.
    fn carried_duplicates(&self, patched: &Value) -> Vec<String> {
        if self.encoding != BodyEncoding::JsonPatch || self.duplicates.is_empty() {
            return Vec::new();
        }
        let operations = self.value.as_array().map(Vec::as_slice).unwrap_or_default();
        let carried = self.duplicates.iter().filter_map(|finding| {
            let (index, below) = finding.strip_prefix("duplicate field \"[")?.split_once("].value")?;
            let index: usize = index.parse().ok()?;
            let (operation, later) = operations.get(index..)?.split_first()?;
            let is_put = below.starts_with(['.', '[']) && matches!(operation["op"].as_str(), Some("add" | "replace"));
            let path = operation["path"].as_str().filter(|path| is_put && path.starts_with('/'))?;
            // What another operation went into or past was read, and written anew.
            let is_within = |inner: &str, outer: &str| {
                inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            let mut others = later.iter().flat_map(|other| ["path", "from"].map(|name| other[name].as_str()));
            let is_read =
                others.any(|other| other.is_some_and(|other| is_within(other, path) || is_within(path, other)));
            if is_read {
                return None;
            }
            Some(format!("duplicate field \"{}{below}", place_of(path, patched)?))
        });
        carried.collect()
    }

    fn decode_typed(
        &self,
        (typed, api_version, kind): (TypedKind, &str, &str),
        problem: &dyn Fn(&Value) -> Option<String>,
        mut patched: Value,
        mut findings: Vec<String>,
        validation: FieldValidation,
        patch_again: impl Fn() -> Result<Value, ApiError>,
    ) -> Result<(Value, Vec<String>), ApiError> {
        if self.encoding == BodyEncoding::StrategicMergePatch {
            if let Some(why) = ["apiVersion", "kind"].iter().find_map(|name| text_problem(&patched[*name])) {
                return Err(invalid_patch(&go_text(self.value), why));
            }
            // What it was made of has a type of its own, whatever the patch says.
            patched["apiVersion"] = api_version.into();
            patched["kind"] = kind.into();
        }
        if let Err(why) = readable_type(&patched) {
            return Err(invalid_patch(&self.judge(typed, &patched).0, &why));
        }
        set_type(&mut patched, api_version, kind);
        if let Some(why) = problem(&patched) {
            return Err(invalid_patch(&self.judge(typed, &patched).0, &why));
        }
        let fit = typed.canonicalize_sent(&mut patched);
        let looks_for_unknown = fit.unknown_fields && validation != FieldValidation::Ignore;
        let is_refused = validation == FieldValidation::Strict && !findings.is_empty();
        if !fit.wrong_values && !looks_for_unknown && !is_refused {
            return Ok((patched, findings));
        }
        if self.encoding == BodyEncoding::StrategicMergePatch && fit.wrong_values {
            match typed.convert(&mut patched) {
                Ok(()) => _ = typed.canonicalize_sent(&mut patched),
                Err(why) => return Err(invalid_patch(&go_text(self.value), &why)),
            }
        }
        let as_patched = patch_again()?;
        let (shown, why, unknown) = self.judge(typed, &as_patched);
        if let Some(why) = why {
            return Err(invalid_patch(&shown, &why));
        }
        if validation != FieldValidation::Ignore {
            findings.extend(unknown);
        }
        if validation == FieldValidation::Strict && !findings.is_empty() {
            return Err(invalid_patch(&shown, &format!("strict decoding error: {}", findings.join(", "))));
        }
        Ok((patched, findings))
    }

    /// What an error shows, why a value does not fit, and which fields are unknown.
    fn judge(&self, typed: TypedKind, patched: &Value) -> (String, Option<String>, Vec<String>) {
        if self.encoding == BodyEncoding::StrategicMergePatch {
            let why = typed.convert(&mut patched.clone()).err();
            return (go_text(self.value), why, typed.unknown_fields(patched));
        }
        let touched = match self.encoding {
            BodyEncoding::JsonPatch => Touched::by_json_patch(self.value),
            _ => Touched::by_merge_patch(self.value),
        };
        let text = typed.encode_patched(patched, &touched);
        match typed.decode(text.as_bytes()) {
            Ok(decoded) => (text, None, decoded.findings),
            Err(why) => (text, Some(why), Vec::new()),
        }
    }
}

fn decode_custom(
    served: &ServedResource,
    mut patched: Value,
    mut findings: Vec<String>,
    validation: FieldValidation,
    patch_again: impl Fn() -> Result<Value, ApiError>,
) -> Result<(Value, Vec<String>), ApiError> {
    if let Err(why) = readable_type(&patched) {
        return Err(invalid_patch(&go_json(&patched), &why));
    }
    if patched["kind"].as_str().is_none_or(str::is_empty) {
        let shown = go_json(&patched);
        let why = format!("Object 'Kind' is missing in '{shown}'");
        return Err(invalid_patch(&shown, &why));
    }
    if has_null_version(&patched) {
        return Err(invalid_patch(&go_json(&patched), NULL_VERSION));
    }
    let is_other_version = patched["apiVersion"] != served.resource.api_version().as_str();
    let unknown = if is_other_version {
        // nothing but the type and metadata is known of a version that is not there
        let group = patched["apiVersion"].as_str().and_then(|version| version.split_once('/')).map(|(group, _)| group);
        let members = patched.as_object().into_iter().flatten().filter(|_| group == Some(&*served.resource.group));
        members
            .filter(|(name, _)| !matches!(name.as_str(), "apiVersion" | "kind" | "metadata"))
            .map(|(name, _)| format!("unknown field {}", quote(name)))
            .collect()
    } else {
        unknown_fields(served, &mut patched)
    };
    if let Err(why) = typed_object::canonicalize_metadata(&mut patched["metadata"]) {
        return Err(invalid_patch(&go_json(&patch_again()?), &why));
    }
    if let Some(error) = schema_of(served, &patched).and_then(|schema| schema.embedded_type_error(&patched)) {
        return Err(invalid_patch(&go_json(&patch_again()?), &error.to_string()));
    }
    if validation != FieldValidation::Ignore {
        findings.extend(unknown);
    }
    if validation == FieldValidation::Strict && !findings.is_empty() {
        let why = format!("strict decoding error: {}", findings.join(", "));
        return Err(invalid_patch(&go_json(&patch_again()?), &why));
    }
    Ok((patched, findings))
}
