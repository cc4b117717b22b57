//! Each fault of the simulated cloud shows up as the right problem with the right actor, and heals.

use std::time::Duration;

use crate::session::{Session, root};

/// A fault's example file, what makes it felt, and what has to be told.
struct Case {
    file: &'static str,
    scale_to: Option<&'static str>,
    code: &'static str,
    actor: &'static str,
}

const CASES: &[Case] = &[
    Case { file: "quota-exceeded", scale_to: Some("8"), code: "QuotaExceeded", actor: "User" },
    Case { file: "image-missing", scale_to: Some("5"), code: "ImageMissing", actor: "Provider" },
    Case { file: "zone-down", scale_to: None, code: "ZoneUnavailable", actor: "Provider" },
    Case { file: "machine-never-boots", scale_to: Some("5"), code: "MachineNotBooting", actor: "Platform" },
    Case { file: "node-lost", scale_to: None, code: "NodeLost", actor: "Platform" },
    Case { file: "cloud-api-slow", scale_to: Some("5"), code: "CloudApiSlow", actor: "Provider" },
    Case { file: "cloud-api-errors", scale_to: Some("5"), code: "CloudApiErrors", actor: "Provider" },
    Case { file: "credentials-expired", scale_to: Some("5"), code: "CredentialsExpired", actor: "User" },
];

#[test]
fn every_fault_is_told_truly_and_heals_when_it_is_lifted() {
    let session = Session::start();
    let mut failures = Vec::new();
    for case in CASES {
        session.kogge(&["cluster", "create", "first", "--workers", "4", "--wait=60s"]).success();
        let file = root().join(format!("examples/faults/{}.yaml", case.file)).display().to_string();
        if session.kubectl(&["apply", "-f", &file]).is_none() {
            return;
        }
        if let Some(count) = case.scale_to {
            session.kogge(&["cluster", "scale", "first", "--count", count]).success();
        }
        let mut seen = Vec::new();
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while std::time::Instant::now() < deadline && !seen.iter().any(|(code, _)| code == case.code) {
            let cluster = session.cluster("first");
            seen = cluster["status"]["problems"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|problem| (problem["code"].as_str().unwrap_or("").to_owned(), problem["actor"].clone()))
                .collect();
            std::thread::sleep(Duration::from_millis(50));
        }
        match seen.iter().find(|(code, _)| code == case.code) {
            Some((_, actor)) if actor == case.actor => {}
            _ => failures.push(format!("{}: wanted {} for {}, saw {seen:?}", case.file, case.code, case.actor)),
        }
        let diagnosis = session.kogge(&["cluster", "diagnose", "first"]).success().stdout;
        session.kubectl(&["delete", "-f", &file]).unwrap().success();
        let healed = session.kogge(&["cluster", "scale", "first", "--count", "4", "--wait=60s"]);
        if healed.code != 0 {
            failures.push(format!("{}: does not heal: {}\nbefore: {diagnosis}", case.file, healed.stderr));
        }
        session.until("no problem is left", Duration::from_secs(30), || session.problems("first").is_empty());
        session.kogge(&["cluster", "delete", "first", "--yes", "--wait=60s"]).success();
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
