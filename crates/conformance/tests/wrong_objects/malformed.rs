//! Requests whose body, type, path or query is wrong, whatever object they are about.

use super::case::{Case, Choice};
use super::seed::Seed;

#[path = "malformed/bodies.rs"]
mod bodies;
#[path = "malformed/changes.rs"]
mod changes;
#[path = "malformed/damaged_patches.rs"]
mod damaged_patches;
#[path = "malformed/options.rs"]
mod options;

const JSON: &str = "application/json";
const YAML: &str = "application/yaml";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const PATCH: &str = "application/json-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

/// What the requests are made for: a kind that Go has a simple type for, one with a deep type, and a custom one.
const TARGETS: &[(&str, &str)] = &[
    ("/api/v1/namespaces/default/configmaps", "seed"),
    ("/apis/apps/v1/namespaces/default/deployments", "seed"),
    ("/apis/library.example.com/v1/namespaces/default/shelves", "seed"),
];

/// All of them for the targets, and the chosen ones of those with wrong metadata for the other seeds. All seeds have to be
/// stored.
pub(crate) fn all(seeds: &[Seed], choice: Choice) -> Vec<Case> {
    let (mut cases, mut others) = (Vec::new(), Vec::new());
    for seed in seeds.iter().filter(|seed| seed.stored) {
        if !TARGETS.iter().any(|(at, name)| seed.at == *at && seed.name() == *name) {
            Requests { seed, cases: &mut others }.other_objects();
            continue;
        }
        let mut requests = Requests { seed, cases: &mut cases };
        requests.truncated(choice);
        requests.damaged(choice);
        requests.no_objects();
        requests.content_types();
        requests.encodings();
        requests.yaml();
        requests.protobuf(choice);
        requests.other_objects();
        requests.patches();
        requests.directives();
        requests.damaged_patches();
        requests.applies();
        requests.queries();
        requests.deletes();
        requests.reads();
    }
    others.sort_by_cached_key(|case| choice.number(&case.name));
    others.truncate(choice.count / 10);
    others.sort_by(|one, other| one.name.cmp(&other.name));
    cases.extend(others);
    cases
}

struct Requests<'a> {
    seed: &'a Seed,
    cases: &'a mut Vec<Case>,
}

impl Requests<'_> {
    fn add(&mut self, what: &str, method: &'static str, path: String, content_type: &str, body: impl Into<Vec<u8>>) {
        let name = format!("{}: {method} {what}", self.seed.title());
        let headers =
            if content_type.is_empty() { Vec::new() } else { vec![("content-type", content_type.to_owned())] };
        self.cases.push(Case { name, method, path, headers, body: body.into(), ..Case::default() });
    }

    /// A create of this body.
    fn post(&mut self, what: &str, content_type: &str, body: impl Into<Vec<u8>>) {
        self.add(what, "POST", format!("{}?dryRun=All", self.seed.at), content_type, body);
    }

    /// The same with a header more for the last request.
    fn with_header(&mut self, name: &'static str, value: &str) {
        if let Some(case) = self.cases.last_mut() {
            case.headers.push((name, value.to_owned()));
        }
    }

    /// An update with this body.
    fn put(&mut self, what: &str, content_type: &str, body: impl Into<Vec<u8>>) {
        self.add(what, "PUT", format!("{}?dryRun=All", self.seed.path()), content_type, body);
    }

    fn patch(&mut self, content_type: &str, body: &str) {
        let path = if content_type == APPLY {
            format!("{}?dryRun=All&fieldManager=wrong-objects", self.seed.path())
        } else {
            format!("{}?dryRun=All", self.seed.path())
        };
        self.add(&format!("{content_type} {body}"), "PATCH", path, content_type, body);
    }

    /// A new object of the kind, as text.
    fn text(&self) -> String {
        let mut object = self.seed.object.clone();
        object["metadata"]["name"] = "other".into();
        object.to_string()
    }
}
