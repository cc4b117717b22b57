//! Request bodies: read within the limit, decoded once, duplicate fields found on the way.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http_body::Body as _;
use kogge_machinery::{
    negotiation::BodyEncoding,
    nesting, protobuf,
    status_error::{ApiError, quote},
    typed_object, yaml,
};
use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use tokio::runtime::Handle;

/// A body is longer than the limit.
#[derive(Debug, thiserror::Error)]
#[error("limit is {0}")]
struct TooLarge(usize);

/// How long what follows after the limit is read, as in Go's `net/http` (`rstAvoidanceDelay`).
const PATIENCE: Duration = Duration::from_millis(500);

/// So much of a body that nobody read is read all the same, as in Go's `net/http` (`maxPostHandlerReadBytes`).
const UNREAD: usize = 256 << 10;

/// A body that is read to its end also where the request was answered before: a connection with something unread on it is
/// closed, and with it the next request, which its client may have sent already.
struct Remaining(Option<BodyDataStream>);

impl Remaining {
    async fn next(&mut self) -> Option<Result<Bytes, axum::Error>> {
        let chunk = self.0.as_mut()?.next().await;
        if !matches!(chunk, Some(Ok(_))) {
            self.0 = None;
        }
        chunk
    }
}

impl Drop for Remaining {
    fn drop(&mut self) {
        let (Some(mut unread), Ok(runtime)) = (self.0.take(), Handle::try_current()) else { return };
        let read = async move {
            let mut length = 0;
            while let Some(Ok(chunk)) = unread.next().await {
                length += chunk.len();
                if length > UNREAD {
                    break;
                }
            }
        };
        runtime.spawn(tokio::time::timeout(PATIENCE, read));
    }
}

/// The body, which fails once it is longer than the limit (the real server's `MaxRequestBodyBytes`).
pub(crate) fn limited(body: Body, limit: usize) -> Body {
    if body.is_end_stream() {
        return Body::empty();
    }
    let start = Some((Remaining(Some(body.into_data_stream())), 0_usize));
    Body::from_stream(stream::unfold(start, move |state| async move {
        let (mut rest, length) = state?;
        let chunk = match rest.next().await? {
            Ok(chunk) => chunk,
            Err(error) => return Some((Err(error), None)),
        };
        let length = length.saturating_add(chunk.len());
        if length <= limit {
            return Some((Ok(chunk), Some((rest, length))));
        }
        // A client that still sends does not look for an answer, and loses it if the connection is closed meanwhile.
        let sent = async { while let Some(Ok(_)) = rest.next().await {} };
        let _ = tokio::time::timeout(PATIENCE, sent).await;
        rest.0 = None;
        Some((Err(axum::Error::new(TooLarge(limit))), None))
    }))
}

/// A decoded body. What is nested deeper than [`nesting::MAXIMUM_DEPTH`] is empty in it.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    pub(crate) value: Value,
    /// `duplicate field "data.a"`, or in YAML all lines about them as one text; the last value counts.
    pub(crate) duplicates: Vec<String>,
}

/// Reads a body to its end.
pub(crate) async fn read(body: Body) -> Result<Bytes, ApiError> {
    axum::body::to_bytes(body, usize::MAX).await.map_err(|error| {
        let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&error);
        while let Some(cause) = source {
            if let Some(too_large) = cause.downcast_ref::<TooLarge>() {
                return ApiError::request_entity_too_large(too_large.to_string());
            }
            source = cause.source();
        }
        ApiError::bad_request(format!("failed to read the request body: {error}"))
    })
}

/// Decodes an object or patch.
pub(crate) fn decode(bytes: &[u8], encoding: BodyEncoding) -> Result<Decoded, ApiError> {
    match encoding {
        BodyEncoding::Protobuf => Ok(Decoded { value: protobuf::decode(bytes, ("", ""))?, duplicates: Vec::new() }),
        BodyEncoding::Yaml | BodyEncoding::ApplyYaml => decode_yaml(bytes),
        BodyEncoding::Json | BodyEncoding::JsonPatch | BodyEncoding::MergePatch | BodyEncoding::StrategicMergePatch => {
            decode_json(bytes)
        }
    }
}

/// The value of JSON.
///
/// # Errors
/// Go's text for what is wrong with it.
pub(crate) fn read_json(bytes: &[u8]) -> Result<Value, String> {
    decode_json(bytes).map(|decoded| decoded.value).map_err(|error| error.to_string())
}

/// The value of YAML.
///
/// # Errors
/// Go's text for what is wrong with it.
pub(crate) fn read_yaml(bytes: &[u8]) -> Result<Value, String> {
    decode_yaml(bytes).map(|decoded| decoded.value).map_err(|error| error.to_string())
}

/// Decodes JSON: the strict and fast way first, then as leniently as the real server.
fn decode_json(bytes: &[u8]) -> Result<Decoded, ApiError> {
    if let Some(decoded) = decode_strictly(bytes) {
        return Ok(decoded);
    }
    let read = typed_object::read_anything(bytes).map_err(ApiError::bad_request)?;
    Ok(Decoded { value: read.object, duplicates: read.findings })
}

/// Decodes JSON; none where something is wrong with it, or it is nested too deeply.
fn decode_strictly(bytes: &[u8]) -> Option<Decoded> {
    let mut duplicates = Vec::new();
    // Checked at once, which is quicker than text by text.
    let mut deserializer = serde_json::Deserializer::from_str(std::str::from_utf8(bytes).ok()?);
    let decoded = ValueSeed { path: &Path::Root, depth: 0, duplicates: &mut duplicates }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value));
    let value = decoded.ok()?;
    let duplicates = duplicates.iter().map(|path| format!("duplicate field {}", quote(path))).collect();
    Some(Decoded { value, duplicates })
}

/// YAML, of which JSON is a part: clients send JSON under YAML content types, so that is tried first.
fn decode_yaml(bytes: &[u8]) -> Result<Decoded, ApiError> {
    if matches!(bytes.iter().find(|byte| !byte.is_ascii_whitespace()), Some(b'{' | b'[')) {
        // Of what is no strict JSON only what is deep is read as such: its texts are YAML's.
        let is_plain = || std::str::from_utf8(bytes).is_ok_and(|text| !text.contains("\\ud") && !text.contains("\\uD"));
        let decoded = decode_strictly(bytes).or_else(|| if is_plain() { decode_json(bytes).ok() } else { None });
        if let Some(decoded) = decoded.filter(|decoded| decoded.duplicates.is_empty()) {
            return Ok(decoded);
        }
    }
    let decoded = yaml::decode(bytes).map_err(ApiError::bad_request)?;
    let duplicates = decoded.strict_error().into_iter().collect();
    if nesting::is_deeper_than(&decoded.value, nesting::MAXIMUM_DEPTH) {
        let read = typed_object::read_anything(decoded.value.to_string().as_bytes()).map_err(ApiError::bad_request)?;
        return Ok(Decoded { value: read.object, duplicates });
    }
    Ok(Decoded { value: decoded.value, duplicates })
}

/// Where a value is in the body; only rendered when a duplicate is found.
enum Path<'a> {
    Root,
    Field(&'a Path<'a>, &'a str),
    Item(&'a Path<'a>, usize),
}

impl std::fmt::Display for Path<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Field(Self::Root, name) => formatter.write_str(name),
            Self::Field(parent, name) => write!(formatter, "{parent}.{name}"),
            Self::Item(parent, index) => write!(formatter, "{parent}[{index}]"),
        }
    }
}

/// Builds a [`Value`] as `serde_json` does and notes fields that come twice.
struct ValueSeed<'a> {
    path: &'a Path<'a>,
    /// Levels of maps and lists around it.
    depth: usize,
    duplicates: &'a mut Vec<String>,
}

impl ValueSeed<'_> {
    /// The level of what is in it.
    fn deeper<E: serde::de::Error>(&self) -> Result<usize, E> {
        if self.depth < nesting::MAXIMUM_DEPTH { Ok(self.depth + 1) } else { Err(E::custom("nested too deeply")) }
    }
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        serde_json::Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number that is not finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let depth = self.deeper()?;
        let mut list = Vec::new();
        loop {
            let path = Path::Item(self.path, list.len());
            match items.next_element_seed(ValueSeed { path: &path, depth, duplicates: self.duplicates })? {
                Some(item) => list.push(item),
                None => return Ok(Value::Array(list)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let depth = self.deeper()?;
        let mut map = Map::new();
        while let Some(Key(name)) = entries.next_key()? {
            let path = Path::Field(self.path, &name);
            let value = entries.next_value_seed(ValueSeed { path: &path, depth, duplicates: self.duplicates })?;
            if map.contains_key(&name) {
                let path = path.to_string();
                if !self.duplicates.contains(&path) {
                    self.duplicates.push(path);
                }
            }
            map.insert(name, value);
        }
        Ok(Value::Object(map))
    }
}

/// A field name.
struct Key(String);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl Visitor<'_> for KeyVisitor {
            type Value = Key;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a field name")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Key, E> {
                if name.len() > 64 * 1024 {
                    return Err(E::custom("a field name longer than 64 KiB"));
                }
                Ok(Key(name.to_owned()))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn a_body_that_is_too_long_is_read_to_its_end_before_it_is_refused_but_not_for_ever() {
        let (sender, receiver) = tokio::sync::mpsc::channel::<Result<Bytes, axum::Error>>(1);
        let body = limited(Body::from_stream(tokio_stream::wrappers::ReceiverStream::new(receiver)), 10);
        let client = tokio::spawn(async move {
            for _ in 0..100 {
                sender.send(Ok(Bytes::from_static(b"12345678"))).await.expect("the server has stopped reading");
            }
            sender
        });
        assert_eq!(read(body).await.unwrap_err().code(), 413);
        drop(client.await.unwrap());
    }

    #[tokio::test]
    async fn a_body_that_nobody_reads_is_read_all_the_same() {
        let (sender, receiver) = tokio::sync::mpsc::channel::<Result<Bytes, axum::Error>>(1);
        drop(limited(Body::from_stream(tokio_stream::wrappers::ReceiverStream::new(receiver)), 1000));
        for _ in 0..100 {
            sender.send(Ok(Bytes::from_static(b"12345678"))).await.expect("nobody reads");
        }
    }

    proptest! {
        #[test]
        fn numbers_are_what_they_were_when_they_are_written_and_read_again(
            number in prop_oneof![proptest::num::f64::NORMAL, Just(1.234_567_890_123_456_7e31)],
        ) {
            let body = serde_json::to_vec(&json!({"a": number})).unwrap();
            let read = decode(&body, BodyEncoding::Json).unwrap().value;
            prop_assert_eq!(read["a"].as_f64(), Some(number));
            prop_assert_eq!(serde_json::to_vec(&read).unwrap(), body);
        }
    }

    #[test]
    fn duplicate_fields_are_named_with_their_path_and_the_last_one_counts() {
        let json = decode(br#"{"a":1,"b":[{"c":1,"c":2,"c":3}],"a":2}"#, BodyEncoding::Json).unwrap();
        let findings = vec!["duplicate field \"b[0].c\"".to_owned(), "duplicate field \"a\"".to_owned()];
        assert_eq!((json.value, json.duplicates), (json!({"a":2,"b":[{"c":3}]}), findings));
        let yaml = decode(b"a: 1\nb:\n- c: x\n  c: z\n1: true\n", BodyEncoding::Yaml).unwrap();
        let findings = vec!["yaml: unmarshal errors:\n  line 4: key \"c\" already set in map".to_owned()];
        assert_eq!((yaml.value, yaml.duplicates), (json!({"a":1,"b":[{"c":"z"}],"1":true}), findings));
    }

    #[test]
    fn texts_are_read_as_leniently_as_by_go() {
        let lenient =
            decode(b"{\"a\":\"\\ud800x\",\"b\":\"\xff\",\"c\":{\"d\":1,\"d\":2}}", BodyEncoding::Json).unwrap();
        let value = json!({"a": "\u{fffd}x", "b": "\u{fffd}", "c": {"d": 2}});
        assert_eq!((lenient.value, lenient.duplicates), (value, vec!["duplicate field \"c.d\"".to_owned()]));
    }

    #[test]
    fn malformed_bodies_are_bad_requests() {
        for (body, encoding, message) in [
            (b"{\"a\":".as_slice(), BodyEncoding::Json, "unexpected end of JSON input"),
            (b"{} {}", BodyEncoding::Json, "invalid character '{' after top-level value"),
            (b"\xf8", BodyEncoding::Yaml, "yaml: invalid leading UTF-8 octet"),
        ] {
            let error = decode(body, encoding).unwrap_err();
            assert_eq!((error.code(), error.to_string().as_str()), (400, message));
        }
    }

    #[test]
    fn what_is_nested_too_deeply_is_empty() {
        let nested =
            |open: &str, close: &str, levels: usize| format!("{}{}", open.repeat(levels), close.repeat(levels));
        let (maximum, limit) = (nesting::MAXIMUM_DEPTH, 10_000);
        for encoding in [BodyEncoding::Json, BodyEncoding::Yaml] {
            let kept = decode(nested("[", "]", maximum).as_bytes(), encoding).unwrap().value;
            assert!(!nesting::is_deeper_than(&kept, maximum));
            for body in [nested("[", "]", limit), nested("{\"a\":", "}", limit - 1).replace(":}", ":1}")] {
                let cut = decode(body.as_bytes(), encoding).unwrap().value;
                assert!(nesting::is_deeper_than(&cut, maximum) && !nesting::is_deeper_than(&cut, maximum + 1));
            }
            assert_eq!(decode(nested("[", "]", limit + 1).as_bytes(), encoding).unwrap_err().code(), 400);
        }
    }
}
