//! Messages and effects, as tables.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Schema;

/// A schema whose `spec` is `spec`.
fn schema_of_spec(spec: &Value) -> Schema {
    Schema::compile(&json!({"type": "object", "properties": {"spec": spec}})).expect("a structural schema")
}

/// `field: message` of every error of `{"spec": value}`, with the kind in front.
pub(super) fn refusals(spec_schema: &Value, value: &Value, old: Option<&Value>) -> String {
    let old = old.map(|old| json!({"spec": old}));
    let errors = schema_of_spec(spec_schema).validate(&json!({"spec": value}), old.as_ref());
    errors.iter().fold(String::new(), |mut text, error| {
        writeln!(text, "{:?} {}: {}", error.kind, error.field, error.message).expect("a string");
        text
    })
}

/// Name, schema and value of `spec`.
fn value_cases() -> Vec<(&'static str, Value, Value)> {
    vec![
        ("type", json!({"type": "integer"}), json!("string")),
        ("type of a number", json!({"type": "string"}), json!(7)),
        ("type of a map", json!({"type": "string"}), json!({"a": 1})),
        ("null", json!({"type": "string"}), Value::Null),
        ("int or string", json!({"x-kubernetes-int-or-string": true}), json!(true)),
        ("whole float as integer", json!({"type": "integer"}), json!(3.0)),
        ("float as integer", json!({"type": "integer"}), json!(3.5)),
        (
            "required",
            json!({"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}),
            json!({}),
        ),
        ("enum", json!({"type": "string", "enum": ["a", "b"]}), json!("x")),
        ("enum of numbers", json!({"type": "integer", "enum": [1, 3]}), json!(2)),
        ("pattern", json!({"type": "string", "pattern": "^[a-z]+$"}), json!("A1")),
        ("minimum", json!({"type": "integer", "minimum": 1}), json!(0)),
        ("exclusive minimum", json!({"type": "number", "minimum": 0.5, "exclusiveMinimum": true}), json!(0.5)),
        ("maximum", json!({"type": "integer", "maximum": 3}), json!(4)),
        ("large bound", json!({"type": "integer", "maximum": 3_000_000}), json!(4_000_000)),
        ("large bound of a number", json!({"type": "number", "maximum": 2_500_000.5}), json!(30_000_000.25)),
        ("small bound of a number", json!({"type": "number", "minimum": 0.001}), json!(0.000_012)),
        ("multiple", json!({"type": "integer", "multipleOf": 5}), json!(7)),
        ("int32", json!({"type": "integer", "format": "int32"}), json!(3_000_000_000_u64)),
        ("too short", json!({"type": "string", "minLength": 3}), json!("ab")),
        ("too long", json!({"type": "string", "maxLength": 3}), json!("abcd")),
        ("too few items", json!({"type": "array", "items": {"type": "string"}, "minItems": 1}), json!([])),
        ("too many items", json!({"type": "array", "items": {"type": "string"}, "maxItems": 1}), json!(["a", "b"])),
        (
            "too few properties",
            json!({"type": "object", "additionalProperties": {"type": "string"}, "minProperties": 1}),
            json!({}),
        ),
        (
            "too many properties",
            json!({"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": 1}),
            json!({"a": "", "b": ""}),
        ),
        ("date-time", json!({"type": "string", "format": "date-time"}), json!("yesterday")),
        ("cidr", json!({"type": "string", "format": "cidr"}), json!("10.0.0.0/33")),
        ("unknown format", json!({"type": "string", "format": "lunar"}), json!("anything")),
        ("map values", json!({"type": "object", "additionalProperties": {"type": "string"}}), json!({"a": 1})),
        (
            "items",
            json!({"type": "array", "items": {"type": "object", "properties": {"count": {"type": "integer"}}}}),
            json!([{"count": 1}, {"count": "2"}]),
        ),
        ("anyOf", json!({"type": "string", "anyOf": [{"minLength": 5}, {"pattern": "^x"}]}), json!("abc")),
        (
            "oneOf, none",
            json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}, "oneOf": [{"required": ["a"]}, {"required": ["b"]}]}),
            json!({}),
        ),
        (
            "oneOf, both",
            json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}, "oneOf": [{"required": ["a"]}, {"required": ["b"]}]}),
            json!({"a": "", "b": ""}),
        ),
        ("allOf", json!({"type": "string", "allOf": [{"minLength": 5}]}), json!("abc")),
        ("not", json!({"type": "string", "not": {"enum": ["root"]}}), json!("root")),
        (
            "set",
            json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}}),
            json!(["a", "b", "a"]),
        ),
        (
            "map list",
            json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}}),
            json!([{"name": "a"}, {"name": "a"}]),
        ),
        (
            "embedded resource",
            json!({"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true}),
            json!({"kind": "", "metadata": {"labels": {"a": 1}}}),
        ),
    ]
}

#[test]
fn value_errors_are_worded_like_the_real_server() {
    let mut text = String::new();
    for (name, schema, value) in value_cases() {
        write!(text, "# {name}\n{}", refusals(&schema, &value, None)).expect("a string");
    }
    insta::assert_snapshot!(text);
}

/// Name, schema, value and old value of `spec`.
fn rule_cases() -> Vec<(&'static str, Value, Value, Option<Value>)> {
    vec![
        (
            "message",
            json!({"type": "object", "properties": {"n": {"type": "integer", "x-kubernetes-validations": [{"rule": "self % 2 == 1", "message": "must be odd"}]}}}),
            json!({"n": 4}),
            None,
        ),
        (
            "no message",
            json!({"type": "object", "x-kubernetes-validations": [{"rule": "self.min <= self.max"}], "properties": {"min": {"type": "integer"}, "max": {"type": "integer"}}}),
            json!({"min": 3, "max": 2}),
            None,
        ),
        (
            "message expression, reason, path",
            json!({"type": "object", "x-kubernetes-validations": [{"rule": "self.min <= self.max", "messageExpression": "'min ' + string(self.min) + ' is more than max'", "reason": "FieldValueForbidden", "fieldPath": ".min"}], "properties": {"min": {"type": "integer"}, "max": {"type": "integer"}}}),
            json!({"min": 3, "max": 2}),
            None,
        ),
        (
            "missing field",
            json!({"type": "object", "x-kubernetes-validations": [{"rule": "self.min <= self.max"}], "properties": {"min": {"type": "integer"}, "max": {"type": "integer"}}}),
            json!({"min": 3}),
            None,
        ),
        (
            "items",
            json!({"type": "array", "items": {"type": "string", "x-kubernetes-validations": [{"rule": "self.startsWith('a')"}]}}),
            json!(["ab", "b"]),
            None,
        ),
        (
            "map values",
            json!({"type": "object", "additionalProperties": {"type": "string", "x-kubernetes-validations": [{"rule": "self != ''"}]}}),
            json!({"k": ""}),
            None,
        ),
        (
            "loops",
            json!({"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}}}, "x-kubernetes-validations": [{"rule": "self.all(x, self.exists_one(y, x.name == y.name))", "message": "names must differ"}]}),
            json!([{"name": "a"}, {"name": "a"}]),
            None,
        ),
        (
            "immutable, create",
            json!({"type": "string", "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "is immutable"}]}),
            json!("a"),
            None,
        ),
        (
            "immutable, update",
            json!({"type": "string", "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "is immutable"}]}),
            json!("b"),
            Some(json!("a")),
        ),
        (
            "optional oldSelf, create",
            json!({"type": "integer", "x-kubernetes-validations": [{"rule": "oldSelf.hasValue() || self == 1", "optionalOldSelf": true, "message": "starts at 1"}]}),
            json!(2),
            None,
        ),
        (
            "optional oldSelf, update",
            json!({"type": "integer", "x-kubernetes-validations": [{"rule": "!oldSelf.hasValue() || self > oldSelf.value()", "optionalOldSelf": true, "message": "only grows"}]}),
            json!(2),
            Some(json!(3)),
        ),
        (
            "escaped names",
            json!({"type": "object", "x-kubernetes-validations": [{"rule": "self.x__dash__y == self.__namespace__ && self.a_b == 1"}], "properties": {"x-y": {"type": "integer"}, "namespace": {"type": "integer"}, "a_b": {"type": "integer"}}}),
            json!({"x-y": 1, "namespace": 1, "a_b": 1}),
            None,
        ),
        (
            "typed values",
            json!({"type": "object", "x-kubernetes-validations": [{"rule": "self.since < timestamp('2020-01-01T00:00:00Z') && self.wait > duration('1m') && self.share < 2.0"}], "properties": {"since": {"type": "string", "format": "date-time"}, "wait": {"type": "string", "format": "duration"}, "share": {"type": "number"}}}),
            json!({"since": "2019-06-01T00:00:00Z", "wait": "90s", "share": 1}),
            None,
        ),
        (
            "blocked by a wrong type",
            json!({"type": "object", "x-kubernetes-validations": [{"rule": "self.n > 1"}], "properties": {"n": {"type": "integer"}}}),
            json!({"n": "x"}),
            None,
        ),
    ]
}

#[test]
fn rules_are_evaluated_at_every_level() {
    let mut text = String::new();
    for (name, schema, value, old) in rule_cases() {
        write!(text, "# {name}\n{}", refusals(&schema, &value, old.as_ref())).expect("a string");
    }
    insta::assert_snapshot!(text);
}

#[test]
fn unknown_fields_are_removed_and_named() {
    let schema = Schema::compile(&json!({
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {
                    "items": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}}}},
                    "labels": {"type": "object", "additionalProperties": {"type": "object", "properties": {"a": {"type": "string"}}}},
                    "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"strict": {"type": "object", "properties": {"a": {"type": "string"}}}}},
                    "embedded": {"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true},
                    "port": {"x-kubernetes-int-or-string": true},
                },
            },
        },
    }))
    .expect("a structural schema");
    let mut object = json!({
        "apiVersion": "v1", "kind": "K", "metadata": {"name": "n", "colour": "red", "ownerReferences": [{"name": "o", "nick": "x"}]},
        "extra": 1,
        "spec": {
            "items": [{"name": "a", "bar": 1}],
            "labels": {"k": {"a": "", "b": ""}},
            "any": {"free": {"x": 1}, "strict": {"a": "", "b": ""}},
            "embedded": {"apiVersion": "v1", "kind": "K", "metadata": {"name": "n", "colour": "red"}, "data": {}},
            "port": "http",
            "foo": {"bar": 1},
        },
    });
    let unknown = schema.prune(&mut object);
    insta::assert_json_snapshot!(json!({"unknown": unknown, "object": object}));
}

#[test]
fn defaults_and_nulls_are_treated_like_on_the_real_server() {
    let schema = Schema::compile(&json!({
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "default": {},
                "properties": {
                    "absent": {"type": "integer", "default": 1},
                    "null": {"type": "integer", "default": 1},
                    "nullable": {"type": "integer", "default": 1, "nullable": true},
                    "dropped": {"type": "integer"},
                    "kept": {"type": "integer", "nullable": true},
                    "object": {"type": "object", "properties": {"inner": {"type": "string", "default": "x"}}},
                    "list": {"type": "array", "items": {"type": "object", "properties": {"inner": {"type": "string", "default": "x"}}}},
                    "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"inner": {"type": "string", "default": "x"}}}},
                    "nulls": {"type": "object", "additionalProperties": {"type": "string", "default": "x"}},
                },
            },
        },
    }))
    .expect("a structural schema");
    let mut empty = json!({});
    schema.apply_defaults(&mut empty);
    let mut full = json!({"spec": {
        "null": null, "nullable": null, "dropped": null, "kept": null, "list": [{}, {"inner": "y"}], "map": {"a": {}},
        "nulls": {"a": null},
    }});
    schema.apply_defaults(&mut full);
    insta::assert_json_snapshot!(json!({"empty": empty, "full": full}));
}

#[test]
fn unchanged_invalid_parts_do_not_block_an_update() {
    let schema = json!({
        "type": "object",
        "properties": {
            "size": {"type": "integer", "maximum": 5},
            "name": {"type": "string"},
            "pools": {
                "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "required": ["name"], "properties": {
                    "name": {"type": "string"},
                    "count": {"type": "integer", "minimum": 1, "x-kubernetes-validations": [{"rule": "self % 2 == 1"}]},
                    "zone": {"type": "string"},
                }},
            },
            "words": {"type": "array", "items": {"type": "string", "maxLength": 3}},
        },
    });
    let old = json!({"size": 9, "name": "a", "pools": [{"name": "x", "count": 0}, {"name": "y", "count": 4}], "words": ["long"]});
    let new = json!({"size": 9, "name": "b", "pools": [{"name": "y", "count": 4, "zone": "z"}, {"name": "x", "count": -2}], "words": ["long", "a"]});
    insta::assert_snapshot!(refusals(&schema, &new, Some(&old)), @r#"
    Invalid spec.pools[1].count: Invalid value: -2: spec.pools[1].count in body should be greater than or equal to 1
    TooLong spec.words[0]: Too long: may not be more than 3 bytes
    Invalid <nil>: Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation
    "#);
}

#[test]
fn a_rule_that_would_run_away_is_stopped_before_it_starts() {
    let schema = json!({
        "type": "array", "items": {"type": "integer"},
        "x-kubernetes-validations": [{"rule": "self.all(a, self.all(b, self.all(c, self.all(d, a + b + c + d >= 0))))"}],
    });
    insta::assert_snapshot!(refusals(&schema, &json!((0..200).collect::<Vec<i32>>()), None), @r#"Invalid spec: Invalid value: "array": validation failed due to running out of cost budget, no further validation rules will be run"#);
}
