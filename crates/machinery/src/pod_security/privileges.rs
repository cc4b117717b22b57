//! Checks of what the processes of a pod may do: privileges, capabilities, users.

use serde_json::Value;

use super::pod::{Pod, Texts, Violation, items, named_containers, quoted, setters};

/// What a container runtime grants without being asked.
const DEFAULT_CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// No privileged containers.
pub(super) fn privileged(pod: &Pod<'_>) -> Option<Violation> {
    let containers = pod.containers_that(|container| container["securityContext"]["privileged"] == true);
    (!containers.is_empty()).then(|| Violation {
        reason: "privileged",
        detail: format!("{} must not set securityContext.privileged=true", named_containers(&containers)),
    })
}

/// No processes that gain more privileges than their parents have.
pub(super) fn escalation(pod: &Pod<'_>) -> Option<Violation> {
    let containers = pod.containers_that(|container| container["securityContext"]["allowPrivilegeEscalation"] != false);
    (!containers.is_empty()).then(|| Violation {
        reason: "allowPrivilegeEscalation != false",
        detail: format!("{} must set securityContext.allowPrivilegeEscalation=false", named_containers(&containers)),
    })
}

/// As [`escalation`], since Windows is excused.
pub(super) fn escalation_but_windows(pod: &Pod<'_>) -> Option<Violation> {
    if pod.is_windows() { None } else { escalation(pod) }
}

fn added(container: &Value) -> impl Iterator<Item = &str> {
    items(&container["securityContext"]["capabilities"]["add"]).filter_map(Value::as_str)
}

/// The containers that add other capabilities than these, and which; as it is told.
fn added_but(pod: &Pod<'_>, allowed: &[&str]) -> Option<String> {
    let mut forbidden = Texts::new();
    let containers = pod.containers_that(|container| {
        let wrong: Vec<&str> = added(container).filter(|capability| !allowed.contains(capability)).collect();
        let any = !wrong.is_empty();
        forbidden.extend(wrong);
        any
    });
    (!containers.is_empty()).then(|| {
        let containers = named_containers(&containers);
        format!("{containers} must not include {} in securityContext.capabilities.add", quoted(forbidden))
    })
}

/// No more capabilities than those of every container.
pub(super) fn default_capabilities(pod: &Pod<'_>) -> Option<Violation> {
    added_but(pod, &DEFAULT_CAPABILITIES).map(|detail| Violation { reason: "non-default capabilities", detail })
}

/// No capabilities but one.
pub(super) fn no_capabilities(pod: &Pod<'_>) -> Option<Violation> {
    let keeping = pod.containers_that(|container| {
        !items(&container["securityContext"]["capabilities"]["drop"]).any(|capability| capability == "ALL")
    });
    let mut details = Vec::new();
    if !keeping.is_empty() {
        details.push(format!("{} must set securityContext.capabilities.drop=[\"ALL\"]", named_containers(&keeping)));
    }
    details.extend(added_but(pod, &["NET_BIND_SERVICE"]));
    (!details.is_empty()).then(|| Violation { reason: "unrestricted capabilities", detail: details.join("; ") })
}

/// As [`no_capabilities`], since Windows is excused.
pub(super) fn no_capabilities_but_windows(pod: &Pod<'_>) -> Option<Violation> {
    if pod.is_windows() { None } else { no_capabilities(pod) }
}

/// No `/proc` without its masks.
pub(super) fn proc_mount(pod: &Pod<'_>) -> Option<Violation> {
    let mut types = Texts::new();
    let containers = pod.containers_that(|container| {
        let kind = container["securityContext"]["procMount"].as_str().filter(|kind| *kind != "Default");
        types.extend(kind);
        kind.is_some()
    });
    (!containers.is_empty()).then(|| Violation {
        reason: "procMount",
        detail: format!(
            "{} must not set securityContext.procMount to {}",
            named_containers(&containers),
            quoted(types)
        ),
    })
}

/// As [`proc_mount`], since pods with users of their own are excused.
pub(super) fn proc_mount_but_own_users(pod: &Pod<'_>) -> Option<Violation> {
    if pod.has_own_users() { None } else { proc_mount(pod) }
}

/// Nobody may be root, and has to say so.
pub(super) fn non_root(pod: &Pod<'_>) -> Option<Violation> {
    const REASON: &str = "runAsNonRoot != true";
    let of_pod = pod.security_context()["runAsNonRoot"].as_bool();
    let said = |container: &Value| container["securityContext"]["runAsNonRoot"].as_bool();
    let explicit = pod.containers_that(|container| said(container) == Some(false));
    let setters = setters(of_pod == Some(false), &explicit);
    if !setters.is_empty() {
        let detail = format!("{} must not set securityContext.runAsNonRoot=false", setters.join(" and "));
        return Some(Violation { reason: REASON, detail });
    }
    let silent = pod.containers_that(|container| said(container).is_none() && of_pod != Some(true));
    (!silent.is_empty()).then(|| Violation {
        reason: REASON,
        detail: format!("pod or {} must set securityContext.runAsNonRoot=true", named_containers(&silent)),
    })
}

/// As [`non_root`], since pods with users of their own are excused.
pub(super) fn non_root_but_own_users(pod: &Pod<'_>) -> Option<Violation> {
    if pod.has_own_users() { None } else { non_root(pod) }
}

/// Nobody is told to be root.
pub(super) fn user(pod: &Pod<'_>) -> Option<Violation> {
    let is_root = |context: &Value| context["runAsUser"] == 0;
    let containers = pod.containers_that(|container| is_root(&container["securityContext"]));
    let setters = setters(is_root(pod.security_context()), &containers);
    (!setters.is_empty()).then(|| Violation {
        reason: "runAsUser=0",
        detail: format!("{} must not set runAsUser=0", setters.join(" and ")),
    })
}

/// As [`user`], since pods with users of their own are excused.
pub(super) fn user_but_own_users(pod: &Pod<'_>) -> Option<Violation> {
    if pod.has_own_users() { None } else { user(pod) }
}
