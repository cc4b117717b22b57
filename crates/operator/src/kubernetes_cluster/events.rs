//! Kubernetes Events of a cluster: few, and only at changes. What is derived here compares two statuses, so that a
//! restart repeats nothing.
//!
//! Recorders count events of equal type, reason and action as one and keep the first one's words, so what differs in its
//! words differs in its action too: the action ends with a digest of them.

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
        let from = before.map(|before| format!("From{before}")).unwrap_or_default();
        let action = format!("{phase}{from}Generation{}", current.observed_generation.unwrap_or_default());
        events.push(event(EventType::Normal, "PhaseChanged", &action, note.trim_end_matches([':', ' '])));
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
    let action = format!("{action}-{:08x}", digest(&note));
    Event { type_: event_type, reason: reason.to_owned(), note: Some(note), action, secondary: None }
}

/// FNV-1a: the same for the same words, in each run of the program.
fn digest(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |digest, byte| (digest ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use kogge_api::kubernetes_cluster::{Operation, Phase};

    use super::*;

    fn status(phase: Phase, generation: i64, message: &str) -> KubernetesClusterStatus {
        KubernetesClusterStatus {
            phase: Some(phase),
            observed_generation: Some(generation),
            operation: Some(Operation { message: message.to_owned(), ..Operation::default() }),
            ..KubernetesClusterStatus::default()
        }
    }

    #[test]
    fn what_differs_in_its_words_is_another_event() {
        let path = [
            status(Phase::Provisioning, 1, "0 of 3 worker machines ready"),
            status(Phase::Ready, 1, "3 of 3 worker machines ready"),
            status(Phase::Updating, 2, "3 of 8 worker machines ready"),
            status(Phase::Ready, 2, "8 of 8 worker machines ready"),
            status(Phase::Updating, 2, "7 of 8 worker machines ready"),
            status(Phase::Ready, 2, "8 of 8 worker machines ready"),
        ];
        let events: Vec<Event> = path.windows(2).flat_map(|pair| of_change(Some(&pair[0]), &pair[1], None)).collect();
        for (first, second) in events.iter().flat_map(|first| events.iter().map(move |second| (first, second))) {
            assert_eq!(first.action == second.action, first.note == second.note, "{:?} {:?}", first.note, second.note);
        }
        assert!(events[0].action.starts_with("ReadyFromProvisioningGeneration1-"), "{}", events[0].action);
        assert!(events.iter().all(|event| event.action.len() <= 128));
    }
}
