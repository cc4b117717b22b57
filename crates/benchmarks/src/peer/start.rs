//! From an empty directory to a server that answers, to one that knows Cluster API; and what it costs while nobody asks.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::ensure;
use kogge::managers::manifests;
use reqwest::Method;
use serde::Deserialize;

use super::client::{Access, Client, JSON};
use super::comparison::Value;
use super::side::{Side, Which};
use super::{Arguments, Measurement};
use crate::report::Latencies;

/// Where the definitions of Cluster API are, among the real components.
const MANIFESTS: [&str; 4] = ["core", "bootstrap", "controlplane", "capd"];
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
/// Starts are repeated for so long at least: the speed of a virtual machine changes within seconds, and a quick server's starts
/// would all be of one moment.
const STARTS_TAKE: Duration = Duration::from_secs(10);
/// How long definitions may take to be established.
const ESTABLISH_TIMEOUT: Duration = Duration::from_mins(2);

/// Starts a server some times, and for some seconds, and gives the last one with all definitions.
pub(super) async fn measure(
    measurement: &mut Measurement<'_>,
    which: Which,
    folder: &Path,
    definitions: &[Definition],
    arguments: &Arguments,
) -> anyhow::Result<Side> {
    let (mut empty, mut established) = (Latencies::default(), Latencies::default());
    let mut running = None;
    let first = Instant::now();
    for run in 0.. {
        if run >= arguments.starts.max(1) && first.elapsed() >= STARTS_TAKE {
            break;
        }
        drop(running.take());
        let folder = folder.join(run.to_string());
        std::fs::create_dir(&folder)?;
        let (server, started) = Side::start(which, &folder).await?;
        empty.0.push(started);
        let client = Access::read(server.kubeconfig())?.client()?;
        let begin = Instant::now();
        establish(&client, definitions).await?;
        established.0.push(started + begin.elapsed());
        running = Some(server);
    }
    let Some(server) = running else { unreachable!("there is at least one start") };
    measurement.add("start to ready, empty", Value::Time(empty.quantile(0.5)), Some(30.0))?;
    let what = format!("start until {} Cluster API definitions are established", definitions.len());
    measurement.add(&what, Value::Time(established.quantile(0.5)), Some(30.0))?;
    rest(measurement, &server, arguments.idle_seconds).await?;
    Ok(server)
}

/// What the server costs while nobody uses it, once what the definitions set off has ended.
async fn rest(measurement: &mut Measurement<'_>, server: &Side, seconds: u64) -> anyhow::Result<()> {
    tokio::time::sleep(Duration::from_secs(seconds / 2)).await;
    let before = server.processor_time()?;
    let begin = Instant::now();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let used = server.processor_time()?.saturating_sub(before);
    let share = used.as_secs_f64() / begin.elapsed().as_secs_f64();
    measurement.add("memory at rest with them", Value::Memory { kib: server.memory_kib()? }, Some(15.0))?;
    measurement.add("processor at rest with them", Value::Share(share), Some(1.0))
}

/// A definition as it is sent: serialised before the time is taken.
pub(super) struct Definition {
    /// Its name.
    pub(super) name: String,
    body: Vec<u8>,
}

/// The definitions of Cluster API as upstream ships them.
pub(super) fn definitions() -> anyhow::Result<Vec<Definition>> {
    let folder = kogge_testkit::real::path("cluster-api");
    let paths: Vec<PathBuf> = MANIFESTS.iter().map(|part| folder.join(part).join("components.yaml")).collect();
    let mut documents = manifests::read(&paths)?;
    documents.retain(|document| document["kind"] == "CustomResourceDefinition");
    let definitions = documents.iter().map(|document| {
        let name = document["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        Ok(Definition { name, body: serde_json::to_vec(document)? })
    });
    definitions.collect()
}

/// Creates the definitions one after the other, as `kubectl create -f` does, and waits until all are established.
pub(super) async fn establish(client: &Client, definitions: &[Definition]) -> anyhow::Result<()> {
    for definition in definitions {
        client.send(Method::POST, DEFINITIONS, JSON, Some((JSON, definition.body.clone()))).await?;
    }
    until_established(client, definitions).await
}

/// Waits until the definitions are established.
pub(super) async fn until_established(client: &Client, definitions: &[Definition]) -> anyhow::Result<()> {
    let begin = Instant::now();
    for Definition { name, .. } in definitions {
        let path = format!("{DEFINITIONS}/{name}");
        loop {
            let answer = client.send(Method::GET, &path, JSON, None).await?;
            if is_established(&serde_json::from_slice(&answer)?) {
                break;
            }
            ensure!(begin.elapsed() < ESTABLISH_TIMEOUT, "{name} is not established after {ESTABLISH_TIMEOUT:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    Ok(())
}

/// What is read of a definition; parsing its schema would take longer than the server takes to answer.
#[derive(Deserialize)]
struct Answer {
    status: Option<Status>,
}

#[derive(Deserialize)]
struct Status {
    conditions: Option<Vec<Condition>>,
}

#[derive(Deserialize)]
struct Condition {
    r#type: String,
    status: String,
}

fn is_established(definition: &Answer) -> bool {
    let conditions = definition.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.r#type == "Established" && condition.status == "True")
}
