//! Query parameters of the Kubernetes API.

use std::num::IntErrorKind;

use http::{Method, Uri};
use kogge_machinery::{
    object_meta::validate_field_manager,
    status_error::{ApiError, FieldError, quote},
};
use serde_json::json;

/// What becomes of fields the schema does not know and of duplicate fields (`fieldValidation`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldValidation {
    Ignore,
    Warn,
    Strict,
}

/// Decoded query parameters, in order, and the kind of options they are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>, &'static str);

impl Query {
    pub(crate) fn parse(uri: &Uri) -> Result<Self, ApiError> {
        if uri.query().is_none_or(str::is_empty) {
            return Ok(Self::default());
        }
        // What has a semicolon is no parameter to Go.
        let without = |query: &str| query.split('&').filter(|part| !part.contains(';')).collect::<Vec<_>>().join("&");
        let cleaned = uri.query().filter(|query| query.contains(';')).map(without);
        let cleaned = cleaned.and_then(|query| format!("/?{query}").parse().ok());
        axum::extract::Query::<Vec<(String, String)>>::try_from_uri(cleaned.as_ref().unwrap_or(uri))
            .map(|query| Self(query.0, ""))
            .map_err(|error| ApiError::bad_request(format!("invalid query: {error}")))
    }

    /// With the name of the options a request of this method takes, which errors name.
    pub(crate) fn of_method(mut self, method: &Method) -> Self {
        self.1 = match method.as_str() {
            "POST" => "CreateOptions",
            "PUT" => "UpdateOptions",
            "PATCH" => "PatchOptions",
            _ => "DeleteOptions",
        };
        self
    }

    fn invalid(&self, errors: &[FieldError]) -> ApiError {
        ApiError::invalid("meta.k8s.io", self.1, "", errors)
    }

    /// The first value of a parameter; an empty value counts as absent, as in the real server.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.given(name).filter(|value| !value.is_empty())
    }

    /// Whether a parameter is there at all, even empty.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }

    /// The first value of a parameter, even an empty one.
    pub(crate) fn given(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All values of a parameter.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Absent, `0` and `false` are false, everything else is true, an empty value too (conversion of the real server).
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.given(name).is_some_and(|value| !matches!(value.to_ascii_lowercase().as_str(), "0" | "false"))
    }

    /// # Errors
    /// 400 for what is no number, an empty value too, in the words of Go.
    pub(crate) fn number(&self, name: &str) -> Result<Option<i64>, ApiError> {
        self.given(name).map(parse_integer).transpose().map_err(ApiError::bad_request)
    }

    /// Whether `dryRun=All` is asked for.
    pub(crate) fn dry_run(&self) -> Result<bool, ApiError> {
        let values: Vec<&str> =
            self.0.iter().filter(|(key, _)| key == "dryRun").map(|(_, value)| value.as_str()).collect();
        match unsupported_dry_run(&values) {
            Some(error) => Err(self.invalid(&[error])),
            None => Ok(!values.is_empty()),
        }
    }

    /// How long the client is ready to wait; only that it is a duration counts here.
    ///
    /// # Errors
    /// 400 for what is none, in the words of Go.
    pub(crate) fn check_timeout(&self) -> Result<(), ApiError> {
        let Some(text) = self.get("timeout") else { return Ok(()) };
        let problem = duration_problem(text);
        problem.map_or(Ok(()), |why| {
            Err(ApiError::bad_request(format!("invalid timeout specified in the request URL - time: {why}")))
        })
    }

    /// What every write asks for apart from its object.
    ///
    /// # Errors
    /// 422 with every option that is wrong.
    pub(crate) fn check_write_options(&self) -> Result<(), ApiError> {
        let wrong = [self.field_manager().map(drop), self.dry_run().map(drop), self.field_validation().map(drop)];
        let mut wrong = wrong.into_iter().filter_map(Result::err);
        match (wrong.next(), wrong.next()) {
            (None, _) => Ok(()),
            (Some(error), None) => Err(error),
            // Seldom enough to be found once more.
            (Some(_), Some(_)) => {
                let manager = self.get("fieldManager");
                let mut errors = manager.map(|name| validate_field_manager("fieldManager", name)).unwrap_or_default();
                let values: Vec<&str> =
                    self.0.iter().filter(|(key, _)| key == "dryRun").map(|(_, value)| value.as_str()).collect();
                errors.extend(unsupported_dry_run(&values));
                errors.extend(self.unsupported_field_validation());
                Err(self.invalid(&errors))
            }
        }
    }

    fn unsupported_field_validation(&self) -> Option<FieldError> {
        let level = self.get("fieldValidation").filter(|level| !matches!(*level, "Warn" | "Strict" | "Ignore"))?;
        let supported = ["", "Ignore", "Strict", "Warn"];
        Some(FieldError::not_supported("fieldValidation", &level.into(), &supported))
    }

    pub(crate) fn field_validation(&self) -> Result<FieldValidation, ApiError> {
        match self.get("fieldValidation") {
            None | Some("Warn") => Ok(FieldValidation::Warn),
            Some("Strict") => Ok(FieldValidation::Strict),
            Some("Ignore") => Ok(FieldValidation::Ignore),
            Some(_) => Err(self.invalid(&self.unsupported_field_validation().into_iter().collect::<Vec<_>>())),
        }
    }

    /// `fieldManager`, checked.
    pub(crate) fn field_manager(&self) -> Result<Option<&str>, ApiError> {
        let manager = self.get("fieldManager");
        let errors = manager.map(|name| validate_field_manager("fieldManager", name)).unwrap_or_default();
        if errors.is_empty() { Ok(manager) } else { Err(self.invalid(&errors)) }
    }
}

/// A whole number.
///
/// # Errors
/// In the words of Go, for what is none, an empty text too.
pub(crate) fn parse_integer(text: &str) -> Result<i64, String> {
    text.parse::<i64>().map_err(|error| {
        let why = match error.kind() {
            IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        format!("strconv.ParseInt: parsing {}: {why}", quote(text))
    })
}

/// Why a text is no duration (`1m30s`, `0`), as Go's `time.ParseDuration` says it.
fn duration_problem(text: &str) -> Option<String> {
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return None;
    }
    let shown = quote(text);
    let invalid = Some(format!("invalid duration {shown}"));
    if rest.is_empty() {
        return invalid;
    }
    while !rest.is_empty() {
        let number = rest.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(rest.len());
        let (digits, after) = rest.split_at(number);
        if !digits.bytes().any(|byte| byte.is_ascii_digit()) || digits.matches('.').count() > 1 {
            return invalid;
        }
        let end = after.find(|character: char| character.is_ascii_digit() || character == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        if unit.is_empty() {
            return Some(format!("missing unit in duration {shown}"));
        }
        if !matches!(unit, "ns" | "us" | "µs" | "μs" | "ms" | "s" | "m" | "h") {
            return Some(format!("unknown unit {} in duration {shown}", quote(unit)));
        }
        rest = after;
    }
    None
}

/// What is wrong with the values of `dryRun`, all of which are shown.
pub(crate) fn unsupported_dry_run(values: &[&str]) -> Option<FieldError> {
    let is_wrong = values.iter().any(|value| *value != "All");
    is_wrong.then(|| FieldError::not_supported("dryRun", &json!(values), &["All"]))
}
