//! Scenarios as data: what is requested, in which order, and what is remembered.
//!
//! They are written in YAML, one file an area, and embedded in the binary. In every text `$name` and `${name}` stand for
//! variables: `$ns`, the scenario's own namespace; `$id`, ten characters no other scenario has; `$webhooks` and `$ca`, for its webhooks; those of the area; and
//! what earlier steps saved.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::webhook::Webhook;

/// The areas of the suite with their scenarios, as embedded.
const AREAS: &[(&str, &str)] = &[
    ("objects", include_str!("../../scenarios/objects.yaml")),
    ("watches", include_str!("../../scenarios/watches.yaml")),
    ("lists", include_str!("../../scenarios/lists.yaml")),
    ("patches", include_str!("../../scenarios/patches.yaml")),
    ("apply", include_str!("../../scenarios/apply.yaml")),
    ("definitions", include_str!("../../scenarios/definitions.yaml")),
    ("discovery", include_str!("../../scenarios/discovery.yaml")),
    ("presentation", include_str!("../../scenarios/presentation.yaml")),
    ("kinds", include_str!("../../scenarios/kinds.yaml")),
    ("workloads", include_str!("../../scenarios/workloads.yaml")),
    ("access", include_str!("../../scenarios/access.yaml")),
    ("admission", include_str!("../../scenarios/admission.yaml")),
    ("policies", include_str!("../../scenarios/policies.yaml")),
    ("nodes", include_str!("../../scenarios/nodes.yaml")),
    ("limits", include_str!("../../scenarios/limits.yaml")),
    ("pod-security", include_str!("../../scenarios/pod-security.yaml")),
];

/// Steps that scenarios of all areas start with, as embedded.
const FIXTURES: &str = include_str!("../../scenarios/fixtures.yaml");

/// One scenario.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What is proved, as a sentence. Unique.
    pub name: String,
    /// The file it stands in.
    #[serde(skip)]
    pub area: String,
    /// Number of the item of the list it belongs to (see [`super::item`]).
    pub item: u32,
    /// Whether it runs when all others are done: it changes what they would meet.
    #[serde(default)]
    pub alone: bool,
    /// Names of fixtures whose steps run first and are not recorded.
    #[serde(default)]
    pub with: Vec<String>,
    /// Webhooks that answer during the scenario, by name. `$webhooks/NAME` is the URL of one, `$ca` what its certificate
    /// is trusted by.
    #[serde(default)]
    pub webhooks: BTreeMap<String, Webhook>,
    /// Its steps.
    pub steps: Vec<Step>,
    /// Texts that stand for themselves wherever they occur, e.g. a time the scenario itself sets.
    #[serde(skip)]
    pub source: String,
    /// Variables of its area.
    #[serde(skip)]
    pub variables: BTreeMap<String, String>,
}

/// One request and what to do with its answer.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Step {
    /// Method and path with query, such as `GET /api/v1/namespaces/$ns`. Absent in a step that reads a watch.
    #[serde(rename = "do")]
    pub request: Option<String>,
    /// The body, sent as JSON.
    pub body: Option<Value>,
    /// The body as it is.
    pub text: Option<String>,
    /// The body, base64.
    pub base64: Option<String>,
    /// A text repeated in place of `@` in `text`, for bodies that are too large.
    pub fill: Option<Fill>,
    /// The kind of patch: `merge` (the default), `json`, `strategic` or `apply`.
    #[serde(rename = "as")]
    pub patch: Option<String>,
    /// Headers; a `Content-Type` here replaces the one that belongs to the body, an `Authorization` the credentials of
    /// the kubeconfig.
    pub headers: BTreeMap<String, String>,
    /// Variables to set from the answer: name to JSON pointer.
    pub save: BTreeMap<String, String>,
    /// Repeat until the answer is this; only the last answer is recorded.
    pub until: Option<Until>,
    /// Read so many events of the watch.
    pub events: Option<usize>,
    /// Seconds to wait for `events` (5) or `until` (90).
    pub seconds: Option<u64>,
    /// Only start the watch, under this name; a later step reads it.
    pub background: Option<String>,
    /// Read events from the watch of this name.
    pub read: Option<String>,
    /// Take what the webhook of this name was asked since the last time.
    pub asked: Option<String>,
    /// From this step on these webhooks answer in another way.
    pub webhooks: BTreeMap<String, Webhook>,
    /// Wait so many milliseconds first.
    pub pause: Option<u64>,
    /// Record only these parts of the body (JSON pointers; `*` stands for every item).
    pub only: Vec<String>,
    /// Leave these parts of the body out.
    pub ignore: Vec<String>,
    /// Record further headers than the usual ones.
    pub show: Vec<String>,
    /// Sort the lists at these places: their order means nothing.
    pub sort: Vec<String>,
    /// Whether to leave the whole step out of the transcript.
    pub silent: bool,
}

/// A text and how often it stands there.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fill {
    /// The text.
    pub text: String,
    /// How often.
    pub times: usize,
}

/// What a repeated request waits for.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Until {
    /// An HTTP status code.
    Code(u16),
    /// Values at JSON pointers of the body; `null` means absent.
    Body(BTreeMap<String, Value>),
}

/// Why an embedded file is not a list of scenarios. Only a changed file can show this.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The YAML does not have the shape of a list of scenarios.
    #[error("scenarios/{area}.yaml: {source}")]
    Parse {
        /// The area.
        area: String,
        /// What is wrong.
        source: Box<serde_saphyr::Error>,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Area {
    #[serde(default)]
    variables: BTreeMap<String, String>,
    scenarios: Vec<Scenario>,
}

/// The scenarios of one area's file.
///
/// # Errors
/// If it is no such file.
pub fn parse(area: &str, text: &str) -> Result<Vec<Scenario>, ScenarioError> {
    let parsed: Area = serde_saphyr::from_str(text)
        .map_err(|source| ScenarioError::Parse { area: area.to_owned(), source: Box::new(source) })?;
    let Area { variables, scenarios } = parsed;
    Ok(scenarios
        .into_iter()
        .map(|scenario| Scenario {
            area: area.to_owned(),
            source: format!("{:?}", scenario.steps),
            variables: variables.clone(),
            ..scenario
        })
        .collect())
}

/// The names of all areas, in the order of the suite.
pub fn areas() -> impl Iterator<Item = &'static str> {
    AREAS.iter().map(|(area, _)| *area)
}

/// All scenarios of the suite, in order.
///
/// # Panics
/// If an embedded file is not readable, which a test excludes.
pub fn all() -> Vec<Scenario> {
    AREAS.iter().flat_map(|(area, text)| parse(area, text).unwrap_or_else(|error| panic!("{error}"))).collect()
}

/// The named beginnings scenarios can have.
///
/// # Panics
/// If the embedded file is not readable, which a test excludes.
pub fn fixtures() -> BTreeMap<String, Vec<Step>> {
    serde_saphyr::from_str(FIXTURES).unwrap_or_else(|error| panic!("scenarios/fixtures.yaml: {error}"))
}
