//! Lifecycle hooks and probes of containers.

use super::{
    super::{
        field::{Errors, Field},
        text::{header_name_message, port},
    },
    PodContext,
};

const ONE_HANDLER: &str = "may not specify more than 1 handler type";

/// Lifecycle hooks and probes.
pub(super) fn validate(container: &Field<'_>, pod: &PodContext<'_>, errors: &mut Errors) {
    let lifecycle = container.at("lifecycle");
    for hook in ["postStart", "preStop"] {
        let hook = lifecycle.at(hook);
        if hook.is_set() {
            handler(&hook, &["exec", "httpGet", "tcpSocket", "sleep"], pod, errors);
        }
    }
    let signal = lifecycle.at("stopSignal");
    if signal.is_set() {
        match pod.operating_system {
            None => errors.forbidden(&signal, "may not be set for containers with empty `spec.os.name`"),
            Some("windows") => errors.known(&signal, &["SIGKILL", "SIGTERM"]),
            Some(_) => {
                let signals: Vec<String> = linux_signals();
                let signals: Vec<&str> = signals.iter().map(String::as_str).collect();
                errors.known(&signal, &signals);
            }
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let probe = container.at(name);
        if !probe.is_set() {
            continue;
        }
        handler(&probe, &["exec", "httpGet", "tcpSocket", "grpc"], pod, errors);
        let times = ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"];
        errors.none_negative(&probe, &times);
        let (grace, successes) = (probe.at("terminationGracePeriodSeconds"), probe.at("successThreshold"));
        if grace.number().is_some_and(|seconds| seconds <= 0) {
            errors.invalid(&grace, "must be greater than 0");
        }
        if name == "readinessProbe" {
            if grace.is_set() {
                errors.invalid(&grace, "must not be set for readinessProbes");
            }
        } else if successes.count() != 1 {
            errors.invalid_number(&successes, "must be 1");
        }
    }
}

fn linux_signals() -> Vec<String> {
    const PLAIN: [&str; 35] = [
        "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE", "POLL",
        "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU", "URG", "USR1",
        "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "RTMIN",
    ];
    let plain = PLAIN.iter().map(|name| format!("SIG{name}"));
    let counted =
        (1..=15).map(|step| format!("SIGRTMIN+{step}")).chain((1..=14).map(|step| format!("SIGRTMAX-{step}")));
    let mut all: Vec<String> = plain.chain(counted).chain(["SIGRTMAX".to_owned()]).collect();
    all.sort();
    all
}

fn handler(place: &Field<'_>, kinds: &[&str], pod: &PodContext<'_>, errors: &mut Errors) {
    let mut found = false;
    for kind in kinds {
        let action = place.at(kind);
        if !action.is_set() {
            continue;
        }
        if found {
            errors.forbidden(&action, ONE_HANDLER);
            continue;
        }
        found = true;
        match *kind {
            "exec" => {
                if action.at("command").is_empty() {
                    errors.required(&action.at("command"), "");
                }
            }
            "httpGet" => http_get(&action, errors),
            "sleep" => {
                let seconds = action.at("seconds").count();
                if let Some(grace) = pod.grace_seconds.filter(|grace| !(0..=*grace).contains(&seconds)) {
                    let detail = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
                    errors.show(&action, &seconds.into(), &detail);
                }
            }
            _ => port(&action.at("port"), errors),
        }
    }
    if !found {
        errors.required(place, "must specify a handler type");
    }
}

fn http_get(action: &Field<'_>, errors: &mut Errors) {
    if action.at("path").is_empty() {
        errors.required(&action.at("path"), "");
    }
    port(&action.at("port"), errors);
    if !matches!(action.at("scheme").text(), "HTTP" | "HTTPS") {
        errors.not_supported(&action.at("scheme"), &["HTTP", "HTTPS"]);
    }
    for header in action.at("httpHeaders").items() {
        let name = header.at("name");
        if let Some(message) = header_name_message(name.text()) {
            errors.invalid_text(&name.reported_at(action, "httpHeaders"), &message);
        }
    }
}
