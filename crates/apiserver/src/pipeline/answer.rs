//! Answers on the wire: JSON or YAML, errors, warnings.

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use kogge_machinery::{
    negotiation::{Answer, ErrorEncoding},
    protobuf,
    status_error::ApiError,
    yaml,
};
use serde_json::Value;

use super::response;
use crate::plane::parse_stored;

/// A JSON document that may be serialised already.
#[derive(Clone, Debug)]
pub(crate) enum Document {
    Bytes(Bytes),
    Value(Value),
}

impl Document {
    pub(crate) fn into_value(self) -> Result<Value, ApiError> {
        match self {
            Self::Value(value) => Ok(value),
            Self::Bytes(bytes) => parse_stored(&bytes),
        }
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Value(value) => serialize(&value),
        }
    }
}

pub(crate) fn serialize(value: &Value) -> Bytes {
    // A `Value` has only string keys and finite numbers, so writing it cannot fail.
    Bytes::from(serde_json::to_vec(value).unwrap_or_default())
}

/// A document in the form the client asked for.
pub(crate) fn document_response(
    answer: &Answer,
    code: StatusCode,
    document: Document,
) -> Result<Response<Body>, ApiError> {
    let body = if answer.yaml {
        let value = document.into_value()?;
        Bytes::from(yaml::to_text(&value).map_err(ApiError::internal)?)
    } else if answer.pretty {
        let mut text = serde_json::to_vec_pretty(&document.into_value()?)
            .map_err(|error| ApiError::internal(error.to_string()))?;
        text.push(b'\n');
        Bytes::from(text)
    } else {
        document.into_bytes()
    };
    Ok(response(code, &answer.content_type, body))
}

/// The `Status` of an error.
pub(crate) fn error_response(error: &ApiError, encoding: ErrorEncoding) -> Response<Body> {
    let code = StatusCode::from_u16(error.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Some(text) = error.plain_text() {
        let mut answer = response(code, "text/plain; charset=utf-8", text.to_owned());
        answer.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        return answer;
    }
    let body = match encoding {
        ErrorEncoding::Json => serialize(&status_document(error)),
        // A tree of maps and texts always has a YAML form; JSON, which is YAML, is there for the type's sake.
        ErrorEncoding::Yaml => {
            yaml::to_text(&status_document(error)).map_or_else(|_| serialize(&status_document(error)), Bytes::from)
        }
        ErrorEncoding::Protobuf => Bytes::from(protobuf::encode_status(error.status())),
    };
    let mut answer = response(code, encoding.content_type(), body);
    let retry_after = error.status().details.as_ref().map_or(0, |details| details.retry_after_seconds);
    if retry_after > 0 {
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(retry_after));
    }
    answer
}

/// An error as a `Status` object, also the object of a watch's `ERROR` event.
pub(crate) fn status_document(error: &ApiError) -> Value {
    let mut value = serde_json::to_value(error.status()).unwrap_or_default();
    if let Value::Object(map) = &mut value {
        map.insert("apiVersion".to_owned(), "v1".into());
        map.insert("kind".to_owned(), "Status".into());
        map.entry("metadata").or_insert_with(|| Value::Object(serde_json::Map::new()));
    }
    value
}

/// What of the warnings is told, as in the real server: each once, and where they are longer than 4096 characters together,
/// each shortened to 256, until there are so many. Clients take only so many headers.
pub(crate) fn told(warnings: Vec<String>) -> Vec<String> {
    const TOTAL: usize = 4 * 1024;
    const ITEM: usize = 256;
    let mut seen = std::collections::BTreeSet::new();
    let mut warnings: Vec<String> =
        warnings.into_iter().filter(|text| !text.is_empty() && seen.insert(text.clone())).collect();
    let length = |text: &String| text.chars().count();
    if warnings.iter().map(length).sum::<usize>() <= TOTAL {
        return warnings;
    }
    let mut written = 0;
    warnings.retain_mut(|text| {
        if written >= TOTAL {
            return false;
        }
        *text = text.chars().take(ITEM).collect();
        written += length(text);
        true
    });
    warnings
}

/// `299 - "text"`. One with control characters is left out.
pub(crate) fn warning_header(text: &str) -> Option<HeaderValue> {
    if text.chars().any(char::is_control) {
        return None;
    }
    let mut quoted = String::with_capacity(text.len() + 8);
    quoted.push_str("299 - \"");
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted.push('"');
    HeaderValue::from_bytes(quoted.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_told_once_and_long_ones_are_shortened() {
        let few = told(["a", "b", "a", ""].map(str::to_owned).to_vec());
        assert_eq!(few, ["a", "b"]);
        let many = told((0..200).map(|number| format!("{number}{}", "x".repeat(300))).collect());
        assert_eq!((many.len(), many[0].len()), (16, 256));
    }
}
