//! What an `AuthenticationConfiguration` says of requests without credentials, as far as this server can hold it.

use kogge_machinery::status_error::FieldError;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::pipeline::PUBLIC_PATHS;

/// Whether requests without credentials are let through, and to which paths: to all if none is named.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Anonymous {
    #[serde(default)]
    enabled: bool,
    #[serde(default)]
    conditions: Vec<AnonymousCondition>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AnonymousCondition {
    #[serde(default)]
    path: String,
}

impl Anonymous {
    pub(super) fn validate(&self, errors: &mut Vec<FieldError>) {
        let open = |condition: &AnonymousCondition| PUBLIC_PATHS.contains(&condition.path.as_str());
        match (self.enabled, &self.conditions[..]) {
            (false, []) => {}
            (false, conditions) => {
                let detail = "enabled should be set to true when conditions are defined";
                errors.push(FieldError::invalid("anonymous.conditions", &json!(conditions), detail));
            }
            (true, [_, ..]) if self.conditions.iter().all(open) => {}
            (true, _) => {
                let detail = "this server answers requests without credentials on /livez, /readyz, /healthz and /version, and nowhere else";
                errors.push(FieldError::forbidden("anonymous", detail));
            }
        }
    }
}
