//! How the webhooks of a scenario answer: a pure function of what they are asked.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};

/// The answer of one webhook. Without any field it allows everything.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Webhook {
    /// Admission: refuse, with this `status`.
    pub deny: Option<Value>,
    /// Admission: a JSON patch.
    pub patch: Option<Value>,
    /// Further fields of the response, such as `warnings`.
    pub with: BTreeMap<String, Value>,
    /// Conversion: the place of a value in each version (JSON pointers by version); it moves between them.
    pub moves: BTreeMap<String, String>,
    /// Conversion: refuse with this message.
    pub fail: Option<String>,
    /// Answer this JSON, whatever was asked.
    pub answer: Option<Value>,
    /// Answer this text, whatever was asked.
    pub text: Option<String>,
    /// Headers of the answer; a `Content-Type` replaces that of JSON.
    pub headers: BTreeMap<String, String>,
    /// HTTP status of the answer.
    pub code: Option<u16>,
    /// Milliseconds to wait before it.
    pub delay: Option<u64>,
}

impl Webhook {
    /// The body of the answer to a review.
    pub fn reply(&self, review: &Value) -> Value {
        if let Some(answer) = &self.answer {
            return answer.clone();
        }
        let (kind, response) = match review["kind"].as_str() {
            Some("ConversionReview") => ("ConversionReview", self.conversion(&review["request"])),
            _ => ("AdmissionReview", self.admission()),
        };
        let mut response = response;
        for (name, value) in &self.with {
            response[name.as_str()] = value.clone();
        }
        response["uid"] = review["request"]["uid"].clone();
        json!({"apiVersion": review["apiVersion"], "kind": kind, "response": response})
    }

    fn admission(&self) -> Value {
        let mut response = json!({"allowed": self.deny.is_none()});
        if let Some(status) = &self.deny {
            response["status"] = status.clone();
        }
        if let Some(patch) = &self.patch {
            response["patchType"] = "JSONPatch".into();
            response["patch"] = STANDARD.encode(patch.to_string()).into();
        }
        response
    }

    fn conversion(&self, request: &Value) -> Value {
        if let Some(message) = &self.fail {
            return json!({"result": {"status": "Failure", "message": message}});
        }
        let wanted = request["desiredAPIVersion"].as_str().unwrap_or_default();
        let objects = request["objects"].as_array().into_iter().flatten();
        let converted: Vec<Value> = objects.map(|object| self.converted(object.clone(), wanted)).collect();
        json!({"result": {"status": "Success"}, "convertedObjects": converted})
    }

    fn converted(&self, mut object: Value, wanted: &str) -> Value {
        let version = |api_version: &str| api_version.rsplit('/').next().unwrap_or_default().to_owned();
        let from = version(object["apiVersion"].as_str().unwrap_or_default());
        object["apiVersion"] = wanted.into();
        let (Some(from), Some(to)) = (self.moves.get(&from), self.moves.get(&version(wanted))) else { return object };
        if let Some(value) = take(&mut object, from) {
            put(&mut object, to, value);
        }
        object
    }
}

fn take(object: &mut Value, pointer: &str) -> Option<Value> {
    let (parent, name) = pointer.rsplit_once('/')?;
    object.pointer_mut(parent)?.as_object_mut()?.remove(name)
}

fn put(object: &mut Value, pointer: &str, value: Value) {
    let mut place = object;
    for name in pointer.split('/').skip(1) {
        if !place.is_object() {
            *place = json!({});
        }
        place = &mut place[name];
    }
    *place = value;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversion_moves_a_value_and_nothing_else() {
        let moves = [("v1", "/spec/size"), ("v2", "/spec/measure/size")];
        let webhook = Webhook {
            moves: moves.map(|(version, pointer)| (version.to_owned(), pointer.to_owned())).into(),
            ..Webhook::default()
        };
        let review = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview", "request": {
            "uid": "u", "desiredAPIVersion": "x.io/v2",
            "objects": [{"apiVersion": "x.io/v1", "spec": {"size": 1, "other": 2}}, {"apiVersion": "x.io/v1"}],
        }});
        let response = webhook.reply(&review)["response"].clone();
        assert_eq!(
            response,
            json!({"uid": "u", "result": {"status": "Success"}, "convertedObjects": [
                {"apiVersion": "x.io/v2", "spec": {"measure": {"size": 1}, "other": 2}}, {"apiVersion": "x.io/v2"},
            ]})
        );
    }
}
