//! What planes cost that nobody uses: alone in the store, and as whole APIs with their first objects and watches.

use std::path::Path;
use std::time::Instant;

use futures::FutureExt as _;
use http_body_util::BodyExt as _;
use kogge_apiserver::server::{PlaneName, PlaneOptions, Server, ServerOptions, Storage};

use crate::report::{Latencies, Report, processor_time, resident_kib};

/// What the informers of a workload cluster watch.
const WATCHED: [&str; 6] = [
    "/api/v1/pods",
    "/api/v1/nodes",
    "/api/v1/services",
    "/api/v1/configmaps",
    "/apis/apps/v1/deployments",
    "/apis/batch/v1/jobs",
];

/// Makes planes, watches six kinds in each, and waits.
pub(super) async fn measure(report: &mut Report, directory: &Path, planes: usize) -> anyhow::Result<()> {
    let options = || ServerOptions { data: Storage::Directory(directory.to_owned()), ..ServerOptions::default() };
    let server = Server::open(options()).await?;
    let before = resident_kib();
    let mut starts = Latencies::default();
    for number in 0..planes {
        let begin = Instant::now();
        server.create_plane(&PlaneName(format!("tenant/p{number}")), PlaneOptions::default()).await?;
        starts.0.push(begin.elapsed());
    }
    let (median, late) = (starts.quantile(0.5), starts.quantile(0.99));
    report.bounded(
        &format!("start of a plane (of {planes}), p50 / p99"),
        &format!("{median:.2?} / {late:.2?}"),
        "2 ms",
        median.as_micros() < 2000,
    )?;
    bound_memory(report, "memory of an idle plane", before, planes)?;

    let mut watches = Vec::new();
    for plane in server.planes() {
        for path in WATCHED {
            let request = http::Request::get(format!("{path}?watch=true&resourceVersion=1"));
            let answer = plane.client().send(request.body(kube::client::Body::empty())?).await?;
            let mut body = Box::pin(answer.into_body());
            // Polled until it waits, as a watch does.
            while body.frame().now_or_never().is_some() {}
            watches.push(body);
        }
    }
    let what = format!("memory of an idle plane with {} watches", WATCHED.len());
    bound_memory(report, &what, before, planes)?;
    let before = processor_time();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    if let (Some(before), Some(after)) = (before, processor_time()) {
        let used = after.saturating_sub(before);
        report.figure("processor time of all planes in an idle second", &format!("{used:.1?}"))?;
    }
    drop((watches, server));
    let begin = Instant::now();
    let server = Server::open(options()).await?;
    report.figure(
        &format!("opening the server with {} planes", server.planes().len()),
        &format!("{:.1?}", begin.elapsed()),
    )
}

fn bound_memory(report: &mut Report, what: &str, before: Option<u64>, planes: usize) -> anyhow::Result<()> {
    let (Some(before), Some(after)) = (before, resident_kib()) else { return Ok(()) };
    let each = after.saturating_sub(before) / (planes as u64).max(1);
    report.bounded(what, &format!("{each} KiB"), "300 KiB", each < 300)
}
