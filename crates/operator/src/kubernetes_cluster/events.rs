//! Kubernetes Events of a cluster: few, and only at changes. What is derived here compares two statuses, so that a
//! restart repeats nothing.
//!
//! Recorders count events of equal type, reason and action as one and keep the first one's words, so what differs in its
//! words differs in its action too.

use kogge_api::kubernetes_cluster::KubernetesClusterStatus;
use kogge_api::plan::Plan;
use kube::runtime::events::{Event, EventType};

/// Longest note Kubernetes accepts.
const LONGEST_NOTE: usize = 1024;

/// Events for the way from one status to the next.
pub fn of_change(
    previous: Option<&KubernetesClusterStatus>,
    current: &KubernetesClusterStatus,
    executed: Option<&Plan>,
) -> Vec<Event> {
    let mut events = Vec::new();
    if let Some(plan) = executed.filter(|plan| !plan.writes.is_empty()) {
        let steps: Vec<String> = plan.steps.iter().map(ToString::to_string).collect();
        let action = format!("ApplyGeneration{}", current.observed_generation.unwrap_or_default());
        events.push(event(EventType::Normal, "PlanExecuted", &action, &steps.join("; ")));
    }
    let before = previous.and_then(|status| status.phase);
    if let Some(phase) = current.phase.filter(|phase| before != Some(*phase)) {
        let message = current.operation.as_ref().map(|operation| operation.message.clone()).unwrap_or_default();
        let note = match before {
            Some(before) => format!("{before} -> {phase}: {message}"),
            None => format!("{phase}: {message}"),
        };
        events.push(event(EventType::Normal, "PhaseChanged", phase.as_str(), note.trim_end_matches([':', ' '])));
    }
    let known = previous.map(|status| status.problems.as_slice()).unwrap_or_default();
    for problem in &current.problems {
        if !known.iter().any(|known| known.code == problem.code) {
            events.push(event(EventType::Warning, &problem.code, "Reconcile", &problem.message));
        }
    }
    for problem in known {
        if !current.problems.iter().any(|current| current.code == problem.code) {
            let note = format!("{} is solved", problem.code);
            events.push(event(EventType::Normal, "ProblemSolved", &problem.code, &note));
        }
    }
    events
}

fn event(event_type: EventType, reason: &str, action: &str, note: &str) -> Event {
    let mut note = note.to_owned();
    if note.len() > LONGEST_NOTE {
        let end = (0..=LONGEST_NOTE - 4).rev().find(|end| note.is_char_boundary(*end)).unwrap_or(0);
        note.truncate(end);
        note.push('…');
    }
    Event { type_: event_type, reason: reason.to_owned(), note: Some(note), action: action.to_owned(), secondary: None }
}
