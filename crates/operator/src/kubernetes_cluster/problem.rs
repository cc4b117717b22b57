//! Problems: from conditions and messages of Cluster API and the cloud to a code, an actor and a remedy. Pure.
//!
//! Only the lowest object that knows the cause is read (infrastructure, then machines, then the cluster), because what is
//! rolled up above repeats it in other words.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use kogge_api::kubernetes_cluster::{ClusterProblem, ProblemObject};
use kogge_api::problem::{ProblemCode, Severity};
use serde_json::Value;

use crate::cluster_api::index::ClusterObjects;
use crate::cluster_api::object::{Condition, Infrastructure, Machine, condition, conditions, is_true};

/// Something wrong with one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub code: ProblemCode,
    /// What happened, in the words of whoever knows best.
    pub message: String,
    /// The object.
    pub object: ProblemObject,
    /// Since when, if the object tells.
    pub since: Option<Timestamp>,
}

/// How long a running machine may take to become a node before it is worth a word: five times as long as its slowest
/// sibling, within these bounds; the upper one if there is no sibling yet. Replacing it is the health check's business
/// and comes later.
const BOOTED_WITHIN: (SignedDuration, SignedDuration) = (SignedDuration::from_secs(10), SignedDuration::from_mins(10));
/// How long Cluster API may refuse a topology before that is a problem: its controllers read a Cluster and its ClusterClass
/// from caches of their own, and may see the Cluster first.
const TOPOLOGY_SETTLES_WITHIN: SignedDuration = SignedDuration::from_secs(5);
/// How long nothing may happen while something should.
const NO_PROGRESS_AFTER: SignedDuration = SignedDuration::from_mins(20);

/// Everything that is wrong with the objects of a cluster.
pub fn findings(objects: &ClusterObjects, is_deleting: bool, now: Timestamp) -> Vec<Finding> {
    let mut findings: Vec<Finding> = objects.infrastructure.values().filter_map(of_infrastructure).collect();
    let is_known = |name: &str, findings: &[Finding]| findings.iter().any(|finding| finding.object.name == name);
    let boot_limit = boot_limit(objects);
    for machine in objects.machines.values() {
        if !is_known(&machine.name, &findings) {
            let has_infrastructure = objects.infrastructure.keys().any(|(_, name)| *name == machine.name);
            findings.extend(of_machine(machine, has_infrastructure, boot_limit, now));
        }
    }
    if let Some(cluster) = objects.cluster.as_deref() {
        findings.extend(of_cluster(cluster, objects, is_deleting, now));
    }
    if is_deleting {
        findings.extend(deletion_blocked(objects, &findings));
    }
    findings
}

/// What the cloud's answer means. The reason is the provider's word, the message the cloud's own.
pub fn classify(reason: &str, message: &str) -> Option<ProblemCode> {
    let text = message.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let is = |reasons: &[&str]| reasons.contains(&reason);
    let is_missing = says(&["not found", "could not be found", "no image matching", "does not exist", "http 404"]);
    let code = if is(&["CredentialsExpired"])
        || (is(&["CredentialsInvalid"]) || says(&["authentication", "http 401", "unauthorized"])) && says(&["expired"])
    {
        ProblemCode::CredentialsExpired
    } else if is(&["CredentialsInvalid", "Unauthorized"])
        || says(&[
            "authentication failed",
            "requires authentication",
            "http 401",
            "unauthorized",
            "invalid credentials",
        ])
    {
        ProblemCode::CredentialsInvalid
    } else if is(&["QuotaExceeded"]) || says(&["quota", "limit exceeded", "resource_limit_exceeded"]) {
        ProblemCode::QuotaExceeded
    } else if is(&["ImageNotFound", "ImageMissing"]) || (says(&["image"]) && is_missing) {
        ProblemCode::ImageMissing
    } else if is(&["FlavorNotFound"]) || (says(&["flavor", "server type"]) && is_missing) {
        ProblemCode::FlavorUnavailable
    } else if is(&["ZoneUnavailable"])
        || (says(&["availability zone"]) && says(&["not available", "unavailable", "no valid host"]))
    {
        ProblemCode::ZoneUnavailable
    } else if is(&["CapacityExhausted"])
        || says(&["no valid host", "not enough hosts", "resource_unavailable", "out of capacity"])
    {
        ProblemCode::CapacityExhausted
    } else if is(&["CloudAPIUnavailable"])
        || says(&[
            "http 500",
            "http 502",
            "http 503",
            "http 504",
            "service unavailable",
            "bad gateway",
            "gateway timeout",
            "internal server error",
        ])
    {
        ProblemCode::CloudApiErrors
    } else if is(&["CloudAPISlow"]) || says(&["deadline exceeded", "timed out", "timeout awaiting", "slow"]) {
        ProblemCode::CloudApiSlow
    } else if is(&["MachineNotBooting", "NodeStartupTimeout", "BootTimeout"]) {
        ProblemCode::MachineNotBooting
    } else {
        return None;
    };
    Some(code)
}

fn of_infrastructure(object: &Infrastructure) -> Option<Finding> {
    let failing = object.conditions.iter().filter(|condition| condition.status == "False");
    let finding = |condition: &Condition, code| Finding {
        code,
        message: if condition.message.is_empty() { condition.reason.clone() } else { condition.message.clone() },
        object: ProblemObject { kind: object.kind.clone(), name: object.name.clone() },
        since: condition.since,
    };
    let is_slow = |condition: &&Condition| condition.status == "True" && condition.reason == "CloudAPISlow";
    if let Some(slow) = object.conditions.iter().find(is_slow) {
        return Some(finding(slow, ProblemCode::CloudApiSlow));
    }
    let mut unknown = None;
    for condition in failing {
        if let Some(code) = classify(&condition.reason, &condition.message) {
            return Some(finding(condition, code));
        }
        // A reason that ends like this is no stage on the way.
        if ["Failed", "Error", "Invalid"].iter().any(|end| condition.reason.ends_with(end)) {
            unknown.get_or_insert_with(|| finding(condition, ProblemCode::InfrastructureFailed));
        }
    }
    unknown
}

/// `has_infrastructure` tells that the infrastructure speaks for itself; what the machine repeats of it may be old.
fn of_machine(
    machine: &Machine,
    has_infrastructure: bool,
    boot_limit: SignedDuration,
    now: Timestamp,
) -> Option<Finding> {
    let finding = |condition: &Condition, code, message: String| Finding {
        code,
        message,
        object: ProblemObject { kind: "Machine".to_owned(), name: machine.name.clone() },
        since: condition.since,
    };
    let unhealthy = condition(&machine.conditions, "HealthCheckSucceeded").filter(|check| check.status == "False");
    if machine.deleted_at.is_some() {
        let draining = condition(&machine.conditions, "Deleting")?;
        if draining.message.to_lowercase().contains("disruption budget") {
            return Some(finding(draining, ProblemCode::DrainBlocked, draining.message.clone()));
        }
        // A lost node is being replaced; a machine that never became one will probably not be the last.
        return unhealthy
            .filter(|_| !machine.has_node)
            .map(|check| finding(check, ProblemCode::MachineNotBooting, check.message.clone()));
    }
    if let Some(check) = unhealthy {
        let code = if machine.has_node { ProblemCode::NodeLost } else { ProblemCode::MachineNotBooting };
        return Some(finding(check, code, check.message.clone()));
    }
    if machine.has_node {
        let lost = ["NodeReady", "NodeHealthy"].iter().filter_map(|name| condition(&machine.conditions, name)).find(
            |found| {
                // A node that has never been ready says False; one that went silent says Unknown or is gone.
                found.reason == "NodeDeleted"
                    || found.message.contains("stopped posting node status")
                    || (found.status == "Unknown" && found.reason.ends_with("Unknown"))
            },
        )?;
        let message = if lost.message.is_empty() {
            format!("Node {} does not answer", machine.name)
        } else {
            lost.message.clone()
        };
        return Some(finding(lost, ProblemCode::NodeLost, message));
    }
    let told = ["InfrastructureReady", "BootstrapConfigReady"].iter().find_map(|name| {
        let failing = condition(&machine.conditions, name).filter(|it| it.status == "False" && !has_infrastructure)?;
        let code = classify(&failing.reason, &failing.message)?;
        Some(finding(failing, code, failing.message.clone()))
    });
    told.or_else(|| {
        let provisioned =
            condition(&machine.conditions, "InfrastructureReady").filter(|ready| ready.status == "True")?;
        let is_late = provisioned.since.is_some_and(|since| now.duration_since(since) > boot_limit);
        let message = format!("machine {} runs, but has not become a node", machine.name);
        is_late.then(|| finding(provisioned, ProblemCode::MachineNotBooting, message))
    })
}

/// How long a machine of this cluster may take from running to being a node.
fn boot_limit(objects: &ClusterObjects) -> SignedDuration {
    let since =
        |machine: &Machine, name: &str| condition(&machine.conditions, name).filter(|it| it.status == "True")?.since;
    let booted = objects.machines.values().filter_map(|machine| {
        Some(since(machine, "NodeHealthy")?.duration_since(since(machine, "InfrastructureReady")?))
    });
    let (shortest, longest) = BOOTED_WITHIN;
    booted.max().map_or(longest, |slowest| slowest.saturating_mul(5).clamp(shortest, longest))
}

/// A problem that outlives the machine it was seen on: while machines of a cluster do not become nodes and are replaced
/// one after the other, each new one looks innocent until its time is up.
pub fn still_not_booting(objects: &ClusterObjects, previous: &[ClusterProblem]) -> Option<Finding> {
    let known = previous.iter().find(|problem| problem.code == ProblemCode::MachineNotBooting.as_str())?;
    let is_waiting = objects.machines.values().any(|machine| machine.deleted_at.is_none() && !machine.has_node);
    is_waiting.then(|| Finding {
        code: ProblemCode::MachineNotBooting,
        message: known.message.clone(),
        object: known.object.clone().unwrap_or_default(),
        since: known.since,
    })
}

fn of_cluster(cluster: &Value, objects: &ClusterObjects, is_deleting: bool, now: Timestamp) -> Vec<Finding> {
    let name = cluster["metadata"]["name"].as_str().unwrap_or_default();
    let conditions = conditions(cluster);
    let finding = |condition: &Condition, code| Finding {
        code,
        message: if condition.message.is_empty() { condition.reason.clone() } else { condition.message.clone() },
        object: ProblemObject { kind: "Cluster".to_owned(), name: name.to_owned() },
        since: condition.since,
    };
    let mut findings = Vec::new();
    if is_deleting {
        return findings;
    }
    if let Some(topology) = condition(&conditions, "TopologyReconciled")
        && topology.status == "False"
        && (topology.reason == "ReconcileFailed" || topology.reason == "ClusterClassNotReconciled")
        && topology.since.is_none_or(|since| now.duration_since(since) > TOPOLOGY_SETTLES_WITHIN)
    {
        findings.push(finding(topology, ProblemCode::BackendRefused));
    }
    let is_initialized = cluster.pointer("/status/initialization/controlPlaneInitialized") == Some(&Value::Bool(true));
    if is_initialized
        && let Some(available) = condition(&conditions, "ControlPlaneAvailable")
        && available.status == "False"
        && objects.control_plane.as_ref().is_none_or(|group| !is_true(&group.conditions, "Available"))
    {
        findings.push(finding(available, ProblemCode::ControlPlaneUnavailable));
    }
    findings
}

/// What keeps a deletion from going on: a cloud that does not answer, or nothing for a long time.
fn deletion_blocked(objects: &ClusterObjects, findings: &[Finding]) -> Option<Finding> {
    let cloud = findings.iter().find(|finding| finding.object.kind != "Machine" && finding.object.kind != "Cluster")?;
    let remaining = objects.infrastructure.len();
    Some(Finding {
        code: ProblemCode::DeletionBlocked,
        message: format!(
            "{remaining} objects remain at the provider, first {} {}: {}",
            cloud.object.kind, cloud.object.name, cloud.message
        ),
        object: cloud.object.clone(),
        since: cloud.since,
    })
}

/// When something last happened in a cluster, as its conditions tell.
pub fn last_activity(objects: &ClusterObjects) -> Option<Timestamp> {
    let of_cluster = objects.cluster.as_deref().map(conditions).unwrap_or_default();
    let machines = objects.machines.values().flat_map(|machine| &machine.conditions);
    let groups =
        objects.control_plane.iter().chain(objects.machine_deployments.values()).flat_map(|group| &group.conditions);
    let infrastructure = objects.infrastructure.values().flat_map(|object| &object.conditions);
    of_cluster.iter().chain(machines).chain(groups).chain(infrastructure).filter_map(|condition| condition.since).max()
}

/// A finding if something should move and nothing has for long. `started` is when it should have begun.
pub fn no_progress(objects: &ClusterObjects, name: &str, started: Timestamp, now: Timestamp) -> Option<Finding> {
    let last = last_activity(objects).unwrap_or(started).max(started);
    (now.duration_since(last) > NO_PROGRESS_AFTER).then(|| Finding {
        code: ProblemCode::NoProgress,
        message: format!("nothing has changed since {last}"),
        object: ProblemObject { kind: "Cluster".to_owned(), name: name.to_owned() },
        since: Some(last),
    })
}

/// One problem per code, the most severe first; objects with the same problem share it.
pub fn problems(findings: &[Finding], previous: &[ClusterProblem], now: Timestamp) -> Vec<ClusterProblem> {
    let mut by_code: BTreeMap<(std::cmp::Reverse<Severity>, ProblemCode), Vec<&Finding>> = BTreeMap::new();
    for finding in findings {
        let severity = finding.code.definition().severity;
        by_code.entry((std::cmp::Reverse(severity), finding.code)).or_default().push(finding);
    }
    let problem = |((_, code), mut findings): ((_, ProblemCode), Vec<&Finding>)| {
        findings.sort_by_key(|finding| (finding.since.is_none(), finding.since, &finding.object.name));
        let first = findings.first()?;
        let definition = code.definition();
        let known = previous.iter().find(|problem| problem.code == code.as_str());
        let since = first.since.or_else(|| known.and_then(|known| known.since)).unwrap_or(now);
        Some(ClusterProblem {
            code: code.as_str().to_owned(),
            actor: definition.actor,
            retryable: definition.retryable,
            message: message(&findings),
            remedy: definition.remedy.to_owned(),
            since: Some(since),
            object: Some(first.object.clone()),
        })
    };
    by_code.into_iter().filter_map(problem).collect()
}

/// A message in one line: Cluster API lists what it rolls up as bullets, also a single one.
fn plain(message: &str) -> String {
    let points: Vec<&str> = message.lines().map(|line| line.trim().trim_start_matches("* ")).collect();
    points.into_iter().filter(|point| !point.is_empty()).collect::<Vec<_>>().join("; ").replace(":;", ":")
}

fn message(findings: &[&Finding]) -> String {
    let first = findings.first().map(|finding| plain(&finding.message)).unwrap_or_default();
    match findings.len() {
        0 | 1 => first,
        count => format!("{first} ({count} objects)"),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(
        "InstanceCreateFailed",
        "Quota exceeded for instances: Requested 1, but already used 10 of 10 instances (HTTP 403)",
        Some(ProblemCode::QuotaExceeded)
    )]
    #[case("InstanceCreateFailed", "Quota exceeded, too many server groups.", Some(ProblemCode::QuotaExceeded))]
    #[case(
        "ImageNotFound",
        "No image matching \"ubuntu-2204-kube-v1.34.2\" was found (HTTP 404)",
        Some(ProblemCode::ImageMissing)
    )]
    #[case("InstanceCreateFailed", "Image 6b1f could not be found.", Some(ProblemCode::ImageMissing))]
    #[case("InstanceCreateFailed", "Flavor SCS-9V could not be found.", Some(ProblemCode::FlavorUnavailable))]
    #[case(
        "ZoneUnavailable",
        "No valid host was found. There are not enough hosts available in availability zone zone-b. (HTTP 500)",
        Some(ProblemCode::ZoneUnavailable)
    )]
    #[case(
        "InstanceCreateFailed",
        "No valid host was found. There are not enough hosts available.",
        Some(ProblemCode::CapacityExhausted)
    )]
    #[case(
        "CloudAPIUnavailable",
        "Compute API: Bad Gateway: The proxy server received an invalid response from an upstream server. (HTTP 502)",
        Some(ProblemCode::CloudApiErrors)
    )]
    #[case(
        "CredentialsInvalid",
        "Authentication failed: The request you have made requires authentication. (HTTP 401): application credential has expired",
        Some(ProblemCode::CredentialsExpired)
    )]
    #[case(
        "CredentialsInvalid",
        "Authentication failed: The request you have made requires authentication. (HTTP 401)",
        Some(ProblemCode::CredentialsInvalid)
    )]
    #[case("CloudAPISlow", "the compute API takes 30 s to answer", Some(ProblemCode::CloudApiSlow))]
    #[case(
        "OpenStackError",
        "Post \"https://compute/servers\": net/http: request canceled (Client.Timeout exceeded while awaiting headers): context deadline exceeded",
        Some(ProblemCode::CloudApiSlow)
    )]
    #[case("WaitingForBootstrapData", "", None)]
    #[case("InstanceNotReady", "Instance is in state BUILD", None)]
    fn the_words_of_clouds_are_understood(
        #[case] reason: &str,
        #[case] message: &str,
        #[case] expected: Option<ProblemCode>,
    ) {
        assert_eq!(classify(reason, message), expected);
    }

    #[rstest]
    #[case("* Node.Ready: Kubelet stopped posting node status.", "Node.Ready: Kubelet stopped posting node status.")]
    #[case("* Node.Ready: unknown\n* Node.Disk: full", "Node.Ready: unknown; Node.Disk: full")]
    #[case("* MachineDeployment a:\n  * 1 of 2 machines", "MachineDeployment a: 1 of 2 machines")]
    #[case("2 * 3 is not 7", "2 * 3 is not 7")]
    fn bullets_of_cluster_api_become_one_line(#[case] given: &str, #[case] expected: &str) {
        assert_eq!(plain(given), expected);
    }

    #[test]
    fn objects_with_the_same_problem_share_one_entry_that_keeps_its_age() {
        let finding = |name: &str, code, since: &str| Finding {
            code,
            message: format!("{name} fails"),
            object: ProblemObject { kind: "SimulatedMachine".to_owned(), name: name.to_owned() },
            since: Some(since.parse().unwrap()),
        };
        let findings = [
            finding("b", ProblemCode::QuotaExceeded, "2026-01-01T00:00:10Z"),
            finding("a", ProblemCode::QuotaExceeded, "2026-01-01T00:00:05Z"),
            finding("c", ProblemCode::CloudApiSlow, "2026-01-01T00:00:01Z"),
        ];
        insta::assert_yaml_snapshot!(problems(&findings, &[], "2026-01-01T00:01:00Z".parse().unwrap()));
    }
}
