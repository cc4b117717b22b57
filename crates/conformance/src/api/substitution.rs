//! Variables in the texts of a scenario.

use std::collections::BTreeMap;

use serde_json::Value;

/// Values by name.
pub type Variables = BTreeMap<String, String>;

/// The text with every `$name` and `${name}` of a known variable replaced, also inside the values of variables; other
/// dollar signs stay.
pub fn substitute(text: &str, variables: &Variables) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        result.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let braced = after.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let (name, length) = if let Some((name, _)) = braced {
            (name, name.len() + 2)
        } else {
            let end = after.find(|found: char| !found.is_ascii_alphanumeric()).unwrap_or(after.len());
            (&after[..end], end)
        };
        if let Some(value) = variables.get(name) {
            result.push_str(&substitute(value, variables));
        } else {
            result.push('$');
            result.push_str(&after[..length]);
        }
        rest = &after[length..];
    }
    result.push_str(rest);
    result
}

/// [`substitute`] in every key and text of a value.
pub fn substitute_value(value: &Value, variables: &Variables) -> Value {
    match value {
        Value::String(text) => Value::String(substitute(text, variables)),
        Value::Array(items) => items.iter().map(|item| substitute_value(item, variables)).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, field)| (substitute(name, variables), substitute_value(field, variables)))
            .collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced_and_other_dollar_signs_stay() {
        let variables: Variables =
            [("ns", "one"), ("cm", "/api/$ns/x")].map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        assert_eq!(substitute("$cm/a-$ns/${ns}b $other ${x} $", &variables), "/api/one/x/a-one/oneb $other ${x} $");
    }
}
