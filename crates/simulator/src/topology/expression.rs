//! The part of Go's template language that ClusterClass patches use: `enabledIf` and `valueFrom.template`.
//!
//! Supported: text, `{{ EXPR }}`, `{{ if EXPR }}...{{ else if EXPR }}...{{ else }}...{{ end }}`, trim markers, paths
//! (`.a.b`), strings, integers, booleans, parentheses, and the functions `eq`, `ne`, `lt`, `le`, `gt`, `ge`, `not`, `and`,
//! `or`, `quote`, `default`, `empty`, `hasKey`, `len`, `printf "%s..."`. Anything else is an error, never a silent false.

use serde_json::{Value, json};

use super::variables::{Variables, lookup};

/// Why a template was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[allow(missing_docs)] // the messages say it
pub enum TemplateError {
    #[error("`{{{{` without `}}}}`")]
    Unclosed,
    #[error("`{0}` without its `if` or `end`")]
    Unbalanced(String),
    #[error("cannot read the expression {0:?}")]
    Syntax(String),
    #[error("function {0:?} is not supported")]
    Function(String),
}

#[derive(Debug)]
enum Piece<'a> {
    Text(&'a str),
    Action(&'a str),
}

/// Renders a template with these variables as its dot.
///
/// # Errors
/// When the template uses what is not supported, or is not balanced.
pub fn render(template: &str, variables: &Variables) -> Result<String, TemplateError> {
    let pieces = pieces(template)?;
    let mut output = String::new();
    let rest = block(&pieces, variables, true, &mut output)?;
    match pieces.get(rest) {
        None => Ok(output),
        Some(Piece::Action(action) | Piece::Text(action)) => Err(TemplateError::Unbalanced((*action).to_owned())),
    }
}

fn pieces(template: &str) -> Result<Vec<Piece<'_>>, TemplateError> {
    let mut pieces = Vec::new();
    let mut rest = template;
    let mut trim = false;
    while let Some(start) = rest.find("{{") {
        let end = rest[start..].find("}}").ok_or(TemplateError::Unclosed)? + start;
        let mut action = &rest[start + 2..end];
        let mut text = &rest[..start];
        if trim {
            text = text.trim_start();
        }
        if let Some(inner) = action.strip_prefix('-') {
            action = inner;
            text = text.trim_end();
        }
        trim = action.ends_with('-');
        pieces.push(Piece::Text(text));
        pieces.push(Piece::Action(action.trim_end_matches('-').trim()));
        rest = &rest[end + 2..];
    }
    pieces.push(Piece::Text(if trim { rest.trim_start() } else { rest }));
    Ok(pieces)
}

/// Renders until the end, or until an `else` or `end` that belongs to the caller; returns where it stopped, counted from the
/// start of `pieces`.
fn block(
    pieces: &[Piece<'_>],
    variables: &Variables,
    active: bool,
    output: &mut String,
) -> Result<usize, TemplateError> {
    let mut at = 0;
    while let Some(piece) = pieces.get(at) {
        match piece {
            Piece::Text(text) => {
                if active {
                    output.push_str(text);
                }
                at += 1;
            }
            Piece::Action(action) if *action == "end" || action.starts_with("else") => return Ok(at),
            Piece::Action(action) => {
                if let Some(condition) = action.strip_prefix("if ") {
                    at = conditional(pieces, at, condition, variables, active, output)?;
                } else {
                    if active {
                        output.push_str(&shown(&evaluate(action, variables)?));
                    }
                    at += 1;
                }
            }
        }
    }
    Ok(at)
}

fn conditional(
    pieces: &[Piece<'_>],
    mut at: usize,
    condition: &str,
    variables: &Variables,
    active: bool,
    output: &mut String,
) -> Result<usize, TemplateError> {
    let mut condition = Some(condition.to_owned());
    let mut taken = false;
    loop {
        let holds = match &condition {
            Some(condition) => active && !taken && truth(&evaluate(condition, variables)?),
            None => active && !taken,
        };
        taken |= holds;
        at += 1 + block(&pieces[at + 1..], variables, holds, output)?;
        match pieces.get(at) {
            Some(Piece::Action("end")) => return Ok(at + 1),
            Some(Piece::Action("else")) => condition = None,
            Some(Piece::Action(action)) => {
                let next =
                    action.strip_prefix("else if ").ok_or_else(|| TemplateError::Unbalanced((*action).to_owned()))?;
                condition = Some(next.to_owned());
            }
            _ => return Err(TemplateError::Unbalanced("if".to_owned())),
        }
    }
}

fn evaluate(text: &str, variables: &Variables) -> Result<Value, TemplateError> {
    let mut value = None;
    // `x | f a` calls `f a x`.
    for stage in text.split(" | ") {
        let mut tokens = tokens(stage)?;
        tokens.reverse();
        value = Some(call(&mut tokens, variables, value, text)?);
    }
    value.ok_or_else(|| TemplateError::Syntax(text.to_owned()))
}

fn tokens(text: &str) -> Result<Vec<String>, TemplateError> {
    let mut tokens = Vec::new();
    let mut letters = text.chars().peekable();
    while let Some(&letter) = letters.peek() {
        match letter {
            ' ' | '\t' | '\n' => drop(letters.next()),
            '(' | ')' => tokens.extend(letters.next().map(String::from)),
            '"' | '`' => {
                letters.next();
                let mut token = String::from('"');
                loop {
                    match letters.next() {
                        Some('\\') if letter == '"' => token.extend(letters.next()),
                        Some(end) if end == letter => break,
                        Some(other) => token.push(other),
                        None => return Err(TemplateError::Syntax(text.to_owned())),
                    }
                }
                tokens.push(token);
            }
            _ => {
                let mut token = String::new();
                while let Some(&next) = letters.peek().filter(|it| !it.is_whitespace() && !matches!(it, '(' | ')')) {
                    token.push(next);
                    letters.next();
                }
                tokens.push(token);
            }
        }
    }
    Ok(tokens)
}

/// Evaluates tokens (last first) up to a closing parenthesis or the end: one operand, or a function with operands.
fn call(
    tokens: &mut Vec<String>,
    variables: &Variables,
    piped: Option<Value>,
    whole: &str,
) -> Result<Value, TemplateError> {
    let syntax = || TemplateError::Syntax(whole.to_owned());
    let function = match tokens.last() {
        Some(token)
            if token.starts_with(|it: char| it.is_ascii_alphabetic()) && token != "true" && token != "false" =>
        {
            tokens.pop()
        }
        _ => None,
    };
    let mut arguments = Vec::new();
    while let Some(token) = tokens.pop() {
        arguments.push(match token.as_str() {
            ")" => break,
            "(" => call(tokens, variables, None, whole)?,
            "true" => json!(true),
            "false" => json!(false),
            "." => Value::Object(variables.clone()),
            token if token.starts_with('"') => json!(&token[1..]),
            token if token.starts_with('.') => lookup(variables, &token[1..]).cloned().unwrap_or_default(),
            token => json!(token.parse::<i64>().map_err(|_| syntax())?),
        });
    }
    arguments.extend(piped);
    match function {
        None if arguments.len() == 1 => arguments.pop().ok_or_else(syntax),
        None => Err(syntax()),
        Some(name) => apply(&name, &arguments).ok_or_else(syntax)?,
    }
}

fn apply(name: &str, arguments: &[Value]) -> Option<Result<Value, TemplateError>> {
    let compare = |holds: fn(std::cmp::Ordering) -> bool| {
        let order = match (arguments.first()?, arguments.get(1)?) {
            (Value::String(a), Value::String(b)) => a.cmp(b),
            (a, b) => a.as_f64()?.partial_cmp(&b.as_f64()?)?,
        };
        Some(json!(holds(order)))
    };
    let value = match name {
        "eq" => json!(arguments.get(1..)?.iter().any(|it| arguments.first() == Some(it))),
        "ne" => json!(arguments.first()? != arguments.get(1)?),
        "lt" => compare(std::cmp::Ordering::is_lt)?,
        "le" => compare(std::cmp::Ordering::is_le)?,
        "gt" => compare(std::cmp::Ordering::is_gt)?,
        "ge" => compare(std::cmp::Ordering::is_ge)?,
        "not" | "empty" => json!(!truth(arguments.first()?)),
        "and" => arguments.iter().find(|it| !truth(it)).or(arguments.last())?.clone(),
        "or" => arguments.iter().find(|it| truth(it)).or(arguments.last())?.clone(),
        "quote" => json!(format!("{:?}", shown(arguments.first()?))),
        "default" => {
            let given = arguments.get(1)?;
            if truth(given) { given.clone() } else { arguments.first()?.clone() }
        }
        "hasKey" => json!(arguments.first()?.get(arguments.get(1)?.as_str()?).is_some()),
        "len" => match arguments.first()? {
            Value::Array(items) => json!(items.len()),
            Value::Object(fields) => json!(fields.len()),
            other => json!(other.as_str().unwrap_or_default().len()),
        },
        "printf" => {
            let mut rest = arguments.get(1..)?.iter();
            let mut text = String::new();
            let mut parts = arguments.first()?.as_str()?.split('%');
            text.push_str(parts.next()?);
            for part in parts {
                text.push_str(&shown(rest.next()?));
                text.push_str(part.get(1..)?);
            }
            json!(text)
        }
        other => return Some(Err(TemplateError::Function(other.to_owned()))),
    };
    Some(Ok(value))
}

/// Go's notion of a value that counts as true: not empty, not zero.
fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("{{ if .flag }}true{{ end }}", Ok("true"))]
    #[case("{{ if not .flag }}true{{ else }}no{{ end }}", Ok("no"))]
    #[case("{{ if and (ne .name \"\") (gt .count 2) }}true{{end}}", Ok("true"))]
    #[case("{{ if .missing }}a{{ else if eq .name \"x\" \"first\" }}b{{ end }}", Ok("b"))]
    #[case("{{- if .disks -}}  true  {{- end -}}", Ok(""))]
    #[case("a-{{ .image.name | quote }}-{{ .count }}", Ok("a-\"ubuntu\"-3"))]
    #[case("{{ printf \"%s/%d\" .name .count }}", Ok("first/3"))]
    #[case("{{ if .flag }}", Err("`if` without its `if` or `end`"))]
    #[case("{{ end }}", Err("`end` without its `if` or `end`"))]
    #[case("{{ .flag ", Err("`{{` without `}}`"))]
    #[case("{{ semverCompare \">1\" .name }}", Err("function \"semverCompare\" is not supported"))]
    fn a_template_is_rendered_or_refused(#[case] template: &str, #[case] expected: Result<&str, &str>) {
        let variables = json!({"flag": true, "name": "first", "count": 3, "disks": [], "image": {"name": "ubuntu"}});
        let rendered = render(template, variables.as_object().unwrap()).map_err(|error| error.to_string());
        assert_eq!(rendered.as_deref().map_err(String::as_str), expected);
    }

    proptest::proptest! {
        #[test]
        fn no_template_panics(template in "[ .a-z{}()\"|-]{0,40}") {
            let _ = render(&template, &Variables::new());
        }
    }
}
