//! Regular expressions (cel-go's `matches`, `k8s.io/apiserver/pkg/cel/library/regex.go`), as RE2 reads them.

use std::sync::Arc;

use kube_cel::cel::{
    Context, ExecutionError, Value as CelValue,
    extractors::{Arguments, This},
};

use super::{Outcome, failed, text};
use crate::schema::value_validation::compile_pattern;

/// Adds the functions to a library, in the place of its own.
pub(super) fn add_functions(context: &mut Context<'static>) {
    context.add_function("matches", |This(this): This<Arc<String>>, pattern: Arc<String>| -> Outcome {
        Ok(CelValue::Bool(compile_pattern(&pattern).map_err(failed)?.is_match(&this)))
    });
    context.add_function("find", |This(this): This<Arc<String>>, pattern: Arc<String>| -> Outcome {
        let found = compile_pattern(&pattern).map_err(|reason| illegal(&reason))?;
        Ok(text(found.find(&this).map(|found| found.as_str().to_owned()).unwrap_or_default()))
    });
    context.add_function("findAll", |This(this): This<Arc<String>>, Arguments(arguments): Arguments| -> Outcome {
        let (pattern, limit) = match arguments.as_slice() {
            [CelValue::String(pattern)] => (pattern, usize::MAX),
            // A negative limit is none.
            [CelValue::String(pattern), CelValue::Int(limit)] => {
                (pattern, usize::try_from(*limit).unwrap_or(usize::MAX))
            }
            _ => return Err(ExecutionError::NoSuchOverload),
        };
        let pattern = compile_pattern(pattern).map_err(|reason| illegal(&reason))?;
        let found = pattern.find_iter(&this).take(limit).map(|found| text(found.as_str().to_owned())).collect();
        Ok(CelValue::List(Arc::new(found)))
    });
}

fn illegal(reason: &str) -> ExecutionError {
    failed(format!("Illegal regex: {reason}"))
}
