//! Request bodies: read within the limit, decoded once, duplicate fields found on the way.

use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt as _;
use kogge_machinery::{negotiation::BodyEncoding, protobuf, status_error::ApiError};
use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// A body is longer than the limit.
#[derive(Debug, thiserror::Error)]
#[error("limit is {0}")]
struct TooLarge(usize);

/// The body, which fails once it is longer than the limit (the real server's `MaxRequestBodyBytes`).
pub(crate) fn limited(body: Body, limit: usize) -> Body {
    let mut length = 0_usize;
    Body::from_stream(body.into_data_stream().map(move |chunk| {
        let chunk = chunk?;
        length = length.saturating_add(chunk.len());
        if length > limit { Err(axum::Error::new(TooLarge(limit))) } else { Ok(chunk) }
    }))
}

/// A decoded body.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) value: Value,
    /// Paths of fields that were there twice; the last value counts.
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
        BodyEncoding::Protobuf => Ok(Decoded { value: protobuf::decode(bytes)?, duplicates: Vec::new() }),
        BodyEncoding::Yaml | BodyEncoding::ApplyYaml => decode_yaml(bytes),
        BodyEncoding::Json | BodyEncoding::JsonPatch | BodyEncoding::MergePatch | BodyEncoding::StrategicMergePatch => {
            decode_json(bytes)
        }
    }
}

fn decode_json(bytes: &[u8]) -> Result<Decoded, ApiError> {
    let mut duplicates = Vec::new();
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = ValueSeed { path: &Path::Root, duplicates: &mut duplicates }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|error| ApiError::bad_request(format!("failed to decode the request body as JSON: {error}")))?;
    Ok(Decoded { value, duplicates })
}

/// YAML, of which JSON is a part: clients send JSON under YAML content types, so that is tried first.
fn decode_yaml(bytes: &[u8]) -> Result<Decoded, ApiError> {
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
        && let Ok(decoded) = decode_json(bytes)
    {
        return Ok(decoded);
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|error| ApiError::bad_request(format!("the request body is not UTF-8: {error}")))?;
    let mut duplicates = Vec::new();
    let options = serde_saphyr::options! {
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins,
        with_snippet: false,
    };
    let value = serde_saphyr::with_deserializer_from_str_with_options(text, options, |deserializer| {
        ValueSeed { path: &Path::Root, duplicates: &mut duplicates }.deserialize(deserializer)
    })
    .map_err(|error| ApiError::bad_request(yaml_error(&error.to_string())))?;
    Ok(Decoded { value, duplicates })
}

/// An error of our YAML parser as the real server's prints it: `line N` goes before it, and line 1 is not told.
fn yaml_error(text: &str) -> String {
    let placed = text.rsplit_once(" at line ").and_then(|(message, place)| Some((message, place.split_once(',')?.0)));
    match placed {
        Some((message, "1")) => format!("yaml: {message}"),
        Some((message, line)) => format!("yaml: line {line}: {message}"),
        None => format!("yaml: {text}"),
    }
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
    duplicates: &'a mut Vec<String>,
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
        let mut list = Vec::new();
        loop {
            let path = Path::Item(self.path, list.len());
            match items.next_element_seed(ValueSeed { path: &path, duplicates: self.duplicates })? {
                Some(item) => list.push(item),
                None => return Ok(Value::Array(list)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(Key(name)) = entries.next_key()? {
            let path = Path::Field(self.path, &name);
            let value = entries.next_value_seed(ValueSeed { path: &path, duplicates: self.duplicates })?;
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

/// A field name; YAML may have numbers and booleans there, which count as their text.
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
    use serde_json::json;

    use super::*;

    #[test]
    fn duplicate_fields_are_named_with_their_path_and_the_last_one_counts() {
        let json = decode(br#"{"a":1,"b":[{"c":1,"c":2,"c":3}],"a":2}"#, BodyEncoding::Json).unwrap();
        assert_eq!((json.value, json.duplicates), (json!({"a":2,"b":[{"c":3}]}), vec!["b[0].c".into(), "a".into()]));
        let yaml = decode(b"a: 1\nb:\n- c: x\n  c: z\n1: true\n", BodyEncoding::Yaml).unwrap();
        assert_eq!((yaml.value, yaml.duplicates), (json!({"a":1,"b":[{"c":"z"}],"1":true}), vec!["b[0].c".to_owned()]));
    }

    #[test]
    fn malformed_bodies_are_bad_requests() {
        let bomb = format!("a: &a [x,x,x,x,x,x,x,x]\n{}", {
            let mut text = String::new();
            for level in 1..12 {
                use std::fmt::Write as _;
                let (name, previous) = (char::from(b'a' + level), char::from(b'a' + level - 1));
                let _ = writeln!(
                    text,
                    "{name}: &{name} [*{previous},*{previous},*{previous},*{previous},*{previous},*{previous},*{previous},*{previous}]"
                );
            }
            text
        });
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        for (body, encoding) in [
            (b"{\"a\":".as_slice(), BodyEncoding::Json),
            (b"{} {}", BodyEncoding::Json),
            (b"\xff\xfe", BodyEncoding::Yaml),
            (bomb.as_bytes(), BodyEncoding::Yaml),
            (deep.as_bytes(), BodyEncoding::Json),
            (deep.as_bytes(), BodyEncoding::Yaml),
        ] {
            let error = decode(body, encoding).unwrap_err();
            assert_eq!(error.code(), 400, "{error}");
        }
    }
}
