//! The functions that rules may call, and the parts of the language the interpreter leaves out.

use kube_cel::{
    KubeCelExt as _,
    cel::{
        Context, ExecutionError, IdedExpr, Value as CelValue,
        common::ast::{CallExpr, Expr, LiteralValue, operators},
    },
};

use super::messages;
use crate::cel::{authorizer, expression_tree::for_each_child_mut, formatting, library, macros, metering, optionals};

/// Names of types, as `type(x)` gives them.
const TYPE_NAMES: [&str; 9] = ["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "uint"];

thread_local! {
    /// The function library; rules run in scopes below it.
    static LIBRARY: Context<'static> = library();
    /// The library without our additions, for what they do not cover.
    static BASE: Context<'static> = Context::default().with_all();
}

/// Runs `action` with the function library.
pub(crate) fn with_library<T>(action: impl FnOnce(&Context<'static>) -> T) -> T {
    LIBRARY.with(action)
}

fn library() -> Context<'static> {
    let mut context = Context::default().with_all();
    context.add_function("dyn", |value: CelValue| -> Result<CelValue, ExecutionError> { Ok(value) });
    // Types are their names here: rules only compare them.
    context.add_function("type", |value: CelValue| -> String { type_name(&value) });
    context.add_function("string", to_text);
    authorizer::add_functions(&mut context);
    formatting::add_functions(&mut context);
    macros::add_functions(&mut context);
    metering::add_functions(&mut context);
    optionals::add_functions(&mut context);
    library::add_functions(&mut context);
    for name in TYPE_NAMES {
        context.add_variable_from_value(name, name.to_owned());
    }
    context
}

/// What a method of the library without our additions gives.
pub(crate) fn call_base(name: &str, target: CelValue, arguments: &[CelValue]) -> Result<CelValue, ExecutionError> {
    base_outcome(name, Some(target), arguments.to_vec())
}

/// What a function of the library without our additions gives.
pub(crate) fn call_base_function(name: &str, arguments: Vec<CelValue>) -> Result<CelValue, ExecutionError> {
    base_outcome(name, None, arguments)
}

fn base_outcome(name: &str, target: Option<CelValue>, arguments: Vec<CelValue>) -> Result<CelValue, ExecutionError> {
    BASE.with(|base| {
        let mut scope = base.new_inner_scope();
        let mut bind = |name: String, value: CelValue| {
            scope.add_variable_from_value(name.clone(), value);
            IdedExpr { id: 0, expr: Expr::Ident(name) }
        };
        let target = target.map(|target| Box::new(bind("target".to_owned(), target)));
        let args = arguments.into_iter().enumerate();
        let args = args.map(|(index, argument)| bind(format!("argument{index}"), argument)).collect();
        let call = CallExpr { func_name: name.to_owned(), target, args };
        CelValue::resolve(&IdedExpr { id: 0, expr: Expr::Call(call) }, &scope)
    })
}

pub(crate) fn type_name(value: &CelValue) -> String {
    let name = match value {
        CelValue::Bool(_) => "bool",
        CelValue::Bytes(_) => "bytes",
        CelValue::Float(_) => "double",
        CelValue::Int(_) => "int",
        CelValue::List(_) => "list",
        CelValue::Map(_) => "map",
        CelValue::Null => "null_type",
        CelValue::String(_) => "string",
        CelValue::UInt(_) => "uint",
        CelValue::Timestamp(_) => "google.protobuf.Timestamp",
        CelValue::Duration(_) => "google.protobuf.Duration",
        CelValue::Opaque(opaque) => opaque.runtime_type_name(),
        CelValue::Function(..) => "function",
    };
    name.to_owned()
}

/// The text that `string(value)` gives.
///
/// # Errors
/// Where it gives none.
pub(crate) fn text_of(value: CelValue) -> Result<String, String> {
    match to_text(value) {
        Ok(CelValue::String(text)) => Ok(text.to_string()),
        Ok(other) => Err(format!("no text: {}", type_name(&other))),
        Err(error) => Err(reason_of(&error)),
    }
}

/// `string(value)`; booleans, times and durations are missing from the library.
fn to_text(value: CelValue) -> Result<CelValue, ExecutionError> {
    let text = match value {
        CelValue::Bool(value) => value.to_string(),
        CelValue::Int(value) => value.to_string(),
        CelValue::Float(value) if value.is_infinite() => if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned(),
        CelValue::Float(value) => messages::float_text(value),
        CelValue::Timestamp(time) => {
            // As Go's RFC3339Nano: no zeros at the end of a fraction.
            let fraction = format!("{:09}", time.timestamp_subsec_nanos());
            let fraction = fraction.trim_end_matches('0');
            let point = if fraction.is_empty() { "" } else { "." };
            let offset = if time.offset().local_minus_utc() == 0 { "Z".to_owned() } else { time.offset().to_string() };
            format!("{}{point}{fraction}{offset}", time.format("%Y-%m-%dT%H:%M:%S"))
        }
        CelValue::Duration(duration) => library::conversion::duration_text(duration),
        CelValue::Bytes(bytes) => {
            let invalid =
                |_| ExecutionError::function_error("string", "invalid UTF-8 in bytes, cannot convert to string");
            std::str::from_utf8(&bytes).map_err(invalid)?.to_owned()
        }
        other => match library::network::text_of(&other) {
            Some(text) => text,
            None => return call_base_function("string", vec![other]),
        },
    };
    Ok(CelValue::String(text.into()))
}

/// Whether a function or operator met values it is not for.
pub(crate) fn is_no_overload(error: &ExecutionError) -> bool {
    matches!(
        error,
        ExecutionError::NoSuchOverload
            | ExecutionError::UnexpectedType { .. }
            | ExecutionError::UnsupportedBinaryOperator(..)
            | ExecutionError::UnsupportedUnaryOperator(..)
    )
}

/// An interpreter error in the words of cel-go.
pub(crate) fn reason_of(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchKey(key) => format!("no such key: {key}"),
        ExecutionError::IndexOutOfBounds(CelValue::Int(index)) => format!("index out of bounds: {index}"),
        ExecutionError::DivisionByZero(_) => "division by zero".to_owned(),
        ExecutionError::RemainderByZero(_) => "modulus by zero".to_owned(),
        ExecutionError::Overflow(..) => "integer overflow".to_owned(),
        ExecutionError::UndeclaredReference(name) => format!("undeclared reference to '{name}'"),
        ExecutionError::FunctionError { function, message } => {
            let target = match function.as_str() {
                "int" | "uint" | "double" => function.as_str(),
                "duration" => "google.protobuf.Duration",
                "timestamp" => "google.protobuf.Timestamp",
                _ => return message.clone(),
            };
            format!("type conversion error from 'string' to '{target}'")
        }
        error if is_no_overload(error) => "no such overload".to_owned(),
        other => other.to_string(),
    }
}

/// The error that cel-go tells of an expression that failed with `error`: that of the left side where both sides of `||` or
/// `&&` failed, and the one behind "missing argument", which the interpreter reports when an argument itself failed.
pub(crate) fn underlying_error(tree: &IdedExpr, scope: &Context<'_>, error: ExecutionError) -> ExecutionError {
    let error = match error {
        ExecutionError::MissingArgumentOrTarget => failed_argument(tree, scope).unwrap_or(error),
        other => other,
    };
    failed_side(tree, scope).unwrap_or(error)
}

/// The error of the first side of a junction that failed.
fn failed_side(tree: &IdedExpr, scope: &Context<'_>) -> Option<ExecutionError> {
    let evaluated = |part: &IdedExpr| CelValue::resolve(part, scope).err();
    match &tree.expr {
        Expr::Call(call) if matches!(call.func_name.as_str(), operators::LOGICAL_AND | operators::LOGICAL_OR) => {
            let error = call.args.iter().find_map(|part| Some((part, evaluated(part)?)));
            evaluated(tree).and(error).map(|(part, error)| underlying_error(part, scope, error))
        }
        // Of a choice only one side was evaluated.
        Expr::Call(call) if call.func_name == operators::CONDITIONAL => None,
        Expr::Call(call) => {
            call.target.as_deref().into_iter().chain(&call.args).find_map(|part| failed_side(part, scope))
        }
        Expr::List(list) => list.elements.iter().find_map(|part| failed_side(part, scope)),
        _ => None,
    }
}

fn failed_argument(tree: &IdedExpr, scope: &Context<'_>) -> Option<ExecutionError> {
    match &tree.expr {
        Expr::List(list) => list.elements.iter().find_map(|element| failed_argument(element, scope)),
        Expr::Select(select) => failed_argument(&select.operand, scope),
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).find_map(|argument| {
            failed_argument(argument, scope).or_else(|| match CelValue::resolve(argument, scope) {
                Err(ExecutionError::MissingArgumentOrTarget) | Ok(_) => None,
                Err(error) => Some(error),
            })
        }),
        _ => None,
    }
}

/// Rewrites optional selection (`a.?b`, and `.c` on what that gives) into optional indexing, which the interpreter
/// carries out for absent fields too. Returns whether the expression gives an optional.
pub(crate) fn unfold_optionals(expression: &mut IdedExpr) -> bool {
    match &mut expression.expr {
        Expr::Select(select) => {
            if !unfold_optionals(&mut select.operand) || select.test {
                return false;
            }
            let field = LiteralValue::String(select.field.as_str().into());
            let key = IdedExpr { id: expression.id, expr: Expr::Literal(field) };
            let operand = std::mem::take(select.operand.as_mut());
            let func_name = operators::OPT_INDEX.to_owned();
            expression.expr = Expr::Call(CallExpr { func_name, target: None, args: vec![operand, key] });
            true
        }
        Expr::Call(call) => {
            if let Some(target) = &mut call.target {
                unfold_optionals(target);
            }
            let mut first_is_optional = false;
            for (position, argument) in call.args.iter_mut().enumerate() {
                let is_optional = unfold_optionals(argument);
                first_is_optional |= position == 0 && is_optional;
            }
            match call.func_name.as_str() {
                operators::OPT_SELECT => operators::OPT_INDEX.clone_into(&mut call.func_name),
                operators::OPT_INDEX => {}
                operators::INDEX if first_is_optional => operators::OPT_INDEX.clone_into(&mut call.func_name),
                _ => return false,
            }
            true
        }
        _ => {
            for_each_child_mut(expression, &mut |child| _ = unfold_optionals(child));
            false
        }
    }
}
