//! Which part of the old object belongs to which part of the new one.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{ListType, SchemaNode};

/// The items of an old list, found by the map keys of new items. Only lists of type map correlate.
pub(crate) struct OldItems<'a> {
    keys: &'a [String],
    items: &'a SchemaNode,
    by_key: HashMap<String, &'a Value>,
}

impl<'a> OldItems<'a> {
    /// `None` when the items of `node` do not correlate or there is no old list.
    pub(crate) fn new(node: &'a SchemaNode, old: Option<&'a Value>) -> Option<Self> {
        let (ListType::Map(keys), Some(items)) = (&node.list_type, &node.items) else { return None };
        let old = old?.as_array()?;
        let mut this = Self { keys, items, by_key: HashMap::with_capacity(old.len()) };
        for item in old {
            if let Some(key) = this.key(item) {
                this.by_key.entry(key).or_insert(item);
            }
        }
        Some(this)
    }

    /// The old item with the keys of `item`.
    pub(crate) fn get(&self, item: &Value) -> Option<&'a Value> {
        self.by_key.get(&self.key(item)?).copied()
    }

    fn key(&self, item: &Value) -> Option<String> {
        map_key(self.keys, self.items, item.as_object()?)
    }
}

/// The key of an item of a list of type map as one text; absent keys take their default.
pub(crate) fn map_key(keys: &[String], items: &SchemaNode, item: &Map<String, Value>) -> Option<String> {
    let mut text = String::new();
    for key in keys {
        let value = item.get(key).or_else(|| items.properties.get(key)?.default.as_ref())?;
        text.push_str(&value.to_string());
        text.push('\n');
    }
    Some(text)
}
