//! Quantities (`k8s.io/apiserver/pkg/cel/library/quantity.go`).

use std::{cmp::Ordering, sync::Arc};

use kube_cel::cel::{Context, ExecutionError, Value as CelValue, extractors::This};

use super::{LibraryType, Outcome, failed, held, value};
use crate::quantity::Number;

/// A quantity as a value. Equal are those that stand for the same number.
#[derive(Clone, Debug)]
struct Quantity(Number);

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.0.compare(other.0) == Ordering::Equal
    }
}

impl Eq for Quantity {}

impl LibraryType for Quantity {
    const NAME: &'static str = "kubernetes.Quantity";
}

fn number(of: &CelValue) -> Result<Number, ExecutionError> {
    held::<Quantity>(of).map(|quantity| quantity.0)
}

/// Which of two quantities is more; `None` of other values.
pub(super) fn compare(left: &CelValue, right: &CelValue) -> Option<Ordering> {
    Some(number(left).ok()?.compare(number(right).ok()?))
}

/// Adds the functions to a library, in the place of its own. How two compare is a function of several types.
pub(super) fn add_functions(context: &mut Context<'static>) {
    context
        .add_function("isQuantity", |text: Arc<String>| -> Outcome { Ok(CelValue::Bool(Number::read(&text).is_ok())) });
    context.add_function("quantity", |text: Arc<String>| -> Outcome {
        Number::read(&text).map(Quantity).map(value).map_err(failed)
    });
    context.add_function("sign", |This(this): This<CelValue>| -> Outcome { Ok(CelValue::Int(number(&this)?.sign())) });
    context.add_function("isInteger", |This(this): This<CelValue>| -> Outcome {
        Ok(CelValue::Bool(number(&this)?.as_integer().is_some()))
    });
    context.add_function("asInteger", |This(this): This<CelValue>| -> Outcome {
        let integer = number(&this)?.as_integer();
        integer.map(CelValue::Int).ok_or_else(|| failed("cannot convert value to integer"))
    });
    context.add_function("asApproximateFloat", |This(this): This<CelValue>| -> Outcome {
        Ok(CelValue::Float(number(&this)?.as_approximate_float()))
    });
    for (name, calculate) in [("add", Number::plus as fn(Number, Number) -> Number), ("sub", Number::minus)] {
        context.add_function(name, move |This(this): This<CelValue>, other: CelValue| -> Outcome {
            let other = match &other {
                CelValue::Int(number) => Number::whole(*number),
                other => number(other)?,
            };
            Ok(value(Quantity(calculate(number(&this)?, other))))
        });
    }
}
