//! Kubernetes protobuf request bodies (`k8s\0` envelope) to JSON, table-driven.
//!
//! Go clients send built-in kinds as protobuf and know no fallback: without this, `kubectl create namespace` and every
//! controller-runtime manager fail. Answers stay JSON, which they all accept, but for errors to a client that reads
//! nothing else. The tables are generated from the Go types (`go_types`); the JSON is what Go would have sent, less the
//! zero values it adds.

mod message;
mod status;
mod wire;
pub(crate) mod write;

pub use status::encode_status;

use serde_json::Value;

use crate::go_types::table;
use crate::status_error::{ApiError, quote};
use message::decode_message;
use wire::{BYTES, Reader, WireError};

/// What every body begins with.
const MAGIC: &[u8; 4] = b"k8s\0";

/// Why a body is not decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum DecodeError {
    #[error("empty data")]
    Empty,
    #[error("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")]
    Magic,
    #[error("empty body")]
    OnlyMagic,
    #[error("{0}")]
    Wire(#[from] WireError),
    #[error("Object '{missing}' is missing in 'runtime.TypeMeta{{APIVersion:{}, Kind:{}}}'", quote(.api_version), quote(.kind))]
    TypeMeta { missing: &'static str, api_version: String, kind: String },
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

/// `runtime.Unknown`: the envelope around every object. Its content type and encoding mean nothing here.
#[derive(Default)]
struct Envelope<'a> {
    api_version: String,
    kind: String,
    raw: &'a [u8],
}

fn envelope(body: &[u8]) -> Result<Envelope<'_>, DecodeError> {
    if body.is_empty() {
        return Err(DecodeError::Empty);
    }
    let rest = body.strip_prefix(MAGIC).ok_or(DecodeError::Magic)?;
    if rest.is_empty() {
        return Err(DecodeError::OnlyMagic);
    }
    let mut envelope = Envelope::default();
    let mut reader = Reader::new(rest, "Unknown");
    while let Some(tag) = reader.next_tag()? {
        let field = match tag.number {
            1 => "TypeMeta",
            2 => "Raw",
            3 => "ContentEncoding",
            4 => "ContentType",
            _ => {
                reader.skip(tag)?;
                continue;
            }
        };
        tag.expect(BYTES, || field.to_owned())?;
        let value = reader.bytes()?;
        match tag.number {
            1 => read_type(value, &mut envelope)?,
            2 => envelope.raw = value,
            _ => {}
        }
    }
    Ok(envelope)
}

fn read_type(bytes: &[u8], envelope: &mut Envelope<'_>) -> Result<(), DecodeError> {
    let mut reader = Reader::new(bytes, "TypeMeta");
    while let Some(tag) = reader.next_tag()? {
        match tag.number {
            1 => {
                tag.expect(BYTES, || "APIVersion".to_owned())?;
                envelope.api_version = reader.text()?.into_owned();
            }
            2 => {
                tag.expect(BYTES, || "Kind".to_owned())?;
                envelope.kind = reader.text()?.into_owned();
            }
            _ => reader.skip(tag)?,
        }
    }
    Ok(())
}

/// Decodes a body of `application/vnd.kubernetes.protobuf` into the JSON object with apiVersion and kind, which are those
/// of `wanted` (apiVersion, kind) where the body has none. Fields the tables do not know are left out, as in the real
/// server.
///
/// # Errors
/// What is wrong with the envelope, or with the object in it, whose kind may not be known.
pub fn decode(body: &[u8], wanted: (&str, &str)) -> Result<Value, BodyError> {
    let envelope = envelope(body).map_err(BodyError::from)?;
    let named = |given: &str, wanted: &str| if given.is_empty() { wanted.to_owned() } else { given.to_owned() };
    // what is no version counts as none
    let given = if envelope.api_version.matches('/').count() > 1 { "" } else { &envelope.api_version };
    let (api_version, kind) = (named(given, wanted.0), named(&envelope.kind, wanted.1));
    if api_version.is_empty() || kind.is_empty() {
        let missing = if kind.is_empty() { "Kind" } else { "apiVersion" };
        let (api_version, kind) = (envelope.api_version, envelope.kind);
        return Err(DecodeError::TypeMeta { missing, api_version, kind }.into());
    }
    let refused = |why: String| BodyError::Object { api_version: api_version.clone(), kind: kind.clone(), why };
    let Some(message) = table().kind(&api_version, &kind) else {
        return Err(refused(format!(
            "no kind {} is registered for version {} in scheme \"pkg/runtime/scheme.go:111\"",
            quote(&kind),
            quote(&api_version)
        )));
    };
    let mut object = decode_message(message, envelope.raw, 0).map_err(|error| refused(error.to_string()))?;
    object.insert("apiVersion".to_owned(), api_version.into());
    object.insert("kind".to_owned(), kind.into());
    Ok(Value::Object(object))
}

#[cfg(test)]
mod tests;
