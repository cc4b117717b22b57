//! The costs of rules against those of the reference implementation (`rule-cost-vectors`).

use serde::Deserialize;
use serde_json::Value;

use super::cost::most_expensive;
use crate::schema::{rule_cost::DeclaredSizes, rule_types::RuleNames};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema: Value,
    most_in_request: u64,
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    expression: String,
    cost: u64,
}

#[test]
fn rules_cost_what_the_reference_implementation_estimates() {
    let documents: Vec<Document> = serde_json::from_str(include_str!("../../rule-cost-vectors/costs.json")).unwrap();
    let mut wrong = Vec::new();
    for Document { schema, most_in_request, rules } in documents {
        let (names, sizes) = (RuleNames::of(&schema, false, false), DeclaredSizes::of(&schema, false));
        assert_eq!(sizes.most_in_request(), most_in_request, "{schema}");
        for Rule { expression, cost } in rules {
            let found = most_expensive(&expression, &names, &sizes);
            if found != cost {
                wrong.push(format!("{expression}: {found}, not {cost}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// cel-go writes what such a macro is called on twice, and a chain of them would fill any memory.
#[test]
fn an_expression_that_grows_with_its_macros_is_too_expensive() {
    let schema = serde_json::json!({"type": "object", "properties": {"a": {"type": "string", "maxLength": 3}}});
    let (names, sizes) = (RuleNames::of(&schema, false, false), DeclaredSizes::of(&schema, false));
    let chain = |length: usize| format!("self.?a{}.hasValue()", ".optMap(x, x)".repeat(length));
    assert_eq!(most_expensive(&chain(40), &names, &sizes), u64::MAX);
    assert!(most_expensive(&chain(8), &names, &sizes) < 100_000);
}

#[test]
fn deep_expressions_are_estimated_or_too_deep_but_never_overflow_the_stack() {
    let schema =
        serde_json::json!({"type": "object", "properties": {"l": {"type": "array", "items": {"type": "string"}}}});
    let (names, sizes) = (RuleNames::of(&schema, false, false), DeclaredSizes::of(&schema, false));
    let nested = |begin: &str, middle: &str, end: &str, depth: usize| {
        format!("{}{middle}{}", begin.repeat(depth), end.repeat(depth))
    };
    for depth in [10, 40, 80, 120, 200] {
        for source in [
            nested("self.l.all(i, v, ", "true", ")", depth),
            nested("self.l.sortBy(x, ", "x", ").size() == 1", depth),
            nested("self.l.transformList(i, v, ", "v", ")", depth) + ".size() == 1",
            nested("optional.of(1).optFlatMap(x, ", "optional.of(x)", ")", depth) + ".hasValue()",
            nested("(", "true", ")", depth),
            nested("!(", "true", ")", depth),
        ] {
            most_expensive(&source, &names, &sizes);
        }
    }
}
