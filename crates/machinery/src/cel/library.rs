//! Functions of expressions that the interpreter's own library lacks, or has with other results or other words than
//! kube-apiserver (`k8s.io/apiserver/pkg/cel/library`, cel-go's `ext` and `common/types`).

use std::{cmp::Ordering, sync::Arc};

use kube_cel::cel::{Context, ExecutionError, Value as CelValue, extractors::This, objects::Opaque};

mod address;
pub(crate) mod arithmetic;
pub(crate) mod conversion;
mod ip_address;
mod list;
mod named_format;
pub(crate) mod network;
mod quantity;
mod quoting;
mod regex;
mod semantic_version;
mod text;
mod time;
mod url;

type Outcome = Result<CelValue, ExecutionError>;

/// Adds the functions to a library, in the place of its own.
pub(crate) fn add_functions(context: &mut Context<'static>) {
    arithmetic::add_functions(context);
    conversion::add_functions(context);
    list::add_functions(context);
    named_format::add_functions(context);
    network::add_functions(context);
    quantity::add_functions(context);
    regex::add_functions(context);
    semantic_version::add_functions(context);
    text::add_functions(context);
    time::add_functions(context);
    add_comparisons(context);
}

/// Adds what compares two values of a type of the library.
fn add_comparisons(context: &mut Context<'static>) {
    let compare = |left: CelValue, right: CelValue, show: fn(Ordering) -> CelValue| -> Outcome {
        let order = quantity::compare(&left, &right).or_else(|| semantic_version::compare(&left, &right));
        order.map(show).ok_or(ExecutionError::NoSuchOverload)
    };
    context.add_function("isLessThan", move |This(left): This<CelValue>, right: CelValue| -> Outcome {
        compare(left, right, |order| CelValue::Bool(order.is_lt()))
    });
    context.add_function("isGreaterThan", move |This(left): This<CelValue>, right: CelValue| -> Outcome {
        compare(left, right, |order| CelValue::Bool(order.is_gt()))
    });
    context.add_function("compareTo", move |This(left): This<CelValue>, right: CelValue| -> Outcome {
        compare(left, right, |order| CelValue::Int(order as i64))
    });
}

/// The error of a function, told in these words alone.
fn failed(why: impl std::fmt::Display) -> ExecutionError {
    ExecutionError::function_error("library", why)
}

/// A type of values that only functions of the library know.
trait LibraryType: std::fmt::Debug + Eq + Send + Sync + 'static {
    /// What expressions call it.
    const NAME: &'static str;
}

/// Holds a value of such a type.
#[derive(Debug, PartialEq, Eq)]
struct Held<T>(T);

impl<T: LibraryType> Opaque for Held<T> {
    fn runtime_type_name(&self) -> &str {
        T::NAME
    }
}

fn value<T: LibraryType>(of: T) -> CelValue {
    CelValue::Opaque(Arc::new(Held(of)))
}

/// The value of a type that another one holds.
fn held<T: LibraryType>(value: &CelValue) -> Result<&T, ExecutionError> {
    let held = match value {
        CelValue::Opaque(opaque) => opaque.downcast_ref::<Held<T>>(),
        _ => None,
    };
    held.map(|held| &held.0).ok_or(ExecutionError::NoSuchOverload)
}

fn text(text: String) -> CelValue {
    CelValue::String(text.into())
}
