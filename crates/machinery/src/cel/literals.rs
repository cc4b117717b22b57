//! Literals that can not be meant, though their types fit: texts without the form a function wants, lists and maps of
//! several types (cel-go, `cel/validator.go` and `ext/formatting.go`).

use std::collections::HashMap;

use chrono::DateTime;
use kube_cel::cel::{
    IdedExpr,
    common::ast::{CallExpr, EntryExpr, Expr, LiteralValue},
};

use super::{expression_tree::for_each_child, source::Problem, types::Type};
use crate::schema::{duration_format::go_duration, value_validation::compile_pattern};

/// The types of the parts of an expression.
pub(super) type Types = HashMap<u64, Type>;

/// Finds the literals that are wrong in an expression whose parts have these types.
pub(super) fn find_problems(expression: &IdedExpr, types: &Types, problems: &mut Vec<Problem>) {
    find(expression, types, false, problems);
}

/// `in_format` says that the values of a list are written out one by one, so that they may differ.
fn find(expression: &IdedExpr, types: &Types, in_format: bool, problems: &mut Vec<Problem>) {
    let mut inner_format = in_format;
    match &expression.expr {
        Expr::Call(call) => {
            inner_format |= call.func_name == "format";
            wrong_form(call, problems);
            wrong_format(expression.id, call, types, problems);
        }
        Expr::List(list) if !in_format => {
            let content = |(index, element): (usize, &IdedExpr)| {
                (element.id, content(types, element.id, list.optional_indices.contains(&index)))
            };
            same_types(list.elements.iter().enumerate().map(content), true, problems);
        }
        Expr::Map(map) if !in_format => {
            let entries = || {
                map.entries.iter().filter_map(|entry| match &entry.expr {
                    EntryExpr::MapEntry(entry) => Some(entry),
                    EntryExpr::StructField(_) => None,
                })
            };
            same_types(entries().map(|entry| (entry.key.id, content(types, entry.key.id, false))), false, problems);
            let values = entries().map(|entry| (entry.value.id, content(types, entry.value.id, entry.optional)));
            same_types(values, false, problems);
        }
        _ => {}
    }
    for_each_child(expression, &mut |child| find(child, types, inner_format, problems));
}

/// A function that takes a text of some form. Like the real server this looks at the first argument alone, also where
/// the pattern is the second.
fn wrong_form(call: &CallExpr, problems: &mut Vec<Problem>) {
    let Some(first) = call.args.first() else { return };
    let Some(text) = text(first) else { return };
    let is_wrong = match call.func_name.as_str() {
        "duration" => go_duration(text).is_none(),
        "timestamp" => DateTime::parse_from_rfc3339(text).is_err(),
        "matches" => compile_pattern(text).is_err(),
        _ => false,
    };
    if is_wrong {
        problems.push(Problem { id: first.id, message: format!("invalid {} argument", call.func_name) });
    }
}

fn text(expression: &IdedExpr) -> Option<&str> {
    match &expression.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}

fn content(types: &Types, id: u64, is_optional: bool) -> Type {
    let of = types.get(&id).cloned().unwrap_or(Type::Dyn);
    if is_optional { of.optional_content().cloned().unwrap_or(of) } else { of }
}

/// All have the type of the first.
fn same_types(parts: impl Iterator<Item = (u64, Type)>, only_first: bool, problems: &mut Vec<Problem>) {
    let mut expected: Option<Type> = None;
    for (id, found) in parts {
        match &expected {
            None => expected = Some(found),
            Some(expected) if *expected == found => {}
            Some(expected) => {
                let (expected, found) = (expected.in_errors(), found.in_errors());
                problems.push(Problem { id, message: format!("expected type '{expected}' but found '{found}'") });
                if only_first {
                    return;
                }
            }
        }
    }
}

/// `'text with %s'.format([values])`: as many values as the text has places, and of types that can stand there.
fn wrong_format(id: u64, call: &CallExpr, types: &Types, problems: &mut Vec<Problem>) {
    if call.func_name != "format" {
        return;
    }
    let (Some(target), [list]) = (call.target.as_deref().and_then(text), call.args.as_slice()) else { return };
    let Expr::List(list) = &list.expr else { return };
    let mut requested = 0;
    let mut rest = target;
    let mut refuse = |id: u64, message: String| problems.push(Problem { id, message });
    while let Some(at) = rest.find('%') {
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            rest = after;
            continue;
        }
        let digits = rest
            .strip_prefix('.')
            .map_or(rest, |precision| precision.trim_start_matches(|character: char| character.is_ascii_digit()));
        let Some(clause) = digits.chars().next() else {
            return refuse(id, "unexpected end of string".to_owned());
        };
        let Some(value) = list.elements.get(requested) else {
            return refuse(id, format!("index {requested} out of range"));
        };
        rest = &digits[clause.len_utf8()..];
        requested += 1;
        let of = types.get(&value.id).cloned().unwrap_or(Type::Dyn);
        let (fits, what) = match clause {
            's' => (!matches!(of, Type::Object(_) | Type::Opaque(..) | Type::Any), STRING_CLAUSE),
            'd' => (is_integer(&of), "decimal clause can only be used on integers"),
            'f' => (matches!(of, Type::Double | Type::String), "fixed-point clause can only be used on doubles"),
            'e' => (matches!(of, Type::Double | Type::String), "scientific clause can only be used on doubles"),
            'b' => (is_integer(&of) || of == Type::Bool, "only integers and bools can be formatted as binary"),
            'x' | 'X' => (
                is_integer(&of) || matches!(of, Type::String | Type::Bytes),
                "only integers, byte buffers, and strings can be formatted as hex",
            ),
            'o' => (is_integer(&of), "octal clause can only be used on integers"),
            other => {
                let message = format!("could not parse formatting clause: unrecognized formatting clause \"{other}\"");
                return refuse(id, message);
            }
        };
        if !fits && of != Type::Dyn {
            return refuse(value.id, format!("error during formatting: {what}, was given {}", of.name()));
        }
    }
    let given = list.elements.len();
    if given > requested {
        let message = format!("too many arguments supplied to string.format (expected {requested}, got {given})");
        refuse(id, message);
    }
}

const STRING_CLAUSE: &str = "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, \
                             durations, and timestamps";

fn is_integer(of: &Type) -> bool {
    matches!(of, Type::Int | Type::Uint)
}
