#![no_main]
//! Any patch of any object applies or is refused; merge patches are idempotent.

use std::sync::LazyLock;

use kogge_machinery::patch::{json_patch, merge_patch, strategic_merge_patch};
use kogge_machinery::schema::Schema;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

/// A built-in kind in small: one list of each strategy.
static SCHEMA: LazyLock<Option<Schema>> = LazyLock::new(|| {
    let item = json!({"type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "string"}}});
    let merged = json!({"type": "array", "items": item, "x-kubernetes-patch-strategy": "merge", "x-kubernetes-patch-merge-key": "k"});
    let scalars = json!({"type": "array", "items": {"type": "string"}, "x-kubernetes-patch-strategy": "merge"});
    let kind =
        json!({"type": "object", "properties": {"m": merged, "s": scalars, "a": {"type": "array", "items": item}}});
    Schema::compile_definition(&json!({"components": {"schemas": {"Kind": kind}}, "Kind": kind}), "Kind")
});

fuzz_target!(|input: (&str, &str)| {
    let (Ok(object), Ok(patch)) = (serde_json::from_str::<Value>(input.0), serde_json::from_str::<Value>(input.1))
    else {
        return;
    };
    let _ = json_patch(&object, &patch);
    let once = merge_patch(&object, &patch);
    assert_eq!(merge_patch(&once, &patch), once);
    if let Some(schema) = SCHEMA.as_ref() {
        let _ = strategic_merge_patch(&object, &patch, &schema.root);
    }
});
