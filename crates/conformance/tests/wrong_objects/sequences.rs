//! Sequences of writes to one object, right and wrong ones mixed: what a request is answered depends on all before it.
//!
//! A sequence starts from a seed under a name of its own and keeps what it wants the object to be. Each step changes that a
//! little and writes it: whole, as a patch of any kind, as one of two appliers, by what was read before, to the status or the
//! scale; or it deletes the object. Every answer is compared, managed fields with it; a sequence ends where one differs.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Value, json};

use super::case::{Case, Choice};
use super::draw::Draw;
use super::mutation::{self, Mutation};
use super::random_schema;
use super::seed::{REVISION, Seed};
use super::servers::Servers;
use kogge_conformance::api::difference::{Difference, compare};
use kogge_conformance::api::normalization::normalize;
use kogge_conformance::api::runner::Exchange;
use kogge_conformance::api::scenario::Step;

/// How many writes a sequence has.
const STEPS: usize = 10;
/// Collections that others or controllers of one of the servers depend on, so that nobody may write to them at random.
const LEFT_OUT: &[&str] = &["/customresourcedefinitions", "/flowschemas", "/namespaces", "/resourcequotas"];
/// Collections of objects that the real server stores in another form than it shows them until their first change, which
/// moves the revision then even where it changes nothing.
const REWRITTEN: [&str; 2] = ["/jobs", "/persistentvolumeclaims"];
/// How a line ends about a field that no type has.
const UNDECLARED: &str = "field not declared in schema";
/// How messages begin that list things in the order of a map of the real server's, or by times that are not the same.
const ORDERLESS: [&str; 2] = ["failed to create typed patch object", "Apply failed with "];
/// Collections whose objects can be scaled.
const SCALABLE: &[&str] = &["/deployments", "/replicasets", "/statefulsets", "/replicationcontrollers", "/shelves"];

/// A sequence of writes to one object.
pub(crate) struct Sequence {
    name: String,
    seed: Seed,
    choice: Choice,
    /// What its object should look like, for one of a random kind.
    schema: Option<Value>,
}

/// What came of a sequence: its requests up to the first whose answer differed, and how.
pub(crate) struct Outcome {
    pub(crate) sent: Vec<Case>,
    pub(crate) differences: Vec<Difference>,
}

/// A way to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Create,
    Update,
    /// An update of what the server answered last.
    Rewrite,
    MergePatch,
    StrategicPatch,
    JsonPatch,
    Apply,
    Delete,
    Scale,
}

/// Weighted by how often they stand here.
const FORMS: &[Form] = &[
    Form::Create,
    Form::Update,
    Form::Update,
    Form::Rewrite,
    Form::Rewrite,
    Form::MergePatch,
    Form::MergePatch,
    Form::StrategicPatch,
    Form::StrategicPatch,
    Form::JsonPatch,
    Form::Apply,
    Form::Apply,
    Form::Apply,
    Form::Apply,
    Form::Delete,
    Form::Scale,
];

/// `count` sequences over all seeds that can be stored.
pub(crate) fn all(seeds: &[Seed], choice: Choice, count: usize) -> Vec<Sequence> {
    let is_wanted = |seed: &&Seed| seed.stored && !LEFT_OUT.iter().any(|plural| seed.at.ends_with(plural));
    let seeds: Vec<&Seed> = seeds.iter().filter(is_wanted).collect();
    let sequence = |number: usize| {
        let mut seed = seeds[number % seeds.len()].clone();
        let title = seed.title();
        seed.object["metadata"]["name"] = format!("sequence-{number}").into();
        Sequence { name: format!("sequence {number} of {title}"), seed, choice, schema: None }
    };
    (0..count).map(sequence).collect()
}

/// What a sequence has come to.
struct State {
    /// What it wants the object to be.
    wanted: Value,
    exists: bool,
    /// The last answers that were the object, the real server's and the embedded one's.
    last: Option<[Value; 2]>,
    sent: Vec<Case>,
    exchanges: [Vec<Exchange>; 2],
}

impl State {
    /// What the embedded server answered otherwise so far.
    fn differences(&self) -> Vec<Difference> {
        let texts = self.sent.iter().map(|case| format!("{} {}", case.path, String::from_utf8_lossy(&case.body)));
        let source = texts.collect::<Vec<_>>().join("\n");
        // No text of an answer holds this, so that nothing is replaced by it.
        let [real, embedded] = self.exchanges.each_ref().map(|list| normalize(list, "\u{0}", &source));
        compare(&embedded, &real)
    }
}

/// One write: what each server gets, and what is wanted afterwards.
struct Write {
    case: Case,
    bodies: [Value; 2],
    dry_run: bool,
    wanted: Option<Value>,
}

impl Sequence {
    /// One that starts from `seed` and goes on with values made for `schema`.
    pub(crate) fn of_schema(name: String, seed: Seed, choice: Choice, schema: Value) -> Self {
        Self { name, seed, choice, schema: Some(schema) }
    }

    /// What it is called.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Sends it to both servers.
    pub(crate) async fn run(&self, servers: &Servers) -> Outcome {
        let mut wanted = self.seed.object.clone();
        if self.draw(0, "with status", 3) == 0
            && let Some(status) = &self.seed.status
        {
            wanted["status"] = status.clone();
        }
        let (sent, exchanges) = (Vec::new(), [Vec::new(), Vec::new()]);
        let mut state = State { wanted, exists: false, last: None, sent, exchanges };
        for step in 0..STEPS {
            let write = self.write(step, &state);
            let answers = servers.ask_each(&write.case, write.bodies.each_ref()).await;
            // A server that broke down over a request stored nothing that could be compared with.
            if answers.real.code == 0 && answers.embedded.code != 0 {
                break;
            }
            let found = [answers.real.body.clone(), answers.embedded.body.clone()];
            let succeeded = answers.real.code < 300;
            // Managers are listed by the time of their last write, in seconds, which the two servers need not share.
            let sort = vec!["/metadata/managedFields".to_owned()];
            let is_rewritten = REWRITTEN.iter().any(|plural| self.seed.at.ends_with(plural));
            let ignore = if is_rewritten { vec!["/metadata/resourceVersion".to_owned()] } else { Vec::new() };
            for (list, mut answer) in state.exchanges.iter_mut().zip([answers.real, answers.embedded]) {
                // Messages show objects, and there is no telling apart what is in them.
                mask(&mut answer.body);
                answer.step = Step { sort: sort.clone(), ignore: ignore.clone(), ..Step::default() };
                list.push(answer);
            }
            let mut case = write.case;
            case.name = format!("{}: {}", case.name, state.exchanges[0].last().map_or(0, |answer| answer.code));
            state.sent.push(case);
            let differences = state.differences();
            if !differences.is_empty() {
                return Outcome { sent: state.sent, differences };
            }
            if !succeeded || write.dry_run {
                continue;
            }
            state.wanted = write.wanted.unwrap_or(state.wanted);
            let is_object = found[0]["kind"] == self.seed.object["kind"];
            let deletes = state.sent.last().is_some_and(|case| case.method == "DELETE");
            // The controllers that let go of what is protected run beside the real server, not in it.
            let protected = |finalizer: &Value| finalizer.as_str().is_some_and(|text| text.ends_with("-protection"));
            let finalizers = found[0]["metadata"]["finalizers"].as_array();
            if finalizers.is_some_and(|finalizers| finalizers.iter().any(protected)) && deletes {
                break;
            }
            // A delete answers with a status or, for some kinds, with the object as it was.
            state.exists = !deletes || (is_object && found[0]["metadata"]["deletionTimestamp"].is_string());
            state.last = if is_object { Some(found) } else { state.last.filter(|_| state.exists) };
        }
        Outcome { sent: state.sent, differences: Vec::new() }
    }

    /// A number below `bound` for one decision of one step.
    fn draw(&self, step: usize, what: &str, bound: usize) -> usize {
        let number = self.choice.number(&format!("{} {step} {what}", self.name));
        usize::try_from((number >> 7) % bound.max(1) as u64).unwrap_or_default()
    }

    fn form(&self, step: usize, state: &State) -> Form {
        let drawn = FORMS[self.draw(step, "form", FORMS.len())];
        if step == 0 || !state.exists {
            return if self.draw(step, "begin", 4) == 0 { Form::Apply } else { Form::Create };
        }
        let scalable = SCALABLE.iter().any(|plural| self.seed.at.ends_with(plural));
        match drawn {
            Form::Scale if !scalable => Form::Update,
            Form::Rewrite if state.last.is_none() => Form::Update,
            form => form,
        }
    }

    fn write(&self, step: usize, state: &State) -> Write {
        let form = self.form(step, state);
        let on_status = self.seed.status.is_some()
            && !matches!(form, Form::Create | Form::Delete | Form::Scale)
            && self.draw(step, "status", 4) == 0;
        let mut wanted = state.wanted.clone();
        if on_status && wanted.get("status").is_none() {
            wanted["status"] = self.seed.status.clone().unwrap_or_default();
        }
        let mutation = self.mutation(step, &wanted, on_status);
        let mut mutated = mutation.as_ref().map_or_else(|| wanted.clone(), |mutation| mutation.applied(&wanted));
        if form == Form::Apply
            && let Some(metadata) = mutated["metadata"].as_object_mut()
        {
            // Of custom resources the real server stores what is empty there until the next change.
            metadata.retain(|_, value| ![Value::Null, json!([]), json!({})].contains(value));
        }
        let manager = ["", "one", "two"][self.draw(step, "manager", 3)];
        let mut query: Vec<String> = Vec::new();
        if !manager.is_empty() && form != Form::Delete {
            query.push(format!("fieldManager={manager}"));
        }
        if self.schema.is_some() && form != Form::Delete {
            let level = ["", "Strict", "Warn", "Ignore"][self.draw(step, "validation", 4)];
            query.extend((!level.is_empty()).then(|| format!("fieldValidation={level}")));
        }
        let dry_run = self.draw(step, "dry run", 12) == 0;
        let mut bodies = None;
        let (method, content_type, body) = match form {
            Form::Create => ("POST", "application/json", mutated.clone()),
            Form::Update => ("PUT", "application/json", self.seed.with_revision(mutated.clone())),
            Form::Rewrite => {
                let last = state.last.clone().unwrap_or_default();
                bodies =
                    Some(last.map(|last| mutation.as_ref().map_or_else(|| last.clone(), |one| one.applied(&last))));
                ("PUT", "application/json", mutated.clone())
            }
            Form::MergePatch | Form::StrategicPatch => {
                let patch = mutation.as_ref().map_or_else(|| json!({}), |mutation| mutation.merge_patch(&wanted));
                let content_type = match form {
                    Form::MergePatch => "application/merge-patch+json",
                    _ => "application/strategic-merge-patch+json",
                };
                ("PATCH", content_type, patch)
            }
            Form::JsonPatch => {
                let patch = mutation.as_ref().map_or_else(|| json!([]), |mutation| mutation.json_patch(&wanted));
                ("PATCH", "application/json-patch+json", patch)
            }
            Form::Apply => {
                if manager.is_empty() {
                    query.push("fieldManager=three".to_owned());
                }
                if self.draw(step, "force", 2) == 0 {
                    query.push("force=true".to_owned());
                }
                ("PATCH", "application/apply-patch+yaml", self.part(step, &mutated))
            }
            Form::Delete if dry_run => ("DELETE", "application/json", json!({"dryRun": ["All"]})),
            Form::Delete => ("DELETE", "application/json", json!({})),
            Form::Scale => {
                let replicas = [0, 1, 3, 5, -1][self.draw(step, "replicas", 5)];
                ("PATCH", "application/merge-patch+json", json!({"spec": {"replicas": replicas}}))
            }
        };
        // The body of a deletion counts, not its query.
        if dry_run && form != Form::Delete {
            query.push("dryRun=All".to_owned());
        }
        let mut path = if form == Form::Create { self.seed.at.clone() } else { self.seed.path() };
        if on_status {
            path.push_str("/status");
        }
        if form == Form::Scale {
            path.push_str("/scale");
        }
        if !query.is_empty() {
            path = format!("{path}?{}", query.join("&"));
        }
        let title = mutation.as_ref().map_or("as it is", |mutation| &mutation.title);
        let case = Case {
            name: format!("{} step {step}: {form:?}{} {title}", self.name, if on_status { " of status" } else { "" }),
            method,
            path,
            headers: vec![("content-type", content_type.to_owned())],
            body: body.to_string().into_bytes(),
            ..Case::default()
        };
        let revisions = state.last.as_ref().map(|last| last.each_ref().map(revision)).unwrap_or_default();
        let bodies = bodies.unwrap_or_else(|| revisions.map(|revision| with_revision(&body, &revision)));
        let keeps = matches!(form, Form::Delete | Form::Scale);
        Write { case, bodies, dry_run, wanted: (!keeps).then_some(mutated) }
    }

    /// What a step changes; nothing now and then.
    fn mutation(&self, step: usize, wanted: &Value, on_status: bool) -> Option<Mutation> {
        match self.draw(step, "kind of mutation", 10) {
            0 => None,
            1 | 2 if !on_status => Some(self.metadata_mutation(step)),
            3..=6 if self.schema.is_some() => self.fresh_part(step, on_status),
            kind => {
                let root = if on_status { "status" } else { "" };
                let all = if kind < 5 { mutation::all(wanted, root) } else { mutation::gentle(wanted, root) };
                let allowed = |mutation: &&Mutation| {
                    let at = mutation.pointer();
                    // The name is the sequence's own; a default class would be everybody's.
                    !["/apiVersion", "/kind", "/globalDefault"].contains(&at.as_str()) && !at.starts_with("/metadata")
                };
                let all: Vec<&Mutation> = all.iter().filter(allowed).collect();
                all.get(self.draw(step, "mutation", all.len())).map(|mutation| (*mutation).clone())
            }
        }
    }

    /// A part of another object of the schema.
    fn fresh_part(&self, step: usize, on_status: bool) -> Option<Mutation> {
        let root = if on_status { "status" } else { "spec" };
        let mut draw = Draw::new(self.choice, &format!("{} {step} fresh", self.name));
        let fresh = random_schema::value(&mut draw, &self.schema.as_ref()?["properties"][root], 30);
        let mut path = vec![root];
        let mut part = &fresh;
        while let Some(members) = part.as_object().filter(|members| !members.is_empty())
            && !draw.once_in(4)
        {
            let (name, value) = members.iter().nth(draw.below(members.len()))?;
            path.push(name);
            part = value;
        }
        Some(Mutation::at(&path, Some(part.clone())))
    }

    fn metadata_mutation(&self, step: usize) -> Mutation {
        let changes = [
            ("labels", json!({"app": "a", "colour": "blue"})),
            ("labels", json!({"app": "b"})),
            ("labels", Value::Null),
            ("annotations", json!({"a": "b", "long": "text of a note"})),
            ("annotations", json!({"a": ""})),
            ("annotations", Value::Null),
            ("finalizers", json!(["a.b/c"])),
            ("finalizers", json!(["a.b/c", "a.b/d"])),
            ("finalizers", json!(["a.b/c", "a.b/c"])),
            ("finalizers", json!([])),
            ("finalizers", Value::Null),
            ("generation", json!(7)),
            ("generateName", json!("x-")),
            ("creationTimestamp", Value::Null),
            ("managedFields", json!([])),
            ("managedFields", json!([{}])),
            ("resourceVersion", json!("1")),
        ];
        let (field, value) = changes[self.draw(step, "metadata", changes.len())].clone();
        Mutation::at(&["metadata", field], Some(value))
    }

    /// What an applier says: all of the object or less.
    fn part(&self, step: usize, object: &Value) -> Value {
        let mut part = object.clone();
        for number in 0..self.draw(step, "parts taken away", 3) {
            let removals: Vec<Mutation> =
                mutation::gentle(&part, "").into_iter().filter(|one| one.value.is_none()).collect();
            let Some(removal) = removals.get(self.draw(step, &format!("part {number}"), removals.len())) else { break };
            if !["/apiVersion", "/kind", "/metadata", "/metadata/name"].contains(&removal.pointer().as_str()) {
                removal.apply(&mut part);
            }
        }
        part
    }
}

fn revision(object: &Value) -> String {
    object["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned()
}

/// The body with the revision of a server in the place of [`REVISION`].
fn with_revision(body: &Value, revision: &str) -> Value {
    let mut body = body.clone();
    if let Some(named) = body.pointer_mut("/metadata/resourceVersion")
        && named == REVISION
    {
        *named = revision.into();
    }
    body
}

/// Takes out of an answer what each server draws for itself, and of an error's texts what they show of managed fields; puts
/// lists of errors in order.
pub(crate) fn mask(value: &mut Value) {
    static MASKED: LazyLock<[(Regex, &str); 4]> = LazyLock::new(|| {
        [
            (r"selfType\d+", "selfType"),
            (r#"managedFields\\*":\[.*?\}\]"#, "managedFields: []"),
            (r#"odePort\\+":\d{5}"#, "a port of nodes"),
            (r"\b10\.(0|9[6-9]|10\d|11[01])\.\d{1,3}\.\d{1,3}\b", "an address"),
        ]
        .map(|(pattern, instead)| (Regex::new(pattern).expect("a pattern"), instead))
    });
    match value {
        // Maps have no order there.
        Value::String(text) if ORDERLESS.iter().any(|start| text.starts_with(start)) => {
            let mut lines: Vec<&str> = text.split('\n').collect();
            lines[1..].sort_unstable();
            // Where something is not declared, the rest of the map, in whatever order, is not looked at.
            let undeclared = lines.iter().any(|line| line.ends_with(UNDECLARED));
            *text = if undeclared { UNDECLARED.to_owned() } else { lines.join("\n") };
        }
        Value::String(text) => {
            for (pattern, instead) in MASKED.iter() {
                if pattern.is_match(text) {
                    *text = pattern.replace_all(text, *instead).into_owned();
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask),
        Value::Object(members) => members.values_mut().for_each(mask),
        _ => {}
    }
}
