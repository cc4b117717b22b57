#![no_main]
//! Any JSONPath parses or is refused, and leads somewhere or nowhere in any object.

use kogge_machinery::json_path::JsonPath;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|input: (&str, &str)| {
    let (path, object) = input;
    if let Ok(path) = JsonPath::parse(path) {
        let object: Value = serde_json::from_str(object).unwrap_or(Value::Null);
        assert_eq!(path.first(&object), path.find(&object).first().copied());
    }
});
