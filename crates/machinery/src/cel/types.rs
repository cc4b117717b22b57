//! The types of expressions, and which of them fit each other (cel-go, `common/types` and `checker/types.go`).

use std::{collections::HashMap, fmt, sync::Arc};

/// A type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    /// Anything, known when the expression runs.
    Dyn,
    /// Anything as a value in a message. It fits as [`Self::Dyn`] does, but nothing can be done with it that needs a form.
    Any,
    /// Of what is wrong already: fits everywhere, so that one mistake is told once.
    Error,
    Null,
    Bool,
    Bytes,
    Double,
    Duration,
    Int,
    String,
    Timestamp,
    Uint,
    List(Box<Type>),
    Map(Box<Type>, Box<Type>),
    /// A type as a value.
    Named(Box<Type>),
    /// Something with fields, by its name.
    Object(Arc<str>),
    /// Something without fields, such as `optional_type(int)`.
    Opaque(Arc<str>, Vec<Type>),
    /// A variable of a signature.
    Parameter(Arc<str>),
}

/// Name of the type of optional values.
const OPTIONAL: &str = "optional_type";

impl Type {
    pub(crate) fn list(of: Self) -> Self {
        Self::List(Box::new(of))
    }

    pub(crate) fn map(key: Self, value: Self) -> Self {
        Self::Map(Box::new(key), Box::new(value))
    }

    pub(crate) fn object(name: &str) -> Self {
        Self::Object(name.into())
    }

    pub(crate) fn optional(of: Self) -> Self {
        Self::Opaque(OPTIONAL.into(), vec![of])
    }

    /// What an optional value holds.
    pub(crate) fn optional_content(&self) -> Option<&Self> {
        match self {
            Self::Opaque(name, parameters) if &**name == OPTIONAL => parameters.first(),
            _ => None,
        }
    }

    pub(crate) fn is_dyn(&self) -> bool {
        matches!(self, Self::Dyn | Self::Any)
    }

    pub(crate) fn is_dyn_or_error(&self) -> bool {
        matches!(self, Self::Dyn | Self::Any | Self::Error)
    }

    /// The name at run time.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Dyn => "dyn",
            Self::Any => "google.protobuf.Any",
            Self::Error => "error",
            Self::Null => "null_type",
            Self::Bool => "bool",
            Self::Bytes => "bytes",
            Self::Double => "double",
            Self::Duration => "google.protobuf.Duration",
            Self::Int => "int",
            Self::String => "string",
            Self::Timestamp => "google.protobuf.Timestamp",
            Self::Uint => "uint",
            Self::List(_) => "list",
            Self::Map(..) => "map",
            Self::Named(_) => "type",
            Self::Object(name) | Self::Opaque(name, _) | Self::Parameter(name) => name,
        }
    }

    fn parameters(&self) -> Vec<&Self> {
        match self {
            Self::List(of) | Self::Named(of) => vec![of],
            Self::Map(key, value) => vec![key, value],
            Self::Opaque(_, parameters) => parameters.iter().collect(),
            _ => Vec::new(),
        }
    }

    /// Whether a variable of this name is the type or a part of it.
    pub(crate) fn mentions(&self, variable: &str) -> bool {
        match self {
            Self::Parameter(name) => **name == *variable,
            Self::List(of) | Self::Named(of) => of.mentions(variable),
            Self::Map(key, value) => key.mentions(variable) || value.mentions(variable),
            Self::Opaque(_, parameters) => parameters.iter().any(|of| of.mentions(variable)),
            _ => false,
        }
    }

    /// How errors of the type check write the type.
    pub(crate) fn in_errors(&self) -> String {
        match self {
            Self::Any => "any".to_owned(),
            Self::Duration => "duration".to_owned(),
            Self::Timestamp => "timestamp".to_owned(),
            Self::Error => "!error!".to_owned(),
            Self::Null => "null".to_owned(),
            _ => self.with_parameters(Self::in_errors),
        }
    }

    fn with_parameters(&self, write: fn(&Self) -> String) -> String {
        let parameters: Vec<String> = self.parameters().into_iter().map(write).collect();
        if parameters.is_empty() {
            self.name().to_owned()
        } else {
            format!("{}({})", self.name(), parameters.join(", "))
        }
    }

    /// Whether null is a value of the type.
    fn takes_null(&self) -> bool {
        matches!(
            self,
            Self::Null | Self::Opaque(..) | Self::Object(_) | Self::Duration | Self::Timestamp | Self::Dyn | Self::Any
        )
    }

    /// Whether this says no more than `other`.
    fn is_equal_or_less_specific(&self, other: &Self) -> bool {
        if self.is_dyn() || matches!(self, Self::Parameter(_)) {
            return true;
        }
        if other.is_dyn() || matches!(other, Self::Parameter(_)) {
            return false;
        }
        match (self, other) {
            (Self::Opaque(..) | Self::List(_) | Self::Map(..), _) => {
                let (own, others) = (self.parameters(), other.parameters());
                self.same_kind(other)
                    && own.len() == others.len()
                    && own.iter().zip(others).all(|(own, other)| own.is_equal_or_less_specific(other))
            }
            (Self::Named(_), Self::Named(_)) => true,
            _ => self == other,
        }
    }

    fn same_kind(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other) && self.name() == other.name()
    }
}

/// How a result is named (`Type.String` of cel-go).
impl fmt::Display for Type {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parameter(name) => write!(formatter, "<{name}>"),
            _ => formatter.write_str(&self.with_parameters(Self::to_string)),
        }
    }
}

/// What is known of the variables of signatures.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mapping(HashMap<Arc<str>, Type>);

impl Mapping {
    pub(crate) fn bind(&mut self, parameter: Arc<str>, to: Type) {
        self.0.insert(parameter, to);
    }

    /// Whether values of one type may stand where the other is wanted. Remembers what that says of variables, if so.
    pub(crate) fn assign(&mut self, one: &Type, other: &Type) -> bool {
        self.assign_all(std::slice::from_ref(one), std::slice::from_ref(other))
    }

    /// [`Self::assign`] for several at once, or none of them.
    pub(crate) fn assign_all(&mut self, ones: &[Type], others: &[Type]) -> bool {
        let mut tried = self.clone();
        let fits = tried.assignable_all(ones.iter(), others.iter());
        if fits {
            *self = tried;
        }
        fits
    }

    fn assignable_all<'t>(
        &mut self,
        ones: impl ExactSizeIterator<Item = &'t Type>,
        others: impl ExactSizeIterator<Item = &'t Type>,
    ) -> bool {
        ones.len() == others.len() && ones.zip(others).all(|(one, other)| self.assignable(one, other))
    }

    fn assignable(&mut self, one: &Type, other: &Type) -> bool {
        if let Type::Parameter(parameter) = other {
            match self.substitutes(one, parameter) {
                (true, _) => return true,
                (false, true) => return false,
                (false, false) => {}
            }
        }
        if let Type::Parameter(parameter) = one {
            return self.substitutes(other, parameter).0;
        }
        match (one, other) {
            _ if one.is_dyn_or_error() || other.is_dyn_or_error() => true,
            (Type::Null, other) | (other, Type::Null) => other.takes_null(),
            (Type::Named(_), other) => matches!(other, Type::Named(_)),
            (Type::Opaque(..) | Type::List(_) | Type::Map(..), _) => {
                one.same_kind(other)
                    && self.assignable_all(one.parameters().into_iter(), other.parameters().into_iter())
            }
            _ => one == other,
        }
    }

    /// Whether a type may stand for a variable, and whether the variable stood for something before.
    fn substitutes(&mut self, one: &Type, parameter: &Arc<str>) -> (bool, bool) {
        let variable = Type::Parameter(parameter.clone());
        if *one == variable {
            return (true, true);
        }
        if let Some(known) = self.0.get(parameter).cloned() {
            if *one == known {
                return (true, true);
            }
            if !self.assignable(one, &known) {
                return (false, true);
            }
            let general = if one.is_equal_or_less_specific(&known) { one.clone() } else { known };
            if self.is_free_of(&variable, &general) {
                self.bind(parameter.clone(), general);
            }
            return (true, true);
        }
        if self.is_free_of(&variable, one) {
            self.bind(parameter.clone(), one.clone());
            return (true, false);
        }
        (false, false)
    }

    /// Whether a type does not stand for itself somewhere within another.
    fn is_free_of(&self, variable: &Type, within: &Type) -> bool {
        if variable == within {
            return false;
        }
        match within {
            Type::Parameter(name) => self.0.get(name).is_none_or(|known| self.is_free_of(variable, known)),
            _ => within.parameters().into_iter().all(|parameter| self.is_free_of(variable, parameter)),
        }
    }

    /// The type with its variables replaced by what is known of them; with `settle`, others become `dyn`.
    pub(crate) fn substitute(&self, of: &Type, settle: bool) -> Type {
        let inner = |of: &Type| Box::new(self.substitute(of, settle));
        match of {
            Type::Parameter(name) => match self.0.get(name) {
                Some(known) => self.substitute(known, settle),
                None if settle => Type::Dyn,
                None => of.clone(),
            },
            Type::List(item) => Type::List(inner(item)),
            Type::Map(key, value) => Type::Map(inner(key), inner(value)),
            Type::Named(what) => Type::Named(inner(what)),
            Type::Opaque(name, parameters) => {
                Type::Opaque(name.clone(), parameters.iter().map(|one| self.substitute(one, settle)).collect())
            }
            other => other.clone(),
        }
    }

    /// What both types are, the more general of them.
    pub(crate) fn join(&mut self, one: &Type, other: &Type) -> Option<Type> {
        self.assign(one, other).then(|| if one.is_equal_or_less_specific(other) { one.clone() } else { other.clone() })
    }
}
