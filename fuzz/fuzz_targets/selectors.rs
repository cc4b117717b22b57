#![no_main]
//! Any label selector parses or is refused, and what is printed parses to the same.

use kogge_machinery::selector::LabelSelector;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|text: &str| {
    if let Ok(selector) = LabelSelector::parse(text) {
        let again = LabelSelector::parse(&selector.to_string());
        assert_eq!(again.ok().as_ref(), Some(&selector));
        let _ = selector.matches(&Value::Null);
    }
    if let Ok(object) = serde_json::from_str::<Value>(text) {
        let _ = LabelSelector::from_object(&object);
    }
});
