//! Checks of what the kernel confines a pod with: AppArmor, seccomp, SELinux, sysctls.

use std::collections::BTreeSet;

use serde_json::Value;

use super::pod::{Pod, Texts, Violation, items, named_containers, plural, quoted, setters, text};
use crate::status_error::quote;

const APP_ARMOR_ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";
const SECCOMP_POD_ANNOTATION: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER_ANNOTATION: &str = "container.seccomp.security.alpha.kubernetes.io/";

/// Types of profiles that confine.
fn confines(profile: &Value) -> bool {
    matches!(text(profile, "type"), "RuntimeDefault" | "Localhost")
}

/// Who sets profiles of a kind that do not confine, and the types of these.
fn unconfined<'a>(pod: &Pod<'a>, kind: &str) -> (Vec<String>, Texts<'a>) {
    let mut types = Texts::new();
    let mut is_wrong = |context: &'a Value| {
        let profile = &context[kind];
        let wrong = profile.is_object() && !confines(profile);
        if wrong {
            types.insert(text(profile, "type"));
        }
        wrong
    };
    let of_pod = is_wrong(pod.security_context());
    let containers = pod.containers_that(|container| is_wrong(&container["securityContext"]));
    (setters(of_pod, &containers), types)
}

/// No AppArmor profile that confines less than that of the runtime.
pub(super) fn app_armor(pod: &Pod<'_>) -> Option<Violation> {
    let (mut setters, types) = unconfined(pod, "appArmorProfile");
    let allowed =
        |profile: &str| profile.is_empty() || profile == "runtime/default" || profile.starts_with("localhost/");
    let annotations: BTreeSet<String> = pod
        .annotations(APP_ARMOR_ANNOTATION)
        .filter(|(_, profile)| !allowed(profile))
        .map(|(key, profile)| format!("{key}={}", quote(profile)))
        .collect();
    if !annotations.is_empty() {
        setters.push(plural("annotation", "annotations", annotations.len()).to_owned());
    }
    let count = types.len() + annotations.len();
    (!setters.is_empty()).then(|| Violation {
        reason: plural("forbidden AppArmor profile", "forbidden AppArmor profiles", count),
        detail: format!(
            "{} must not set AppArmor profile type to {}",
            setters.join(" and "),
            quoted(types.into_iter().chain(annotations.iter().map(String::as_str)))
        ),
    })
}

/// No seccomp profile that confines less than that of the runtime, while annotations named them.
pub(super) fn seccomp_annotations(pod: &Pod<'_>) -> Option<Violation> {
    let allowed =
        |profile: &str| matches!(profile, "runtime/default" | "docker/default") || profile.starts_with("localhost/");
    let of_containers =
        pod.containers().map(|container| format!("{SECCOMP_CONTAINER_ANNOTATION}{}", text(container, "name")));
    let forbidden: BTreeSet<String> = std::iter::once(SECCOMP_POD_ANNOTATION.to_owned())
        .chain(of_containers)
        .filter_map(|key| {
            let profile = pod.metadata["annotations"][&key].as_str().filter(|profile| !allowed(profile))?;
            Some(format!("{key}={}", quote(profile)))
        })
        .collect();
    (!forbidden.is_empty()).then(|| Violation {
        reason: "seccompProfile",
        detail: format!(
            "forbidden {} {}",
            plural("annotation", "annotations", forbidden.len()),
            forbidden.into_iter().collect::<Vec<_>>().join(", ")
        ),
    })
}

/// As [`seccomp_annotations`], since fields name them.
pub(super) fn seccomp(pod: &Pod<'_>) -> Option<Violation> {
    let (setters, types) = unconfined(pod, "seccompProfile");
    if setters.is_empty() {
        return None;
    }
    let detail =
        format!("{} must not set securityContext.seccompProfile.type to {}", setters.join(" and "), quoted(types));
    Some(Violation { reason: "seccompProfile", detail })
}

/// As [`seccomp`], where a profile has to be named.
pub(super) fn seccomp_required(pod: &Pod<'_>) -> Option<Violation> {
    let explicit = seccomp(pod);
    // A wrong one of the pod was found by now.
    if explicit.is_some() || pod.security_context()["seccompProfile"].is_object() {
        return explicit;
    }
    let silent = pod.containers_that(|container| !container["securityContext"]["seccompProfile"].is_object());
    (!silent.is_empty()).then(|| Violation {
        reason: "seccompProfile",
        detail: format!(
            "pod or {} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"",
            named_containers(&silent)
        ),
    })
}

/// As [`seccomp_required`], since Windows is excused.
pub(super) fn seccomp_required_but_windows(pod: &Pod<'_>) -> Option<Violation> {
    if pod.is_windows() { None } else { seccomp_required(pod) }
}

/// No SELinux types but those for containers, no users and roles.
fn linux_options(pod: &Pod<'_>, types: &[&str]) -> Option<Violation> {
    let wrong_type = |options: &Value| !types.contains(&text(options, "type"));
    let wrong = |context: &Value| {
        let options = &context["seLinuxOptions"];
        wrong_type(options) || !text(options, "user").is_empty() || !text(options, "role").is_empty()
    };
    let containers = pod.containers_that(|container| wrong(&container["securityContext"]));
    let setters = setters(wrong(pod.security_context()), &containers);
    if setters.is_empty() {
        return None;
    }
    let all: Vec<&Value> = std::iter::once(pod.security_context())
        .chain(pod.containers().map(|container| &container["securityContext"]))
        .map(|context| &context["seLinuxOptions"])
        .collect();
    let wrong_types: Texts<'_> =
        all.iter().filter(|options| wrong_type(options)).map(|options| text(options, "type")).collect();
    let mut details = Vec::new();
    if !wrong_types.is_empty() {
        details.push(format!("{} {}", plural("type", "types", wrong_types.len()), quoted(wrong_types)));
    }
    for field in ["user", "role"] {
        if all.iter().any(|options| !text(options, field).is_empty()) {
            details.push(format!("{field} may not be set"));
        }
    }
    let detail =
        format!("{} set forbidden securityContext.seLinuxOptions: {}", setters.join(" and "), details.join("; "));
    Some(Violation { reason: "seLinuxOptions", detail })
}

/// See [`linux_options`].
pub(super) fn linux_options_1_0(pod: &Pod<'_>) -> Option<Violation> {
    linux_options(pod, &["", "container_t", "container_init_t", "container_kvm_t"])
}

/// As [`linux_options_1_0`], with one more type.
pub(super) fn linux_options_1_31(pod: &Pod<'_>) -> Option<Violation> {
    linux_options(pod, &["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"])
}

/// Sysctls that concern a pod only, with the version that knows them to.
const SYSCTLS: [(i64, &str); 12] = [
    (0, "kernel.shm_rmid_forced"),
    (0, "net.ipv4.ip_local_port_range"),
    (0, "net.ipv4.tcp_syncookies"),
    (0, "net.ipv4.ping_group_range"),
    (0, "net.ipv4.ip_unprivileged_port_start"),
    (27, "net.ipv4.ip_local_reserved_ports"),
    (29, "net.ipv4.tcp_keepalive_time"),
    (29, "net.ipv4.tcp_fin_timeout"),
    (29, "net.ipv4.tcp_keepalive_intvl"),
    (29, "net.ipv4.tcp_keepalive_probes"),
    (32, "net.ipv4.tcp_rmem"),
    (32, "net.ipv4.tcp_wmem"),
];

/// No sysctls that concern more than the pod, as 1.`MINOR` knows them.
pub(super) fn sysctls<const MINOR: i64>(pod: &Pod<'_>) -> Option<Violation> {
    let is_safe = |name: &str| SYSCTLS.iter().any(|(since, safe)| *since <= MINOR && *safe == name);
    let forbidden: Vec<&str> = items(&pod.security_context()["sysctls"])
        .map(|sysctl| text(sysctl, "name"))
        .filter(|name| !is_safe(name))
        .collect();
    (!forbidden.is_empty()).then(|| Violation { reason: "forbidden sysctls", detail: forbidden.join(", ") })
}
