#![no_main]
//! Any schema compiles or is refused; any object is pruned, defaulted and validated by it. Pruning twice changes nothing.

use kogge_machinery::schema::Schema;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|input: (&str, &str)| {
    let (Ok(source), Ok(mut object)) = (serde_json::from_str::<Value>(input.0), serde_json::from_str::<Value>(input.1))
    else {
        return;
    };
    let Ok(schema) = Schema::compile(&source) else { return };
    schema.prune(&mut object);
    let pruned = object.clone();
    assert!(schema.prune(&mut object).is_empty());
    assert_eq!(object, pruned);
    schema.apply_defaults(&mut object);
    let _ = schema.validate(&object, None);
    let _ = schema.validate(&object, Some(&pruned));
});
