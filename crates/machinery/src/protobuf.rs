//! Kubernetes protobuf request bodies (`k8s\0` envelope) to JSON, table-driven.
//!
//! Go clients send built-in kinds as protobuf and know no fallback: without this, `kubectl create namespace` and every
//! controller-runtime manager fail. Answers stay JSON, which they all accept, but for errors to a client that reads
//! nothing else. The tables are generated from the Go types (`go_types`); the JSON is what Go would have sent, less the
//! zero values it adds.

mod message;
mod status;
mod wire;

pub use status::encode_status;

use serde_json::Value;

use crate::go_types::table;
use crate::status_error::{ApiError, quote};
use message::decode_message;
use wire::{Reader, WireError};

/// What every body begins with.
const MAGIC: &[u8; 4] = b"k8s\0";

/// Why a body is not decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum DecodeError {
    #[error("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")]
    Magic,
    #[error("{0}")]
    Wire(#[from] WireError),
    #[error("the protobuf message has no apiVersion or kind")]
    TypeMeta,
    #[error("unsupported content encoding {0} of the protobuf envelope")]
    ContentEncoding(String),
    #[error("field {field} of the protobuf message: {why}")]
    Field { field: &'static str, why: &'static str },
    #[error("the protobuf message is nested too deeply")]
    Depth,
    #[error("field {field} of the protobuf message is not valid JSON: {why}")]
    Json { field: String, why: String },
}

/// Why a body is no object of a known kind, in the words of the real server's decoder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The envelope cannot be read: what the body is stays unknown.
    #[error("{0}")]
    Envelope(String),
    /// The body says what it is, and is not that.
    #[error("{why}")]
    Object {
        /// As the envelope has it.
        api_version: String,
        /// As the envelope has it.
        kind: String,
        /// What is wrong.
        why: String,
    },
}

impl From<DecodeError> for BodyError {
    fn from(error: DecodeError) -> Self {
        Self::Envelope(error.to_string())
    }
}

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> Self {
        Self::bad_request(error.to_string())
    }
}

/// `runtime.Unknown`: the envelope around every object.
#[derive(Default)]
struct Envelope<'a> {
    api_version: String,
    kind: String,
    raw: &'a [u8],
    content_encoding: String,
    content_type: String,
}

fn envelope(body: &[u8]) -> Result<Envelope<'_>, DecodeError> {
    let mut envelope = Envelope::default();
    let mut reader = Reader::new(body.strip_prefix(MAGIC).ok_or(DecodeError::Magic)?);
    while let Some((number, value)) = reader.next_field()? {
        match number {
            1 => {
                let mut type_meta = Reader::new(value.bytes()?);
                while let Some((number, value)) = type_meta.next_field()? {
                    match number {
                        1 => value.text()?.clone_into(&mut envelope.api_version),
                        2 => value.text()?.clone_into(&mut envelope.kind),
                        _ => {}
                    }
                }
            }
            2 => envelope.raw = value.bytes()?,
            3 => value.text()?.clone_into(&mut envelope.content_encoding),
            4 => value.text()?.clone_into(&mut envelope.content_type),
            _ => {}
        }
    }
    Ok(envelope)
}

/// Decodes a body of `application/vnd.kubernetes.protobuf` into the JSON object with apiVersion and kind. Fields the
/// tables do not know are left out, as in the real server.
///
/// # Errors
/// What is wrong with the envelope, or with the object in it, whose kind may not be known.
pub fn decode(body: &[u8]) -> Result<Value, BodyError> {
    let envelope = envelope(body).map_err(BodyError::from)?;
    if envelope.api_version.is_empty() || envelope.kind.is_empty() {
        return Err(DecodeError::TypeMeta.into());
    }
    if !envelope.content_encoding.is_empty() {
        return Err(DecodeError::ContentEncoding(envelope.content_encoding).into());
    }
    if envelope.content_type == "application/json" {
        return serde_json::from_slice(envelope.raw)
            .map_err(|error| DecodeError::Json { field: "raw".to_owned(), why: error.to_string() }.into());
    }
    let refused =
        |why: String| BodyError::Object { api_version: envelope.api_version.clone(), kind: envelope.kind.clone(), why };
    let Some(message) = table().kind(&envelope.api_version, &envelope.kind) else {
        return Err(refused(format!(
            "no kind {} is registered for version {} in scheme \"pkg/runtime/scheme.go:111\"",
            quote(&envelope.kind),
            quote(&envelope.api_version)
        )));
    };
    let mut object = decode_message(message, envelope.raw, 0).map_err(|error| refused(error.to_string()))?;
    object.insert("apiVersion".to_owned(), envelope.api_version.into());
    object.insert("kind".to_owned(), envelope.kind.into());
    Ok(Value::Object(object))
}

#[cfg(test)]
mod tests;
