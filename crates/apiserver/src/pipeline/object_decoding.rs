//! Bodies that are one whole object: read, and for built-in kinds brought into the form Go's types give them, or refused
//! in the words of Go's decoder.

use std::fmt::Write as _;

use axum::body::Body;
use kogge_machinery::{
    negotiation::{self, BodyEncoding},
    protobuf::{self, BodyError},
    status_error::{ApiError, quote},
    typed_object::{self, TypedKind},
};
use serde_json::Value;

use super::{
    RequestContext, body,
    object_type::{set_type, type_problem},
    query::FieldValidation,
};
use crate::registry::ServedResource;

/// The type a body is to be of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) api_version: &'a str,
    pub(crate) kind: &'a str,
    /// A custom resource says its type itself, and its schema is looked at later.
    pub(crate) custom: bool,
}

/// Decodes the object of a body. Answers it, still with its empty lists and maps, and what the client is to be warned of.
///
/// # Errors
/// 400 in the words of the real server, also for unknown and duplicate fields with `fieldValidation=Strict`.
pub(crate) fn decode_object(
    wanted: Wanted<'_>,
    bytes: &[u8],
    encoding: BodyEncoding,
    validation: FieldValidation,
) -> Result<(Value, Vec<String>), ApiError> {
    let unrecognized = |why: &str| {
        let (kind, summary) = (wanted.kind, summary(bytes));
        ApiError::bad_request(format!(
            "the object provided is unrecognized (must be of type {kind}): {why} ({summary})"
        ))
    };
    let is_json = !matches!(encoding, BodyEncoding::Protobuf | BodyEncoding::Yaml | BodyEncoding::ApplyYaml);
    let mut decoded = match encoding {
        BodyEncoding::Protobuf => {
            let value = protobuf::decode(bytes, (wanted.api_version, wanted.kind)).map_err(|error| match error {
                BodyError::Envelope(why) => unrecognized(&why),
                BodyError::Object { api_version, kind, why } => refused(wanted, &api_version, &kind, &why),
            })?;
            body::Decoded { value, duplicates: Vec::new() }
        }
        _ if is_json => body::decode(bytes, encoding).map_err(|why| match typed_object::check_syntax(bytes) {
            Err(why) => unrecognized(&format!("couldn't get version/kind; json parse error: {why}")),
            Ok(()) => refused(wanted, wanted.api_version, wanted.kind, &why.to_string()),
        })?,
        _ => body::decode(bytes, encoding).map_err(|error| unrecognized(&error.to_string()))?,
    };
    let named = readable_type(&decoded.value).map_err(|why| unrecognized(&why))?;
    if wanted.custom && named.1.is_empty() {
        return Err(unrecognized(&format!("Object 'Kind' is missing in '{}'", String::from_utf8_lossy(bytes))));
    }
    let (api_version, kind) = (
        if named.0.is_empty() && !wanted.custom { wanted.api_version } else { &named.0 }.to_owned(),
        if named.1.is_empty() && !wanted.custom { wanted.kind } else { &named.1 }.to_owned(),
    );
    if wanted.custom && has_null_version(&decoded.value) {
        return Err(refused(wanted, "", &kind, NULL_VERSION));
    }
    if !wanted.custom
        && let Some(typed) = TypedKind::of(&api_version, &kind)
    {
        let refused = |why: &str| refused(wanted, &api_version, &kind, why);
        let written = if is_json { None } else { Some(decoded.value.clone()) };
        let fit = typed.canonicalize_sent(&mut decoded.value);
        let strict = validation != FieldValidation::Ignore;
        let mut findings = Vec::new();
        if fit.wrong_values || !decoded.duplicates.is_empty() || fit.unknown_fields && strict {
            // Of YAML the kind's decoder sees what it is as JSON, where nothing is there twice.
            if !is_json {
                findings = decoded.duplicates;
            }
            let written = written.map(|value| value.to_string());
            let again =
                typed.decode_sent(written.as_ref().map_or(bytes, String::as_bytes)).map_err(|why| refused(&why))?;
            findings.extend(again.findings);
            decoded.value = again.object;
        }
        if validation == FieldValidation::Strict && !findings.is_empty() {
            return Err(refused(&format!("strict decoding error: {}", findings.join(", "))));
        }
        set_type(&mut decoded.value, &api_version, &kind);
        return Ok((decoded.value, if strict { findings } else { Vec::new() }));
    }
    if !wanted.custom {
        set_type(&mut decoded.value, &api_version, &kind);
    }
    Ok((decoded.value, decoded.duplicates))
}

/// An object of a known kind that cannot be decoded.
fn refused(wanted: Wanted<'_>, api_version: &str, kind: &str, why: &str) -> ApiError {
    let version = quote(api_version.rsplit('/').next().unwrap_or_default());
    ApiError::bad_request(format!("{kind} in version {version} cannot be handled as a {}: {why}", wanted.kind))
}

/// A type of bodies that no resource has, but a subresource.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyType {
    pub(crate) api_version: &'static str,
    pub(crate) kind: &'static str,
    /// The real server's own type, as errors name it; none where its decoder knows no other types.
    pub(crate) go_type: Option<&'static str>,
}

impl BodyType {
    /// The Go type.
    pub(crate) fn typed(self) -> Option<TypedKind> {
        TypedKind::of(self.api_version, self.kind)
    }

    /// Why an object is not of this type, if it is not.
    pub(super) fn problem(self, object: &Value) -> Option<String> {
        type_problem(self.api_version, self.kind, || self.go_type.map(str::to_owned), object)
    }
}

/// Reads the body of a subresource, and warns of its unknown and duplicate fields as the request asks.
///
/// # Errors
/// As [`decode_object`], and 400 for a body of another type.
pub(crate) async fn read_body(
    context: &mut RequestContext<'_>,
    of: BodyType,
    request_body: Body,
) -> Result<Value, ApiError> {
    let encoding = negotiation::body_encoding(context.content_type(), false, false)?;
    let validation = context.query.field_validation()?;
    let bytes = body::read(request_body).await?;
    let wanted = Wanted { api_version: of.api_version, kind: of.kind, custom: false };
    let (mut object, findings) = decode_object(wanted, &bytes, encoding, validation)?;
    if let Some(typed) = of.typed() {
        typed.canonicalize(&mut object);
    }
    if let Some(why) = of.problem(&object) {
        let text = |field: &str| object[field].as_str().unwrap_or_default();
        return Err(refused(wanted, text("apiVersion"), text("kind"), &why));
    }
    for finding in findings {
        context.warn(finding);
    }
    Ok(object)
}

/// As [`decode_object`], for the kind of a resource.
///
/// # Errors
/// As [`decode_object`].
pub(crate) fn decode_resource(
    served: &ServedResource,
    bytes: &[u8],
    encoding: BodyEncoding,
    validation: FieldValidation,
) -> Result<(Value, Vec<String>), ApiError> {
    let api_version = served.resource.api_version();
    let wanted = Wanted { api_version: &api_version, kind: &served.resource.kind, custom: served.resource.custom };
    decode_object(wanted, bytes, encoding, validation)
}

/// The Go type of a built-in kind.
pub(crate) fn typed_kind(served: &ServedResource) -> Option<TypedKind> {
    let resource = &served.resource;
    if resource.custom { None } else { TypedKind::of(&resource.api_version(), &resource.kind) }
}

/// What a custom object is told whose version is null.
pub(super) const NULL_VERSION: &str = ".apiVersion accessor error: <nil> is of the type <nil>, expected string";

/// Whether an object says that its version is null, which is not the same as saying nothing.
pub(super) fn has_null_version(object: &Value) -> bool {
    object.get("apiVersion").is_some_and(Value::is_null)
}

/// `apiVersion` and `kind` of a body, empty where absent; the error is that of Go's decoder.
pub(super) fn named_type(value: &Value) -> Result<(String, String), String> {
    const PARSE_ERROR: &str = "couldn't get version/kind; json parse error: json: cannot unmarshal";
    let Value::Object(members) = value else {
        return if value.is_null() {
            Ok((String::new(), String::new()))
        } else {
            Err(format!(
                "{PARSE_ERROR} {} into Go value of type struct {{ APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; \
                 Kind string \"json:\\\"kind,omitempty\\\"\" }}",
                typed_object::json_kind(value)
            ))
        };
    };
    let text = |field: &str| match members.get(field) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(other) => Err(format!(
            "{PARSE_ERROR} {} into Go struct field .{field} of type string",
            typed_object::json_kind(other)
        )),
    };
    Ok((text("apiVersion")?, text("kind")?))
}

/// As [`named_type`], of an object whose version has the form of one.
pub(crate) fn readable_type(value: &Value) -> Result<(String, String), String> {
    let named = named_type(value)?;
    if named.0.matches('/').count() > 1 {
        return Err(format!("unexpected GroupVersion string: {}", named.0));
    }
    Ok(named)
}

/// The beginning of a body for an error: text where it looks like JSON, else hexadecimal.
fn summary(bytes: &[u8]) -> String {
    const LENGTH: usize = 30;
    let shown = bytes.get(..LENGTH).unwrap_or(bytes);
    let mut text = match bytes.first() {
        None => return "<empty>".to_owned(),
        Some(b'{') => String::from_utf8_lossy(shown).into_owned(),
        Some(_) => shown.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        }),
    };
    if bytes.len() > LENGTH {
        text.push_str(" ...");
    }
    text
}
