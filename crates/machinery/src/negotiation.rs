//! Accept and Content-Type negotiation.

use crate::status_error::ApiError;

/// What the client wants the answer transformed into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Representation { Object, Table, PartialObjectMetadata, PartialObjectMetadataList, AggregatedDiscovery }

/// The negotiated answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub representation: Representation,
    /// `v1`, `v1beta1`, `v2`, ... of the transformation.
    pub version: String,
    /// Answer in YAML instead of JSON.
    pub yaml: bool,
    pub pretty: bool,
    /// Full Content-Type to answer with, parameters echoed.
    pub content_type: String,
}

/// How the request body is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyEncoding { Json, Yaml, Protobuf, JsonPatch, MergePatch, StrategicMergePatch, ApplyYaml }

/// # Errors
/// 406 when nothing acceptable can be served. `pretty` is the query parameter, `user_agent` decides its default.
pub fn negotiate_answer(accept: Option<&str>, pretty: Option<&str>, user_agent: Option<&str>) -> Result<Answer, ApiError> { let _ = (accept, pretty, user_agent); todo!() }
/// # Errors
/// 415 listing what is accepted.
pub fn body_encoding(content_type: Option<&str>, patch: bool, custom: bool) -> Result<BodyEncoding, ApiError> { let _ = (content_type, patch, custom); todo!() }
