//! What expressions of admission may refer to and have to give (`k8s.io/apiserver/pkg/admission/plugin/cel/compile.go`
//! and `composition.go`).

use crate::cel::{
    declarations::{Declarations, check},
    types::Type,
};

/// What an expression is for: it decides what it may refer to and what it has to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Whether a webhook or a policy is about a request.
    Condition,
    /// Whether a request is as a policy wants it.
    Validation,
    /// What a policy says against a request.
    Message,
    /// What goes to the audit log.
    AuditAnnotation,
    /// An object to be applied onto the requested one.
    ApplyConfiguration,
    /// The operations of a JSON patch.
    JsonPatch,
}

/// Name of the type that `variables` has.
const VARIABLES: &str = "kubernetes.variables";

/// The expressions of one policy or webhook.
#[derive(Clone, Debug)]
pub struct Expressions {
    has_parameters: bool,
    /// Nothing where there is no `variables`.
    variables: Option<Vec<(String, Type)>>,
}

impl Expressions {
    /// Of something with or without `params` and `variables`.
    pub fn new(has_parameters: bool, has_variables: bool) -> Self {
        Self { has_parameters, variables: has_variables.then(Vec::new) }
    }

    /// Checks the expression of a variable, which later ones may refer to, be it right or wrong.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn declare(&mut self, name: &str, expression: &str) -> Result<(), String> {
        let checked = check(expression, &self.declarations(true, true));
        self.add_variable(name, checked.as_ref().ok());
        checked.map(|_| ()).map_err(|problems| format!("compilation failed: {problems}"))
    }

    /// A variable with what is known of its value.
    pub(super) fn add_variable(&mut self, name: &str, of: Option<&Type>) {
        if let Some(variables) = &mut self.variables {
            variables.push((name.to_owned(), of.map_or(Type::Dyn, known_type)));
        }
    }

    /// Checks an expression.
    ///
    /// # Errors
    /// What is wrong with it, in the words of the real server.
    pub fn check(&self, purpose: Purpose, expression: &str) -> Result<(), String> {
        let wanted = match purpose {
            Purpose::Condition | Purpose::Validation => vec![Type::Bool],
            Purpose::Message => vec![Type::String],
            Purpose::AuditAnnotation => vec![Type::String, Type::Null],
            Purpose::ApplyConfiguration => vec![Type::object("Object")],
            Purpose::JsonPatch => vec![Type::list(Type::object("JSONPatch"))],
        };
        let mut declarations = self.declarations(purpose != Purpose::Message, purpose != Purpose::Condition);
        if matches!(purpose, Purpose::ApplyConfiguration | Purpose::JsonPatch) {
            declarations.allow_patches();
        }
        let found = check(expression, &declarations).map_err(|problems| format!("compilation failed: {problems}"))?;
        if wanted.contains(&found) {
            return Ok(());
        }
        let names: Vec<String> = wanted.iter().map(ToString::to_string).collect();
        Err(match names.as_slice() {
            [name] => format!("must evaluate to {name} but got {found}"),
            names => format!("must evaluate to one of [{}] but got {found}", names.join(" ")),
        })
    }

    pub(super) fn declarations(&self, has_authorizer: bool, has_variables: bool) -> Declarations {
        let mut declarations = Declarations::default();
        declarations.declare("object", Type::Dyn);
        declarations.declare("oldObject", Type::Dyn);
        declare_request(&mut declarations);
        declare_namespace(&mut declarations);
        if self.has_parameters {
            declarations.declare("params", Type::Dyn);
        }
        if has_authorizer {
            declarations.declare("authorizer", Type::object("kubernetes.authorization.Authorizer"));
            let of_request = Type::object("kubernetes.authorization.ResourceCheck");
            declarations.declare("authorizer.requestResource", of_request);
        }
        if has_variables && let Some(variables) = &self.variables {
            declarations.declare_object(VARIABLES, variables.iter().cloned());
            declarations.declare("variables", Type::object(VARIABLES));
        }
        declarations
    }
}

/// What is known of a variable's type in other expressions: of those with parameters only lists and maps are.
fn known_type(of: &Type) -> Type {
    match of {
        Type::List(item) => Type::list(known_type(item)),
        Type::Map(key, value) => Type::map(known_type(key), known_type(value)),
        Type::Object(_) | Type::Opaque(..) | Type::Named(_) | Type::Parameter(_) | Type::Error => Type::Dyn,
        other => other.clone(),
    }
}

fn fields<const COUNT: usize>(fields: [(&str, Type); COUNT]) -> Vec<(String, Type)> {
    fields.into_iter().map(|(name, of)| (name.to_owned(), of)).collect()
}

fn declare_request(declarations: &mut Declarations) {
    let (kind, resource) = ("kubernetes.GroupVersionKind", "kubernetes.GroupVersionResource");
    let (user, request) = ("kubernetes.UserInfo", "kubernetes.AdmissionRequest");
    for (name, last) in [(kind, "kind"), (resource, "resource")] {
        let members = [("group", Type::String), ("version", Type::String), (last, Type::String)];
        declarations.declare_object(name, fields(members));
    }
    let texts = || Type::list(Type::String);
    let members = [
        ("username", Type::String),
        ("uid", Type::String),
        ("groups", texts()),
        ("extra", Type::map(Type::String, texts())),
    ];
    declarations.declare_object(user, fields(members));
    let members = [
        ("kind", Type::object(kind)),
        ("resource", Type::object(resource)),
        ("subResource", Type::String),
        ("requestKind", Type::object(kind)),
        ("requestResource", Type::object(resource)),
        ("requestSubResource", Type::String),
        ("name", Type::String),
        ("namespace", Type::String),
        ("operation", Type::String),
        ("userInfo", Type::object(user)),
        ("dryRun", Type::Bool),
        ("options", Type::Dyn),
    ];
    declarations.declare_object(request, fields(members));
    declarations.declare("request", Type::object(request));
}

fn declare_namespace(declarations: &mut Declarations) {
    let texts = || Type::map(Type::String, Type::String);
    let members = [
        ("name", Type::String),
        ("generateName", Type::String),
        ("namespace", Type::String),
        ("labels", texts()),
        ("annotations", texts()),
        ("UID", Type::String),
        ("creationTimestamp", Type::Timestamp),
        ("deletionGracePeriodSeconds", Type::Int),
        ("deletionTimestamp", Type::Timestamp),
        ("generation", Type::Int),
        ("resourceVersion", Type::String),
        ("finalizers", Type::list(Type::String)),
    ];
    declarations.declare_object("kubernetes.NamespaceMetadata", fields(members));
    declarations.declare_object("kubernetes.NamespaceSpec", fields([("finalizers", Type::list(Type::String))]));
    let condition = "kubernetes.NamespaceCondition";
    let members = [
        ("status", Type::String),
        ("type", Type::String),
        ("lastTransitionTime", Type::Timestamp),
        ("message", Type::String),
        ("reason", Type::String),
    ];
    declarations.declare_object(condition, fields(members));
    let members = [("conditions", Type::list(Type::object(condition))), ("phase", Type::String)];
    declarations.declare_object("kubernetes.NamespaceStatus", fields(members));
    let members = [
        ("metadata", Type::object("kubernetes.NamespaceMetadata")),
        ("spec", Type::object("kubernetes.NamespaceSpec")),
        ("status", Type::object("kubernetes.NamespaceStatus")),
    ];
    declarations.declare_object("kubernetes.Namespace", fields(members));
    declarations.declare("namespaceObject", Type::object("kubernetes.Namespace"));
}
