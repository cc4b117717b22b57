//! The checks of all levels and versions.

use super::{
    host,
    pod::{Pod, Violation},
    policy::{Level, LevelVersion, Version},
    privileges, profiles, volumes,
};

type Rule = fn(&Pod<'_>) -> Option<Violation>;

/// A check: the rules it has had, each with the minor version it came with.
struct Check {
    id: &'static str,
    level: Level,
    rules: &'static [(i64, Rule)],
    /// The check of the level below that a pod is not held against where this one is.
    replaces: Option<&'static str>,
}

const fn baseline(id: &'static str, rules: &'static [(i64, Rule)]) -> Check {
    Check { id, level: Level::Baseline, rules, replaces: None }
}

const fn restricted(id: &'static str, replaces: Option<&'static str>, rules: &'static [(i64, Rule)]) -> Check {
    Check { id, level: Level::Restricted, rules, replaces }
}

/// In the order in which messages name them: each level by its names.
const CHECKS: [Check; 19] = [
    baseline("appArmorProfile", &[(0, profiles::app_armor)]),
    baseline("capabilities_baseline", &[(0, privileges::default_capabilities)]),
    baseline("hostNamespaces", &[(0, host::namespaces)]),
    baseline("hostPathVolumes", &[(0, volumes::host_paths)]),
    baseline("hostPorts", &[(0, host::ports)]),
    baseline("hostProbesAndHostLifecycle", &[(34, host::probes)]),
    baseline("privileged", &[(0, privileges::privileged)]),
    baseline("procMount", &[(0, privileges::proc_mount), (35, privileges::proc_mount_but_own_users)]),
    baseline("seLinuxOptions", &[(0, profiles::linux_options_1_0), (31, profiles::linux_options_1_31)]),
    baseline("seccompProfile_baseline", &[(0, profiles::seccomp_annotations), (19, profiles::seccomp)]),
    baseline(
        "sysctls",
        &[
            (0, profiles::sysctls::<0>),
            (27, profiles::sysctls::<27>),
            (29, profiles::sysctls::<29>),
            (32, profiles::sysctls::<32>),
        ],
    ),
    baseline("windowsHostProcess", &[(0, host::windows_process)]),
    restricted(
        "allowPrivilegeEscalation",
        None,
        &[(8, privileges::escalation), (25, privileges::escalation_but_windows)],
    ),
    restricted(
        "capabilities_restricted",
        Some("capabilities_baseline"),
        &[(22, privileges::no_capabilities), (25, privileges::no_capabilities_but_windows)],
    ),
    restricted("procMount_restricted", Some("procMount"), &[(35, privileges::proc_mount)]),
    restricted("restrictedVolumes", Some("hostPathVolumes"), &[(0, volumes::restricted)]),
    restricted("runAsNonRoot", None, &[(0, privileges::non_root), (35, privileges::non_root_but_own_users)]),
    restricted("runAsUser", None, &[(23, privileges::user), (35, privileges::user_but_own_users)]),
    restricted(
        "seccompProfile_restricted",
        Some("seccompProfile_baseline"),
        &[(19, profiles::seccomp_required), (25, profiles::seccomp_required_but_windows)],
    ),
];

impl Check {
    /// What the check asks for in a version, if it is known there.
    fn rule(&self, minor: i64) -> Option<Rule> {
        self.rules.iter().rev().find(|(since, _)| *since <= minor).map(|(_, rule)| *rule)
    }
}

/// What of a level a pod violates.
pub(super) fn violations(held: LevelVersion, pod: &Pod<'_>) -> Vec<Violation> {
    let minor = match held.version {
        Version::Minor(minor) => minor,
        Version::Latest => i64::MAX,
    };
    let known: Vec<(&Check, Rule)> = CHECKS
        .iter()
        .filter(|check| check.level <= held.level)
        .filter_map(|check| Some((check, check.rule(minor)?)))
        .collect();
    let is_replaced = |id: &str| known.iter().any(|(check, _)| check.replaces == Some(id));
    known.iter().filter(|(check, _)| !is_replaced(check.id)).filter_map(|(_, rule)| rule(pod)).collect()
}
