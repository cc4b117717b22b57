//! Functions of lists (`k8s.io/apiserver/pkg/cel/library/lists.go`, cel-go's `ext/lists.go`), in their words.

use std::sync::Arc;

use chrono::Duration;
use kube_cel::cel::{
    Context, ExecutionError, Value as CelValue,
    extractors::{Arguments, This},
    objects::OptionalValue,
};

use super::{Outcome, conversion::overflow, failed};
use crate::{cel::optionals, schema::rule_library::call_base};

type List = Arc<Vec<CelValue>>;

/// Adds the functions to a library, in the place of its own.
pub(super) fn add_functions(context: &mut Context<'static>) {
    for name in ["min", "max"] {
        context.add_function(name, move |This(this): This<CelValue>, Arguments(arguments): Arguments| -> Outcome {
            match &this {
                CelValue::List(items) if items.is_empty() => Err(failed(format!("{name} called on empty list"))),
                _ => call_base(name, this, &arguments),
            }
        });
    }
    context.add_function("slice", |This(items): This<List>, start: i64, end: i64| -> Outcome {
        let refuse = |why: &str| failed(format!("cannot slice({start}, {end}), {why}"));
        let (Ok(first), Ok(last)) = (usize::try_from(start), usize::try_from(end)) else {
            return Err(refuse("negative indexes not supported"));
        };
        if first > last {
            return Err(refuse("start index must be less than or equal to end index"));
        }
        let slice = items.get(first..last).ok_or_else(|| refuse(&format!("list is length {}", items.len())))?;
        Ok(CelValue::List(Arc::new(slice.to_vec())))
    });
    context.add_function("sum", |This(items): This<List>| -> Outcome {
        match items.first() {
            Some(CelValue::Duration(_)) => items
                .iter()
                .try_fold(Duration::zero(), |sum, item| match item {
                    CelValue::Duration(duration) => add_durations(sum, *duration),
                    _ => Err(ExecutionError::NoSuchOverload),
                })
                .map(CelValue::Duration),
            Some(CelValue::Int(_)) => {
                let sum = items.iter().try_fold(0_i64, |sum, item| match item {
                    CelValue::Int(number) => sum.checked_add(*number).ok_or_else(overflow),
                    _ => Err(ExecutionError::NoSuchOverload),
                });
                sum.map(CelValue::Int)
            }
            _ => call_base("sum", CelValue::List(items), &[]),
        }
    });
    let unwrap = |items: &List| {
        let held = items.iter().cloned().filter_map(optionals::content).collect();
        CelValue::List(Arc::new(held))
    };
    context.add_function("optional.unwrap", move |items: List| -> Outcome { Ok(unwrap(&items)) });
    context.add_function("unwrapOpt", move |This(items): This<List>| -> Outcome { Ok(unwrap(&items)) });
    for (name, is_first) in [("first", true), ("last", false)] {
        context.add_function(name, move |This(items): This<List>| -> Outcome {
            let item = if is_first { items.first() } else { items.last() };
            let optional = item.cloned().map_or_else(OptionalValue::none, OptionalValue::of);
            Ok(CelValue::Opaque(Arc::new(optional)))
        });
    }
}

/// Two durations together, as far as an int64 holds their nanoseconds.
pub(super) fn add_durations(left: Duration, right: Duration) -> Result<Duration, ExecutionError> {
    let sum = left.checked_add(&right).filter(|sum| sum.num_nanoseconds().is_some());
    sum.ok_or_else(overflow)
}
