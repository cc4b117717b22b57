//! Random schemas of custom resources, and values for them: right more often than not, and wrong in every way now and then.

use serde_json::{Map, Value, json};

use super::draw::Draw;
use super::random_rule;

/// Names of properties: short ones, and some that rules have to escape.
const NAMES: &[&str] = &["a", "b", "c", "name", "type", "x-y", "in", "d.e", "namespace", "size", "kind"];
/// Texts for values, defaults and enumerations.
const WORDS: &[&str] = &["a", "b", "c", "abc", "A", "", "a b", "ä", "1", "true", "null", "abcdefghij", "a.b/c", "-"];
const PATTERNS: &[&str] = &["^[a-z]+$", "a", "^.{2,4}$", "[0-9]", "^$|^a"];
/// Formats with a value of each, and one that is not.
const FORMATS: &[(&str, &str, &str)] = &[
    ("date-time", "2026-01-02T03:04:05Z", "2026-01-02 03:04:05"),
    ("date", "2026-01-02", "2026-13-02"),
    ("duration", "1h2m", "1 fortnight"),
    ("byte", "YWJj", "YWJ"),
    ("uuid", "6BA7B810-9DAD-11D1-80B4-00C04FD430C8", "6BA7B810"),
    ("uuid4", "6ba7b810-9dad-41d1-80b4-00c04fd430c8", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
    ("ipv4", "172.17.2.3", "172.17.2.300"),
    ("ipv6", "fd00::1", "172.17.2.3"),
    ("cidr", "172.16.0.0/12", "172.16.0.0"),
    ("mac", "01:23:45:67:89:ab", "01:23"),
    ("email", "a@b.example", "a"),
    ("hostname", "a.example", "-a"),
    ("uri", "https://a.example/b", "a b"),
    ("hexcolor", "#ffffff", "white"),
    ("isbn", "0321751043", "1"),
    ("password", "a", ""),
    ("int32", "a", "1"),
    ("k8s-short-name", "a-b", "A_B"),
    ("k8s-long-name", "a.b", "a..b"),
    ("shoe-size", "44", "x"),
];

/// The schema of a whole object, with a status where it has one.
pub(crate) fn root(draw: &mut Draw, has_status: bool) -> Value {
    let mut properties = Map::from_iter([("spec".to_owned(), object(draw, 3))]);
    if has_status {
        properties.insert("status".to_owned(), object(draw, 1));
    }
    let mut root = json!({"type": "object", "properties": properties});
    if draw.once_in(4) {
        root["required"] = json!(["spec"]);
    }
    if draw.once_in(5) {
        let rule = *draw.one_of(&[
            "self.metadata.name.size() < 40",
            "has(self.spec)",
            "self == oldSelf",
            "!has(self.spec) || self.kind != ''",
            "self.metadata.generateName == ''",
        ]);
        root["x-kubernetes-validations"] = json!([{"rule": rule}]);
    }
    root
}

fn node(draw: &mut Draw, depth: usize) -> Value {
    let mut schema = match draw.below(if depth > 0 { 17 } else { 9 }) {
        0..=3 => text(draw),
        4 | 5 => number(draw, "integer"),
        6 => number(draw, "number"),
        7 => json!({"type": "boolean"}),
        8 => json!({"x-kubernetes-int-or-string": true}),
        9..=11 => object(draw, depth - 1),
        12 => map(draw, depth - 1),
        13..=15 => list(draw, depth - 1),
        _ => free(draw, depth - 1),
    };
    if draw.once_in(6) {
        schema["nullable"] = true.into();
    }
    if draw.once_in(25) {
        schema["title"] = "a title".into();
    }
    if draw.once_in(5)
        && let Some(rule) = random_rule::rule(draw, &schema)
    {
        schema["x-kubernetes-validations"] = json!([rule]);
    }
    if draw.once_in(5) {
        // Nothing checks the types of such a default, and rules stumble over one.
        let care = if schema["x-kubernetes-int-or-string"] == true { usize::MAX } else { 40 };
        schema["default"] = value(draw, &schema, care);
    }
    schema
}

fn text(draw: &mut Draw) -> Value {
    let mut schema = json!({"type": "string"});
    match draw.below(8) {
        0 => schema["enum"] = words(draw),
        1 => schema["pattern"] = (*draw.one_of(PATTERNS)).into(),
        2 | 3 => schema["format"] = draw.one_of(FORMATS).0.into(),
        _ => {}
    }
    if draw.once_in(2) {
        schema["maxLength"] = (1 + draw.below(12)).into();
    }
    if draw.once_in(6) {
        schema["minLength"] = draw.below(3).into();
    }
    schema
}

fn words(draw: &mut Draw) -> Value {
    let mut words: Vec<&str> = (0..=draw.below(3)).map(|_| *draw.one_of(WORDS)).collect();
    words.sort_unstable();
    if !draw.once_in(20) {
        words.dedup();
    }
    json!(words)
}

fn number(draw: &mut Draw, kind: &str) -> Value {
    let mut schema = json!({"type": kind});
    if draw.once_in(4) {
        schema["minimum"] = draw.one_of(&[json!(0), json!(1), json!(-2), json!(0.5)]).clone();
        if draw.once_in(4) {
            schema["exclusiveMinimum"] = true.into();
        }
    }
    if draw.once_in(4) {
        schema["maximum"] = draw.one_of(&[json!(5), json!(3), json!(100), json!(2.5)]).clone();
        if draw.once_in(4) {
            schema["exclusiveMaximum"] = true.into();
        }
    }
    if draw.once_in(8) {
        schema["multipleOf"] = draw.one_of(&[json!(2), json!(1), json!(0.5), json!(5)]).clone();
    }
    if draw.once_in(4) {
        schema["format"] = (*draw.one_of(&["int32", "int64", "float", "double"])).into();
    }
    if draw.once_in(10) {
        schema["enum"] = json!([1, 2, 3]);
    }
    schema
}

fn object(draw: &mut Draw, depth: usize) -> Value {
    let mut properties = Map::new();
    for _ in 0..=draw.below(4) {
        let name = *draw.one_of(NAMES);
        properties.insert(name.to_owned(), node(draw, depth));
    }
    let names: Vec<String> = properties.keys().cloned().collect();
    let mut schema = json!({"type": "object", "properties": properties});
    if draw.once_in(4) {
        schema["required"] = json!([draw.one_of(&names)]);
    }
    if draw.once_in(12) {
        schema["x-kubernetes-map-type"] = (*draw.one_of(&["atomic", "granular"])).into();
    }
    if draw.once_in(14) {
        schema["x-kubernetes-preserve-unknown-fields"] = true.into();
    }
    if draw.once_in(16) {
        schema["maxProperties"] = draw.below(4).into();
    }
    if draw.once_in(24) {
        schema["minProperties"] = draw.below(3).into();
    }
    if draw.once_in(8) {
        let junctor = *draw.one_of(&["anyOf", "oneOf", "allOf"]);
        let one = part(draw, &schema, &names);
        schema[junctor] = json!([{"required": [draw.one_of(&names)]}, one]);
    } else if draw.once_in(16) {
        schema["not"] = json!({"required": [draw.one_of(&names)]});
    }
    if draw.once_in(5)
        && let Some(rule) = random_rule::rule(draw, &schema)
    {
        schema["x-kubernetes-validations"] = json!([rule]);
    }
    schema
}

/// What one branch of a junctor says about a property.
fn part(draw: &mut Draw, schema: &Value, names: &[String]) -> Value {
    let name = draw.one_of(names);
    let said = match schema["properties"][name]["type"].as_str() {
        Some("string") => json!({"enum": ["a", "b"]}),
        Some("integer" | "number") => json!({"minimum": 2}),
        Some("array") => json!({"minItems": 1}),
        Some("boolean") => json!({"enum": [true]}),
        _ => json!({}),
    };
    json!({"properties": Map::from_iter([(name.clone(), said)])})
}

fn map(draw: &mut Draw, depth: usize) -> Value {
    let mut schema = json!({"type": "object", "additionalProperties": node(draw, depth)});
    if draw.once_in(2) {
        schema["maxProperties"] = (1 + draw.below(4)).into();
    }
    if draw.once_in(10) {
        schema["x-kubernetes-map-type"] = "atomic".into();
    }
    schema
}

fn list(draw: &mut Draw, depth: usize) -> Value {
    let mut schema = json!({"type": "array"});
    match draw.below(6) {
        0 | 1 => {
            let mut items = object(draw, depth);
            let kind = *draw.one_of(&["string", "string", "integer", "boolean"]);
            items["properties"]["key"] = json!({"type": kind});
            items["required"] = json!(["key"]);
            let mut keys = vec!["key"];
            if draw.once_in(3) {
                items["properties"]["port"] = json!({"type": "integer"});
                if draw.once_in(2) {
                    items["properties"]["port"]["default"] = 80.into();
                } else if !draw.once_in(6) {
                    items["required"] = json!(["key", "port"]);
                }
                keys.push("port");
            }
            schema["items"] = items;
            schema["x-kubernetes-list-type"] = "map".into();
            schema["x-kubernetes-list-map-keys"] = json!(keys);
        }
        2 => {
            schema["items"] = if draw.once_in(2) { text(draw) } else { number(draw, "integer") };
            schema["x-kubernetes-list-type"] = "set".into();
        }
        3 => {
            schema["items"] = node(draw, depth);
            schema["x-kubernetes-list-type"] = "atomic".into();
        }
        _ => schema["items"] = node(draw, depth),
    }
    if draw.once_in(2) {
        schema["maxItems"] = (1 + draw.below(4)).into();
    }
    if draw.once_in(10) {
        schema["minItems"] = draw.below(3).into();
    }
    schema
}

/// Something that holds more than the schema knows of.
fn free(draw: &mut Draw, depth: usize) -> Value {
    match draw.below(4) {
        0 => json!({"x-kubernetes-preserve-unknown-fields": true}),
        1 => json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
        2 => {
            let mut schema = object(draw, depth);
            schema["x-kubernetes-embedded-resource"] = true.into();
            if draw.once_in(2) {
                schema["x-kubernetes-preserve-unknown-fields"] = true.into();
            }
            schema
        }
        _ => {
            let mut schema = object(draw, depth);
            schema["x-kubernetes-preserve-unknown-fields"] = true.into();
            schema
        }
    }
}

/// A value for a schema. About one in `care` of its parts is not as the schema wants it.
pub(crate) fn value(draw: &mut Draw, schema: &Value, care: usize) -> Value {
    if draw.once_in(care) {
        return any(draw);
    }
    if schema["nullable"] == true && draw.once_in(5) {
        return Value::Null;
    }
    if let Some(values) = schema["enum"].as_array().filter(|values| !values.is_empty()) {
        return draw.one_of(values).clone();
    }
    if schema["x-kubernetes-int-or-string"] == true {
        return if draw.once_in(2) { draw.below(6).into() } else { (*draw.one_of(WORDS)).into() };
    }
    match schema["type"].as_str() {
        Some("string") => text_value(draw, schema, care),
        Some("integer") => draw.one_of(&[json!(0), json!(1), json!(2), json!(3), json!(4), json!(10)]).clone(),
        Some("number") => draw.one_of(&[json!(0), json!(1), json!(1.5), json!(4), json!(0.25)]).clone(),
        Some("boolean") => draw.once_in(2).into(),
        Some("array") => {
            let most = schema["maxItems"].as_u64().unwrap_or(3).min(3);
            let most = usize::try_from(most).unwrap_or_default();
            (0..draw.below(most + 1)).map(|_| value(draw, &schema["items"], care)).collect()
        }
        Some("object") => Value::Object(object_value(draw, schema, care)),
        _ => any(draw),
    }
}

fn text_value(draw: &mut Draw, schema: &Value, care: usize) -> Value {
    if let Some(format) = schema["format"].as_str()
        && let Some((_, right, wrong)) = FORMATS.iter().find(|(name, ..)| *name == format)
    {
        return if draw.once_in(care) { *wrong } else { *right }.into();
    }
    (*draw.one_of(WORDS)).into()
}

fn object_value(draw: &mut Draw, schema: &Value, care: usize) -> Map<String, Value> {
    let mut members = Map::new();
    let required = |name: &str| schema["required"].as_array().is_some_and(|all| all.iter().any(|one| one == name));
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        if required(name) && !draw.once_in(care) || draw.below(3) > 0 {
            members.insert(name.clone(), value(draw, property, care));
        }
    }
    if schema["additionalProperties"].is_object() {
        for _ in 0..draw.below(3) {
            let key = *draw.one_of(&["a", "b", "c", "x.y/z"]);
            members.insert(key.to_owned(), value(draw, &schema["additionalProperties"], care));
        }
    }
    if schema["x-kubernetes-embedded-resource"] == true {
        members.insert("apiVersion".to_owned(), "v1".into());
        members.insert("kind".to_owned(), "Pod".into());
        if draw.once_in(2) {
            members.insert("metadata".to_owned(), json!({"name": "a", "labels": {"a": "b"}, "colour": "blue"}));
        }
    }
    if draw.once_in(if schema["x-kubernetes-preserve-unknown-fields"] == true { 2 } else { care }) {
        members.insert("unknown".to_owned(), any(draw));
    }
    members
}

/// A value of any kind.
fn any(draw: &mut Draw) -> Value {
    let all = [
        Value::Null,
        json!(true),
        json!(7),
        json!(-1),
        json!(1.5),
        json!(4_294_967_296_i64),
        json!("text"),
        json!(""),
        json!({}),
        json!({"a": null}),
        json!({"a": {"b": [1, "c"]}}),
        json!([]),
        json!(["a", "a"]),
        json!([null]),
        json!([{"key": "a"}, {"key": "a"}]),
    ];
    draw.one_of(&all).clone()
}
