//! Expressions that would take for ever or all memory are given up; those that only do much are not.

use serde_json::{Value, json};

use super::{Bindings, Program, metering::EXCEEDED};
use crate::admission::{Expressions, Purpose};
use crate::schema::Schema;

fn evaluate(source: &str, object: &Value) -> Result<Option<bool>, String> {
    let bindings = Bindings::default().with("object", object);
    Program::compile(source).unwrap().evaluate(&bindings).map(|outcome| outcome.as_bool())
}

/// `['x']`, and so many maps over it.
fn chain(step: &str, times: usize) -> String {
    let mut source = "['x']".to_owned();
    for _ in 0..times {
        source = format!("{source}.map(a, {step})");
    }
    format!("size({source}) == 1")
}

/// Loops in loops over ten numbers each.
fn nested(depth: usize) -> String {
    (0..depth).fold("true".to_owned(), |inner, level| format!("[0,1,2,3,4,5,6,7,8,9].all(v{level}, {inner})"))
}

#[test]
fn an_evaluation_that_costs_too_much_is_given_up() {
    let nothing = json!({});
    let mut all = vec![format!("{} || true", nested(9)), format!("true || {}", nested(9))];
    all.extend(
        [
            "a + a",
            "[a, a]",
            "[1, 2].map(i, a)",
            "{'a': a, 'b': a}",
            "a.replace('x', 'xxxxxxxxxx')",
            "'%s%s'.format([a, a])",
            "[a, a, a].join('-')",
            "[a + 'y', 'z'].join(a)",
            "strings.quote(strings.quote(a))",
        ]
        .map(|step| chain(step, 60)),
    );
    let outcomes: Vec<_> = all.iter().map(|source| evaluate(source, &nothing)).collect();
    let (exceeded, well) = (Err(EXCEEDED.to_owned()), Ok(Some(true)));
    for (source, outcome) in all.iter().zip(outcomes) {
        assert_eq!(outcome, if source.starts_with("true") { well.clone() } else { exceeded.clone() }, "{source}");
    }
}

#[test]
fn an_expression_is_as_deep_as_the_stack_allows() {
    let texts = ["object", "1", "true", "'x'"];
    for times in [40, 400, 30_000] {
        for step in [".a", "[0]", ".size()", " + 1", " - 1", " == 1", " in [1]", " ? 1 : 2", " && true", ".map(a, a)"] {
            for start in texts {
                let source = format!("{start}{}", step.repeat(times));
                if let Ok(program) = Program::compile(&source) {
                    let _ = program.evaluate(&Bindings::default().with("object", &json!({})));
                }
            }
        }
        for (open, close) in
            [("(", ")"), ("[", "]"), ("{1: ", "}"), ("size(", ")"), ("-", ""), ("!", ""), ("true ? 1 : ", "")]
        {
            let _ = Program::compile(&format!("{}1{}", open.repeat(times), close.repeat(times)));
        }
    }
    assert_eq!(
        Program::compile(&format!("object{}", ".a".repeat(600))).unwrap_err(),
        "expression recursion limit exceeded: 500"
    );
    let spec = Expressions::new(false, false).check(Purpose::Message, &format!("object{}", ".a".repeat(450)));
    assert_eq!(spec, Err("must evaluate to string but got dyn".to_owned()));
}

#[test]
fn an_evaluation_that_does_much_is_not() {
    let items: Vec<Value> = (0..2000).map(|number| json!({"name": format!("n{number}"), "port": number})).collect();
    let object = json!({"items": items, "text": "some text ".repeat(10_000)});
    for source in [
        "object.items.all(i, i.name.startsWith('n') && i.port >= 0)",
        "object.items.map(i, i.name).exists(n, n == 'n1999')",
        "object.items.filter(i, i.port > 10).size() > 100",
        "object.items.all(i, ['a', 'b', 'c', 'd'].all(l, l != i.name))",
        "(object.text + object.text).contains('text')",
        "object.text.replace('some', 'any').size() > 1000",
        "object.items.map(i, i.name + '-' + string(i.port)).join(',').size() > 1000",
    ] {
        assert_eq!(evaluate(source, &object), Ok(Some(true)), "{source}");
    }
}

#[test]
fn a_rule_that_costs_too_much_ends_the_validation() {
    let schema = json!({
        "type": "object",
        "x-kubernetes-validations": [{"rule": chain("a + a", 60)}, {"rule": "false"}]
    });
    let errors = Schema::compile(&schema).unwrap().validate(&json!({}), None);
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), 1, "{texts:?}");
    let end = "no further validation rules will be run due to call cost exceeds limit for rule: ['x'].map(a";
    assert!(
        texts[0].contains(&format!("'{EXCEEDED}': {end}")) || texts[0].contains(&format!("{EXCEEDED}': no further")),
        "{texts:?}"
    );
}
