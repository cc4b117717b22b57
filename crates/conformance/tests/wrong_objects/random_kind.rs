//! Definitions of random kinds, and sequences of writes to objects of theirs.
//!
//! What custom resources are like is up to whoever defines them, so here the schemas are random ones: with faults in some,
//! with defaults, rules, formats, lists of every type. Both servers have to say the same of the definition and, where it is
//! taken, of every write to its objects.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::case::{Case, Choice};
use super::draw::Draw;
use super::mutation;
use super::random_schema;
use super::seed::Seed;
use super::sequences::{Outcome, Sequence, mask};
use super::servers::Servers;

/// Sequences of writes for each kind, of ten writes each.
const SEQUENCES: usize = 3;
/// How often it is asked whether the servers have caught up, every 50 ms.
const ATTEMPTS: usize = 1200;
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// A kind nobody wants.
pub(crate) struct RandomKind {
    name: String,
    group: String,
    definition: Value,
    /// Schema of its storage version.
    schema: Value,
    choice: Choice,
}

/// The first `count` kinds.
pub(crate) fn all(choice: Choice, count: usize) -> Vec<RandomKind> {
    (0..count).map(|number| RandomKind::new(choice, number)).collect()
}

/// Waits until both servers publish the same groups: kinds go some time after their definitions were taken away.
pub(crate) async fn wait_until_gone(servers: &Servers) {
    let case = Case { name: "groups".to_owned(), method: "GET", path: "/apis".to_owned(), ..Case::default() };
    for _ in 0..ATTEMPTS {
        let answers = servers.ask(&case).await;
        let [real, embedded] = [&answers.real, &answers.embedded].map(|answer| {
            let groups = answer.body["groups"].as_array().into_iter().flatten();
            let names = groups.filter_map(|group| group["name"].as_str());
            names.filter(|name| name.ends_with(".example.com")).map(str::to_owned).collect::<BTreeSet<_>>()
        });
        if real == embedded {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

impl RandomKind {
    fn new(choice: Choice, number: usize) -> Self {
        let name = format!("kind {number}");
        let mut draw = Draw::new(choice, &name);
        let has_status = draw.once_in(2);
        let schema = random_schema::root(&mut draw, has_status);
        let group = format!("k{number}.example.com");
        let mut version =
            json!({"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema.clone()}});
        if has_status && !draw.once_in(4) {
            version["subresources"] = json!({"status": {}});
        }
        let mut definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("things.{group}")},
            "spec": {
                "group": group,
                "scope": "Namespaced",
                "names": {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"},
                "versions": [version],
            },
        });
        if draw.once_in(6) {
            let root = json!({"schema": schema});
            let mutations = mutation::all(&root, "schema");
            let mut mutation = draw.one_of(&mutations).clone();
            let place = ["spec", "versions", "0", "schema", "openAPIV3Schema"].map(str::to_owned);
            mutation.path.splice(0..1, place);
            mutation.apply(&mut definition);
        }
        Self { name, group, definition, schema, choice }
    }

    /// What it is called.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Defines it on both servers, writes to its objects, and takes it away.
    pub(crate) async fn run(&self, servers: &Servers) -> Vec<Outcome> {
        let create = self.case("defined", "POST", DEFINITIONS.to_owned(), &self.definition);
        let mut answers = servers.ask(&create).await;
        mask(&mut answers.real.body);
        mask(&mut answers.embedded.body);
        let differences = answers.differences(&create);
        let is_defined = differences.is_empty() && answers.real.code == 201;
        let mut outcomes = vec![Outcome { sent: vec![create.clone()], differences }];
        if is_defined {
            self.wait_until_served(servers).await;
            for number in 0..SEQUENCES {
                let mut outcome = self.sequence(number).run(servers).await;
                if !outcome.differences.is_empty() {
                    // What it was about belongs to the report.
                    outcome.sent.insert(0, create.clone());
                }
                outcomes.push(outcome);
            }
        }
        let path = format!("{DEFINITIONS}/things.{}", self.group);
        servers.ask(&self.case("taken away", "DELETE", path, &json!({}))).await;
        outcomes
    }

    async fn wait_until_served(&self, servers: &Servers) {
        let path = format!("{}?dryRun=All", self.collection());
        let case = self.case("looked for", "POST", path, &self.object(0));
        for _ in 0..ATTEMPTS {
            let answers = servers.ask(&case).await;
            if answers.real.code != 404 && answers.embedded.code != 404 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn sequence(&self, number: usize) -> Sequence {
        let mut draw = Draw::new(self.choice, &format!("{} object {number}", self.name));
        let mut object = self.object(number);
        object["spec"] = random_schema::value(&mut draw, &self.schema["properties"]["spec"], 60);
        let of_status = &self.schema["properties"]["status"];
        let status = of_status.is_object().then(|| random_schema::value(&mut draw, of_status, 60));
        let seed = Seed { at: self.collection(), object, status, stored: true };
        Sequence::of_schema(format!("{} sequence {number}", self.name), seed, self.choice, self.schema.clone())
    }

    fn object(&self, number: usize) -> Value {
        json!({
            "apiVersion": format!("{}/v1", self.group),
            "kind": "Thing",
            "metadata": {"name": format!("thing-{number}")},
        })
    }

    fn collection(&self) -> String {
        format!("/apis/{}/v1/namespaces/default/things", self.group)
    }

    fn case(&self, what: &str, method: &'static str, path: String, body: &Value) -> Case {
        let headers = vec![("content-type", "application/json".to_owned())];
        let body = body.to_string().into_bytes();
        Case { name: format!("{} {what}", self.name), method, path, headers, body, ..Case::default() }
    }
}
