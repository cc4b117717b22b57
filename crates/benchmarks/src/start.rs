//! Scenario `start`: from nothing to an answer, and what the process costs while nobody uses it.

use std::time::{Duration, Instant};

use crate::report::{Latencies, Report, memory_kib, processor_time_of};
use crate::server_process::ServerProcess;

/// Options of the scenario.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Starts, each on an empty directory
    #[arg(long, default_value_t = 7)]
    runs: usize,
    /// Seconds after which the memory is read
    #[arg(long, default_value_t = 5)]
    idle_seconds: u64,
}

/// Runs the scenario.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut report = Report::begin(
        "start",
        "`kogge up` as a process of its own. From before it is spawned on an empty directory until GET /readyz is 200 on the\n\
         REST listener and on the Kubernetes listener, polled every millisecond; median of all runs. Memory of the last run.",
    )?;
    let folder = tempfile::tempdir()?;
    let (mut first, mut second) = (Latencies::default(), Latencies::default());
    let mut running = None;
    for run in 0..arguments.runs.max(1) {
        drop(running.take());
        let data = folder.path().join(run.to_string());
        first.0.push(start(&data).await?.0);
        // Again on what the first start left.
        let (elapsed, server) = start(&data).await?;
        second.0.push(elapsed);
        running = Some(server);
    }
    let target = Duration::from_millis(100);
    let median = first.quantile(0.5);
    report.bounded("empty directory to /readyz, median", &format!("{median:.1?}"), "100 ms", median <= target)?;
    report.figure("  slowest", &format!("{:.1?}", first.quantile(1.0)))?;
    report.figure("same directory again after a kill, median", &format!("{:.1?}", second.quantile(0.5)))?;
    drop(running);
    let (_, server) = start(&folder.path().join("idle")).await?;
    tokio::time::sleep(Duration::from_secs(arguments.idle_seconds)).await;
    let id = server.id();
    if let Some(kib) = memory_kib(id, "VmRSS") {
        let what = format!("resident memory after {} idle seconds", arguments.idle_seconds);
        #[expect(clippy::cast_precision_loss)]
        let mebibytes = kib as f64 / 1024.0;
        report.bounded(&what, &format!("{mebibytes:.1} MiB"), "40 MiB", kib <= 40 << 10)?;
        report.figure(
            "  of which the program itself, shared with every other run of it",
            &format!("{} MiB", memory_kib(id, "RssFile").unwrap_or_default() >> 10),
        )?;
    }
    let before = processor_time_of(id);
    tokio::time::sleep(Duration::from_secs(10)).await;
    if let (Some(before), Some(after)) = (before, processor_time_of(id)) {
        report.figure("processor time in 10 idle seconds", &format!("{:.0?}", after.saturating_sub(before)))?;
    }
    report.end()
}

async fn start(data: &std::path::Path) -> anyhow::Result<(Duration, ServerProcess)> {
    let begin = Instant::now();
    let mut server = ServerProcess::spawn(data)?;
    server.ready().await?;
    Ok((begin.elapsed(), server))
}
