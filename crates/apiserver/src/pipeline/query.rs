//! Query parameters of the Kubernetes API.

use http::Uri;
use kogge_machinery::status_error::ApiError;

/// What becomes of fields the schema does not know and of duplicate fields (`fieldValidation`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldValidation {
    Ignore,
    Warn,
    Strict,
}

/// Decoded query parameters, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(uri: &Uri) -> Result<Self, ApiError> {
        if uri.query().is_none_or(str::is_empty) {
            return Ok(Self::default());
        }
        axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map(|query| Self(query.0))
            .map_err(|error| ApiError::bad_request(format!("invalid query: {error}")))
    }

    /// The first value of a parameter; an empty value counts as absent, as in the real server.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// Whether a parameter is there at all, even empty.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }

    /// Absent, `0` and `false` are false, everything else is true (conversion of the real server).
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| !matches!(value.to_ascii_lowercase().as_str(), "0" | "false"))
    }

    /// The one name a `fieldSelector` leaves: a collection of one object counts as that object for authorization.
    pub(crate) fn selected_name(&self) -> Option<&str> {
        let terms = self.get("fieldSelector")?.split(',');
        let names = terms.filter_map(|term| term.strip_prefix("metadata.name="));
        names.map(|name| name.strip_prefix('=').unwrap_or(name)).find(|name| !name.is_empty())
    }

    pub(crate) fn number(&self, name: &str) -> Result<Option<i64>, ApiError> {
        self.get(name)
            .map(|value| {
                value.parse().map_err(|_| {
                    ApiError::bad_request(format!("invalid value of query parameter {name}: {value:?} is not a number"))
                })
            })
            .transpose()
    }

    /// Whether `dryRun=All` is asked for.
    pub(crate) fn dry_run(&self) -> Result<bool, ApiError> {
        let mut dry_run = false;
        for (_, value) in self.0.iter().filter(|(key, value)| key == "dryRun" && !value.is_empty()) {
            if value != "All" {
                return Err(unsupported_dry_run(value));
            }
            dry_run = true;
        }
        Ok(dry_run)
    }

    pub(crate) fn field_validation(&self) -> Result<FieldValidation, ApiError> {
        match self.get("fieldValidation") {
            None | Some("Warn") => Ok(FieldValidation::Warn),
            Some("Strict") => Ok(FieldValidation::Strict),
            Some("Ignore") => Ok(FieldValidation::Ignore),
            Some(other) => Err(ApiError::new(
                422,
                "Invalid",
                format!(
                    "fieldValidation: Unsupported value: {other:?}: supported values: \"Ignore\", \"Strict\", \"Warn\""
                ),
            )),
        }
    }

    /// `fieldManager`, checked.
    pub(crate) fn field_manager(&self) -> Result<Option<&str>, ApiError> {
        let manager = self.get("fieldManager");
        if let Some(name) = manager {
            let wrong = if name.chars().count() > 128 {
                Some("may not be more than 128 bytes")
            } else if name.chars().any(char::is_control) {
                Some("should only contain printable characters")
            } else {
                None
            };
            if let Some(wrong) = wrong {
                return Err(ApiError::new(422, "Invalid", format!("fieldManager: Invalid value: {name:?}: {wrong}")));
            }
        }
        Ok(manager)
    }
}

pub(crate) fn unsupported_dry_run(value: &str) -> ApiError {
    ApiError::new(422, "Invalid", format!("dryRun: Unsupported value: {value:?}: supported values: \"All\""))
}
