//! What can be asked of optional values.
//!
//! The interpreter forgets that a value is optional when a variable holds it, unless there is none. So these functions
//! take any other value as one that is there.

use std::sync::Arc;

use kube_cel::cel::{Context, ExecutionError, Value as CelValue, extractors::This, objects::OptionalValue};

/// What an optional value holds.
pub(super) fn content(of: CelValue) -> Option<CelValue> {
    match &of {
        CelValue::Opaque(opaque) => match opaque.downcast_ref::<OptionalValue>() {
            Some(optional) => optional.value().cloned(),
            None => Some(of),
        },
        _ => Some(of),
    }
}

/// Adds the functions to a library, in the place of its own.
pub(crate) fn add_functions(context: &mut Context<'static>) {
    context.add_function("hasValue", |This(this): This<CelValue>| -> bool { content(this).is_some() });
    context.add_function("value", |This(this): This<CelValue>| -> Result<CelValue, ExecutionError> {
        content(this).ok_or_else(|| ExecutionError::function_error("value", "optional.none() dereference"))
    });
    context.add_function("or", |This(this): This<CelValue>, other: CelValue| -> Result<CelValue, ExecutionError> {
        let held = content(this).or_else(|| content(other));
        Ok(CelValue::Opaque(Arc::new(held.map_or_else(OptionalValue::none, OptionalValue::of))))
    });
    context.add_function(
        "orValue",
        |This(this): This<CelValue>, other: CelValue| -> Result<CelValue, ExecutionError> {
            Ok(content(this).unwrap_or(other))
        },
    );
}
