//! Types and values (kube-openapi, `validation/validate`), with the messages of that library.
//!
//! With an old object, a part that equals its old counterpart is not looked at: its errors would only be warnings
//! (apiextensions-apiserver, `apiserver/validation/ratcheting.go`).

use serde_json::{Map, Value};

use super::{
    SchemaNode, ValueValidation,
    correlation::OldItems,
    messages,
    path::FieldPath,
    value_validation::{Format, Pattern},
};
use crate::status_error::FieldError;

/// Errors of types and values in `object`. In a `typed` one zero values count as absent.
pub(crate) fn value_errors(root: &SchemaNode, object: &Value, old: Option<&Value>, typed: bool) -> Vec<FieldError> {
    let mut outcome = Outcome { typed, ..Outcome::default() };
    check(root, object, old, &FieldPath::ROOT, &mut outcome);
    outcome.errors
}

/// Errors, and how many checks succeeded: of several failing alternatives the one with most successes is explained.
#[derive(Default)]
struct Outcome {
    errors: Vec<FieldError>,
    successes: usize,
    /// Whether null and `""` are as good as nothing.
    typed: bool,
}

impl Outcome {
    fn is_absent(&self, value: &Value) -> bool {
        self.typed && (value.is_null() || value == "")
    }

    fn push(&mut self, error: FieldError) {
        if !self.errors.contains(&error) {
            self.errors.push(error);
        }
    }

    fn merge(&mut self, other: Self) {
        self.successes += other.successes;
        for error in other.errors {
            self.push(error);
        }
    }
}

fn check(node: &SchemaNode, value: &Value, old: Option<&Value>, path: &FieldPath<'_>, outcome: &mut Outcome) {
    if old == Some(value) || outcome.is_absent(value) {
        outcome.successes += 1;
        return;
    }
    let validation = node.value_validation.as_deref();
    if value.is_null() {
        check_type(node, value, path, outcome);
        if let Some(validation) = validation {
            check_enum(validation, value, path, outcome);
        }
        return;
    }
    check_type(node, value, path, outcome);
    if let Value::Number(number) = value {
        check_range(node, validation, number, path, outcome);
    }
    if let Some(validation) = validation {
        check_junctors(validation, value, path, outcome);
        match value {
            Value::String(text) => check_text(validation, value, text, path, outcome),
            Value::Number(number) => check_number(node, validation, value, number, path, outcome),
            _ => {}
        }
    }
    if let Value::Array(items) = value {
        check_items(node, validation, items, old, path, outcome);
    }
    if let Some(validation) = validation {
        check_enum(validation, value, path, outcome);
    }
    if let Value::Object(fields) = value {
        check_fields(node, validation, fields, old, path, outcome);
    }
    outcome.successes += 1;
}

/// Go's name of the type of a JSON value and of its format, as far as error messages show it.
fn type_and_format(value: &Value) -> (&'static str, &'static str) {
    match value {
        Value::Null => ("null", ""),
        Value::Bool(_) => ("boolean", ""),
        Value::Number(number) if number.is_i64() => ("integer", "int64"),
        Value::Number(_) => ("number", "float64"),
        Value::String(_) => ("string", ""),
        Value::Array(_) => ("array", ""),
        Value::Object(_) => ("object", ""),
    }
}

fn check_type(node: &SchemaNode, value: &Value, path: &FieldPath<'_>, outcome: &mut Outcome) {
    let expected = if node.int_or_string { "integer,string" } else { node.schema_type.as_str() };
    let accepts = |wanted: &str| expected.split(',').any(|accepted| accepted == wanted);
    let format = node.value_validation.as_deref().and_then(|validation| validation.format.as_ref());
    let format = format.map(|(name, _)| name.as_str());
    if expected.is_empty() && format.is_none() || value.is_null() && (expected.is_empty() || node.nullable) {
        outcome.successes += 1;
        return;
    }
    let (found, found_format) = type_and_format(value);
    let is_number_of_other_kind = match value {
        Value::Number(number) => {
            found == "number" && accepts("integer") && number.as_f64().is_some_and(is_whole)
                || found == "integer" && accepts("number")
        }
        _ => false,
    };
    let type_matches = accepts(found) || is_number_of_other_kind;
    let is_text_or_list = matches!(value, Value::String(_) | Value::Array(_));
    // A format stands in for the type: of a number or a flag it is compared, to a text or list it says enough.
    let unlike_format = match format {
        Some(format) if !value.is_null() && !is_text_or_list && !type_matches && format != found_format => Some(format),
        Some(_) if is_text_or_list && !accepts("number") && !accepts("integer") => {
            outcome.successes += 1;
            return;
        }
        _ => None,
    };
    let (wanted, shown) = match unlike_format {
        Some(format) => (format, found_format),
        None if type_matches => {
            outcome.successes += 1;
            return;
        }
        None => (expected, found),
    };
    let detail = format!("{path} in body must be of type {wanted}: {}", messages::quote(shown));
    outcome.push(messages::type_invalid(path.to_field(), &Value::from(shown), &detail));
}

/// go-openapi's `IsFloat64AJSONInteger`: whole within the limits of a JSON number, with a tolerance for rounding.
fn is_whole(number: f64) -> bool {
    const MAX_JSON_FLOAT: f64 = 9_007_199_254_740_991.0;
    if !number.is_finite() || number.abs() > MAX_JSON_FLOAT {
        return false;
    }
    let whole = number.trunc();
    let difference = (number - whole).abs();
    difference == 0.0 || number != 0.0 && whole != 0.0 && difference / (number.abs() + whole.abs()) < 1e-9
}

fn check_enum(validation: &ValueValidation, value: &Value, path: &FieldPath<'_>, outcome: &mut Outcome) {
    let equal = |accepted: &Value| match (accepted, value) {
        (Value::Number(left), Value::Number(right)) => left == right || left.as_f64() == right.as_f64(),
        _ => accepted == value,
    };
    if !validation.enum_values.is_empty() && !validation.enum_values.iter().any(equal) {
        outcome.push(messages::not_supported(path.to_field(), value, &validation.enum_values));
    } else {
        outcome.successes += 1;
    }
}

fn check_text(validation: &ValueValidation, value: &Value, text: &str, path: &FieldPath<'_>, outcome: &mut Outcome) {
    let length = || count(text.chars().count());
    if let Some(maximum) = validation.max_length
        && count(text.len()) > maximum
        && length() > maximum
    {
        outcome.push(messages::too_long(path.to_field(), maximum));
    } else if let Some(minimum) = validation.min_length
        && length() < minimum
    {
        let detail = format!("{path} in body should be at least {minimum} chars long");
        outcome.push(messages::invalid(path.to_field(), value, &detail));
    } else if let Some(pattern) = &validation.pattern {
        check_pattern(pattern, value, text, path, outcome);
    } else {
        outcome.successes += 1;
    }
    if let Some((name, Format::String(format))) = &validation.format {
        if format.accepts(text) {
            outcome.successes += 1;
        } else {
            let detail = format!("{path} in body must be of type {name}: {}", messages::quote(text));
            outcome.push(messages::type_invalid(path.to_field(), value, &detail));
        }
    }
}

fn check_pattern(pattern: &Pattern, value: &Value, text: &str, path: &FieldPath<'_>, outcome: &mut Outcome) {
    let source = &pattern.source;
    let detail = match pattern.is_match(text) {
        Ok(true) => {
            outcome.successes += 1;
            return;
        }
        Ok(false) => format!("{path} in body should match '{source}'"),
        Err(reason) => format!("{path} in body should match '{source}, but pattern is invalid: {reason}'"),
    };
    outcome.push(messages::invalid(path.to_field(), value, &detail));
}

fn check_number(
    node: &SchemaNode,
    validation: &ValueValidation,
    value: &Value,
    number: &serde_json::Number,
    path: &FieldPath<'_>,
    outcome: &mut Outcome,
) {
    let Some(float) = number.as_f64() else { return };
    // A bound that is of the type is compared as an integer with an integer, any other as a float64.
    let integers = |bound: f64| number.as_i64().filter(|_| range_problem(node, validation, bound).is_none());
    let check =
        |outcome: &mut Outcome, name: &str, relation: &str, bound: f64, is_held: &dyn Fn(Option<i64>) -> bool| {
            if let Some(range) = range_problem(node, validation, bound) {
                let detail = format!("{name} value must be of type {range} in {path}");
                outcome.push(messages::invalid(FieldPath::ROOT.to_field(), &Value::from(""), &detail));
            }
            let integer = integers(bound);
            if !is_held(integer) {
                let (shown, value) = match integer {
                    Some(_) => (truncated(bound).to_string(), value.clone()),
                    None => (messages::float_text(bound), Value::from(float)),
                };
                let detail = format!("{path} in body should be {relation} {shown}");
                outcome.push(messages::invalid(path.to_field(), &value, &detail));
            }
        };
    if let Some(factor) = validation.multiple_of {
        let effective = integers(factor).map_or(factor, |_| factor.trunc());
        if effective > 0.0 {
            check(outcome, "MultipleOf", "a multiple of", factor, &|integer| match integer {
                Some(integer) => integer % truncated(factor) == 0,
                None => is_whole(if factor < 1.0 { 1.0 / factor * float } else { float / factor }),
            });
        } else {
            check(outcome, "MultipleOf", "", factor, &|_| true);
            let detail =
                format!("factor MultipleOf declared for {path} must be positive: {}", messages::float_text(effective));
            outcome.push(messages::invalid(path.to_field(), &Value::from(effective), &detail));
        }
    }
    if let Some((bound, exclusive)) = validation.minimum {
        let relation = if exclusive { "greater than" } else { "greater than or equal to" };
        check(outcome, "Minimum boundary", relation, bound, &|integer| match integer {
            Some(integer) => integer > truncated(bound) || !exclusive && integer == truncated(bound),
            None => float > bound || !exclusive && float >= bound,
        });
    }
    if let Some((bound, exclusive)) = validation.maximum {
        let relation = if exclusive { "less than" } else { "less than or equal to" };
        check(outcome, "Maximum boundary", relation, bound, &|integer| match integer {
            Some(integer) => integer < truncated(bound) || !exclusive && integer == truncated(bound),
            None => float < bound || !exclusive && float <= bound,
        });
    }
    outcome.successes += 1;
}

/// A bound as an int64, as Go converts one.
#[expect(clippy::cast_possible_truncation, reason = "Go drops the fraction too")]
fn truncated(bound: f64) -> i64 {
    // Beyond the limits, amd64 gives the least integer for both ends.
    if (-I64_LIMIT..I64_LIMIT).contains(&bound) { bound as i64 } else { i64::MIN }
}

/// The first float64 that no int64 is.
const I64_LIMIT: f64 = 9_223_372_036_854_775_808.0;

/// The type and format that cannot hold `number`, in words; `None` when they can.
fn range_problem(node: &SchemaNode, validation: &ValueValidation, number: f64) -> Option<String> {
    let format = validation.format.as_ref().map(|(_, format)| *format);
    let fits_integer = number.fract() == 0.0 && (-I64_LIMIT..I64_LIMIT).contains(&number);
    let (format_text, fits) = match (node.schema_type.as_str(), format) {
        _ if node.int_or_string => return None,
        ("integer", Some(Format::Int32)) => {
            let in_range = (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&number);
            ("with format int32", fits_integer && in_range)
        }
        ("integer", Some(Format::Int64)) => ("with format int64", fits_integer),
        ("integer", _) => ("(default format)", fits_integer),
        ("number", Some(Format::Float)) => ("with format float", number.abs() <= f64::from(f32::MAX)),
        _ => return None,
    };
    (!fits).then(|| format!("{} {format_text}", node.schema_type))
}

/// Whether a number fits its type and format. The real server reports this without a field.
fn check_range(
    node: &SchemaNode,
    validation: Option<&ValueValidation>,
    number: &serde_json::Number,
    path: &FieldPath<'_>,
    outcome: &mut Outcome,
) {
    let nothing = ValueValidation::default();
    let is_small =
        validation.is_some_and(|validation| matches!(validation.format, Some((_, Format::Int32 | Format::Float))));
    // An int64 is at most too big for the smaller formats.
    let Some(float) = number.as_f64().filter(|_| is_small || !number.is_i64()) else { return };
    if let Some(range) = range_problem(node, validation.unwrap_or(&nothing), float) {
        let detail = format!("Checked value must be of type {range} in {path}");
        outcome.push(messages::invalid(FieldPath::ROOT.to_field(), &Value::from(""), &detail));
    }
}

fn count(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

fn check_items(
    node: &SchemaNode,
    validation: Option<&ValueValidation>,
    items: &[Value],
    old: Option<&Value>,
    path: &FieldPath<'_>,
    outcome: &mut Outcome,
) {
    if let Some(schema) = &node.items {
        let old_items = OldItems::new(node, old);
        for (index, item) in items.iter().enumerate() {
            let old_item = old_items.as_ref().and_then(|old_items| old_items.get(item));
            check(schema, item, old_item, &path.index(index), outcome);
        }
    }
    let Some(validation) = validation else { return };
    if let Some(minimum) = validation.min_items
        && count(items.len()) < minimum
    {
        let detail = format!("{path} in body should have at least {minimum} items");
        outcome.push(messages::invalid(path.to_field(), &Value::from(items.len()), &detail));
    }
    if let Some(maximum) = validation.max_items
        && count(items.len()) > maximum
    {
        outcome.push(messages::too_many(path.to_field(), items.len(), maximum));
    }
    if validation.unique_items && has_duplicates(items) {
        let detail = format!("{path} in body shouldn't contain duplicates");
        outcome.push(messages::invalid(path.to_field(), &Value::from(""), &detail));
    }
    outcome.successes += 1;
}

fn has_duplicates(items: &[Value]) -> bool {
    let mut seen = std::collections::HashSet::with_capacity(items.len());
    items.iter().any(|item| !seen.insert(item.to_string()))
}

fn check_fields(
    node: &SchemaNode,
    validation: Option<&ValueValidation>,
    fields: &Map<String, Value>,
    old: Option<&Value>,
    path: &FieldPath<'_>,
    outcome: &mut Outcome,
) {
    if let Some(validation) = validation {
        let properties = fields.len();
        if let Some(minimum) = validation.min_properties
            && count(properties) < minimum
        {
            let detail = format!("{path} in body should have at least {minimum} properties");
            outcome.push(messages::invalid(path.to_field(), &Value::from(properties), &detail));
        }
        if let Some(maximum) = validation.max_properties
            && count(properties) > maximum
        {
            outcome.push(messages::too_many(path.to_field(), properties, maximum));
        }
    }
    let old = old.and_then(Value::as_object);
    for (name, field) in fields {
        if let Some(schema) = node.properties.get(name) {
            // The old object was converted to this version, so its type fields say nothing.
            let correlates = !(path.is_root() && matches!(name.as_str(), "apiVersion" | "kind"));
            let old_field = old.filter(|_| correlates).and_then(|old| old.get(name));
            check(schema, field, old_field, &path.field(name), outcome);
        } else if node.additional_properties_forbidden {
            let detail = format!("{} in body is a forbidden property", path.field(name));
            outcome.push(messages::invalid(path.to_field(), &Value::from(name.as_str()), &detail));
        } else if let Some(schema) = &node.additional_properties {
            check(schema, field, old.and_then(|old| old.get(name)), &path.field(name), outcome);
        }
    }
    for name in validation.into_iter().flat_map(|validation| &validation.required) {
        if fields.get(name).is_none_or(|value| outcome.is_absent(value)) {
            outcome.push(messages::required(path.field(name).to_field(), ""));
        }
    }
}

fn check_junctors(validation: &ValueValidation, value: &Value, path: &FieldPath<'_>, outcome: &mut Outcome) {
    let try_node = |node: &SchemaNode| {
        let mut nested = Outcome::default();
        check(node, value, None, path, &mut nested);
        nested
    };
    let refuse = |outcome: &mut Outcome, detail: &str| {
        let detail = format!("{} {detail}", messages::quote(&path.to_string()));
        outcome.push(messages::invalid(FieldPath::ROOT.to_field(), &Value::from(""), &detail));
    };
    if !validation.any_of.is_empty() {
        let mut best: Option<Outcome> = None;
        let mut succeeded = false;
        for node in &validation.any_of {
            let nested = try_node(node);
            if nested.errors.is_empty() {
                succeeded = true;
                outcome.successes += nested.successes;
                break;
            }
            if best.as_ref().is_none_or(|best| nested.successes > best.successes) {
                best = Some(nested);
            }
        }
        if !succeeded {
            refuse(outcome, "must validate at least one schema (anyOf)");
            if let Some(best) = best {
                outcome.merge(best);
            }
        }
    }
    if !validation.one_of.is_empty() {
        let mut best: Option<Outcome> = None;
        let mut valid = 0_usize;
        for node in &validation.one_of {
            let nested = try_node(node);
            if nested.errors.is_empty() {
                valid += 1;
                outcome.successes += nested.successes;
            } else if best.as_ref().is_none_or(|best| nested.successes > best.successes) {
                best = Some(nested);
            }
        }
        match valid {
            1 => {}
            0 => {
                refuse(outcome, "must validate one and only one schema (oneOf). Found none valid");
                if let Some(best) = best {
                    outcome.merge(best);
                }
            }
            _ => {
                let detail = format!("must validate one and only one schema (oneOf). Found {valid} valid alternatives");
                refuse(outcome, &detail);
            }
        }
    }
    if !validation.all_of.is_empty() {
        let results: Vec<Outcome> = validation.all_of.iter().map(|node| try_node(node)).collect();
        let valid = results.iter().filter(|nested| nested.errors.is_empty()).count();
        for nested in results {
            outcome.merge(nested);
        }
        if valid != validation.all_of.len() {
            let none = if valid == 0 { ". None validated" } else { "" };
            refuse(outcome, &format!("must validate all the schemas (allOf){none}"));
        }
    }
    if let Some(not) = &validation.not
        && try_node(not).errors.is_empty()
    {
        refuse(outcome, "must not validate the schema (not)");
    }
    outcome.successes += 1;
}
