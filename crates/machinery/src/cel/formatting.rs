//! `format()` of texts as cel-go has it (`ext/formatting.go`, version 2 of its library): numbers with fractions are written
//! for people who read American English.

use std::fmt::Write as _;

use kube_cel::cel::{
    Context, ExecutionError, Value as CelValue,
    extractors::This,
    objects::{Key, Map},
};

use super::metering::pay_for;
use crate::{
    schema::rule_library::{text_of, type_name},
    status_error::quote,
};

/// Digits of a fraction where a clause does not tell.
const PRECISION: usize = 6;
/// More digits are not written (Go's `tooLarge`).
const MAXIMUM_PRECISION: usize = 1_000_000;
/// No number has more digits behind its point than this.
const DIGITS: usize = 1_074;

type Written = Result<String, ExecutionError>;

/// Adds the function to a library, in the place of its own.
pub(crate) fn add_functions(context: &mut Context<'static>) {
    context.add_function("format", |This(text): This<CelValue>, arguments: CelValue| -> Result<CelValue, _> {
        match (text, arguments) {
            (CelValue::String(text), CelValue::List(arguments)) => {
                Ok(CelValue::String(format(&text, &arguments)?.into()))
            }
            _ => Err(failed("no such overload")),
        }
    });
}

fn failed(why: impl std::fmt::Display) -> ExecutionError {
    ExecutionError::function_error("format", why)
}

fn unfit(clause: &str, value: &CelValue) -> ExecutionError {
    failed(format!("error during formatting: {clause}, was given {}", type_name(value)))
}

/// The text with its clauses replaced. What is written is paid for as it grows.
fn format(text: &str, arguments: &[CelValue]) -> Written {
    let (mut out, mut rest, mut arguments) = (String::new(), text, arguments.iter().enumerate());
    let mut index = 0;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('%') {
            out.push('%');
            rest = after;
            continue;
        }
        let (at, argument) = arguments.next().ok_or_else(|| failed(format!("index {index} out of range")))?;
        index = at + 1;
        let (precision, after) = precision(after)?;
        let mut characters = after.chars();
        let clause = characters.next().ok_or_else(|| failed("unexpected end of string"))?;
        rest = characters.as_str();
        let written = match clause {
            's' => string(argument)?,
            'd' => integer(argument, "decimal clause can only be used on integers", |sign, digits| {
                format!("{sign}{digits}")
            })?,
            'b' => match argument {
                CelValue::Bool(flag) => u8::from(*flag).to_string(),
                _ => integer(argument, "only integers and bools can be formatted as binary", |sign, digits| {
                    format!("{sign}{digits:b}")
                })?,
            },
            'o' => integer(argument, "octal clause can only be used on integers", |sign, digits| {
                format!("{sign}{digits:o}")
            })?,
            'x' => hexadecimal(argument)?,
            'X' => hexadecimal(argument)?.to_uppercase(),
            'f' => {
                let number = double(argument, "fixed-point clause can only be used on doubles")?;
                fixed(number, precision.unwrap_or(PRECISION))?
            }
            'e' => {
                let number = double(argument, "scientific clause can only be used on doubles")?;
                // What looks like a precision is a width there.
                let width = precision.unwrap_or(PRECISION);
                pay_for(width)?;
                let text = scientific(number);
                " ".repeat(width.saturating_sub(text.chars().count())) + &text
            }
            other => return Err(failed(format!("unrecognized formatting clause \"{other}\""))),
        };
        pay_for(written.len())?;
        out.push_str(&written);
    }
    Ok(out + rest)
}

/// The precision of a clause, and what follows it.
fn precision(text: &str) -> Result<(Option<usize>, &str), ExecutionError> {
    let Some(text) = text.strip_prefix('.') else { return Ok((None, text)) };
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let precision = digits.parse().ok().filter(|precision| *precision <= MAXIMUM_PRECISION);
    let wrong = || failed("error while parsing precision: error while converting precision to integer");
    Ok((Some(precision.ok_or_else(wrong)?), rest))
}

fn integer(value: &CelValue, clause: &str, write: impl Fn(&str, u64) -> String) -> Written {
    match value {
        CelValue::Int(number) => Ok(write(if *number < 0 { "-" } else { "" }, number.unsigned_abs())),
        CelValue::UInt(number) => Ok(write("", *number)),
        other => Err(unfit(clause, other)),
    }
}

fn hexadecimal(value: &CelValue) -> Written {
    let of_bytes = |bytes: &[u8]| {
        bytes.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    };
    match value {
        CelValue::String(text) => Ok(of_bytes(text.as_bytes())),
        CelValue::Bytes(bytes) => Ok(of_bytes(bytes)),
        _ => integer(value, "only integers, byte buffers, and strings can be formatted as hex", |sign, digits| {
            format!("{sign}{digits:x}")
        }),
    }
}

fn double(value: &CelValue, clause: &str) -> Result<f64, ExecutionError> {
    match value {
        CelValue::Float(number) => Ok(*number),
        CelValue::String(text) => match text.as_str() {
            "NaN" => Ok(f64::NAN),
            "Infinity" => Ok(f64::INFINITY),
            "-Infinity" => Ok(f64::NEG_INFINITY),
            _ => Err(unfit(clause, value)),
        },
        other => Err(unfit(clause, other)),
    }
}

/// What is no number of digits, or a zero, which has no sign.
fn special(number: f64) -> Result<f64, &'static str> {
    match number {
        number if number.is_nan() => Err("NaN"),
        f64::INFINITY => Err("∞"),
        f64::NEG_INFINITY => Err("-∞"),
        0.0 => Ok(0.0),
        number => Ok(number),
    }
}

fn fixed(number: f64, precision: usize) -> Written {
    let number = match special(number) {
        Ok(number) => number,
        Err(name) => return Ok(name.to_owned()),
    };
    pay_for(precision)?;
    let text = format!("{number:.*}", precision.min(DIGITS));
    let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |digits| ("-", digits));
    let (whole, fraction) = digits.split_once('.').map_or((digits, ""), |(whole, fraction)| (whole, fraction));
    let mut out = sign.to_owned();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if precision > 0 {
        let _ = write!(out, ".{fraction:0<precision$}", precision = precision.min(DIGITS));
        out.push_str(&"0".repeat(precision.saturating_sub(DIGITS)));
    }
    Ok(out)
}

/// `1.234500×10⁰³`.
fn scientific(number: f64) -> String {
    let number = match special(number) {
        Ok(number) => number,
        Err(name) => return name.to_owned(),
    };
    let text = format!("{number:.PRECISION$e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(("", exponent), |exponent| ("⁻", exponent));
    let raised = |digit: char| match digit {
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        // The others stand beside each other.
        _ => char::from_u32(0x2070 + digit.to_digit(10).unwrap_or(0)).unwrap_or(digit),
    };
    let exponent: String = format!("{exponent:0>2}").chars().map(raised).collect();
    format!("{digits}×10{sign}{exponent}")
}

/// A value as `%s` has it.
fn string(value: &CelValue) -> Written {
    match value {
        CelValue::List(items) => list(items),
        CelValue::Map(entries) => map(entries),
        CelValue::Null => Ok("null".to_owned()),
        CelValue::Opaque(_) | CelValue::Function(..) => Err(unfit(
            "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and \
             timestamps",
            value,
        )),
        other => text_of(other.clone()).map_err(failed),
    }
}

fn list(items: &[CelValue]) -> Written {
    let mut out = "[".to_owned();
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        out.push_str(&member(item)?);
    }
    out.push(']');
    Ok(out)
}

fn map(entries: &Map) -> Written {
    let mut pairs = Vec::new();
    for (key, value) in entries.map.iter() {
        let key = match key {
            Key::String(key) => quote(key),
            Key::Int(key) => key.to_string(),
            Key::Uint(key) => key.to_string(),
            Key::Bool(key) => key.to_string(),
        };
        pairs.push((key, member(value)?));
    }
    pairs.sort();
    let pairs: Vec<String> = pairs.into_iter().map(|(key, value)| format!("{key}:{value}")).collect();
    Ok(format!("{{{}}}", pairs.join(", ")))
}

/// A value in a list or map, as a literal.
fn member(value: &CelValue) -> Written {
    let written = match value {
        CelValue::String(text) => quote(text),
        CelValue::Bytes(_) => format!("b{}", quote(&string(value)?)),
        CelValue::Timestamp(_) => format!("timestamp({})", quote(&string(value)?)),
        CelValue::Duration(_) => format!("duration({})", quote(&string(value)?)),
        CelValue::Float(number) if number.is_nan() => "\"NaN\"".to_owned(),
        CelValue::Float(number) if number.is_infinite() => {
            if *number > 0.0 { "\"+Inf\"" } else { "\"-Inf\"" }.to_owned()
        }
        CelValue::Float(number) => format!("{number:.PRECISION$}"),
        other => string(other)?,
    };
    // What is shared by many lists is written for each of them.
    pay_for(written.len())?;
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cel::metering::within;

    fn text(value: &str) -> CelValue {
        CelValue::String(value.to_owned().into())
    }

    #[test]
    fn clauses_are_written_as_by_cel_go() {
        let numbers = [1234.5, -1e-7, 0.0, -0.0, 1e100, f64::INFINITY, f64::NEG_INFINITY, f64::NAN];
        let mut found: Vec<String> = numbers
            .into_iter()
            .map(|number| format("%f|%.2f|%.0f|%e|%.20e", &vec![CelValue::Float(number); 5]).unwrap())
            .collect();
        let bytes = CelValue::Bytes(vec![97, 98].into());
        let hour = CelValue::Duration(chrono::Duration::seconds(5400));
        let nested = CelValue::List(vec![CelValue::Float(2.5), text("q\n\""), bytes.clone(), hour.clone()].into());
        for value in [text("a"), CelValue::Null, bytes, hour, nested, CelValue::Float(1_234_567.5)] {
            found.push(format("%s", &[value]).unwrap());
        }
        found.push(format("%d %b %o %x %X %%", &vec![CelValue::Int(-255); 5]).unwrap());
        found.push(format("%x %b", &[text("é"), CelValue::Bool(true)]).unwrap());
        found.push(format("%f", &[text("NaN")]).unwrap());
        for (clause, value) in [("%d", text("x")), ("%f", CelValue::Int(1)), ("%q", text("x")), ("%", text("x"))] {
            found.push(format(clause, &[value]).unwrap_err().to_string());
        }
        found.push(format("%s", &[]).unwrap_err().to_string());
        insta::assert_snapshot!(found.join("\n"));
    }

    #[test]
    fn what_would_be_too_long_is_not_written() {
        let clauses = "%.1000000f".repeat(1000);
        let numbers = vec![CelValue::Float(1.5); 1000];
        assert!(within(1000, || format(&clauses, &numbers)).0.is_none());
        let mut doubled = CelValue::List(vec![CelValue::Int(1); 2].into());
        for _ in 0..60 {
            doubled = CelValue::List(vec![doubled.clone(), doubled].into());
        }
        assert!(within(1000, || format("%s", &[doubled])).0.is_none());
    }
}
