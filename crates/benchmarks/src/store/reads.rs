//! Reads of a large store: single objects, lists in pages and at once, through the API as JSON and as tables, and
//! opening the file again, cleanly and after a kill.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kogge_apiserver::server::{Server, ServerOptions, Storage};
use kogge_apiserver::store::{Change, Expected, Scope, Store, StoreOptions, Write};

use super::{Arguments, key, object, resource};
use crate::report::{Report, per_second, resident_kib};

/// Objects of the lists that are measured through the API.
const LISTED: usize = 10_000;

/// Fills a store, reads from it and opens it again.
pub(super) fn measure(report: &mut Report, directory: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    std::fs::create_dir_all(directory)?;
    let path = directory.join("kogge.redb");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let names: Vec<String> = (0..arguments.objects).map(|number| format!("c-{number:07}")).collect();
    runtime.block_on(fill(report, &path, &names, arguments.bytes))?;
    read(report, &path, &names)?;
    open(report, &path)?;
    runtime.block_on(through_the_api(report, directory, arguments))
}

async fn fill(report: &mut Report, path: &Path, names: &[String], bytes: usize) -> anyhow::Result<()> {
    let plane = Store::open(path, StoreOptions::default())?.management();
    let objects = names.len();
    let begin = Instant::now();
    for chunk in names.chunks(500) {
        let writes = chunk.iter().map(|name| Write {
            key: key(name),
            change: Change::Put(object(name, 0, bytes)),
            expected: Expected::Absent,
        });
        plane.write_many(&writes.collect::<Vec<_>>()).await?;
    }
    report.figure(&format!("creating {objects} objects, 500 a transaction"), &per_second(objects, begin.elapsed()))?;
    let memory = resident_kib().unwrap_or_default() / 1024;
    report.bounded(&format!("memory with {objects} objects"), &format!("{memory} MiB"), "1024 MiB", memory < 1024)?;
    let size = std::fs::metadata(path)?.len() >> 20;
    report.figure("  file", &format!("{size} MiB"))
}

fn read(report: &mut Report, path: &Path, names: &[String]) -> anyhow::Result<()> {
    let plane = Store::open(path, StoreOptions::default())?.management();
    for (what, spread) in [("all objects", names.len()), ("1000 objects", 1000)] {
        let begin = Instant::now();
        let mut gets = 0;
        while begin.elapsed() < Duration::from_secs(1) {
            // A large stride, so that one read does not warm the page of the next.
            let name = &names[gets * 7919 % spread.min(names.len())];
            anyhow::ensure!(plane.get(&key(name))?.is_some(), "{name} is not there");
            gets += 1;
        }
        report.figure(&format!("get, one reader, {what}"), &per_second(gets, begin.elapsed()))?;
    }
    let begin = Instant::now();
    let mut listed = 0;
    let mut after = None;
    loop {
        let page = plane.list(&Scope::Resource(resource()), after.as_ref(), 500, None)?;
        listed += page.items.len();
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    report.figure("objects listed in pages of 500, one reader", &per_second(listed, begin.elapsed()))?;
    let begin = Instant::now();
    let all = plane.list(&Scope::Plane, None, 0, None)?.items.len();
    report.figure("objects listed at once, one reader", &per_second(all, begin.elapsed()))
}

fn open(report: &mut Report, path: &Path) -> anyhow::Result<()> {
    let begin = Instant::now();
    let store = Store::open(path, StoreOptions::default())?;
    report.figure("opening after a clean end", &format!("{:.1?}", begin.elapsed()))?;
    drop(store);
    let mut child = Command::new(std::env::current_exe()?)
        .arg("store-crash-child")
        .arg(path)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()?;
    let output = child.stdout.take().ok_or_else(|| anyhow::anyhow!("the child has no output"))?;
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(output));
    for _ in 0..1000 {
        lines.next().ok_or_else(|| anyhow::anyhow!("the child ended by itself"))??;
    }
    child.kill()?;
    child.wait()?;
    let begin = Instant::now();
    drop(Store::open(path, StoreOptions::default())?);
    report.figure("opening after a kill in the middle of writes", &format!("{:.1?}", begin.elapsed()))
}

async fn through_the_api(report: &mut Report, directory: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let data = directory.join("api");
    let server = Server::open(ServerOptions { data: Storage::Directory(data), ..ServerOptions::default() }).await?;
    let plane = server.management();
    let objects = (0..LISTED).map(|number| object(&format!("c-{number:05}"), number as u64, arguments.bytes));
    plane.apply_all(objects.collect()).await?;
    let client = plane.client();
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let collection = "/api/v1/namespaces/default/configmaps";
    let selected = format!("{collection}?labelSelector=number%3D7");
    let one = format!("{collection}/c-00007");
    for (what, path, accept) in [
        ("get", one.as_str(), "application/json"),
        ("list of 10,000, JSON", collection, "application/json"),
        ("list of 10,000, Table", collection, table),
        ("list of 10,000 by a label of 100", &selected, "application/json"),
    ] {
        let begin = Instant::now();
        let mut answers = 0;
        let mut bytes = 0;
        while answers == 0 || begin.elapsed() < Duration::from_secs(2) {
            let request = http::Request::get(path).header(http::header::ACCEPT, accept);
            let answer = client.send(request.body(kube::client::Body::empty())?).await?;
            anyhow::ensure!(answer.status().is_success(), "{what}: {}", answer.status());
            bytes = http_body_util::BodyExt::collect(answer.into_body()).await?.to_bytes().len();
            answers += 1;
        }
        let each = begin.elapsed() / answers;
        report.figure(&format!("{what} ({} KiB), one client of the API", bytes / 1024), &format!("{each:.1?} each"))?;
    }
    Ok(())
}
