//! Figures of both sides, and the table that puts them beside each other.

use std::fmt::Write as _;
use std::time::Duration;

/// A figure with its unit, which also says whether more is better.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value {
    /// Less is better.
    Time(Duration),
    /// Less is better.
    Memory {
        /// In KiB.
        kib: u64,
    },
    /// Share of one processor; less is better.
    Share(f64),
    /// Answers a second; more is better.
    Rate(f64),
}

/// A figure of one side.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Figure {
    /// What was measured; the same on both sides.
    pub(super) what: String,
    /// The result.
    pub(super) value: Value,
    /// How many times better than the peers it has to be, if anything was promised.
    pub(super) target: Option<f64>,
}

impl Value {
    /// The figure with its unit.
    pub(super) fn text(self) -> String {
        match self {
            Value::Time(time) if time < Duration::from_millis(10) => format!("{time:.2?}"),
            Value::Time(time) => format!("{time:.1?}"),
            #[expect(clippy::cast_precision_loss)]
            Value::Memory { kib } => format!("{:.1} MiB", kib as f64 / 1024.0),
            Value::Share(share) => format!("{:.1} %", share * 100.0),
            Value::Rate(rate) if rate < 100.0 => format!("{rate:.1}/s"),
            Value::Rate(rate) => format!("{rate:.0}/s"),
        }
    }

    #[expect(clippy::cast_precision_loss)]
    fn number(self) -> f64 {
        match self {
            Value::Time(time) => time.as_secs_f64(),
            Value::Memory { kib } => kib as f64,
            Value::Share(number) | Value::Rate(number) => number,
        }
    }

    /// How many times better this is than the other; endless if the other is and this is not.
    fn better_than(self, other: Value) -> f64 {
        match self {
            Value::Rate(own) => own / other.number(),
            _ => other.number() / self.number(),
        }
    }
}

fn times(ratio: f64) -> String {
    match ratio {
        // Nothing against something, and nothing against nothing.
        _ if ratio.is_infinite() => "endless".to_owned(),
        _ if ratio.is_nan() => "1.0x".to_owned(),
        10.0.. => format!("{ratio:.0}x"),
        _ => format!("{ratio:.1}x"),
    }
}

/// The table in Markdown, and what misses its target. Figures are paired by their order.
pub(super) fn table(own: &[Figure], peers: &[Figure]) -> (String, Vec<String>) {
    let mut rows =
        vec![["figure", "kogge", "kube-apiserver + etcd", "times better", "at least", ""].map(str::to_owned)];
    let mut missed = Vec::new();
    for (own, peer) in own.iter().zip(peers) {
        let ratio = own.value.better_than(peer.value);
        let kept = own.target.is_none_or(|target| ratio.is_nan() || ratio >= target);
        if !kept {
            missed.push(own.what.clone());
        }
        let verdict = match own.target {
            None => "",
            Some(_) if kept => "ok",
            Some(_) => "MISSED",
        };
        rows.push([
            own.what.clone(),
            own.value.text(),
            peer.value.text(),
            times(ratio),
            own.target.map(|target| format!("{target}x")).unwrap_or_default(),
            verdict.to_owned(),
        ]);
    }
    let widths: [usize; 6] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default());
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        for (column, cell) in row.iter().enumerate() {
            // Numbers are set flush right.
            let width = widths[column];
            let _ = if (1..5).contains(&column) {
                write!(text, "| {cell:>width$} ")
            } else {
                write!(text, "| {cell:<width$} ")
            };
        }
        text.push_str("|\n");
        if number == 0 {
            for (column, width) in widths.iter().enumerate() {
                let end = if (1..5).contains(&column) { ":" } else { "-" };
                let _ = write!(text, "|{}{end}", "-".repeat(width + 1));
            }
            text.push_str("|\n");
        }
    }
    (text, missed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_is_better_for_rates_only_and_what_falls_short_is_named() {
        let figure = |what: &str, value, target| Figure { what: what.to_owned(), value, target };
        let own = [
            figure("start", Value::Time(Duration::from_millis(80)), Some(30.0)),
            figure("memory", Value::Memory { kib: 40 << 10 }, Some(15.0)),
            figure("at rest", Value::Share(0.001), None),
            figure("create", Value::Rate(2000.0), Some(3.0)),
        ];
        let peers = [
            figure("start", Value::Time(Duration::from_secs(3)), Some(30.0)),
            figure("memory", Value::Memory { kib: 500 << 10 }, Some(15.0)),
            figure("at rest", Value::Share(0.05), None),
            figure("create", Value::Rate(500.0), Some(3.0)),
        ];
        let (text, missed) = table(&own, &peers);
        assert_eq!(
            text,
            "\
| figure  |    kogge | kube-apiserver + etcd | times better | at least |        |
|---------|---------:|----------------------:|-------------:|---------:|--------|
| start   |   80.0ms |                  3.0s |          38x |      30x | ok     |
| memory  | 40.0 MiB |             500.0 MiB |          12x |      15x | MISSED |
| at rest |    0.1 % |                 5.0 % |          50x |          |        |
| create  |   2000/s |                 500/s |         4.0x |       3x | ok     |
"
        );
        assert_eq!(missed, ["memory"]);
    }
}
