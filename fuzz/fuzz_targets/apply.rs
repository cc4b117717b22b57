#![no_main]
//! Any object applies onto any other, whatever ownership that one claims, or is refused. Who applies the same again changes
//! nothing.

use std::sync::LazyLock;

use kogge_machinery::apply::{FieldManager, OnlyVersion, apply, equal_except_managed_time, track_update};
use kogge_machinery::schema::Schema;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

/// Each kind of list and map that is owned in its own way.
static SCHEMA: LazyLock<Option<Schema>> = LazyLock::new(|| {
    let text = json!({"type": "string"});
    let item = json!({
        "type": "object",
        "required": ["k"],
        "properties": {"k": text, "l": {"type": "integer", "default": 1}, "v": text, "s": {"x-kubernetes-int-or-string": true}}
    });
    let spec = json!({
        "type": "object",
        "properties": {
            "a": {"type": "array", "items": item},
            "f": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "m": {"type": "object", "additionalProperties": {"type": "object", "properties": {"v": text}}},
            "n": {"type": "integer"},
            "o": {
                "type": "array", "items": item,
                "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k", "l"]
            },
            "s": {"type": "array", "items": text, "x-kubernetes-list-type": "set"},
            "w": {"type": "object", "additionalProperties": text, "x-kubernetes-map-type": "atomic"}
        }
    });
    Schema::compile(&json!({"type": "object", "properties": {"spec": spec, "status": {"type": "object", "properties": {"p": text}}}})).ok()
});

fn object(text: &str) -> Option<Value> {
    let mut object: Value = serde_json::from_str(text).ok().filter(Value::is_object)?;
    object["apiVersion"] = json!("v1");
    object["kind"] = json!("Kind");
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    Some(object)
}

fn manager<'a>(name: &'a str, now: &'a str, subresource: &'a str) -> FieldManager<'a> {
    FieldManager {
        name,
        api_version: "v1",
        subresource,
        status_subresource: true,
        status_takes_metadata: false,
        status_leaves_metadata: &[],
        resets_spec: false,
        now,
        empty: None,
        versions: &OnlyVersion,
    }
}

fuzz_target!(|input: (&str, &str, bool, bool)| {
    let (live, applied, typed, status) = input;
    let (Some(mut live), Some(applied)) = (object(live), object(applied)) else { return };
    let schema = SCHEMA.as_ref().filter(|_| typed).map(|schema| &*schema.root);
    let subresource = if status { "status" } else { "" };
    let _ = track_update(None, &mut live, schema, &manager("update", "2026-01-01T00:00:00Z", ""));
    let one = manager("one", "2026-01-01T00:00:01Z", subresource);
    let _ = apply(Some(&live), &applied, schema, &one, false);
    let Ok(once) = apply(Some(&live), &applied, schema, &one, true) else { return };
    let again = apply(Some(&once), &applied, schema, &manager("one", "2026-01-01T00:00:02Z", subresource), false);
    match again {
        Ok(twice) => assert!(equal_except_managed_time(&once, &twice), "{once}\n{twice}"),
        Err(error) => panic!("applied once, but not twice: {error:?}"),
    }
    let mut updated = applied.clone();
    let _ = track_update(Some(&once), &mut updated, schema, &manager("two", "2026-01-01T00:00:03Z", subresource));
});
