//! Server-side apply against Kubernetes' own field manager: sequences of writes must leave the same object, the same
//! owners and the same conflicts.
//!
//! The reference runs as a small Go program (`oracle/`). Without Go the test says so and passes, except in CI
//! (`CI=true`), where it fails. Six tests compare 1,000 sequences each, always the same. `APPLY_ORACLE_CASES` is another
//! number, `APPLY_ORACLE_SEED` (a number, or `random`) makes others. What runs at night compares more than 200,000:
//!
//!     APPLY_ORACLE_CASES=34000 APPLY_ORACLE_SEED=random cargo test --release -p kogge-machinery --test apply_oracle

#![allow(clippy::print_stderr)] // a skipped oracle must be seen
#![allow(clippy::cast_precision_loss)] // numbers of fields

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use kogge_machinery::apply::{self, FieldManager, OtherVersions};
use kogge_machinery::schema::{Schema, SchemaNode};
use kogge_machinery::status_error::ApiError;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use serde_json::{Map, Value, json};

use reference::Oracle;

mod reference;
mod schemas;
mod values;

/// What the sequences of a test write.
#[derive(Clone, Debug)]
struct Subject {
    kind: &'static str,
    /// The served versions, the stored one first.
    versions: Vec<ServedVersion>,
    /// Definitions the oracle reads.
    models: Option<Value>,
}

#[derive(Clone, Debug)]
struct ServedVersion {
    api_version: &'static str,
    /// Schema the written objects follow; `None` writes anything.
    written: Option<Value>,
    compiled: Option<Arc<Schema>>,
}

impl Subject {
    fn version(&self, api_version: &str) -> Option<&ServedVersion> {
        self.versions.iter().find(|version| version.api_version == api_version)
    }
}

impl ServedVersion {
    fn of(api_version: &'static str, schema: Value) -> Self {
        Self { api_version, compiled: Some(Arc::new(Schema::compile(&schema).unwrap())), written: Some(schema) }
    }

    fn root(&self) -> Option<&SchemaNode> {
        self.compiled.as_ref().map(|schema| &*schema.root)
    }
}

impl OtherVersions for Subject {
    fn schema(&self, api_version: &str) -> Option<Option<&SchemaNode>> {
        self.version(api_version).map(ServedVersion::root)
    }

    fn convert(&self, object: &Value, api_version: &str) -> Result<Value, ApiError> {
        Ok(schemas::convert(object, api_version))
    }
}

/// What the Rust implementation makes of the same steps, in the oracle's form.
fn ours(subject: &Subject, status_subresource: bool, steps: &[Value]) -> Vec<Value> {
    let mut live: Option<Value> = None;
    let mut outcomes = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        let now = format!("2026-01-01T00:00:{index:02}Z");
        let version = subject.version(step["object"]["apiVersion"].as_str().unwrap()).unwrap();
        let manager = FieldManager {
            empty: None,
            name: step["manager"].as_str().unwrap(),
            api_version: version.api_version,
            subresource: step["subresource"].as_str().unwrap(),
            status_subresource,
            resets_spec: false,
            status_takes_metadata: false,
            status_leaves_metadata: &[],
            now: &now,
            versions: subject,
        };
        live = live.map(|live| schemas::convert(&live, version.api_version));
        let result = if step["operation"] == json!("apply") {
            apply::apply(live.as_ref(), &step["object"], version.root(), &manager, step["force"] == json!(true))
        } else {
            let mut object = step["object"].clone();
            apply::track_update(live.as_ref(), &mut object, version.root(), &manager).map(|()| object)
        };
        let mut outcome = json!({});
        match result {
            Ok(mut object) => {
                object["metadata"]["uid"] = json!("1");
                live = Some(object);
            }
            Err(error) if error.code() == 409 => {
                let causes = error.status().details.as_ref().unwrap().causes.clone();
                let mut conflicts: Vec<String> =
                    causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
                conflicts.sort();
                outcome["conflicts"] = json!(conflicts);
            }
            Err(error) => outcome["error"] = json!(error.status().message),
        }
        outcome["object"] = live.clone().unwrap_or(Value::Null);
        outcomes.push(outcome);
    }
    outcomes
}

/// Every place where two values differ, as `PATH: OURS, THEIRS`.
fn differences(path: &str, ours: &Value, theirs: &Value, found: &mut Vec<String>) {
    match (ours, theirs) {
        (Value::Object(left), Value::Object(right)) => {
            let names: std::collections::BTreeSet<&String> = left.keys().chain(right.keys()).collect();
            for name in names {
                let member = |members: &Map<String, Value>| members.get(name).cloned().unwrap_or(json!("<absent>"));
                differences(&format!("{path}/{name}"), &member(left), &member(right), found);
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (index, (left, right)) in left.iter().zip(right).enumerate() {
                differences(&format!("{path}/{index}"), left, right, found);
            }
        }
        // Go visits the members of maps in no order.
        (Value::String(left), Value::String(right)) if path == "/error" => {
            let sorted = |text: &str| {
                let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
                lines.sort();
                lines
            };
            if sorted(left) != sorted(right) {
                found.push(format!("{path}: {ours}, {theirs}"));
            }
        }
        _ if ours == theirs => {}
        _ => found.push(format!("{path}: {ours}, {theirs}")),
    }
}

/// Number of sequences of a test, unless `APPLY_ORACLE_CASES` says another.
const CASES: u32 = 1000;
/// How many smaller sequences are tried to show a difference by; the default grows with the number of cases.
const SHRINK_LIMIT: u32 = 2000;

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The number that chooses the sequences.
static SEED: LazyLock<u64> = LazyLock::new(|| match variable("APPLY_ORACLE_SEED").as_deref() {
    None => 1,
    Some("random") => rand_seed(),
    Some(number) => number.parse().expect("APPLY_ORACLE_SEED is a number or `random`"),
});

/// A number that nobody chose.
fn rand_seed() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(())
}

/// Compares all sequences of a test.
fn run<S: Strategy>(sequences: &S, compare: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let cases =
        variable("APPLY_ORACLE_CASES").map_or(CASES, |cases| cases.parse().expect("APPLY_ORACLE_CASES is a number"));
    let config = Config { cases, failure_persistence: None, max_shrink_iters: SHRINK_LIMIT, ..Config::default() };
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&SEED.to_le_bytes());
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    match runner.run(sequences, compare) {
        Ok(()) => {}
        Err(TestError::Fail(reason, _)) => panic!("APPLY_ORACLE_SEED={}: {reason}", *SEED),
        Err(TestError::Abort(reason)) => panic!("APPLY_ORACLE_SEED={}: gave up: {reason}", *SEED),
    }
}

/// Runs one sequence on both. `models` says whether the oracle still has to read the subject's.
fn compare_once(
    oracle: &mut Oracle,
    subject: &Subject,
    models: bool,
    steps: &[Value],
    status_subresource: bool,
) -> Result<(), TestCaseError> {
    let request = json!({
        "models": if models { subject.models.clone() } else { None },
        "sameModels": !models,
        "statusSubresource": status_subresource,
        "versions": subject.versions.iter().map(|version| version.api_version).collect::<Vec<_>>(),
        "steps": steps,
    });
    let theirs = oracle.ask(&request);
    let ours = ours(subject, status_subresource, steps);
    for (index, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
        let mut different = Vec::new();
        differences("", ours, theirs, &mut different);
        let listed: Vec<String> = steps.iter().map(ToString::to_string).collect();
        prop_assert!(
            different.is_empty(),
            "step {index} (status subresource: {status_subresource}) of\n{}\ndiffers (ours, theirs):\n{}",
            listed.join("\n"),
            different.join("\n")
        );
    }
    Ok(())
}

fn compare(subject: &Subject) {
    let Some(oracle) = Oracle::start() else { return };
    let oracle = RefCell::new(oracle);
    let first = Cell::new(true);
    let sequences = (values::steps(subject), any::<bool>());
    run(&sequences, |(steps, status_subresource)| {
        compare_once(&mut oracle.borrow_mut(), subject, first.replace(false), &steps, status_subresource)
    });
}

/// A kind with two versions, the second a renaming of the first.
fn two_versions(schema: Value) -> Subject {
    let second = schemas::second_version(&schema);
    let models = schemas::models(&[("example.com/v1", &schema), ("example.com/v2", &second)]);
    Subject {
        kind: "Widget",
        versions: vec![ServedVersion::of("example.com/v1", schema), ServedVersion::of("example.com/v2", second)],
        models: Some(models),
    }
}

#[test]
fn a_kind_with_a_schema_is_owned_as_kubernetes_owns_it() {
    let schema = schemas::rich_schema();
    compare(&Subject {
        kind: "Widget",
        models: Some(schemas::models(&[("example.com/v1", &schema)])),
        versions: vec![ServedVersion::of("example.com/v1", schema)],
    });
}

#[test]
fn a_kind_without_a_schema_is_owned_as_kubernetes_owns_it() {
    let version = ServedVersion { api_version: "example.com/v1", written: None, compiled: None };
    compare(&Subject { kind: "Widget", models: None, versions: vec![version] });
}

#[test]
fn a_kind_of_two_versions_is_owned_as_kubernetes_owns_it() {
    compare(&two_versions(schemas::rich_schema()));
}

#[test]
fn a_kind_of_any_schema_is_owned_as_kubernetes_owns_it() {
    let Some(oracle) = Oracle::start() else { return };
    let oracle = RefCell::new(oracle);
    let sequences = schemas::random_schemas().prop_flat_map(|schema| {
        let subject = two_versions(schema);
        (values::steps(&subject), Just(subject), any::<bool>())
    });
    run(&sequences, |(steps, subject, status_subresource)| {
        let same = compare_once(&mut oracle.borrow_mut(), &subject, true, &steps, status_subresource);
        same.map_err(|error| match (error, &subject.versions[0].written) {
            (TestCaseError::Fail(reason), Some(schema)) => {
                TestCaseError::fail(format!("{reason}\nwith schema\n{schema}"))
            }
            (error, _) => error,
        })
    });
}

/// A definition with everything it refers to put in its place.
fn inlined(definitions: &Value, schema: &Value) -> Value {
    let reference = schema["$ref"].as_str().or_else(|| schema["allOf"][0]["$ref"].as_str());
    let mut own = match reference {
        Some(reference) => {
            let name = reference.rsplit('/').next().unwrap();
            if name.ends_with("Quantity") || name.ends_with("Time") {
                json!({"type": "string"})
            } else if name.ends_with("IntOrString") {
                json!({"x-kubernetes-int-or-string": true})
            } else {
                inlined(definitions, &definitions[name])
            }
        }
        None => schema.clone(),
    };
    if reference.is_none() {
        for (_, property) in own["properties"].as_object_mut().into_iter().flatten() {
            *property = inlined(definitions, property);
        }
        for inner in ["items", "additionalProperties"] {
            if schema[inner].is_object() {
                own[inner] = inlined(definitions, &schema[inner]);
            }
        }
        // The keys of an associative list are always written, unless they have a default.
        if let Some(keys) = schema["x-kubernetes-list-map-keys"].as_array() {
            own["items"]["required"] = keys.iter().filter(|key| *key != "protocol").cloned().collect();
        }
    }
    own
}

/// A built-in kind by the definitions the server embeds.
fn compare_built_in(file: &str, api_version: &'static str, kind: &'static str, definition: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../apiserver/schemas").join(file);
    let packed = std::fs::read(&path).unwrap();
    let definitions: Value = serde_json::from_reader(flate2::read::ZlibDecoder::new(packed.as_slice())).unwrap();
    let mut written = inlined(&definitions, &definitions[definition]);
    for name in ["metadata", "apiVersion", "kind"] {
        written["properties"].as_object_mut().unwrap().remove(name);
    }
    let compiled = Some(Arc::new(Schema::compile_definition(&definitions, definition).unwrap()));
    compare(&Subject {
        kind,
        versions: vec![ServedVersion { api_version, written: Some(written), compiled }],
        models: Some(definitions),
    });
}

#[test]
fn a_deployment_is_owned_as_kubernetes_owns_it() {
    compare_built_in("apps_v1.json.zz", "apps/v1", "Deployment", "io.k8s.api.apps.v1.Deployment");
}

#[test]
fn a_service_is_owned_as_kubernetes_owns_it() {
    compare_built_in("core_v1.json.zz", "v1", "Service", "io.k8s.api.core.v1.Service");
}
