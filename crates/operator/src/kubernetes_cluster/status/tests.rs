//! Statuses of made-up moments in the life of a cluster.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use kogge_api::kubernetes_cluster::{
    KubernetesClusterStatus, Operation, OperationState, OperationType, Phase, ProblemObject,
};
use kogge_api::plan::{Action, Effect, ObjectReference, Plan, Step};
use kogge_api::problem::ProblemCode;
use kogge_api::{KubernetesCluster, provider_profile};
use rstest::rstest;
use serde_json::{Value, json};

use super::{StatusInput, status};
use crate::cluster_api::index::ClusterObjects;
use crate::cluster_api::object::{Machine, MachineGroup, Replicas};
use crate::kubernetes_cluster::problem::Finding;

fn now() -> Timestamp {
    "2026-08-22T12:00:00Z".parse().unwrap()
}

/// A moment: everything agrees, unless a test spoils it.
struct Moment {
    cluster: KubernetesCluster,
    objects: ClusterObjects,
    plan: Plan,
    findings: Vec<Finding>,
    refusals: Vec<Finding>,
    executed: bool,
    settled_for: SignedDuration,
}

impl Moment {
    fn settled() -> Self {
        let cluster = json!({
            "apiVersion": "kogge.dev/v1alpha1", "kind": "KubernetesCluster",
            "metadata": {"name": "demo", "namespace": "a", "generation": 4},
            "spec": {"provider": {"profile": "sim"}, "kubernetes": {"version": "1.34"}, "workers": [{"name": "default"}]},
        });
        let group = |name: &str, count| MachineGroup {
            name: format!("demo-{name}"),
            topology_name: name.to_owned(),
            version: Some("v1.34.2".to_owned()),
            running_version: Some("v1.34.2".to_owned()),
            replicas: Replicas { desired: count, existing: count, ready: count, up_to_date: count, available: count },
            is_current: true,
            conditions: Vec::new(),
        };
        let mut objects = ClusterObjects { cluster: Some(Arc::new(observed_cluster())), ..ClusterObjects::default() };
        objects.control_plane = Some(group("", 3));
        objects.machine_deployments.insert("demo-default".to_owned(), group("default", 2));
        Self {
            cluster: serde_json::from_value(cluster).unwrap(),
            objects,
            plan: Plan { kubernetes_version: "v1.34.2".to_owned(), ..Plan::default() },
            findings: Vec::new(),
            refusals: Vec::new(),
            executed: false,
            settled_for: SignedDuration::from_secs(1),
        }
    }

    fn after(mut self, phase: Phase, operation_type: OperationType, state: OperationState) -> Self {
        let finished_at = (state != OperationState::Running).then(now);
        let operation = Operation {
            operation_type,
            state,
            started_at: Some(now()),
            finished_at,
            progress: 40,
            ..Operation::default()
        };
        self.cluster.status =
            Some(KubernetesClusterStatus { phase: Some(phase), operation: Some(operation), ..Default::default() });
        self
    }

    fn cluster_object(&mut self, change: impl FnOnce(&mut Value)) {
        change(Arc::make_mut(self.objects.cluster.as_mut().unwrap()));
    }

    fn control_plane(&mut self) -> &mut MachineGroup {
        self.objects.control_plane.as_mut().unwrap()
    }

    fn workers(&mut self) -> &mut MachineGroup {
        self.objects.machine_deployments.get_mut("demo-default").unwrap()
    }

    fn status(&self) -> KubernetesClusterStatus {
        let profile = provider_profile::simulation();
        status(&StatusInput {
            cluster: &self.cluster,
            objects: &self.objects,
            plan: &self.plan,
            profile: Some(&profile),
            executed: self.executed,
            findings: &self.findings,
            refusals: &self.refusals,
            settled_since: Some(now() - self.settled_for),
            now: now(),
        })
    }

    /// The lines a user looks at.
    fn text(&self) -> String {
        let status = self.status();
        let operation = status.operation.unwrap_or_default();
        let problems: Vec<String> = status
            .problems
            .iter()
            .map(|problem| format!("{} ({}): {}", problem.code, problem.actor, problem.message))
            .collect();
        let ready = status.conditions.iter().find(|condition| condition.condition_type == "Ready").unwrap();
        format!(
            "{} | {:?} {:?} {}% {} | Ready={} {} | {}",
            status.phase.unwrap(),
            operation.operation_type,
            operation.state,
            operation.progress,
            operation.message,
            ready.status,
            ready.reason,
            problems.join(", ")
        )
    }
}

fn observed_cluster() -> Value {
    let condition = |name: &str, status: &str| json!({"type": name, "status": status, "reason": name, "observedGeneration": 7, "lastTransitionTime": "2026-08-22T11:59:00Z"});
    json!({
        "metadata": {"name": "demo", "namespace": "a", "generation": 7},
        "spec": {
            "controlPlaneEndpoint": {"host": "10.0.0.1", "port": 6443},
            "topology": {
                "version": "v1.34.2", "classRef": {"name": "sim-scs-1-34-v1"}, "controlPlane": {"replicas": 3},
                "workers": {"machineDeployments": [{"name": "default", "replicas": 2, "metadata": {"labels": {"kogge.dev/pool": "default"}}}]},
            },
        },
        "status": {
            "initialization": {"infrastructureProvisioned": true, "controlPlaneInitialized": true},
            "conditions": [condition("Available", "True"), condition("TopologyReconciled", "True"), condition("InfrastructureReady", "True"), condition("RollingOut", "False")],
        },
    })
}

fn set_condition(cluster: &mut Value, name: &str, status: &str) {
    let list = cluster["status"]["conditions"].as_array_mut().unwrap();
    list.retain(|condition| condition["type"] != name);
    list.push(json!({"type": name, "status": status, "reason": name, "observedGeneration": 7}));
}

#[test]
fn it_is_ready_when_everything_agrees() {
    let moment = Moment::settled().after(Phase::Provisioning, OperationType::Create, OperationState::Running);
    insta::assert_snapshot!(moment.text(), @"Ready | Create Succeeded 100% 3 of 3 control plane and 2 of 2 worker machines ready | Ready=True Ready | ");
    insta::assert_yaml_snapshot!(moment.status());
}

type Spoil = fn(&mut Moment);

#[rstest]
#[case::control_plane_machine_not_ready(|it: &mut Moment| it.control_plane().replicas.ready = 2)]
#[case::old_machine_still_there(|it: &mut Moment| it.control_plane().replicas.existing = 4)]
#[case::machine_of_old_make(|it: &mut Moment| it.workers().replicas.up_to_date = 1)]
#[case::machine_not_available(|it: &mut Moment| it.workers().replicas.available = 1)]
#[case::other_version(|it: &mut Moment| it.workers().version = Some("v1.33.1".to_owned()))]
#[case::stale_status(|it: &mut Moment| it.control_plane().is_current = false)]
#[case::control_plane_not_scaled_yet(|it: &mut Moment| it.cluster_object(|cluster| cluster["spec"]["topology"]["controlPlane"]["replicas"] = json!(5)))]
#[case::pool_not_made_yet(|it: &mut Moment| it.objects.machine_deployments.clear())]
#[case::control_plane_not_made_yet(|it: &mut Moment| it.objects.control_plane = None)]
#[case::topology_not_reconciled(|it: &mut Moment| it.cluster_object(|cluster| set_condition(cluster, "TopologyReconciled", "False")))]
#[case::topology_of_an_older_generation(|it: &mut Moment| it.cluster_object(|cluster| cluster["metadata"]["generation"] = json!(8)))]
#[case::not_available(|it: &mut Moment| it.cluster_object(|cluster| set_condition(cluster, "Available", "False")))]
#[case::rolling_out(|it: &mut Moment| it.cluster_object(|cluster| set_condition(cluster, "RollingOut", "True")))]
#[case::machine_on_its_way_out(|it: &mut Moment| { it.objects.machines.insert("m".to_owned(), Machine { name: "m".to_owned(), deleted_at: Some(now()), ..Machine::default() }); })]
#[case::no_cluster(|it: &mut Moment| it.objects.cluster = None)]
#[case::just_written(|it: &mut Moment| it.executed = true)]
#[case::agrees_for_a_moment_only(|it: &mut Moment| it.settled_for = SignedDuration::from_millis(100))]
fn it_is_not_ready_when_anything_disagrees(#[case] spoil: Spoil) {
    for state in [OperationState::Running, OperationState::Succeeded] {
        let phase = if state == OperationState::Running { Phase::Provisioning } else { Phase::Updating };
        let mut moment = Moment::settled().after(phase, OperationType::Create, state);
        spoil(&mut moment);
        let status = moment.status();
        assert_ne!(status.phase, Some(Phase::Ready));
        assert!(
            status
                .conditions
                .iter()
                .all(|condition| condition.condition_type != "Ready" || condition.status == "False")
        );
    }
}

#[test]
fn progress_counts_milestones_and_machines_and_never_goes_back() {
    let mut moment = Moment::settled().after(Phase::Provisioning, OperationType::Create, OperationState::Running);
    moment.control_plane().replicas.ready = 1;
    moment.workers().replicas.ready = 0;
    insta::assert_snapshot!(moment.text(), @"Provisioning | Create Running 42% 1 of 3 control plane and 0 of 2 worker machines ready | Ready=False Provisioning | ");
    moment.control_plane().replicas.ready = 0;
    insta::assert_snapshot!(moment.text(), @"Provisioning | Create Running 40% 0 of 3 control plane and 0 of 2 worker machines ready | Ready=False Provisioning | ");
}

#[test]
fn to_pause_is_no_operation_and_one_under_way_waits_where_it_is() {
    let mut moment = Moment::settled().after(Phase::Ready, OperationType::Create, OperationState::Succeeded);
    moment.cluster.spec.paused = true;
    moment.executed = true;
    let known = moment.cluster.status.clone().unwrap().operation;
    assert_eq!(moment.status().operation, known);

    let mut moment = Moment::settled().after(Phase::Updating, OperationType::Scale, OperationState::Running);
    moment.cluster.spec.paused = true;
    moment.workers().replicas.ready = 1;
    insta::assert_snapshot!(moment.text(), @"Paused | Scale Pending 40% 3 of 3 control plane and 1 of 2 worker machines ready | Ready=False Paused | ");
}

#[test]
fn a_problem_blocks_the_operation_and_is_the_reason_for_not_being_ready() {
    let mut moment = Moment::settled().after(Phase::Ready, OperationType::Scale, OperationState::Running);
    moment.workers().replicas.ready = 1;
    moment.findings.push(Finding {
        code: ProblemCode::QuotaExceeded,
        message: "Quota exceeded for instances".to_owned(),
        object: ProblemObject { kind: "SimulatedMachine".to_owned(), name: "m".to_owned() },
        since: None,
    });
    insta::assert_snapshot!(moment.text(), @"Degraded | Scale Blocked 80% 3 of 3 control plane and 1 of 2 worker machines ready | Ready=False QuotaExceeded | QuotaExceeded (User): Quota exceeded for instances");
}

#[test]
fn a_machine_that_fails_by_itself_is_healed() {
    let mut moment = Moment::settled().after(Phase::Ready, OperationType::Create, OperationState::Succeeded);
    moment.workers().replicas.ready = 1;
    insta::assert_snapshot!(moment.text(), @"Degraded | Heal Blocked 80% 3 of 3 control plane and 1 of 2 worker machines ready | Ready=False WorkersUnavailable | WorkersUnavailable (Platform): 1 of 2 worker machines are ready");
}

#[test]
fn an_upgrade_that_begins_is_an_update_and_one_that_stalls_is_a_problem() {
    let mut moment = Moment::settled().after(Phase::Ready, OperationType::Create, OperationState::Succeeded);
    moment.executed = true;
    moment.plan.steps.push(Step {
        action: Action::UpgradeControlPlane,
        object: ObjectReference { api_version: String::new(), kind: String::new(), name: String::new() },
        pool: None,
        causes: Vec::new(),
        effect: Effect::RollingReplacement { machines: 3 },
    });
    moment.control_plane().replicas.up_to_date = 1;
    insta::assert_snapshot!(moment.text(), @"Updating | Upgrade Running 0% 3 of 3 control plane and 2 of 2 worker machines ready, 2 not yet as described, 0 on v1.34.2 | Ready=False Updating | ");

    let mut stalled = Moment::settled().after(Phase::Updating, OperationType::Upgrade, OperationState::Running);
    stalled.control_plane().replicas.up_to_date = 1;
    let started = stalled.cluster.status.as_mut().unwrap().operation.as_mut().unwrap();
    started.started_at = Some(now() - SignedDuration::from_hours(1));
    stalled.cluster_object(|cluster| {
        for condition in cluster["status"]["conditions"].as_array_mut().unwrap() {
            condition["lastTransitionTime"] = json!("2026-08-22T11:30:00Z");
        }
    });
    insta::assert_snapshot!(stalled.text(), @"Degraded | Upgrade Blocked 40% 3 of 3 control plane and 2 of 2 worker machines ready, 2 not yet as described, 0 on v1.34.2 | Ready=False NoProgress | NoProgress (Provider): nothing has changed since 2026-08-22T11:30:00Z");
}

#[test]
fn a_refused_description_fails_a_new_cluster_and_degrades_a_running_one() {
    let refusal = Finding {
        code: ProblemCode::FlavorNotOffered,
        message: "no such flavor".to_owned(),
        object: ProblemObject { kind: "KubernetesCluster".to_owned(), name: "demo".to_owned() },
        since: None,
    };
    let mut moment = Moment::settled();
    moment.objects = ClusterObjects::default();
    moment.refusals.push(refusal.clone());
    insta::assert_snapshot!(moment.text(), @"Failed | Create Failed 0% the description cannot be carried out; see problems | Ready=False FlavorNotOffered | FlavorNotOffered (User): no such flavor");
    let mut moment = Moment::settled().after(Phase::Ready, OperationType::Create, OperationState::Succeeded);
    moment.refusals.push(refusal);
    insta::assert_snapshot!(moment.text(), @"Degraded | Create Succeeded 40%  | Ready=False FlavorNotOffered | FlavorNotOffered (User): no such flavor");
}

#[test]
fn a_topology_just_refused_is_no_problem_as_cluster_api_may_not_have_seen_its_class_yet() {
    let refused_for = |elapsed: SignedDuration| {
        let mut moment = Moment::settled();
        moment.cluster_object(|cluster| {
            let refused = json!({
                "type": "TopologyReconciled", "status": "False", "reason": "ReconcileFailed",
                "message": "ClusterClass sim not found", "lastTransitionTime": (now() - elapsed).to_string(),
            });
            let conditions = cluster["status"]["conditions"].as_array_mut().unwrap();
            conditions.retain(|condition| condition["type"] != "TopologyReconciled");
            conditions.push(refused);
        });
        let findings = super::super::problem::findings(&moment.objects, false, now());
        findings.into_iter().map(|finding| (finding.code, finding.message)).collect::<Vec<_>>()
    };
    assert_eq!(refused_for(SignedDuration::from_secs(1)), []);
    assert_eq!(
        refused_for(SignedDuration::from_secs(6)),
        [(ProblemCode::BackendRefused, "ClusterClass sim not found".to_owned())]
    );
}

#[test]
fn deletion_counts_what_remains() {
    let mut moment = Moment::settled().after(Phase::Ready, OperationType::Create, OperationState::Succeeded);
    moment.cluster.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now()));
    moment
        .objects
        .machines
        .insert("m".to_owned(), Machine { name: "m".to_owned(), deleted_at: Some(now()), ..Machine::default() });
    insta::assert_snapshot!(moment.text(), @"Deleting | Delete Running 66% 1 machine remains | Ready=False Deleting | ");
}
