//! Printing of results: one line a figure, under what was measured and how.

use std::io::Write as _;
use std::time::Duration;

/// Results of one scenario, printed as they come.
#[derive(Debug)]
pub(crate) struct Report {
    figures: usize,
    missed: Vec<String>,
}

impl Report {
    /// Begins a report with the scenario and how it measures.
    pub(crate) fn begin(scenario: &str, how: &str) -> anyhow::Result<Self> {
        let processors = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        let build = if cfg!(debug_assertions) { "debug build: figures mean little" } else { "release build" };
        line(&format!("# {scenario} ({processors} processors, {build})\n\n{how}\n"))?;
        Ok(Report { figures: 0, missed: Vec::new() })
    }

    /// Prints one figure.
    pub(crate) fn figure(&mut self, what: &str, value: &str) -> anyhow::Result<()> {
        self.figures += 1;
        line(&format!("{what:<58} {value:>22}"))
    }

    /// Prints a figure and whether it keeps to its bound.
    pub(crate) fn bounded(&mut self, what: &str, value: &str, bound: &str, kept: bool) -> anyhow::Result<()> {
        self.figures += 1;
        let verdict = if kept { "ok" } else { "MISSED" };
        if !kept {
            self.missed.push(what.to_owned());
        }
        line(&format!("{what:<58} {value:>22}   {verdict} (bound: {bound})"))
    }

    /// Prints a table of figures that was rendered elsewhere, and which of them miss their bounds.
    pub(crate) fn table(&mut self, text: &str, figures: usize, missed: Vec<String>) -> anyhow::Result<()> {
        self.figures += figures;
        self.missed.extend(missed);
        line(&format!("\n{text}"))
    }

    /// Ends the report.
    ///
    /// # Errors
    /// Names the figures that missed their bound.
    pub(crate) fn end(self) -> anyhow::Result<()> {
        line(&format!("\n{} figures, {} missed their bound", self.figures, self.missed.len()))?;
        anyhow::ensure!(self.missed.is_empty(), "missed: {}", self.missed.join(", "));
        Ok(())
    }
}

fn line(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}

/// Latencies of many operations.
#[derive(Debug, Default)]
pub(crate) struct Latencies(pub(crate) Vec<Duration>);

impl Latencies {
    /// The latency that this share (0 to 1) of operations kept to.
    pub(crate) fn quantile(&mut self, share: f64) -> Duration {
        self.0.sort_unstable();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let index = (self.0.len() as f64 * share) as usize;
        self.0.get(index.min(self.0.len().saturating_sub(1))).copied().unwrap_or_default()
    }
}

/// How many of `count` happened a second.
pub(crate) fn per_second(count: usize, elapsed: Duration) -> String {
    #[expect(clippy::cast_precision_loss)]
    let rate = count as f64 / elapsed.as_secs_f64();
    format!("{rate:.0}/s")
}

/// Resident memory of this process in KiB; absent where the system has no `/proc`.
pub(crate) fn resident_kib() -> Option<u64> {
    memory_kib(std::process::id(), "VmRSS")
}

/// A figure of a process's memory in KiB, by its name in `/proc/ID/status` (`VmRSS` resident now, `VmHWM` at most so far);
/// absent where the system has no `/proc`.
pub(crate) fn memory_kib(process: u32, figure: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(figure)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Processor time of this process so far; absent where the system has no `/proc`.
pub(crate) fn processor_time() -> Option<Duration> {
    processor_time_of(std::process::id())
}

/// Processor time of a process so far; absent where the system has no `/proc`.
pub(crate) fn processor_time_of(process: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name in parentheses may have blanks; utime and stime are the 12th and 13th field after it, in ticks of 10 ms.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
    let ticks: u64 = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 10))
}
