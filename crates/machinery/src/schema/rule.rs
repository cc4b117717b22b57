//! One rule of `x-kubernetes-validations`, compiled at its first use.

use std::sync::{Arc, OnceLock};

use kube_cel::cel::IdedExpr;
use serde_json::Value;

use super::{
    SchemaNode,
    rule_library::unfold_optionals,
    rule_projection::{Analysis, analyse},
};
use crate::{
    cel::{
        macros::expand,
        metering::lace,
        object_literals::lower,
        source::{depth, parse, with_stack},
    },
    compile_cache::CompileCache,
};

/// A rule as written, and what became of it.
#[derive(Debug)]
pub(crate) struct ValidationRule {
    pub(crate) rule: String,
    pub(crate) message: Option<String>,
    pub(crate) message_expression: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) field_path: Option<String>,
    pub(crate) optional_old_self: Option<bool>,
    /// What is wrong with its types, where it was looked at again with the defaults of a definition.
    pub(crate) type_problem: Option<String>,
    compiled: OnceLock<Result<CompiledRule, String>>,
}

/// The expressions of a rule.
pub(crate) struct CompiledRule {
    pub(crate) condition: Arc<Expression>,
    pub(crate) message: Option<Arc<Expression>>,
}

/// A parsed expression, with what is known of it.
pub(crate) struct Expression {
    pub(crate) tree: IdedExpr,
    pub(crate) analysis: Analysis,
    /// See [`depth`].
    pub(crate) depth: usize,
}

impl std::fmt::Debug for CompiledRule {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("CompiledRule")
    }
}

impl ValidationRule {
    /// Reads a rule; `None` when there is no expression in it.
    pub(crate) fn from_json(source: &Value) -> Option<Self> {
        let text = |name: &str| source.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        Some(Self {
            rule: text("rule").filter(|rule| !rule.trim().is_empty())?.to_owned(),
            message: text("message").map(str::to_owned),
            message_expression: text("messageExpression").map(str::to_owned),
            reason: text("reason").map(str::to_owned),
            field_path: text("fieldPath").map(str::to_owned),
            optional_old_self: source.get("optionalOldSelf").and_then(Value::as_bool),
            type_problem: None,
            compiled: OnceLock::new(),
        })
    }

    /// Whether the rule mentions `oldSelf`: it then compares two states of an object.
    pub(crate) fn reads_old_self(&self) -> bool {
        self.rule.contains("oldSelf")
    }

    /// The compiled rule.
    ///
    /// # Errors
    /// Why it does not compile.
    pub(crate) fn compiled(&self) -> Result<&CompiledRule, &str> {
        self.compiled
            .get_or_init(|| {
                Ok(CompiledRule {
                    condition: Expression::shared(&self.rule)?,
                    message: self.message_expression.as_deref().map(Expression::shared).transpose()?,
                })
            })
            .as_ref()
            .map_err(String::as_str)
    }

    /// What a failing rule says when it computes no message.
    pub(crate) fn static_message(&self) -> String {
        match &self.message {
            Some(message) => message.trim().to_owned(),
            None => format!("failed rule: {}", self.rule.trim()),
        }
    }

    /// How messages refer to the rule.
    pub(crate) fn name(&self) -> &str {
        self.message.as_deref().unwrap_or(&self.rule).trim()
    }

    /// The `fieldPath` as it continues a field path: `.spec['a.b']` becomes `spec.a.b`, and `[a.b]` where `spec` is a map.
    /// None where it leads nowhere.
    pub(crate) fn normalized_field_path(&self, node: &SchemaNode) -> Option<String> {
        let (mut node, mut rest) = (node, self.field_path.as_deref()?.trim());
        let mut path = String::new();
        while !rest.is_empty() {
            let (name, remaining) = if let Some(quoted) = rest.strip_prefix("['") {
                quoted.split_once("']")?
            } else {
                let name = rest.strip_prefix('.')?;
                name.split_at(name.find(['.', '[']).unwrap_or(name.len()))
            };
            node = if let Some(property) = node.properties.get(name) {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(name);
                property
            } else {
                path.extend(["[", name, "]"]);
                node.additional_properties.as_ref()?
            };
            rest = remaining;
        }
        Some(path)
    }
}

impl Expression {
    /// As [`Self::compile`], shared with who compiled the same before.
    ///
    /// # Errors
    /// As [`Self::compile`].
    pub(crate) fn shared(source: &str) -> Result<Arc<Self>, String> {
        static EXPRESSIONS: CompileCache<Expression> = CompileCache::new();
        EXPRESSIONS.get(source, Self::compile)
    }

    /// Compiles an expression.
    ///
    /// # Errors
    /// Why it does not compile.
    pub(crate) fn compile(source: &str) -> Result<Self, String> {
        let depth = depth(source);
        with_stack(depth, || {
            let mut tree = (*parse(source)?).clone();
            expand(&mut tree);
            lower(&mut tree);
            unfold_optionals(&mut tree);
            let analysis = analyse(&tree);
            lace(&mut tree);
            Ok(Self { tree, analysis, depth })
        })
    }
}
