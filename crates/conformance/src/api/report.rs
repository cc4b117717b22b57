//! What a run found, for people and for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::difference::Difference;

/// How a scenario went.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Word by word as expected.
    Same,
    /// As expected but for differences that are meant.
    Accepted(Vec<Difference>),
    /// Not as expected.
    Different(Vec<Difference>),
    /// It could not be run to its end; why.
    Failed(String),
    /// It was not run; why.
    Skipped(String),
}

/// A scenario and how it went.
#[derive(Clone, Debug, PartialEq)]
pub struct ScenarioResult {
    /// Its name.
    pub name: String,
    /// Its area.
    pub area: String,
    /// The number of its item.
    pub item: u32,
    /// How it went.
    pub outcome: Outcome,
}

/// The results of a run, in the order of the suite.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// One entry a scenario.
    pub scenarios: Vec<ScenarioResult>,
}

impl Outcome {
    fn word(&self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Accepted(_) => "accepted",
            Self::Different(_) => "different",
            Self::Failed(_) => "failed",
            Self::Skipped(_) => "skipped",
        }
    }

    fn differences(&self) -> &[Difference] {
        match self {
            Self::Accepted(differences) | Self::Different(differences) => differences,
            Self::Same | Self::Failed(_) | Self::Skipped(_) => &[],
        }
    }
}

impl ScenarioResult {
    /// Whether the server answered as expected, but for what is accepted and what it was not asked.
    pub fn passed(&self) -> bool {
        matches!(self.outcome, Outcome::Same | Outcome::Accepted(_) | Outcome::Skipped(_))
    }

    /// Why it was not run.
    fn skipped(&self) -> Option<&str> {
        if let Outcome::Skipped(reason) = &self.outcome { Some(reason) } else { None }
    }

    /// What is wrong, some lines for each difference; empty if nothing is.
    fn problem(&self) -> String {
        match &self.outcome {
            Outcome::Failed(message) => message.clone(),
            Outcome::Different(differences) => {
                differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
            }
            Outcome::Same | Outcome::Accepted(_) | Outcome::Skipped(_) => String::new(),
        }
    }
}

impl Report {
    /// Whether all scenarios passed.
    pub fn passed(&self) -> bool {
        self.scenarios.iter().all(ScenarioResult::passed)
    }

    fn count(&self, word: &str) -> usize {
        self.scenarios.iter().filter(|result| result.outcome.word() == word).count()
    }

    /// For people: what is not as expected, then a line for each area and the sum.
    pub fn table(&self) -> String {
        let mut text = String::new();
        for result in self.scenarios.iter().filter(|result| !result.passed()) {
            let _ = writeln!(text, "{} ({}, item {})", result.name, result.area, result.item);
            for line in result.problem().lines() {
                let _ = writeln!(text, "   {line}");
            }
            text.push('\n');
        }
        let mut areas: Vec<&str> = self.scenarios.iter().map(|result| result.area.as_str()).collect();
        areas.dedup();
        let width = areas.iter().map(|area| area.len()).max().unwrap_or(0).max("AREA".len());
        let _ = writeln!(text, "{:width$}  SCENARIOS  SAME  ACCEPTED  DIFFERENT  FAILED  SKIPPED", "AREA");
        let mut row = |name: &str, selected: &Self| {
            let _ = writeln!(
                text,
                "{name:width$}  {:<9}  {:<4}  {:<8}  {:<9}  {:<6}  {}",
                selected.scenarios.len(),
                selected.count("same"),
                selected.count("accepted"),
                selected.count("different"),
                selected.count("failed"),
                selected.count("skipped")
            );
        };
        for area in &areas {
            let of_area = self.scenarios.iter().filter(|result| result.area == **area).cloned().collect();
            row(area, &Self { scenarios: of_area });
        }
        row("all", self);
        let mut reasons: Vec<&str> = self.scenarios.iter().filter_map(ScenarioResult::skipped).collect();
        reasons.dedup();
        for reason in reasons {
            let _ = writeln!(text, "\nskipped: {reason}");
        }
        text
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let scenarios = self.scenarios.iter().map(|result| {
            let differences: Vec<Value> = result
                .outcome
                .differences()
                .iter()
                .map(|difference| {
                    json!({
                        "step": difference.step,
                        "request": difference.request,
                        "at": difference.at,
                        "expected": difference.expected,
                        "answered": difference.answered,
                    })
                })
                .collect();
            let message = match &result.outcome {
                Outcome::Failed(message) | Outcome::Skipped(message) => Some(message),
                _ => None,
            };
            json!({
                "name": result.name,
                "area": result.area,
                "item": result.item,
                "outcome": result.outcome.word(),
                "message": message,
                "differences": differences,
            })
        });
        json!({"suite": "api", "passed": self.passed(), "scenarios": scenarios.collect::<Vec<_>>()})
    }

    /// For build servers: one test case a scenario.
    pub fn junit(&self) -> String {
        let failures = self.count("different") + self.count("failed");
        let mut text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"api\" tests=\"{}\" failures=\"{failures}\" skipped=\"{}\">\n",
            self.scenarios.len(),
            self.count("skipped")
        );
        for result in &self.scenarios {
            let _ =
                write!(text, "  <testcase classname=\"{}\" name=\"{}\"", escape(&result.area), escape(&result.name));
            if let Outcome::Skipped(message) = &result.outcome {
                let _ = writeln!(text, ">\n    <skipped message=\"{}\"/>\n  </testcase>", escape(message));
            } else if result.passed() {
                text.push_str("/>\n");
            } else {
                let problem = escape(&result.problem());
                let _ = writeln!(
                    text,
                    ">\n    <failure message=\"{}\">{problem}</failure>\n  </testcase>",
                    result.outcome.word()
                );
            }
        }
        text.push_str("</testsuite>\n");
        text
    }
}

fn escape(text: &str) -> String {
    let clean: String = text.chars().filter(|found| !found.is_control() || *found == '\n').collect();
    clean.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
