//! Random validation rules (CEL) for a schema, most of them of the right types.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Value, json};

use super::draw::Draw;

const OF_TEXTS: &[&str] = &[
    "self.size() > 1",
    "self.startsWith('a')",
    "self.endsWith('c') || self.contains('b')",
    "self.matches('^[a-c]*$')",
    "self == oldSelf",
    "self != 'b'",
    "self in ['a', 'b', 'abc']",
    "self < 'b'",
    "self.lowerAscii() == self",
    "self.upperAscii() != self",
    "self.split(',').size() < 2",
    "self.trim() == self",
    "self.find('[0-9]+') == ''",
    "self.findAll('[a-z]').size() < 3",
    "int(self) > 1",
    "isQuantity(self) && quantity(self).isLessThan(quantity('2'))",
    "!format.dns1123Label().validate(self).hasValue()",
    "self.charAt(0) == 'a'",
    "self.replace('a', 'b') != self",
    "self.substring(1) != ''",
    "self.indexOf('b') < 1",
    "self.lastIndexOf('a') == 0",
    "isIP(self) && ip(self).family() == 4",
    "isURL(self) && url(self).getHost() == 'a.example'",
    "isCIDR(self) || cidr(self).prefixLength() > 3",
    "self.size() >= oldSelf.size()",
    "self.reverse() == self",
    "['x', self].join('-').size() < 6",
    "'%s-%d'.format([self, 1]) != 'a-1'",
    "isSemver(self) && semver(self).major() > 1",
    "bytes(self).size() == self.size()",
    "optional.of(self).hasValue()",
    "self > 1",
    "self",
    "dyn(self) == 1",
];
const OF_TIMES: &[&str] = &["self > timestamp('2020-01-01T00:00:00Z')", "self.getFullYear() > 2000", "self == oldSelf"];
const OF_DURATIONS: &[&str] = &["self > duration('1m')", "self.getSeconds() < 7200", "self == oldSelf"];
const OF_BYTES: &[&str] = &["self.size() > 1", "self == b'abc'", "string(self) != 'x'"];
const OF_INTEGERS: &[&str] = &[
    "self > 1",
    "self % 2 == 0",
    "self == oldSelf",
    "self >= oldSelf",
    "self in [1, 2, 3]",
    "double(self) < 2.5",
    "string(self) != '3'",
    "10 / self > 2",
    "self * 4611686018427387904 > 0",
    "-self < 0",
    "self < 2.5",
    "math.greatest(self, 2) == 2",
    "uint(self) > 1u",
    "self.size() > 1",
    "[self].exists(x, x == 1)",
];
const OF_NUMBERS: &[&str] = &[
    "self > 1.0",
    "self < 2",
    "self == 1.5",
    "int(self) == 1",
    "self == oldSelf",
    "self / 0.0 > 1.0",
    "math.ceil(self) > 1.0",
    "self % 2 == 0",
];
const OF_SWITCHES: &[&str] = &["self", "!self", "self || oldSelf", "self ? true : 1 / 0 > 0", "string(self) == 'true'"];
const OF_EITHER: &[&str] = &[
    "type(self) == int ? self > 1 : self != 'a'",
    "self == 1 || self == 'a'",
    "string(self) != ''",
    "self > 1",
    "self == oldSelf",
];
const OF_LISTS: &[&str] = &[
    "self.size() > 1",
    "self == oldSelf",
    "self.size() >= oldSelf.size()",
    "self[0] == self[1]",
    "oldSelf.all(x, x in self)",
    "self.isSorted()",
    "self.sum() > 3",
    "self.min() != self.max()",
    "self.map(x, x).size() == self.size()",
    "self.exists_one(x, x == self[0])",
    "(self + self).size() > 2",
    "self.slice(0, 1) == self",
    "self.flatten().size() > 1",
    "self.distinct().size() == self.size()",
    "self.indexOf(self[0]) == 0",
    "self[?1].hasValue()",
    "self.all(i, x, i < 2)",
];
const OF_MAPS: &[&str] = &[
    "self.all(k, k.size() < 3)",
    "'a' in self",
    "self.size() < 3",
    "self['a'] == self['b']",
    "has(self.a)",
    "self == oldSelf",
    "self.all(k, v, v == self[k])",
    "self.transformList(k, v, k).size() > 1",
    "self[?'a'].hasValue()",
    "self.exists(k, k in oldSelf)",
    "self.map(k, self[k]).size() > 1",
];
/// With `$` for a property.
const OF_OBJECTS: &[&str] = &[
    "has(self.$)",
    "!has(self.$)",
    "self == oldSelf",
    "!has(oldSelf.$) || has(self.$)",
    "self.?$.hasValue()",
    "self.$ == self.$",
    "has(self.$) && self.$ == oldSelf.$",
    "self.size() > 0",
    "self.nothing == 1",
    "type(self.$) == string",
    "oldSelf.?$ == self.?$",
    "self.$.size() > 1",
];

/// A rule for a schema, where there is something to say of it.
pub(crate) fn rule(draw: &mut Draw, schema: &Value) -> Option<Value> {
    let optional = draw.once_in(12);
    let expression = if optional {
        (*draw.one_of(&["oldSelf.hasValue() || self == self", "oldSelf.orValue(self) == self", "oldSelf == self"]))
            .to_owned()
    } else {
        expression(draw, schema, 2)?
    };
    let mut rule = json!({"rule": expression});
    if optional {
        rule["optionalOldSelf"] = true.into();
    }
    if draw.once_in(3) {
        rule["message"] = "it must not be so".into();
    }
    if draw.once_in(5) {
        let message = *draw.one_of(&["'not ' + string(self)", "'no'", "self", "' '", "'%s'.format([self])", "'a\\nb'"]);
        rule["messageExpression"] = message.into();
    }
    if draw.once_in(5) {
        let reason = *draw.one_of(&[
            "FieldValueInvalid",
            "FieldValueForbidden",
            "FieldValueRequired",
            "FieldValueDuplicate",
            "Other",
        ]);
        rule["reason"] = reason.into();
    }
    if draw.once_in(6) {
        let name = property(draw, schema);
        let path = name.map_or_else(|| ".a".to_owned(), |name| format!(".{name}"));
        rule["fieldPath"] = path.into();
    }
    Some(rule)
}

/// An expression about `self`.
fn expression(draw: &mut Draw, schema: &Value, depth: usize) -> Option<String> {
    if schema["x-kubernetes-int-or-string"] == true {
        return Some((*draw.one_of(OF_EITHER)).to_owned());
    }
    let all = match (schema["type"].as_str()?, schema["format"].as_str()) {
        ("string", Some("date-time" | "date")) => OF_TIMES,
        ("string", Some("duration")) => OF_DURATIONS,
        ("string", Some("byte")) => OF_BYTES,
        ("string", _) => OF_TEXTS,
        ("integer", _) => OF_INTEGERS,
        ("number", _) => OF_NUMBERS,
        ("boolean", _) => OF_SWITCHES,
        ("array", _) => {
            if depth > 0
                && draw.once_in(2)
                && let Some(of_item) = inner(draw, &schema["items"], depth, "x")
            {
                let macro_name = *draw.one_of(&["all", "exists", "exists_one", "filter"]);
                let end = if macro_name == "filter" { ".size() > 0" } else { "" };
                return Some(format!("self.{macro_name}(x, {of_item}){end}"));
            }
            OF_LISTS
        }
        ("object", _) if schema["additionalProperties"].is_object() => {
            if depth > 0
                && draw.once_in(2)
                && let Some(of_value) = inner(draw, &schema["additionalProperties"], depth, "self[k]")
            {
                let macro_name = *draw.one_of(&["all", "exists"]);
                return Some(format!("self.{macro_name}(k, {of_value})"));
            }
            OF_MAPS
        }
        ("object", _) => {
            let name = property(draw, schema)?;
            if depth > 0 && draw.once_in(2) {
                let field = format!("self.{}", escaped(&name));
                let of_field = inner(draw, &schema["properties"][&name], depth, &field)?;
                return Some(if draw.once_in(4) { of_field } else { format!("!has({field}) || ({of_field})") });
            }
            let mut text = String::new();
            for part in draw.one_of(OF_OBJECTS).split_inclusive('$') {
                match part.strip_suffix('$') {
                    Some(part) => text.extend([part, &escaped(&property(draw, schema)?)]),
                    None => text.push_str(part),
                }
            }
            return Some(text);
        }
        _ => return None,
    };
    Some((*draw.one_of(all)).to_owned())
}

/// An expression about a part, which is called `name`. It cannot know what that was before.
fn inner(draw: &mut Draw, schema: &Value, depth: usize, name: &str) -> Option<String> {
    static SELF: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\bself\b").expect("a pattern"));
    let text = expression(draw, schema, depth - 1).filter(|text| !text.contains("oldSelf"))?;
    Some(SELF.replace_all(&text, regex::NoExpand(name)).into_owned())
}

fn property(draw: &mut Draw, schema: &Value) -> Option<String> {
    let names: Vec<&String> = schema["properties"].as_object()?.keys().collect();
    (!names.is_empty()).then(|| (*draw.one_of(&names)).clone())
}

/// A property's name as rules write it.
fn escaped(name: &str) -> String {
    match name {
        "in" | "namespace" => format!("__{name}__"),
        name => name.replace('-', "__dash__").replace('.', "__dot__"),
    }
}
