//! Kubernetes protobuf request bodies (`k8s\0` envelope) to JSON, table-driven.
//!
//! Go clients send built-in kinds as protobuf and know no fallback: without this, `kubectl create namespace` and every
//! controller-runtime manager fail. Answers stay JSON, which they all accept, but for
//! errors to a client that reads nothing else. The tables are generated from the Go types,
//! see `protobuf-tables/README.md`; the JSON is what Go would have sent, less the zero values it adds.

mod message;
mod status;
mod tables;
mod wire;

pub use status::encode_status;

use serde_json::Value;

use crate::status_error::{ApiError, quote};
use message::decode_message;
use tables::tables;
use wire::{Reader, WireError};

/// What every body begins with.
const MAGIC: &[u8; 4] = b"k8s\0";

/// Why a body is not decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum DecodeError {
    #[error("provided data does not appear to be a protobuf message, expected prefix k8s\\0")]
    Magic,
    #[error("the protobuf message is malformed: {0}")]
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

impl From<DecodeError> for ApiError {
    fn from(error: DecodeError) -> Self {
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
/// 400 for a malformed body, 415 for a kind the tables do not know.
pub fn decode(body: &[u8]) -> Result<Value, ApiError> {
    let envelope = envelope(body)?;
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
    let Some(message) = tables().message_of(&envelope.api_version, &envelope.kind) else {
        return Err(ApiError::new(
            415,
            "UnsupportedMediaType",
            format!(
                "no kind {} is registered for version {} in protobuf - send application/json",
                quote(&envelope.kind),
                quote(&envelope.api_version)
            ),
        ));
    };
    let mut object = decode_message(message, envelope.raw, 0)?;
    object.insert("apiVersion".to_owned(), envelope.api_version.into());
    object.insert("kind".to_owned(), envelope.kind.into());
    Ok(Value::Object(object))
}

#[cfg(test)]
mod tests;
