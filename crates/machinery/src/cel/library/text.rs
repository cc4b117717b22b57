//! Functions of texts (cel-go's `ext/strings.go` and `size`). Positions and lengths count code points.

use std::sync::Arc;

use kube_cel::cel::{
    Context, ExecutionError, Value as CelValue,
    extractors::{Arguments, This},
};

use super::{Outcome, failed, text};
use crate::schema::rule_library::call_base;

/// Adds the functions to a library, in the place of its own.
pub(super) fn add_functions(context: &mut Context<'static>) {
    context.add_function("size", |This(value): This<CelValue>| -> Outcome {
        let size = match &value {
            CelValue::String(text) => text.chars().count(),
            CelValue::Bytes(bytes) => bytes.len(),
            CelValue::List(items) => items.len(),
            CelValue::Map(map) => map.map.len(),
            _ => return Err(ExecutionError::NoSuchOverload),
        };
        Ok(CelValue::Int(i64::try_from(size).unwrap_or(i64::MAX)))
    });
    context.add_function("charAt", |This(this): This<Arc<String>>, at: i64| -> Outcome {
        let index = position(at, this.chars().count())?;
        Ok(text(this.chars().nth(index).map(String::from).unwrap_or_default()))
    });
    context.add_function("substring", |This(this): This<Arc<String>>, Arguments(bounds): Arguments| -> Outcome {
        let length = this.chars().count();
        let (start, end) = match bounds.as_slice() {
            [CelValue::Int(start)] => (position(*start, length)?, length),
            [CelValue::Int(start), CelValue::Int(end)] if start > end => {
                return Err(failed(format!("invalid substring range. start: {start}, end: {end}")));
            }
            [CelValue::Int(start), CelValue::Int(end)] => (position(*start, length)?, position(*end, length)?),
            _ => return Err(ExecutionError::NoSuchOverload),
        };
        Ok(text(this.chars().skip(start).take(end - start).collect()))
    });
    context.add_function("split", |This(this): This<Arc<String>>, Arguments(arguments): Arguments| -> Outcome {
        let (separator, limit) = match arguments.as_slice() {
            [CelValue::String(separator)] => (separator, -1),
            [CelValue::String(separator), CelValue::Int(limit)] => (separator, *limit),
            _ => return Err(ExecutionError::NoSuchOverload),
        };
        Ok(CelValue::List(Arc::new(split(&this, separator, limit).into_iter().map(text).collect())))
    });
    context.add_function("indexOf", |This(this): This<CelValue>, Arguments(arguments): Arguments| -> Outcome {
        let CelValue::String(whole) = &this else { return call_base("indexOf", this, &arguments) };
        match arguments.as_slice() {
            [CelValue::String(part)] => Ok(CelValue::Int(index(whole, part, 0)?)),
            [CelValue::String(part), CelValue::Int(offset)] => Ok(CelValue::Int(index(whole, part, *offset)?)),
            _ => Err(ExecutionError::NoSuchOverload),
        }
    });
    context.add_function("lastIndexOf", |This(this): This<CelValue>, Arguments(arguments): Arguments| -> Outcome {
        let CelValue::String(whole) = &this else { return call_base("lastIndexOf", this, &arguments) };
        let length = i64::try_from(whole.chars().count()).unwrap_or(i64::MAX);
        match arguments.as_slice() {
            [CelValue::String(part)] if part.is_empty() => Ok(CelValue::Int(length)),
            [CelValue::String(part)] if whole.len() < part.len() => Ok(CelValue::Int(-1)),
            [CelValue::String(part)] => Ok(CelValue::Int(last_index(whole, part, length - 1)?)),
            [CelValue::String(part), CelValue::Int(offset)] => Ok(CelValue::Int(last_index(whole, part, *offset)?)),
            _ => Err(ExecutionError::NoSuchOverload),
        }
    });
}

fn out_of_range(index: i64) -> ExecutionError {
    failed(format!("index out of range: {index}"))
}

/// A position in a text, its end included.
fn position(index: i64, length: usize) -> Result<usize, ExecutionError> {
    usize::try_from(index).ok().filter(|index| *index <= length).ok_or_else(|| out_of_range(index))
}

/// The parts of a text (Go's `strings.SplitN`): an empty separator parts it into its characters; a negative limit is none.
fn split(whole: &str, separator: &str, limit: i64) -> Vec<String> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if limit == 0 {
        return Vec::new();
    }
    if !separator.is_empty() {
        return whole.splitn(limit, separator).map(str::to_owned).collect();
    }
    let mut rest = whole.chars();
    let mut parts: Vec<String> = rest.by_ref().take(limit - 1).map(String::from).collect();
    if !rest.as_str().is_empty() {
        parts.push(rest.as_str().to_owned());
    }
    parts
}

/// Where a part is for the first time, from an offset on; -1 where it is not.
fn index(whole: &str, part: &str, offset: i64) -> Result<i64, ExecutionError> {
    if part.is_empty() {
        return Ok(offset);
    }
    let Ok(skipped) = usize::try_from(offset) else { return Err(out_of_range(offset)) };
    let Some((start, _)) = whole.char_indices().nth(skipped) else { return Ok(-1) };
    let found = whole[start..].find(part).map(|bytes| skipped + whole[start..start + bytes].chars().count());
    Ok(found.map_or(-1, |found| i64::try_from(found).unwrap_or(i64::MAX)))
}

/// Where a part is for the last time, up to an offset; -1 where it is not.
fn last_index(whole: &str, part: &str, offset: i64) -> Result<i64, ExecutionError> {
    if part.is_empty() {
        return Ok(offset);
    }
    let Ok(last) = usize::try_from(offset) else { return Err(out_of_range(offset)) };
    if last >= whole.chars().count() {
        return Ok(-1);
    }
    let starts = whole.char_indices().take(last + 1).map(|(start, _)| start).enumerate();
    let found = starts.filter(|(_, start)| whole[*start..].starts_with(part)).last();
    Ok(found.map_or(-1, |(index, _)| i64::try_from(index).unwrap_or(i64::MAX)))
}
