//! Properties that hold for every schema and every object.
//!
//! The functions under test are pure, so a fuzzer can call [`exercise`] with bytes as well.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::Schema;

/// Runs everything that a request runs, on any schema and any object.
fn exercise(schema: &Value, object: &Value, old: Option<&Value>) {
    let _ = Schema::compile(schema);
    let compiled = Schema::compile_checked(schema);
    let mut object = object.clone();
    compiled.prune(&mut object);
    compiled.apply_defaults(&mut object);
    compiled.validate(&object, old);
    compiled.validate(&object, Some(&object));
    let _ = Schema::compile_definition(&json!({"a": schema, "b": {"$ref": "#/components/schemas/a"}}), "b");
}

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "spec", "metadata", "kind", "apiVersion", "name", "x-y"])
        .prop_map(str::to_owned)
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-5_i64..5).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z0-9.:/-]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name(), inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Structural schemas of objects.
fn structural_schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!({"type": "string"})),
        Just(json!({"type": "string", "default": "d", "maxLength": 9, "pattern": "^[a-z]*$"})),
        Just(json!({"type": "string", "nullable": true, "default": "d", "format": "ipv4"})),
        Just(json!({"type": "integer", "default": 7, "minimum": 1})),
        Just(json!({"type": "boolean", "nullable": true})),
        Just(json!({"x-kubernetes-int-or-string": true})),
        Just(json!({"x-kubernetes-preserve-unknown-fields": true})),
        Just(json!({"type": "object", "additionalProperties": {"type": "string"}})),
        Just(
            json!({"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true})
        ),
        Just(json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}})),
        Just(json!({"type": "string", "enum": ["a", "b"], "minLength": 1})),
        Just(json!({"type": "number", "maximum": 2.5, "multipleOf": 0.5, "exclusiveMaximum": true})),
        Just(
            json!({"type": "integer", "format": "int32", "anyOf": [{"minimum": 2}, {"maximum": -2, "multipleOf": 2}]})
        ),
        Just(
            json!({"type": "array", "minItems": 1, "maxItems": 2, "items": {"type": "string", "not": {"enum": ["a"]}}})
        ),
        Just(
            json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}], "pattern": "^[a-z]"})
        ),
        Just(json!({
            "type": "object",
            "properties": {"a": {"type": "string"}, "b": {"type": "integer"}},
            "oneOf": [{"required": ["a"]}, {"required": ["b"], "properties": {"b": {"minimum": 1}}}],
            "maxProperties": 1,
        })),
        Just(json!({
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name", "a"],
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {"type": "string"},
                    "a": {"type": "integer", "default": 1},
                    "b": {"type": "integer", "maximum": 1, "x-kubernetes-validations": [{"rule": "self >= oldSelf"}]},
                },
                "x-kubernetes-validations": [{"rule": "!has(self.b) || self.b <= self.a", "message": "b <= a"}],
            },
        })),
        Just(json!({
            "type": "object",
            "additionalProperties": {"type": "integer", "x-kubernetes-validations": [{"rule": "self < 2"}]},
            "x-kubernetes-validations": [
                {"rule": "self.all(k, self[k] != 1)", "messageExpression": "'size ' + string(size(self))"},
                {"rule": "size(self) >= size(oldSelf)", "reason": "FieldValueForbidden"},
            ],
        })),
        Just(
            json!({"type": "integer", "x-kubernetes-validations": [{"rule": "self > 0 || self == oldSelf", "optionalOldSelf": false}]})
        ),
    ];
    let node = leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::btree_map(
                name().prop_filter("no metadata", |name| !is_type_or_metadata(name)),
                inner.clone(),
                0..4
            )
            .prop_map(object_of),
            inner.prop_map(|items| json!({"type": "array", "items": items})),
        ]
    });
    prop::collection::btree_map(name().prop_filter("no metadata", |name| !is_type_or_metadata(name)), node, 0..4)
        .prop_map(object_of)
}

fn is_type_or_metadata(name: &str) -> bool {
    matches!(name, "metadata" | "kind" | "apiVersion")
}

fn object_of(properties: std::collections::BTreeMap<String, Value>) -> Value {
    json!({"type": "object", "properties": properties.into_iter().collect::<Map<String, Value>>()})
}

/// Schemas in which nothing needs to make sense.
fn any_schema() -> impl Strategy<Value = Value> {
    let keyword = prop::sample::select(vec![
        "type",
        "properties",
        "items",
        "additionalProperties",
        "enum",
        "required",
        "pattern",
        "format",
        "minimum",
        "maximum",
        "multipleOf",
        "maxLength",
        "minItems",
        "uniqueItems",
        "maxProperties",
        "allOf",
        "anyOf",
        "oneOf",
        "not",
        "default",
        "nullable",
        "x-kubernetes-list-type",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-map-type",
        "x-kubernetes-embedded-resource",
        "x-kubernetes-validations",
        "$ref",
    ]);
    let word = prop::sample::select(vec![
        json!("object"),
        json!("array"),
        json!("string"),
        json!("integer"),
        json!("map"),
        json!("set"),
        json!(true),
        json!(["a"]),
        json!("("),
        json!("^a"),
        json!(0),
        json!(-1.5),
        json!({"a": 1}),
        json!([{"rule": "self.all(x, x > 0)"}]),
        json!([{"rule": "oldSelf.a[0]"}]),
        json!("#/components/schemas/a"),
    ]);
    let leaf = prop::collection::btree_map(keyword.clone(), word, 0..5)
        .prop_map(|map| Value::Object(map.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()));
    leaf.prop_recursive(4, 32, 4, move |inner| {
        (prop::collection::btree_map(keyword.clone(), inner.clone(), 0..4), prop::collection::vec(inner, 0..3))
            .prop_map(|(fields, list)| {
                let mut fields: Map<String, Value> =
                    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
                for (junctor, schema) in ["allOf", "anyOf", "oneOf"].iter().zip(list) {
                    fields.insert((*junctor).to_owned(), json!([schema]));
                }
                Value::Object(fields)
            })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics_on_any_schema_and_object(schema in any_schema(), object in json_value(), old in json_value()) {
        exercise(&schema, &object, Some(&old));
        exercise(&object, &schema, None);
    }

    #[test]
    fn generated_structural_schemas_are_structural(schema in structural_schema()) {
        let errors = Schema::compile(&schema).err();
        prop_assert_eq!(errors, None);
    }

    #[test]
    fn pruning_and_defaulting_twice_changes_nothing_more(schema in structural_schema(), object in json_value()) {
        let schema = Schema::compile_checked(&schema);
        let mut once = object;
        schema.prune(&mut once);
        let mut twice = once.clone();
        prop_assert_eq!(schema.prune(&mut twice), Vec::<String>::new());
        prop_assert_eq!(&once, &twice);
        schema.apply_defaults(&mut once);
        let mut again = once.clone();
        schema.apply_defaults(&mut again);
        prop_assert_eq!(&once, &again);
        prop_assert_eq!(schema.prune(&mut again), Vec::<String>::new());
    }

    #[test]
    fn an_unchanged_object_is_never_refused_for_its_values(schema in structural_schema(), object in json_value()) {
        let schema = Schema::compile_checked(&schema);
        let mut object = object;
        schema.prune(&mut object);
        schema.apply_defaults(&mut object);
        let errors = super::validate::value_errors(&schema.root, &object, Some(&object), false);
        prop_assert_eq!(errors, Vec::new());
    }
}
