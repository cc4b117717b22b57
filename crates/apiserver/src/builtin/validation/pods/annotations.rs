//! Annotations that mean something to pods.

use super::{
    super::{
        field::{Errors, Field},
        security,
        text::has_form,
    },
    LISTS,
};

pub(super) const MIRROR: &str = "kubernetes.io/config.mirror";

const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

/// Annotations that mean something to pods.
pub(super) fn check(annotations: &Field<'_>, spec: &Field<'_>, errors: &mut Errors) {
    let mirror = annotations.key(MIRROR);
    if mirror.is_set() && spec.at("nodeName").is_empty() {
        errors.invalid(&mirror, "must set spec.nodeName if mirror pod annotation is set");
    }
    let cost = annotations.key("controller.kubernetes.io/pod-deletion-cost");
    let is_cost = |text: &str| text.parse::<i32>().is_ok() && has_form(text, "0|-?[1-9][0-9]*");
    if cost.is_set() && !is_cost(cost.text()) {
        errors.invalid(&cost, "must be a 32bit integer");
    }
    for (key, value) in annotations.entries() {
        if key == "seccomp.security.alpha.kubernetes.io/pod"
            || key.starts_with("container.seccomp.security.alpha.kubernetes.io/")
        {
            security::seccomp_annotation(&value.reported_as(&format!("{}.{key}", annotations.path())), errors);
        }
        if let Some(container) = key.strip_prefix(APP_ARMOR) {
            let mut names = LISTS.iter().flat_map(|list| {
                spec.at(list).items().map(|item| item.at("name").text().to_owned()).collect::<Vec<_>>()
            });
            if !names.any(|name| name == container) {
                errors.show(&value, &container.into(), "container not found");
            }
            let profile = value.text();
            if !matches!(profile, "" | "runtime/default" | "unconfined") && !profile.starts_with("localhost/") {
                errors.invalid(&value, &format!("invalid AppArmor profile name: {profile:?}"));
            }
        }
    }
}

/// What annotations and fields both say has to be the same.
pub(super) fn check_fields(annotations: &Field<'_>, spec: &Field<'_>, errors: &mut Errors) {
    let mut check = |annotation: &Field<'_>, profile: &Field<'_>, what: &str| {
        if !annotation.is_set() || !profile.is_set() {
            return;
        }
        let (text, local) = (annotation.text(), profile.at("localhostProfile"));
        let agrees = match profile.at("type").text() {
            "Unconfined" => text == "unconfined",
            "RuntimeDefault" => text == "runtime/default" || (what == "seccomp" && text == "docker/default"),
            "Localhost" => match text.strip_prefix("localhost/") {
                Some(path) if path != local.text() => {
                    errors.forbidden(&local, &format!("{what} profile in annotation and field must match"));
                    true
                }
                found => found.is_some(),
            },
            _ => true,
        };
        if !agrees {
            errors.forbidden(&profile.at("type"), &format!("{what} type in annotation and field must match"));
        }
    };
    let of_pod = annotations.key("seccomp.security.alpha.kubernetes.io/pod");
    check(&of_pod, &spec.at("securityContext.seccompProfile"), "seccomp");
    for list in LISTS {
        for container in spec.at(list).items() {
            let name = container.at("name").text();
            let seccomp = annotations.key(&format!("container.seccomp.security.alpha.kubernetes.io/{name}"));
            check(&seccomp, &container.at("securityContext.seccompProfile"), "seccomp");
            let own = container.at("securityContext.appArmorProfile");
            let profile = if own.is_set() {
                own
            } else {
                let of_pod = spec.at("securityContext.appArmorProfile");
                of_pod.reported_at(&container, "securityContext.appArmorProfile")
            };
            check(&annotations.key(&format!("{APP_ARMOR}{name}")), &profile, "apparmor");
        }
    }
}

/// What may not happen to annotations of a pod that is there.
pub(super) fn check_update(pod: &Field<'_>, old: &Field<'_>, errors: &mut Errors) {
    let (new, old) = (pod.at("metadata.annotations"), old.at("metadata.annotations"));
    let mut check = |key: &str, app_armor: &str, mirror: &str| {
        if key.starts_with(APP_ARMOR) {
            errors.forbidden(&new.key(key), &format!("may not {app_armor} AppArmor annotations"));
        }
        if key == MIRROR {
            errors.forbidden(&new.key(key), &format!("may not {mirror} mirror pod annotation"));
        }
    };
    for (key, value) in old.entries() {
        if new.key(key).value != value.value {
            check(key, "remove or update", "remove or update");
        }
    }
    for (key, _) in new.entries() {
        if !old.key(key).is_set() {
            check(key, "add", "add");
        }
    }
}
