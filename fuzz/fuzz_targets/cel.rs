#![no_main]
//! Any expression is checked, compiled and evaluated, or refused, in bounded time and space: as an admission policy's, and as
//! a schema's rule.

use kogge_machinery::admission::{Expressions, Purpose};
use kogge_machinery::cel::{Bindings, Program};
use kogge_machinery::custom_resource_definition;
use kogge_machinery::schema::Schema;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

const PURPOSES: [Purpose; 6] = [
    Purpose::Condition,
    Purpose::Validation,
    Purpose::Message,
    Purpose::AuditAnnotation,
    Purpose::ApplyConfiguration,
    Purpose::JsonPatch,
];

fn example() -> Value {
    json!({
        "metadata": {"name": "a", "labels": {"x": "y"}},
        "spec": {"n": 3, "f": 1.5, "s": "text", "l": [1, 2, 3], "m": [{"k": "a", "v": 1}, {"k": "b"}], "t": "2026-01-01T00:00:00Z"}
    })
}

fuzz_target!(
    init: {
        // The interpreter's panics are caught where it is called; only those that are not caught count.
        let _ = std::panic::take_hook();
    },
    |input: (u8, &str)| {
        let (purpose, source) = input;
        let mut expressions = Expressions::new(purpose & 8 != 0, true);
        let _ = expressions.declare("first", source);
        let _ = expressions.check(PURPOSES[usize::from(purpose) % PURPOSES.len()], source);
        if let Ok(program) = Program::compile(source) {
            let bindings = Bindings::default()
                .with("object", &example())
                .with("oldObject", &Value::Null)
                .with("request", &json!({"operation": "CREATE", "userInfo": {"groups": ["a", "b"]}}));
            if let Ok(outcome) = program.evaluate(&bindings) {
                let _ = (outcome.as_bool(), outcome.as_texts(), outcome.type_name());
            }
        }
        let text = json!({"type": "string"});
        let spec = json!({
            "type": "object",
            "x-kubernetes-validations": [{"rule": source, "messageExpression": source}],
            "properties": {
                "n": {"type": "integer"}, "f": {"type": "number"}, "s": text, "t": {"type": "string", "format": "date-time"},
                "l": {"type": "array", "items": {"type": "integer"}},
                "m": {"type": "array", "items": {"type": "object", "properties": {"k": text, "v": {"type": "integer"}}}}
            }
        });
        let schema = json!({"type": "object", "properties": {"spec": spec}});
        if let Ok(schema) = Schema::compile(&schema) {
            let _ = schema.validate(&example(), Some(&example()));
        }
        // Also what they may cost.
        let definition = json!({"metadata": {"name": "things.example.com"}, "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]
        }});
        let _ = custom_resource_definition::validate(&definition, &definition, None);
    }
);
