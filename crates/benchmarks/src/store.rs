//! Scenario `store`: the revision store on a file with every commit synced, alone and below the API in the same process.

pub(crate) mod crash;
mod planes;
mod reads;
mod watches;
mod writes;

use kogge_apiserver::store::ObjectKey;
use kogge_machinery::resource::GroupResource;
use serde_json::{Value, json};

use crate::report::Report;

/// Options of the scenario.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Seconds per measurement of writes and watches
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Objects in the store for the read and memory measurements
    #[arg(long, default_value_t = 200_000)]
    objects: usize,
    /// Planes for the idle measurement
    #[arg(long, default_value_t = 1000)]
    planes: usize,
    /// Watches of the same objects
    #[arg(long, default_value_t = 1000)]
    watchers: usize,
    /// Writes a second while they watch
    #[arg(long, default_value_t = 500)]
    writes: usize,
    /// Times the writing process is killed
    #[arg(long, default_value_t = 100)]
    crashes: usize,
    /// Bytes of an object, about
    #[arg(long, default_value_t = 2048)]
    bytes: usize,
    /// Directory to measure in; its file system decides how long a sync takes
    #[arg(long)]
    directory: Option<std::path::PathBuf>,
}

/// Runs the scenario.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let how = format!(
        "One redb file, every commit synced before it is acknowledged, default options. Objects of about {} bytes.\n\
         Writes: each writer creates, updates or deletes its own objects, one after the other.\n\
         Watches: all watch the same objects, so each write goes to all of them; the delay counts from before the write.",
        arguments.bytes
    );
    let mut report = Report::begin("store", &how)?;
    let directory = match &arguments.directory {
        Some(parent) => tempfile::tempdir_in(parent)?,
        None => tempfile::tempdir()?,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    // First, as memory that other measurements have given back would hide what planes take.
    if arguments.planes > 0 {
        runtime.block_on(planes::measure(&mut report, &directory.path().join("planes"), arguments.planes))?;
    }
    if arguments.seconds > 0 {
        writes::sync(&mut report, directory.path())?;
        for writers in [1, 16, 128] {
            let path = directory.path().join(format!("writes-{writers}.redb"));
            runtime.block_on(writes::measure(&mut report, &path, arguments, writers))?;
        }
        runtime.block_on(watches::measure(&mut report, directory.path(), arguments))?;
    }
    drop(runtime);
    if arguments.objects > 0 {
        reads::measure(&mut report, &directory.path().join("reads"), arguments)?;
    }
    if arguments.crashes > 0 {
        crash::measure(&mut report, &directory.path().join("crash.redb"), arguments.crashes)?;
    }
    report.end()
}

fn resource() -> GroupResource {
    GroupResource { group: String::new(), resource: "configmaps".to_owned() }
}

fn key(name: &str) -> ObjectKey {
    ObjectKey { resource: resource(), namespace: "default".to_owned(), name: name.to_owned() }
}

fn object(name: &str, value: u64, bytes: usize) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": format!("uid-{name}"),
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"fleet": "hanse", "number": (value % 100).to_string()},
        },
        "data": {"a-value": value.to_string(), "text": "x".repeat(bytes.saturating_sub(300))},
    })
}
