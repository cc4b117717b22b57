//! Requests with something wrong, and which of them a run sends.

use std::hash::Hasher;
use std::rc::Rc;

use serde_json::Value;

use super::mutation::{self, Mutation};
use super::seed::Seed;

/// What sends a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sender {
    /// A client as anybody uses it, an administrator's.
    #[default]
    Client,
    /// Nothing that looks at it: an administrator's connection.
    Wire,
    /// The same, without credentials.
    WireWithoutCredentials,
}

/// A request that both servers get.
#[derive(Clone, Debug, Default)]
pub(crate) struct Case {
    /// What is wrong, as reports show it. Unique.
    pub(crate) name: String,
    pub(crate) method: &'static str,
    /// Path and query.
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) sender: Sender,
    /// Whether the body of a success is about the server itself, so that only its code and headers are compared.
    pub(crate) without_body: bool,
}

/// How a mutation reaches the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Create,
    /// A create with a second mutation.
    CreateTwofold,
    Update,
    MergePatch,
    StrategicPatch,
    JsonPatch,
    Apply,
}

const CREATES: &[Form] = &[Form::Create, Form::CreateTwofold];
const CHANGES: &[Form] = &[Form::Update, Form::MergePatch, Form::StrategicPatch, Form::JsonPatch, Form::Apply];

impl Form {
    fn verb(self) -> &'static str {
        match self {
            Self::Create | Self::CreateTwofold => "create",
            Self::Update => "update",
            Self::MergePatch => "merge",
            Self::StrategicPatch => "strategic merge",
            Self::JsonPatch => "json patch",
            Self::Apply => "apply",
        }
    }
}

/// Which cases a run has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choice {
    /// Runs with another seed have other cases.
    pub(crate) seed: u64,
    /// About how many there are of mutated objects.
    pub(crate) count: usize,
}

impl Choice {
    /// A number that belongs to a text: the same in every run with the same seed, wherever the text stands.
    pub(crate) fn number(self, text: &str) -> u64 {
        let mut hasher = Fnv(0xcbf2_9ce4_8422_2325 ^ self.seed);
        hasher.write(text.as_bytes());
        // The lower bits of the sum alone are not even.
        let mixed = (hasher.finish() ^ (hasher.finish() >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ (mixed >> 29)
    }
}

/// FNV-1a: unlike the hashers of the standard library the same for ever.
struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

/// A case before its body is written.
struct Plan<'s> {
    seed: &'s Seed,
    object: Rc<Value>,
    /// All of the object's.
    mutations: Rc<Vec<Mutation>>,
    /// Which of them it has.
    mutation: usize,
    second: Option<usize>,
    form: Form,
    subresource: &'static str,
    name: String,
}

/// The chosen cases that try to create the seeds.
pub(crate) fn creates(seeds: &[Seed], choice: Choice) -> Vec<Case> {
    let count = choice.count * 2 / 5;
    choose(seeds.iter().flat_map(|seed| plans(seed, CREATES, "", choice)).collect(), Choice { count, ..choice })
}

/// The chosen cases that try to change the stored seeds.
pub(crate) fn changes(seeds: &[Seed], choice: Choice) -> Vec<Case> {
    let count = choice.count - choice.count * 2 / 5;
    let stored = seeds.iter().filter(|seed| seed.stored);
    let plans = stored.flat_map(|seed| {
        let mut found = plans(seed, CHANGES, "", choice);
        found.extend(plans(seed, &[Form::Update, Form::MergePatch, Form::Apply], "status", choice));
        found
    });
    choose(plans.collect(), Choice { count, ..choice })
}

fn choose(mut plans: Vec<Plan<'_>>, choice: Choice) -> Vec<Case> {
    plans.sort_by_cached_key(|plan| choice.number(&plan.name));
    plans.truncate(choice.count);
    let mut cases: Vec<Case> = plans.iter().map(|plan| plan.case(choice)).collect();
    cases.sort_by(|one, other| one.name.cmp(&other.name));
    cases
}

fn plans<'s>(seed: &'s Seed, forms: &[Form], subresource: &'static str, choice: Choice) -> Vec<Plan<'s>> {
    let object = if subresource.is_empty() { Some(seed.object.clone()) } else { seed.with_status() };
    let Some(object) = object.map(Rc::new) else { return Vec::new() };
    let mutations = Rc::new(mutation::all(&object, subresource));
    let endpoint = if subresource.is_empty() { String::new() } else { format!("/{subresource}") };
    let title = format!("{}{endpoint}", seed.title());
    let plan = |form: Form, index: usize| {
        let mut name = format!("{title}: {} {}", form.verb(), mutations[index].title);
        let second = (form == Form::CreateTwofold)
            .then(|| usize::try_from(choice.number(&name) % mutations.len() as u64).unwrap_or_default());
        if let Some(second) = second {
            name = format!("{name} and {}", mutations[second].title);
        }
        let (object, mutations) = (Rc::clone(&object), Rc::clone(&mutations));
        Plan { seed, object, mutations, mutation: index, second, form, subresource, name }
    };
    forms.iter().flat_map(|form| (0..mutations.len()).map(|index| plan(*form, index)).collect::<Vec<_>>()).collect()
}

impl Plan<'_> {
    fn case(&self, choice: Choice) -> Case {
        let mutation = &self.mutations[self.mutation];
        let mut object = mutation.applied(&self.object);
        if let Some(second) = self.second {
            self.mutations[second].apply(&mut object);
        }
        let (method, content_type, body) = match self.form {
            Form::Create | Form::CreateTwofold => ("POST", "application/json", object),
            Form::Update => ("PUT", "application/json", self.seed.with_revision(object)),
            Form::MergePatch => ("PATCH", "application/merge-patch+json", mutation.merge_patch(&self.object)),
            Form::StrategicPatch => {
                ("PATCH", "application/strategic-merge-patch+json", mutation.merge_patch(&self.object))
            }
            Form::JsonPatch => ("PATCH", "application/json-patch+json", mutation.json_patch(&self.object)),
            Form::Apply => ("PATCH", "application/apply-patch+yaml", object),
        };
        let mut path = if method == "POST" { self.seed.at.clone() } else { self.seed.path() };
        if !self.subresource.is_empty() {
            path = format!("{path}/{}", self.subresource);
        }
        path.push_str("?dryRun=All");
        if self.form == Form::Apply {
            path.push_str("&fieldManager=wrong-objects&force=true");
        }
        if mutation.unknown {
            let levels = ["", "&fieldValidation=Strict", "&fieldValidation=Warn", "&fieldValidation=Ignore"];
            path.push_str(levels[usize::try_from(choice.number(&self.name) % 4).unwrap_or_default()]);
        }
        let headers = vec![("content-type", content_type.to_owned())];
        let body = body.to_string().into_bytes();
        Case { name: self.name.clone(), method, path, headers, body, ..Case::default() }
    }
}
