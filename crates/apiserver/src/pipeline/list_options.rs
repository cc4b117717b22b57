//! The parameters of lists and watches, checked as `internalversion/validation` of apimachinery does, and continue
//! tokens.

use base64::{DecodeError, Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use kogge_machinery::{
    resource::ResourceType,
    selector::{FieldSelector, LabelSelector},
    status_error::{ApiError, FieldError, quote},
    typed_object,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::query::Query;

/// Which objects are wanted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    pub(crate) labels: LabelSelector,
    pub(crate) fields: FieldSelector,
}

impl Selection {
    pub(crate) fn parse(query: &Query, resource: &ResourceType) -> Result<Self, ApiError> {
        Ok(Self {
            labels: query.get("labelSelector").map(LabelSelector::parse).transpose()?.unwrap_or_default(),
            fields: query
                .get("fieldSelector")
                .map(|text| FieldSelector::parse(text, resource))
                .transpose()?
                .unwrap_or_default(),
        })
    }

    pub(crate) fn is_everything(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        (self.labels.is_empty() || self.labels.matches(object))
            && (self.fields.is_empty() || self.fields.matches(object))
    }
}

/// `resourceVersionMatch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VersionMatch {
    Exact,
    NotOlderThan,
}

/// The checked parameters.
#[derive(Clone, Debug)]
pub(crate) struct ListOptions {
    /// 0 for no limit.
    pub(crate) limit: usize,
    pub(crate) continue_token: Option<ContinueToken>,
    /// None where unset; 0 means any.
    pub(crate) resource_version: Option<u64>,
    pub(crate) version_match: Option<VersionMatch>,
    pub(crate) timeout_seconds: Option<u64>,
    pub(crate) send_initial_events: Option<bool>,
    pub(crate) bookmarks: bool,
}

impl ListOptions {
    pub(crate) fn parse(query: &Query, watch: bool) -> Result<Self, ApiError> {
        let timeout_seconds = query.number("timeoutSeconds")?;
        let limit = query.number("limit")?;
        let initial = query.has("sendInitialEvents").then(|| query.flag("sendInitialEvents"));
        let errors = if watch { wrong_for_watch(query, initial) } else { wrong_for_list(query, initial) };
        if !errors.is_empty() {
            return Err(ApiError::invalid("meta.k8s.io", "ListOptions", "", &errors));
        }
        let version_match = match query.get(MATCH) {
            Some("Exact") => Some(VersionMatch::Exact),
            Some(_) => Some(VersionMatch::NotOlderThan),
            None => None,
        };
        let parse_version = if watch { parse_resource_version } else { parse_list_version };
        let resource_version = query.get("resourceVersion").map(parse_version).transpose()?;
        let continue_text = query.get("continue");
        if continue_text.is_some() && resource_version.is_some_and(|version| version != 0) {
            return Err(ApiError::bad_request(
                "specifying resource version is not allowed when using continue".to_owned(),
            ));
        }
        Ok(Self {
            limit: limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(0),
            continue_token: continue_text.filter(|_| !watch).map(ContinueToken::decode).transpose()?,
            resource_version,
            version_match,
            timeout_seconds: timeout_seconds.and_then(|seconds| u64::try_from(seconds).ok()),
            send_initial_events: initial,
            bookmarks: query.flag("allowWatchBookmarks"),
        })
    }
}

const MATCH: &str = "resourceVersionMatch";

/// What does not go together in a list, in the order the real server finds it.
fn wrong_for_list(query: &Query, initial: Option<bool>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(wanted) = query.get(MATCH) {
        let mut forbid = |detail: &str| errors.push(FieldError::forbidden(MATCH, detail));
        if query.get("resourceVersion").is_none() {
            forbid("resourceVersionMatch is forbidden unless resourceVersion is provided");
        }
        if query.get("continue").is_some() {
            forbid("resourceVersionMatch is forbidden when continue is provided");
        }
        if wanted == "Exact" && query.get("resourceVersion") == Some("0") {
            forbid("resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
        }
        if !matches!(wanted, "Exact" | "NotOlderThan") {
            errors.push(FieldError::not_supported(MATCH, &Value::from(wanted), &["Exact", "NotOlderThan", ""]));
        }
    }
    if initial.is_some() {
        errors.push(FieldError::forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"));
    }
    errors
}

/// What does not go together in a watch, in the order the real server finds it.
fn wrong_for_watch(query: &Query, initial: Option<bool>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut wanted = query.get(MATCH);
    let mut initial = initial;
    // A watch from any revision has always begun with what there is; it counts as if it had said so.
    if initial.is_none() && wanted.is_none() && matches!(query.get("resourceVersion"), None | Some("0")) {
        (initial, wanted) = (Some(true), Some("NotOlderThan"));
    }
    let is_newest = wanted == Some("NotOlderThan");
    if initial.is_some() && !is_newest {
        let detail = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
        errors.push(FieldError::forbidden(MATCH, detail));
    }
    if let Some(wanted) = wanted {
        if initial.is_none() {
            let detail = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
            errors.push(FieldError::forbidden(MATCH, detail));
        }
        if !is_newest {
            errors.push(FieldError::not_supported(MATCH, &Value::from(wanted), &["NotOlderThan"]));
        }
        if query.get("continue").is_some() {
            let detail = "resourceVersionMatch is forbidden when continue is provided";
            errors.push(FieldError::forbidden(MATCH, detail));
        }
    }
    errors
}

/// A `resourceVersion` parameter of a get or a watch.
pub(crate) fn parse_resource_version(text: &str) -> Result<u64, ApiError> {
    text.parse().map_err(|_| ApiError::new(500, "", not_a_version(text)))
}

fn parse_list_version(text: &str) -> Result<u64, ApiError> {
    text.parse().map_err(|_| ApiError::bad_request(format!("invalid resource version: {}", not_a_version(text))))
}

fn not_a_version(text: &str) -> String {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let why = if is_number { "value out of range" } else { "invalid syntax" };
    let text = quote(text);
    format!("resourceVersion: Invalid value: {text}: strconv.ParseUint: parsing {text}: {why}")
}

/// Where the next page of a list begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ContinueToken {
    #[serde(rename = "v", default)]
    api_version: String,
    /// Revision of the snapshot; -1 for "as it is now", which gives an inconsistent list.
    #[serde(rename = "rv", default)]
    pub(crate) revision: i64,
    /// `NAMESPACE/NAME` of the last object of the page before.
    #[serde(default)]
    start: String,
    /// How many objects were left after the page before, if that is known.
    #[serde(rename = "left", default, skip_serializing_if = "Option::is_none")]
    pub(crate) remaining: Option<u64>,
}

impl ContinueToken {
    pub(crate) fn new(revision: i64, namespace: &str, name: &str, remaining: Option<u64>) -> Self {
        Self { api_version: "meta.k8s.io/v1".to_owned(), revision, start: format!("{namespace}/{name}"), remaining }
    }

    pub(crate) fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    fn decode(text: &str) -> Result<Self, ApiError> {
        let not_valid =
            |why: &str| ApiError::bad_request(format!("invalid continue token: continue key is not valid: {why}"));
        let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|error| {
            let at = match error {
                DecodeError::InvalidByte(at, _) | DecodeError::InvalidLastSymbol(at, _) => at,
                DecodeError::InvalidLength(length) => length.saturating_sub(1),
                DecodeError::InvalidPadding => text.len(),
            };
            not_valid(&format!("illegal base64 data at input byte {at}"))
        })?;
        if let Some(why) = typed_object::object_problem(&bytes, "storage.continueToken") {
            return Err(not_valid(&why));
        }
        let token: Self = serde_json::from_slice(&bytes).map_err(|error| not_valid(&error.to_string()))?;
        let version = &token.api_version;
        if version != "meta.k8s.io/v1" {
            return Err(not_valid(&format!("server does not recognize this encoded version {version}")));
        }
        if token.revision == 0 {
            return Err(not_valid(&format!("incorrect encoded start resourceVersion (version {version})")));
        }
        if token.start.is_empty() {
            return Err(not_valid(&format!("encoded start key empty (version {version})")));
        }
        // Nothing above the list can be reached from here; the real server refuses the attempt.
        let path = token.start.strip_prefix('/').unwrap_or(&token.start);
        if !path.is_empty() && path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(not_valid(&token.start));
        }
        Ok(token)
    }

    /// Namespace (empty for cluster-scoped objects) and name of the last object of the page before, in a list of
    /// `namespace`. A start that names none is not from here.
    pub(crate) fn last<'a>(&'a self, namespace: &'a str) -> (&'a str, &'a str) {
        self.start.split_once('/').unwrap_or((namespace, &self.start))
    }

    /// The same place in the list as it is now.
    pub(crate) fn inconsistent(&self) -> Self {
        Self { revision: -1, remaining: None, ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str, watch: bool) -> Result<ListOptions, String> {
        let uri = format!("/api/v1/pods?{query}").parse().unwrap();
        ListOptions::parse(&Query::parse(&uri).unwrap(), watch).map_err(|error| error.to_string())
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        let refused = [
            ("resourceVersionMatch=Exact", false),
            ("resourceVersionMatch=Exact&resourceVersion=0", false),
            ("resourceVersionMatch=Newest&resourceVersion=1", false),
            ("sendInitialEvents=true", false),
            ("sendInitialEvents=true", true),
            ("resourceVersionMatch=NotOlderThan&resourceVersion=1", true),
            ("resourceVersion=abc", true),
            ("continue=abc", false),
        ];
        let errors: Vec<String> =
            refused.iter().map(|(query, watch)| format!("{query}: {}", parse(query, *watch).unwrap_err())).collect();
        insta::assert_snapshot!(errors.join("\n"));
        assert!(parse("sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=", true).is_ok());
        assert!(parse("resourceVersion=7&resourceVersionMatch=Exact&limit=3", false).is_ok());
    }

    #[test]
    fn continue_tokens_survive_their_encoding() {
        let token = ContinueToken::new(17, "default", "a", Some(3));
        let decoded = ContinueToken::decode(&token.encode()).unwrap();
        assert_eq!(
            (decoded.last("other"), decoded.revision, decoded.inconsistent().revision),
            (("default", "a"), 17, -1)
        );
    }
}
