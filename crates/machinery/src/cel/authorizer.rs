//! The variable `authorizer` of admission expressions: may the user of the request, or some ServiceAccount, do something?
//! (`k8s.io/apiserver/pkg/cel/library/authz.go`)
//!
//! Each step of `authorizer.group('apps').resource('deployments').check('get').allowed()` is a value without fields that
//! only the functions here know.

use std::sync::Arc;

use kube_cel::cel::{
    Context, ExecutionError, IdedExpr, Value as CelValue, common::ast::Expr, extractors::This, objects::Opaque,
};

use super::{Bindings, expression_tree::for_each_child_mut};
use crate::{
    object_meta::{dns_1123_label_messages, subdomain_messages},
    rbac::{Attributes, Decision, Requester},
    selector::FieldRequirement,
};

/// Decides who may do what.
pub trait Authorizer: Send + Sync {
    /// The decision about one question.
    ///
    /// # Errors
    /// Why there is none.
    fn authorize(&self, who: &Requester<'_>, attributes: &Attributes<'_>) -> Result<Decision, String>;
}

/// Name of the variable.
const VARIABLE: &str = "authorizer";
/// `authorizer.requestResource` is a variable of its own, with a dot in its name.
const REQUEST_RESOURCE: &str = "authorizer.requestResource";

/// Somebody and who decides about them.
#[derive(Clone)]
struct Subject {
    authorizer: Arc<dyn Authorizer>,
    name: String,
    groups: Vec<String>,
}

impl PartialEq for Subject {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.authorizer, &other.authorizer) && self.name == other.name && self.groups == other.groups
    }
}

impl Eq for Subject {}

impl std::fmt::Debug for Subject {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Subject").field(&self.name).finish()
    }
}

/// What is asked about a resource so far.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ResourceCheck {
    subject: Arc<Subject>,
    group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
    field_selector: Vec<FieldRequirement>,
}

/// One step of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Authorizer(Arc<Subject>),
    Path(Arc<Subject>, String),
    Group(Arc<Subject>, String),
    Resource(ResourceCheck),
    Decision(Result<Decision, String>),
}

impl Opaque for Step {
    fn runtime_type_name(&self) -> &str {
        match self {
            Self::Authorizer(_) => "kubernetes.authorization.Authorizer",
            Self::Path(..) => "kubernetes.authorization.PathCheck",
            Self::Group(..) => "kubernetes.authorization.GroupCheck",
            Self::Resource(_) => "kubernetes.authorization.ResourceCheck",
            Self::Decision(_) => "kubernetes.authorization.Decision",
        }
    }
}

impl Bindings {
    /// Binds `authorizer`, and `authorizer.requestResource` to what the request itself is about.
    #[must_use]
    pub fn with_authorizer(
        mut self,
        authorizer: Arc<dyn Authorizer>,
        who: &Requester<'_>,
        request: &Attributes<'_>,
    ) -> Self {
        let subject = Arc::new(Subject { authorizer, name: who.name.to_owned(), groups: who.groups.to_vec() });
        let resource = ResourceCheck {
            subject: subject.clone(),
            group: request.group.to_owned(),
            resource: request.resource.to_owned(),
            subresource: request.subresource.to_owned(),
            namespace: request.namespace.to_owned(),
            name: request.name.to_owned(),
            field_selector: request.field_selector.to_vec(),
        };
        self.values.push((VARIABLE.to_owned(), value(Step::Authorizer(subject))));
        self.values.push((REQUEST_RESOURCE.to_owned(), value(Step::Resource(resource))));
        self
    }

    /// The same without it, for expressions that may not ask.
    #[must_use]
    pub fn without_authorizer(&self) -> Self {
        let mut bindings = self.clone();
        bindings.values.retain(|(name, _)| name != VARIABLE && name != REQUEST_RESOURCE);
        bindings
    }
}

fn value(step: Step) -> CelValue {
    CelValue::Opaque(Arc::new(step))
}

type Outcome = Result<CelValue, ExecutionError>;

fn step(of: &CelValue) -> Option<&Step> {
    match of {
        CelValue::Opaque(opaque) => opaque.downcast_ref(),
        _ => None,
    }
}

fn text(of: &CelValue) -> Result<&str, ExecutionError> {
    match of {
        CelValue::String(text) => Ok(text),
        _ => Err(ExecutionError::NoSuchOverload),
    }
}

fn given(function: &str, of: &CelValue) -> Result<String, ExecutionError> {
    let given = text(of)?;
    if given.trim().is_empty() {
        return Err(ExecutionError::function_error(function, format!("{function} must not be empty")));
    }
    Ok(given.to_owned())
}

/// Adds the functions to a library.
pub(crate) fn add_functions(context: &mut Context<'static>) {
    context.add_function("path", |This(this): This<CelValue>, path: CelValue| -> Outcome {
        match step(&this) {
            Some(Step::Authorizer(subject)) => Ok(value(Step::Path(subject.clone(), given("path", &path)?))),
            _ => Err(ExecutionError::NoSuchOverload),
        }
    });
    context.add_function("group", |This(this): This<CelValue>, group: CelValue| -> Outcome {
        match step(&this) {
            Some(Step::Authorizer(subject)) => Ok(value(Step::Group(subject.clone(), text(&group)?.to_owned()))),
            _ => Err(ExecutionError::NoSuchOverload),
        }
    });
    context.add_function("serviceAccount", service_account);
    context.add_function("resource", |This(this): This<CelValue>, resource: CelValue| -> Outcome {
        let Some(Step::Group(subject, group)) = step(&this) else { return Err(ExecutionError::NoSuchOverload) };
        Ok(value(Step::Resource(ResourceCheck {
            subject: subject.clone(),
            group: group.clone(),
            resource: given("resource", &resource)?,
            subresource: String::new(),
            namespace: String::new(),
            name: String::new(),
            field_selector: Vec::new(),
        })))
    });
    refine(context, "subresource", |check, text| check.subresource = text);
    refine(context, "namespace", |check, text| check.namespace = text);
    refine(context, "name", |check, text| check.name = text);
    // One that is none is passed over: what is asked for then is more.
    refine(context, "fieldSelector", |check, text| {
        check.field_selector = FieldRequirement::parse_all(&text).unwrap_or_default();
    });
    // Nothing here decides by labels.
    refine(context, "labelSelector", |_, _| ());
    context.add_function("check", |This(this): This<CelValue>, verb: CelValue| -> Outcome {
        let verb = text(&verb)?;
        match step(&this) {
            Some(Step::Path(subject, path)) => {
                Ok(decide(subject, &Attributes { verb, path: Some(path), ..Attributes::default() }))
            }
            Some(Step::Resource(check)) => {
                let ResourceCheck { subject, group, resource, subresource, namespace, name, field_selector } = check;
                let asked =
                    Attributes { verb, group, resource, subresource, namespace, name, path: None, field_selector };
                Ok(decide(subject, &asked))
            }
            _ => Err(ExecutionError::NoSuchOverload),
        }
    });
    tell(context, "allowed", |decision| decision.as_ref().is_ok_and(|decision| decision.allowed).into());
    tell(context, "reason", |decision| {
        decision.as_ref().map(|decision| decision.reason.clone()).unwrap_or_default().into()
    });
    tell(context, "errored", |decision| decision.is_err().into());
    tell(context, "error", |decision| decision.as_ref().err().cloned().unwrap_or_default().into());
}

#[allow(clippy::needless_pass_by_value)] // the library hands arguments over by value
fn service_account(This(this): This<CelValue>, namespace: CelValue, name: CelValue) -> Outcome {
    const LONGEST_NAME: usize = 253;
    let Some(Step::Authorizer(subject)) = step(&this) else { return Err(ExecutionError::NoSuchOverload) };
    let (namespace, name) = (text(&namespace)?, text(&name)?);
    let refused = |why: &str| Err(ExecutionError::function_error("serviceAccount", why));
    if !subdomain_messages(name, LONGEST_NAME).is_empty() {
        return refused("Invalid service account name");
    }
    if !dns_1123_label_messages(namespace).is_empty() {
        return refused("Invalid service account namespace");
    }
    Ok(value(Step::Authorizer(Arc::new(Subject {
        authorizer: subject.authorizer.clone(),
        name: format!("system:serviceaccount:{namespace}:{name}"),
        groups: vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")],
    }))))
}

/// Adds a function that says more of what is asked about a resource.
fn refine(context: &mut Context<'static>, name: &'static str, set: fn(&mut ResourceCheck, String)) {
    context.add_function(name, move |This(this): This<CelValue>, given: CelValue| -> Outcome {
        let Some(Step::Resource(check)) = step(&this) else { return Err(ExecutionError::NoSuchOverload) };
        let mut check = check.clone();
        set(&mut check, text(&given)?.to_owned());
        Ok(value(Step::Resource(check)))
    });
}

/// Adds a function that tells something of a decision.
fn tell(context: &mut Context<'static>, name: &'static str, of: fn(&Result<Decision, String>) -> CelValue) {
    context.add_function(name, move |This(this): This<CelValue>| -> Outcome {
        match step(&this) {
            Some(Step::Decision(decision)) => Ok(of(decision)),
            _ => Err(ExecutionError::NoSuchOverload),
        }
    });
}

fn decide(subject: &Subject, attributes: &Attributes<'_>) -> CelValue {
    let who = Requester { name: &subject.name, groups: &subject.groups };
    value(Step::Decision(subject.authorizer.authorize(&who, attributes)))
}

/// Reads `authorizer.requestResource` as the one name it is.
pub(super) fn join_request_resource(expression: &mut IdedExpr) {
    if let Expr::Select(select) = &expression.expr
        && !select.test
        && select.field == "requestResource"
        && matches!(&select.operand.expr, Expr::Ident(name) if name == VARIABLE)
    {
        expression.expr = Expr::Ident(REQUEST_RESOURCE.to_owned());
    } else {
        for_each_child_mut(expression, &mut join_request_resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cel::Program;

    struct Fixed;

    impl Authorizer for Fixed {
        fn authorize(&self, who: &Requester<'_>, attributes: &Attributes<'_>) -> Result<Decision, String> {
            let asked = format!("{who:?} {attributes:?}");
            if attributes.verb == "fail" { Err(asked) } else { Ok(Decision { allowed: true, reason: asked }) }
        }
    }

    #[test]
    fn questions_reach_the_authorizer_and_its_answers_the_expression() {
        let request = Attributes { group: "apps", resource: "deployments", namespace: "team", ..Attributes::default() };
        let groups = ["system:authenticated".to_owned()];
        let who = Requester { name: "anna", groups: &groups };
        let bindings = Bindings::default().with_authorizer(Arc::new(Fixed), &who, &request);
        let answers: Vec<String> = [
            "authorizer.group('').resource('pods').subresource('log').namespace('x').name('y').check('get').reason()",
            "authorizer.path('/healthz').check('get').reason()",
            "authorizer.requestResource.check('create').reason()",
            "authorizer.serviceAccount('team', 'robot').requestResource.check('create').allowed()",
            "authorizer.serviceAccount('team', 'robot').group('a').resource('b').check('create').reason()",
            "string(authorizer.requestResource.check('fail').errored())",
            "string(authorizer.requestResource.check('fail').allowed())",
            "authorizer.requestResource.check('fail').error()",
            "authorizer.path(' ').check('get').reason()",
            "authorizer.group('').resource('').check('get').reason()",
            "authorizer.serviceAccount('A', 'b').path('/x').check('get').reason()",
            "authorizer.serviceAccount('a', 'B').path('/x').check('get').reason()",
            "authorizer.check('get').reason()",
            "authorizer.group('').resource('pods').fieldSelector('a=b').labelSelector('c').check('list').reason()",
        ]
        .iter()
        .map(|source| {
            let outcome = Program::compile(source).unwrap().evaluate(&bindings);
            let answer = outcome.map(|outcome| outcome.as_text().unwrap_or_else(|| format!("{outcome:?}")));
            format!("{source}\n  {}", answer.unwrap_or_else(|error| format!("error: {error}")))
        })
        .collect();
        insta::assert_snapshot!(answers.join("\n"));
    }
}
