//! ConversionReview: asking a webhook to bring custom objects to another version, and checking what it made of them.
//!
//! The rules and texts are those of `apiextensions-apiserver/pkg/apiserver/conversion` 1.36.

use serde_json::{Map, Value, json};

use crate::{
    object_meta::{validate_annotations, validate_labels},
    review_shape,
    schema::messages,
    status_error::quote,
    typed_object::json_kind,
};

#[cfg(test)]
mod tests;

/// The review to send. `version` is `v1` or `v1beta1` of `apiextensions.k8s.io`.
pub fn review(version: &str, uid: &str, desired_api_version: &str, objects: &[&Value]) -> Value {
    json!({
        "kind": "ConversionReview",
        "apiVersion": format!("apiextensions.k8s.io/{version}"),
        "request": {"uid": uid, "desiredAPIVersion": desired_api_version, "objects": objects},
    })
}

/// How messages name the type of an object: `example.com/v1, Kind=Widget`.
pub fn type_name(object: &Value) -> String {
    let text = |name: &str| object[name].as_str().unwrap_or_default();
    let api_version = text("apiVersion");
    let slash = if api_version.contains('/') { "" } else { "/" };
    format!("{slash}{api_version}, Kind={}", text("kind"))
}

/// The converted objects of a webhook's answer, in the order of `originals`.
///
/// # Errors
/// What is wrong with the answer, or why the webhook could not convert.
pub fn converted_objects(
    version: &str,
    uid: &str,
    desired_api_version: &str,
    originals: &[&Value],
    mut review: Value,
) -> Result<Vec<Value>, String> {
    let type_name = originals.first().map(|original| type_name(original)).unwrap_or_default();
    let failed = |why: String| format!("conversion webhook for {type_name} failed: {why}");
    let converted = raw_objects(version, uid, &mut review).map_err(failed)?;
    if converted.len() != originals.len() {
        let (found, expected) = (converted.len(), originals.len());
        return Err(format!("conversion webhook for {type_name} returned {found} objects, expected {expected}"));
    }
    // The real server asks about one object after the other, and so tells of the first that is wrong.
    originals
        .iter()
        .zip(converted)
        .map(|(original, converted)| {
            checked(original, converted, desired_api_version).map_err(|problem| {
                let (place, why) = match problem {
                    Problem::Unreadable(why) => return why,
                    Problem::Type(why) => ("invalid object at index 0", why),
                    Problem::Identity(why) => ("invalid object", why),
                    Problem::Metadata(why) => ("invalid metadata", why),
                };
                format!("conversion webhook for {type_name} returned {place}: {why}")
            })
        })
        .collect()
}

fn raw_objects(version: &str, uid: &str, review: &mut Value) -> Result<Vec<Value>, String> {
    review_shape::check(&review_shape::CONVERSION, version, review)?;
    if version == "v1" && (review["apiVersion"] != "apiextensions.k8s.io/v1" || review["kind"] != "ConversionReview") {
        return Err(format!(
            "expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, got {}",
            type_name(review)
        ));
    }
    let response = &mut review["response"];
    if !response.is_object() {
        return Err("no response provided".to_owned());
    }
    let found = response["uid"].as_str().unwrap_or_default();
    if version == "v1" && found != uid {
        return Err(format!("expected response.uid={}, got {}", quote(uid), quote(found)));
    }
    let result = &response["result"];
    let status = result["status"].as_str().unwrap_or_default();
    if status != "Success" {
        return Err(match result["message"].as_str().filter(|message| !message.is_empty()) {
            Some(message) => message.to_owned(),
            None => format!("response.result.status was '{status}', not 'Success'"),
        });
    }
    match response["convertedObjects"].take() {
        Value::Array(objects) => Ok(objects),
        _ => Ok(Vec::new()),
    }
}

enum Problem {
    Unreadable(String),
    Type(String),
    Identity(String),
    Metadata(String),
}

/// The converted object with the metadata of the original, but for labels and annotations.
fn checked(original: &Value, mut converted: Value, desired: &str) -> Result<Value, Problem> {
    readable(&converted).map_err(Problem::Unreadable)?;
    let found = converted["apiVersion"].as_str().unwrap_or_default();
    if found != desired {
        let why = format!("invalid groupVersion (expected {desired}, received {found})");
        return Err(Problem::Type(why));
    }
    let (expected, found) = (&original["kind"], &converted["kind"]);
    if expected != found {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let why = format!("invalid kind (expected {}, received {})", text(expected), text(found));
        return Err(Problem::Type(why));
    }
    for (field, label) in [("name", "name"), ("namespace", "namespace"), ("uid", "UID")] {
        let text = |object: &Value| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        let (expected, found) = (text(original), text(&converted));
        if expected != found {
            return Err(Problem::Identity(format!("must have the same {label}: {expected} != {found}")));
        }
    }
    restore_metadata(original, &mut converted).map_err(Problem::Metadata)?;
    Ok(converted)
}

/// Whether a converted object is one at all.
fn readable(converted: &Value) -> Result<(), String> {
    let names_type = converted["kind"].as_str().is_some_and(|kind| !kind.is_empty())
        && converted["apiVersion"].as_str().is_none_or(|version| version.matches('/').count() < 2);
    match converted {
        Value::Object(_) if names_type => Ok(()),
        Value::Object(_) => Err(format!("Object 'Kind' is missing in '{converted}'")),
        Value::Null => Err("unexpected end of JSON input".to_owned()),
        other => {
            Err(format!("json: cannot unmarshal {} into Go value of type map[string]interface {{}}", json_kind(other)))
        }
    }
}

fn restore_metadata(original: &Value, converted: &mut Value) -> Result<(), String> {
    let answered = match converted.get_mut("metadata").map(Value::take) {
        None => return Err("missing metadata in converted object".to_owned()),
        Some(Value::Object(metadata)) => metadata,
        Some(other) => {
            return Err(format!("invalid metadata of type {} in converted object", messages::go_type(&other)));
        }
    };
    let mut metadata = original["metadata"].as_object().cloned().unwrap_or_default();
    for field in ["labels", "annotations"] {
        match answered.get(field) {
            None | Some(Value::Null) => drop(metadata.remove(field)),
            Some(Value::Object(texts)) => {
                check_texts(field, texts, metadata.get(field))?;
                metadata.insert(field.to_owned(), Value::Object(texts.clone()));
            }
            Some(other) => {
                return Err(format!(
                    "invalid metadata.{field} of type {} in converted object",
                    messages::go_type(other)
                ));
            }
        }
    }
    converted["metadata"] = Value::Object(metadata);
    Ok(())
}

fn check_texts(field: &str, texts: &Map<String, Value>, original: Option<&Value>) -> Result<(), String> {
    for (key, value) in texts {
        if !value.is_string() {
            let found = messages::go_type(value);
            return Err(format!("metadata.{field}[{key}] must be a string, but is {found} in converted object"));
        }
    }
    if original.and_then(Value::as_object) == Some(texts) {
        return Ok(());
    }
    let (texts, mut errors) = (Value::Object(texts.clone()), Vec::new());
    if field == "labels" {
        validate_labels(Some(&texts), &mut errors);
    } else {
        validate_annotations(Some(&texts), &mut errors);
        // The real server's path has the singular here.
        for error in &mut errors {
            "metadata.annotation".clone_into(&mut error.field);
        }
    }
    match errors.as_slice() {
        [] => Ok(()),
        [one] => Err(one.to_string()),
        several => Err(format!("[{}]", several.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))),
    }
}
