//! How deep values may be nested.
//!
//! The real server takes bodies ten thousand levels deep, for Go's stacks grow. Ours do not, and much of what is done with
//! an object goes down its tree by recursion. So what is deeper than any real object is read as if it were empty there, and
//! an object that still holds such a place once its unknown fields are gone is refused.

use serde_json::Value;

/// Levels of maps and lists an object may have. Its ownership is a few levels deeper than itself, and clients wrap it in
/// lists and events: all of it stays within the 128 levels that `serde_json` reads.
pub const MAXIMUM_DEPTH: usize = 100;

/// Whether a value has more than so many levels of maps and lists. Goes no deeper than that.
pub fn is_deeper_than(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(items) => levels == 0 || items.iter().any(|item| is_deeper_than(item, levels - 1)),
        Value::Object(members) => levels == 0 || members.values().any(|member| is_deeper_than(member, levels - 1)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn levels_are_those_of_maps_and_lists() {
        for (value, levels) in
            [(json!(1), 0), (json!([]), 1), (json!({"a": [1]}), 2), (json!([{}, {"a": {"b": []}}]), 4)]
        {
            assert!(!is_deeper_than(&value, levels), "{value}");
            assert!(levels == 0 || is_deeper_than(&value, levels - 1), "{value}");
        }
    }
}
