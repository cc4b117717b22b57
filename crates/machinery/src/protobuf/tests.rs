use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::json;

use super::*;

static VECTORS: &str = include_str!("../../go-types/protobuf-vectors.jsonl");

fn vectors() -> Vec<(String, Vec<u8>, Value)> {
    VECTORS
        .lines()
        .map(|line| {
            let vector: Value = serde_json::from_str(line).unwrap();
            let body = STANDARD.decode(vector["protobuf"].as_str().unwrap()).unwrap();
            (vector["name"].as_str().unwrap().to_owned(), body, vector["json"].clone())
        })
        .collect()
}

/// Without what Go's JSON adds and its decoder ignores: nulls and empty structs.
fn normalized(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .map(|(key, value)| (key, normalized(value)))
                .filter(|(_, value)| !value.is_null() && *value != json!({}))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(normalized).collect()),
        other => other,
    }
}

#[test]
fn every_kind_decodes_to_the_json_go_would_have_sent() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 134, "two for each kind; a new kind changes this number");
    for (name, body, expected) in vectors {
        let decoded = decode(&body, ("", "")).unwrap_or_else(|error| panic!("{name}: {error}"));
        pretty_equal(&name, &normalized(decoded), &normalized(expected));
    }
}

fn pretty_equal(name: &str, decoded: &Value, expected: &Value) {
    let text = |value: &Value| serde_json::to_string_pretty(value).unwrap();
    assert_eq!(text(decoded), text(expected), "{name}");
}

/// A field whose value is bytes.
fn field(number: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2, u8::try_from(value.len()).unwrap()];
    bytes.extend(value);
    bytes
}

fn body(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let type_meta = [field(1, api_version.as_bytes()), field(2, kind.as_bytes())].concat();
    [MAGIC.to_vec(), field(1, &type_meta), field(2, raw)].concat()
}

#[test]
fn chosen_emptiness_is_kept_and_zero_values_are_not_invented() {
    // a Pod with metadata (name x, empty generateName) and spec.volumes [{name v, emptyDir {}}]
    let metadata = field(1, &[field(1, b"x"), field(2, b"")].concat());
    let volume = [field(1, b"v"), field(2, &field(2, b""))].concat();
    let pod = [metadata, field(2, &field(1, &volume)), field(3, b"")].concat();
    assert_eq!(
        decode(&body("v1", "Pod", &pod), ("", "")).unwrap(),
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"volumes": [{"name": "v", "emptyDir": {}}]}, "status": {}})
    );
    assert_eq!(
        decode(&body("apps/v1", "DeleteOptions", &field(5, b"All")), ("", "")).unwrap(),
        json!({"apiVersion": "apps/v1", "kind": "DeleteOptions", "dryRun": ["All"]})
    );
}

#[test]
fn malformed_bodies_are_refused_with_a_reason() {
    let metadata_in_the_far_future = field(1, &field(8, &[8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]));
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("JSON", b"{}".to_vec()),
        ("empty", vec![]),
        ("only the prefix", MAGIC.to_vec()),
        ("unknown kind", body("example.com/v1", "Widget", b"")),
        ("truncated", body("v1", "Pod", &[10, 200])),
        ("group", body("v1", "Pod", &[11])),
        ("field zero", body("v1", "Pod", &[2, 0])),
        ("overlong number", body("v1", "Pod", &[0xff; 12])),
        ("wrong wire type", body("v1", "Pod", &[8, 1])),
        ("not UTF-8", body("v1", "Pod", &field(1, &field(1, &[0xff])))),
        ("time", body("v1", "Pod", &metadata_in_the_far_future)),
        ("no type", [MAGIC.to_vec(), field(2, b"")].concat()),
        ("a stray end of a group", body("v1", "Pod", &[12])),
        ("a group that does not end", body("v1", "Pod", &[0xfb, 1, 8, 1])),
        ("a group nobody knows", body("v1", "Pod", &[0xfb, 1, 8, 1, 0xfc, 1])),
        ("wire type 7", body("v1", "Pod", &[0xff, 1])),
        ("a negative length", body("v1", "Pod", &[10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1])),
    ];
    let lines: Vec<String> = cases
        .iter()
        .map(|(name, body)| match decode(body, ("", "")) {
            Ok(value) => format!("{name}: {value}"),
            Err(BodyError::Envelope(why)) => format!("{name}: envelope: {why}"),
            Err(BodyError::Object { kind, why, .. }) => format!("{name}: {kind}: {why}"),
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_body_makes_the_decoder_panic(raw in prop::collection::vec(any::<u8>(), 0..200), kind in prop_oneof!["Pod", "Event", "Secret"]) {
        let _ = decode(&raw, ("", ""));
        let type_meta = [field(1, b"v1"), field(2, kind.as_bytes())].concat();
        let mut framed = [MAGIC.to_vec(), field(1, &type_meta)].concat();
        framed.extend([18, 0x80 | u8::try_from(raw.len() & 0x7f).unwrap(), u8::try_from(raw.len() >> 7).unwrap()]);
        framed.extend(&raw);
        let _ = decode(&framed, ("v1", "Pod"));
    }

    #[test]
    fn damaged_bodies_are_errors_or_other_objects_but_never_panics(index in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let vectors = vectors();
        let mut body = vectors[index.index(vectors.len())].1.clone();
        let position = at.index(body.len());
        body[position] = byte;
        let _ = decode(&body, ("", ""));
    }
}
