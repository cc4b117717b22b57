//! Requests with something wrong, to the embedded server and to a real kube-apiserver: both have to answer the same, word
//! by word.
//!
//! A scenario tries what its author thought of. Here the requests are made by rules: every place of a valid object
//! (`wrong_objects/seeds.yaml`) with every kind of fault, as create, update and each kind of patch, and bodies, types, paths
//! and queries that are wrong whatever they are about. Matrices (`wrong_objects/matrix`) add every combination of what a
//! request can be: each path of discovery with each method, each parameter with each odd value, each odd body, type and path
//! at each endpoint. A run sends a part of all of them, chosen by the hash of their names:
//!
//! - `WRONG_OBJECTS_CASES`: about how many of mutated objects (default below), and so many combinations of the matrices; `all`
//!   for every one;
//! - `WRONG_OBJECTS_SEED`: a number; another one makes another choice (default 1);
//! - `WRONG_OBJECTS_ONLY`: only those whose name matches this regular expression, from all of them.
//!
//! Nearly all of them are dry runs, so none is in another's way. Sequences of writes (`wrong_objects/sequences.rs`), which are
//! not, have objects of their own:
//!
//! - `WRONG_OBJECTS_SEQUENCES`: how many (default below).
//!
//! So have random kinds (`wrong_objects/random_kind.rs`), each with a definition and sequences of writes to its objects:
//!
//! - `WRONG_OBJECTS_KINDS`: how many (default below).

use std::fmt::Write as _;
use std::path::PathBuf;

use futures::{StreamExt as _, stream};
use kogge_conformance::api::accepted;
use kogge_conformance::api::difference::Difference;
use regex::Regex;

#[path = "wrong_objects/case.rs"]
mod case;
#[path = "wrong_objects/draw.rs"]
mod draw;
#[path = "wrong_objects/expressions.rs"]
mod expressions;
#[path = "wrong_objects/malformed.rs"]
mod malformed;
#[path = "wrong_objects/matrix.rs"]
mod matrix;
#[path = "wrong_objects/mutation.rs"]
mod mutation;
#[path = "wrong_objects/random_kind.rs"]
mod random_kind;
#[path = "wrong_objects/random_rule.rs"]
mod random_rule;
#[path = "wrong_objects/random_schema.rs"]
mod random_schema;
#[path = "wrong_objects/seed.rs"]
mod seed;
#[path = "wrong_objects/sequences.rs"]
mod sequences;
#[path = "wrong_objects/servers.rs"]
mod servers;
#[path = "wrong_objects/wire.rs"]
mod wire;

use case::{Case, Choice};
use mutation::shortened;
use random_kind::RandomKind;
use seed::Seed;
use sequences::{Outcome, Sequence};
use servers::Servers;

/// How many mutated objects are tried unless more are asked for.
const CASES: usize = 3000;
/// How many sequences of writes are tried unless more are asked for.
const SEQUENCES: usize = 300;
/// How many random kinds are tried unless more are asked for.
const KINDS: usize = 60;
/// How many requests are under way at the same time.
const PARALLEL: usize = 16;
/// The name accepted differences know these requests by.
const SCENARIO: &str = "Wrong objects";

/// What is run, as the environment says.
struct Run {
    choice: Choice,
    only: Option<Regex>,
    sequences: usize,
    kinds: usize,
}

impl Run {
    fn from_environment() -> Self {
        let variable = |name: &str| std::env::var(name).ok();
        let only = variable("WRONG_OBJECTS_ONLY").map(|pattern| Regex::new(&pattern).unwrap());
        let count = match variable("WRONG_OBJECTS_CASES").as_deref() {
            Some("all") => usize::MAX / 4,
            Some(number) => number.parse().unwrap(),
            None if only.is_some() => usize::MAX / 4,
            None => CASES,
        };
        let seed = variable("WRONG_OBJECTS_SEED").map_or(1, |number| number.parse().unwrap());
        let number = |name: &str, default| variable(name).map_or(default, |number| number.parse().unwrap());
        let sequences = number("WRONG_OBJECTS_SEQUENCES", SEQUENCES);
        let kinds = number("WRONG_OBJECTS_KINDS", KINDS);
        Self { choice: Choice { seed, count }, only, sequences, kinds }
    }

    fn is_default(&self) -> bool {
        let counts = (self.choice.count, self.sequences, self.kinds);
        self.only.is_none() && self.choice.seed == 1 && counts == (CASES, SEQUENCES, KINDS)
    }
}

/// What was found.
#[derive(Default)]
struct Findings {
    sent: usize,
    found: Vec<Finding>,
}

/// A request that was answered otherwise, and those before it that it depends on.
struct Finding {
    sent: Vec<Case>,
    differences: Vec<Difference>,
}

impl Findings {
    /// Sends the requests to both servers and keeps what is not accepted of their differences.
    async fn compare(&mut self, servers: &Servers, run: &Run, cases: Vec<Case>) {
        let wanted = cases.into_iter().filter(|case| run.only.as_ref().is_none_or(|only| only.is_match(&case.name)));
        let answered = stream::iter(wanted).map(|case| async move {
            let differences = servers.ask(&case).await.differences(&case);
            Finding { sent: vec![case], differences }
        });
        let answered: Vec<Finding> = answered.buffered(PARALLEL).collect().await;
        self.sent += answered.len();
        self.keep(answered);
    }

    /// Sends sequences of writes to both servers.
    async fn compare_sequences(&mut self, servers: &Servers, run: &Run, sequences: Vec<Sequence>) {
        let wanted = sequences.into_iter().filter(|one| run.only.as_ref().is_none_or(|only| only.is_match(one.name())));
        let outcomes = stream::iter(wanted).map(|sequence| async move { sequence.run(servers).await });
        self.keep_outcomes(outcomes.buffered(PARALLEL).collect().await);
    }

    /// Defines kinds on both servers and sends writes to their objects.
    async fn compare_kinds(&mut self, servers: &Servers, run: &Run, kinds: Vec<RandomKind>) {
        let wanted = kinds.into_iter().filter(|one| run.only.as_ref().is_none_or(|only| only.is_match(one.name())));
        let outcomes = stream::iter(wanted).map(|kind| async move { kind.run(servers).await });
        let outcomes: Vec<Vec<Outcome>> = outcomes.buffered(PARALLEL).collect().await;
        self.keep_outcomes(outcomes.into_iter().flatten().collect());
        random_kind::wait_until_gone(servers).await;
    }

    fn keep_outcomes(&mut self, outcomes: Vec<Outcome>) {
        self.sent += outcomes.iter().map(|outcome| outcome.sent.len()).sum::<usize>();
        self.keep(outcomes.into_iter().map(|Outcome { sent, differences }| Finding { sent, differences }).collect());
    }

    fn keep(&mut self, mut findings: Vec<Finding>) {
        let accepted = accepted::all();
        for finding in &mut findings {
            finding.differences.retain(|difference| !accepted.iter().any(|entry| entry.covers(SCENARIO, difference)));
        }
        self.found.extend(findings.into_iter().filter(|finding| !finding.differences.is_empty()));
    }

    /// A line for each case and difference, shortened.
    fn summary(&self) -> String {
        let mut text = String::new();
        for Finding { sent, differences } in &self.found {
            let _ = writeln!(text, "{}", sent.last().map_or("", |case| &case.name));
            for difference in differences {
                let show = |value: &Option<serde_json::Value>| {
                    value.as_ref().map_or_else(|| "(nothing)".to_owned(), |value| shortened(&value.to_string(), 120))
                };
                let (expected, answered) = (show(&difference.expected), show(&difference.answered));
                let _ = writeln!(text, "  {}\n    expected {expected}\n    answered {answered}", difference.at);
            }
        }
        text
    }

    /// Everything, with the bodies that were sent.
    fn report(&self) -> String {
        let mut text = format!("{} of {} requests are answered otherwise\n", self.found.len(), self.sent);
        for Finding { sent, differences } in &self.found {
            for case in sent {
                let _ = writeln!(text, "\n{}\n{} {}", case.name, case.method, case.path);
                let _ = writeln!(text, "{}", shortened(&String::from_utf8_lossy(&case.body), 6000));
            }
            for difference in differences {
                let _ = writeln!(text, "{difference}");
            }
        }
        text
    }
}

/// Asks the real server of what type the valid objects are.
async fn name_types(servers: &Servers, seeds: &mut [Seed]) {
    let mut wrong = String::new();
    for seed in seeds {
        let case = valid(seed, "POST", format!("{}?dryRun=All", seed.at), &seed.object);
        let answers = servers.ask(&case).await;
        if !(200..300).contains(&answers.real.code) {
            let _ = writeln!(wrong, "{} is not valid: {}", seed.title(), answers.real.body["message"]);
        }
        seed.name_type(&answers.real.body);
    }
    assert!(wrong.is_empty(), "{wrong}");
}

fn valid(seed: &Seed, method: &'static str, path: String, body: &serde_json::Value) -> Case {
    let headers = vec![("content-type", "application/json".to_owned())];
    Case {
        name: format!("{}: {method} valid", seed.title()),
        method,
        path,
        headers,
        body: body.to_string().into_bytes(),
        ..Case::default()
    }
}

/// Creates what the seeds need.
async fn prepare(servers: &Servers) {
    let post = |name: &str, path: &str, body: &serde_json::Value| Case {
        name: name.to_owned(),
        method: "POST",
        path: path.to_owned(),
        headers: vec![("content-type", "application/json".to_owned())],
        body: body.to_string().into_bytes(),
        ..Case::default()
    };
    servers.ask_until(&post("the namespace of seeds", "/api/v1/namespaces", &seed::namespace()), 201).await;
    servers
        .ask_until(
            &post(
                "the definition of the custom seed",
                "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
                &seed::definition(),
            ),
            201,
        )
        .await;
    let custom = seed::all().into_iter().next_back().expect("seeds");
    let path = format!("{}?dryRun=All", custom.at);
    servers.ask_until(&valid(&custom, "POST", path, &custom.object), 201).await;
}

/// Stores the seeds that can be, with their status, and waits until nobody changes them any more.
async fn store(servers: &mut Servers, run: &Run, findings: &mut Findings, seeds: &[Seed]) {
    let stored = || seeds.iter().filter(|seed| seed.stored);
    let creates = stored().map(|seed| valid(seed, "POST", seed.at.clone(), &seed.object)).collect();
    let everything = Run { only: None, ..*run };
    findings.compare(servers, &everything, creates).await;
    remember_revisions(servers, seeds).await;
    let statuses = stored().filter_map(|seed| {
        let object = seed.with_revision(seed.with_status()?);
        Some(valid(seed, "PUT", format!("{}/status", seed.path()), &object))
    });
    findings.compare(servers, &everything, statuses.collect()).await;
    // The controllers of definitions are the slowest.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    // Whoever wrote the objects in the meantime did so before the test, so that owners come in the same order.
    let touched: serde_json::Value = serde_json::json!({"metadata": {"labels": {"touched": "yes"}}});
    for seed in stored() {
        let mut case = valid(seed, "PATCH", seed.path(), &touched);
        case.headers = vec![("content-type", "application/merge-patch+json".to_owned())];
        servers.ask(&case).await;
    }
    remember_revisions(servers, seeds).await;
}

/// Remembers the revisions of stored seeds that can only be updated by who names them.
async fn remember_revisions(servers: &mut Servers, seeds: &[Seed]) {
    for seed in seeds.iter().filter(|seed| seed.stored && seed.needs_revision()) {
        let answers = servers.ask_until(&valid(seed, "GET", seed.path(), &serde_json::Value::Null), 200).await;
        for path in [seed.path(), format!("{}/status", seed.path())] {
            servers.remember_revision(&path, &answers);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_requests_are_answered_as_by_the_real_server() {
    let Some(mut servers) = Servers::start().await else { return };
    let run = Run::from_environment();
    let mut findings = Findings::default();
    let mut seeds = seed::all();
    prepare(&servers).await;
    name_types(&servers, &mut seeds).await;
    findings.compare(&servers, &run, case::creates(&seeds, run.choice)).await;
    store(&mut servers, &run, &mut findings, &seeds).await;
    findings.compare(&servers, &run, case::changes(&seeds, run.choice)).await;
    findings.compare(&servers, &run, malformed::all(&seeds, run.choice)).await;
    let sequences = sequences::all(&seeds, run.choice, run.sequences);
    findings.compare_sequences(&servers, &run, sequences).await;
    findings.compare_kinds(&servers, &run, random_kind::all(run.choice, run.kinds)).await;
    // The matrices after these: their definition is one more that documents list.
    matrix::prepare(&servers).await;
    let resources = matrix::discover(&servers).await;
    findings.compare(&servers, &run, matrix::all(&resources, run.choice)).await;
    expressions::prepare(&servers).await;
    findings.compare(&servers, &run, expressions::all()).await;

    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("wrong-objects.txt");
    std::fs::write(&path, findings.report()).unwrap();
    if run.is_default() {
        insta::assert_snapshot!(findings.summary());
    } else {
        let count = findings.found.len();
        assert!(count == 0, "{count} of {} requests are answered otherwise, see {}", findings.sent, path.display());
    }
}

#[test]
fn a_run_has_the_same_cases_each_time_and_their_names_are_unique() {
    let seeds = seed::all();
    let list = serde_json::json!({"resources": [{"name": "pods", "namespaced": true}, {"name": "pods/status", "namespaced": true}]});
    let resources = matrix::resources("/api/v1", &list);
    let names = |seed: u64| {
        let choice = Choice { seed, count: 500 };
        let all = [
            case::creates(&seeds, choice),
            case::changes(&seeds, choice),
            malformed::all(&seeds, choice),
            matrix::all(&resources, Choice { seed, count: usize::MAX / 4 }),
        ];
        all.concat().into_iter().map(|case| case.name).collect::<Vec<_>>()
    };
    assert_eq!(names(1), names(1));
    assert_ne!(names(1), names(2));
    let mut unique = names(1);
    unique.sort();
    let repeated: Vec<_> = unique.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0].clone()).collect();
    assert!(repeated.is_empty(), "{repeated:#?}");
}
