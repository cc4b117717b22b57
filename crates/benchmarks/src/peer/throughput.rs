//! How many requests are answered a second, of writes and of reads.

use std::time::{Duration, Instant};

use anyhow::ensure;
use reqwest::Method;

use super::client::{Access, JSON, TABLE};
use super::comparison::Value;
use super::load::{Clients, FILLED, Operation, fill};
use super::object::Kind;
use super::side::Side;
use super::{Arguments, Measurement, create_namespace};
use crate::report::Latencies;

/// How many clients send at the same time.
const CLIENTS: [usize; 3] = [1, 16, 128];
const KINDS: [Kind; 2] = [Kind::ConfigMap, Kind::Machine];

/// Create, update, apply and delete, by few and many clients.
pub(super) async fn writes(
    measurement: &mut Measurement<'_>,
    server: &Side,
    access: &Access,
    arguments: &Arguments,
) -> anyhow::Result<()> {
    let duration = Duration::from_secs_f64(arguments.seconds);
    create_namespace(&access.client()?, "written").await?;
    for kind in KINDS {
        let name = kind.name();
        let (mut used, mut written) = (Duration::ZERO, 0);
        for count in CLIENTS {
            let clients = Clients::new(access, "written", count, kind, arguments.bytes)?;
            clients.connect(Operation::Apply).await?;
            let before = server.processor_time()?;
            let target = Some(if count == 1 { 1.0 } else { 3.0 });
            for (verb, operation) in [
                ("create", Operation::Create),
                ("update", Operation::Update),
                ("apply", Operation::Apply),
                ("delete", Operation::Delete),
            ] {
                let outcome = clients.run(operation, duration).await?;
                written += outcome.answered;
                measurement.add(&format!("{name}: {verb}, {count} clients"), Value::Rate(outcome.rate()), target)?;
            }
            used += server.processor_time()?.saturating_sub(before);
        }
        let each = used / u32::try_from(written)?.max(1);
        measurement.add(&format!("{name}: processor time of the server for a write"), Value::Time(each), None)?;
    }
    Ok(())
}

/// Get, and short and long lists.
pub(super) async fn reads(
    measurement: &mut Measurement<'_>,
    server: &Side,
    access: &Access,
    arguments: &Arguments,
) -> anyhow::Result<()> {
    let duration = Duration::from_secs_f64(arguments.seconds);
    create_namespace(&access.client()?, "listed").await?;
    create_namespace(&access.client()?, "many").await?;
    for kind in KINDS {
        let name = kind.name();
        fill(access, kind, "listed", FILLED, arguments.bytes).await?;
        let (mut used, mut read) = (Duration::ZERO, 0);
        for count in CLIENTS {
            let clients = Clients::new(access, "listed", count, kind, arguments.bytes)?;
            clients.connect(Operation::Get).await?;
            let before = server.processor_time()?;
            let outcome = clients.run(Operation::Get, duration).await?;
            used += server.processor_time()?.saturating_sub(before);
            read += outcome.answered;
            measurement.add(&format!("{name}: get, {count} clients"), Value::Rate(outcome.rate()), Some(3.0))?;
            if count == 16 {
                let outcome = clients.run(Operation::List, duration).await?;
                let what = format!("{name}: list of {FILLED}, {count} clients");
                measurement.add(&what, Value::Rate(outcome.rate()), Some(3.0))?;
            }
        }
        let each = used / u32::try_from(read)?.max(1);
        measurement.add(&format!("{name}: processor time of the server for a get"), Value::Time(each), None)?;

        fill(access, kind, "many", arguments.listed, arguments.bytes).await?;
        let client = access.client()?;
        for (format, accept) in [("JSON", JSON), ("Table", TABLE)] {
            let mut times = Latencies::default();
            let begin = Instant::now();
            while times.0.len() < 3 || begin.elapsed() < duration {
                let begin = Instant::now();
                let body = client.send(Method::GET, &kind.collection("many"), accept, None).await?;
                times.0.push(begin.elapsed());
                ensure!(body.len() > arguments.listed * 100, "a list of {} bytes", body.len());
            }
            let what = format!("{name}: list of {}, {format}, median", arguments.listed);
            measurement.add(&what, Value::Time(times.quantile(0.5)), Some(3.0))?;
        }
    }
    Ok(())
}
