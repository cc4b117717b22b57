//! JSON as YAML: the form of `sigs.k8s.io/yaml`, which has a block for each collection and quotes only where it must.

use std::{cmp::Ordering, sync::LazyLock};

use libyaml_safer::{Emitter, Encoding, Event, MappingStyle, ScalarStyle, SequenceStyle};
use regex::Regex;
use serde_json::{Map, Value};

use super::resolve::{go_float, is_text};

/// The text of a value, in lines of up to 80 columns where they can be broken.
///
/// # Errors
/// What the emitter does not write; there is no such value of JSON.
pub fn to_text(value: &Value) -> Result<String, String> {
    to_text_of_width(value, 80)
}

/// The text of a value, in lines of any length.
///
/// # Errors
/// As [`to_text`].
pub fn to_unfolded_text(value: &Value) -> Result<String, String> {
    to_text_of_width(value, -1)
}

fn to_text_of_width(value: &Value, width: i32) -> Result<String, String> {
    let mut written = Vec::new();
    {
        let mut emitter = Emitter::new();
        emitter.set_output_string(&mut written);
        emitter.set_unicode(true);
        emitter.set_width(width);
        let mut emit = |event: Event| emitter.emit(event).map_err(|error| error.problem().to_owned());
        emit(Event::stream_start(Encoding::Utf8))?;
        emit(Event::document_start(None, &[], true))?;
        write(value, &mut emit)?;
        emit(Event::document_end(true))?;
        emit(Event::stream_end())?;
    }
    String::from_utf8(written).map_err(|error| error.to_string())
}

fn write(value: &Value, emit: &mut impl FnMut(Event) -> Result<(), String>) -> Result<(), String> {
    match value {
        Value::Null => emit(plain("null")),
        Value::Bool(flag) => emit(plain(if *flag { "true" } else { "false" })),
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => emit(plain(&go_float(float))),
            _ => emit(plain(&number.to_string())),
        },
        Value::String(text) => emit(scalar(text)),
        Value::Array(items) => {
            emit(Event::sequence_start(None, None, true, SequenceStyle::Block))?;
            for item in items {
                write(item, emit)?;
            }
            emit(Event::sequence_end())
        }
        Value::Object(members) => {
            emit(Event::mapping_start(None, None, true, MappingStyle::Block))?;
            for (name, value) in sorted(members) {
                emit(scalar(name))?;
                write(value, emit)?;
            }
            emit(Event::mapping_end())
        }
    }
}

fn plain(text: &str) -> Event {
    Event::scalar(None, None, text, true, true, ScalarStyle::Plain)
}

fn scalar(text: &str) -> Event {
    let style = if text.contains('\n') {
        ScalarStyle::Literal
    } else if is_text(text) && !is_sexagesimal(text) {
        ScalarStyle::Plain
    } else {
        ScalarStyle::DoubleQuoted
    };
    Event::scalar(None, None, text, true, true, style)
}

/// Numbers other parsers of YAML 1.1 see in `1:30`.
fn is_sexagesimal(text: &str) -> bool {
    static FORM: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"^[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?$").ok());
    FORM.as_ref().is_some_and(|form| form.is_match(text))
}

/// Members in go-yaml's order, which compares the numbers in names by their value.
fn sorted(members: &Map<String, Value>) -> Vec<(&String, &Value)> {
    merged(members.iter().collect())
}

/// Sorts by merging. The order is none for all names (`1` < `01` < `0a` < `1`): some follow one another in a circle, with
/// which the sorts of the standard library may panic. go-yaml writes such names in any order.
fn merged<'v>(mut members: Vec<(&'v String, &'v Value)>) -> Vec<(&'v String, &'v Value)> {
    if members.is_sorted_by(|(one, _), (other, _)| compare(one, other).is_le()) {
        return members;
    }
    let later = merged(members.split_off(members.len() / 2));
    let (mut left, mut right) = (merged(members).into_iter().peekable(), later.into_iter().peekable());
    let mut merged = Vec::with_capacity(left.len() + right.len());
    while let (Some((one, _)), Some((other, _))) = (left.peek(), right.peek()) {
        merged.extend(if compare(one, other).is_le() { left.next() } else { right.next() });
    }
    merged.extend(left.chain(right));
    merged
}

fn compare(one: &str, other: &str) -> Ordering {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let Some(at) = one.iter().zip(&other).position(|(one, other)| one != other) else {
        return one.len().cmp(&other.len());
    };
    let (first, second) = (one[at], other[at]);
    match (first.is_alphabetic(), second.is_alphabetic()) {
        (true, true) => return first.cmp(&second),
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    let mut start = 0_i64;
    if first == '0' || second == '0' {
        let before = one[..at].iter().rev().take_while(|character| character.is_numeric());
        start = i64::from(before.into_iter().any(|digit| *digit != '0'));
    }
    let number = |text: &[char]| {
        let digits: Vec<i64> = text[at..].iter().map_while(|digit| digit.to_digit(10).map(i64::from)).collect();
        let value = digits.iter().fold(start, |sum, digit| sum.wrapping_mul(10).wrapping_add(*digit));
        (value, digits.len())
    };
    number(&one).cmp(&number(&other)).then(first.cmp(&second))
}
