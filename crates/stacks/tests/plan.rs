//! Whole plans, as a user reads them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kogge_api::KubernetesCluster;
use kogge_api::plan::{Plan, Write};
use kogge_api::provider_profile::{ProviderProfile, simulation};
use kogge_stacks::{ClusterPlanInput, ObservedState, StackCatalogue, plan};
use serde_json::{Value, json};

const NOW: &str = "2026-08-22T12:00:00Z";

/// A world in which every plan is carried out at once.
struct World {
    profile: ProviderProfile,
    catalogue: StackCatalogue,
    observed: ObservedState,
    now: Timestamp,
}

impl World {
    fn new() -> Self {
        Self {
            profile: simulation(),
            catalogue: StackCatalogue::default(),
            observed: ObservedState::default(),
            now: NOW.parse().unwrap(),
        }
    }

    fn with(description: &Value) -> Self {
        let mut world = Self::new();
        let created = world.apply(description);
        assert!(created.is_executable(), "{}", text(&created));
        world
    }

    fn plan(&self, description: &Value) -> Plan {
        let cluster: KubernetesCluster = serde_json::from_value(description.clone()).unwrap();
        plan(&ClusterPlanInput {
            cluster: &cluster,
            profile: &self.profile.spec,
            catalogue: &self.catalogue,
            observed: &self.observed,
            now: self.now,
        })
    }

    /// Plans, and lets Cluster API finish what the plan writes.
    fn apply(&mut self, description: &Value) -> Plan {
        let plan = self.plan(description);
        let mut classes: Vec<Value> = Vec::new();
        for write in &plan.writes {
            match write {
                Write::Apply(object) if object["kind"] == "Cluster" => self.observed.cluster = Some(object.clone()),
                Write::Apply(object) if object["kind"] == "ClusterClass" => classes.push(object.clone()),
                Write::Apply(_) => {}
                Write::Delete(_) => self.observed.cluster = None,
            }
        }
        let published = ObservedState::from_objects(None, None, &[], &classes).published_classes;
        self.observed.published_classes.extend(published);
        self.observed.machine_versions = self.observed.version().into_iter().collect();
        plan
    }
}

fn description(spec: &Value) -> Value {
    let mut full = json!({"provider": {"profile": "sim"}, "kubernetes": {"version": "1.34"}});
    merge(&mut full, spec);
    json!({
        "apiVersion": "kogge.dev/v1alpha1",
        "kind": "KubernetesCluster",
        "metadata": {"name": "demo", "namespace": "team-a", "uid": "7f9d"},
        "spec": with_defaults(full),
    })
}

/// What the API server's defaulting does: the default pool.
fn with_defaults(mut spec: Value) -> Value {
    if spec.get("workers").is_none() {
        spec["workers"] = json!([{"name": "default"}]);
    }
    spec
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                merge(into.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

fn confirmed(mut description: Value, what: &str) -> Value {
    description["metadata"]["annotations"] = json!({"kogge.dev/confirm-removal": what});
    description
}

fn text(plan: &Plan) -> String {
    let lines: Vec<String> = plan.steps.iter().map(ToString::to_string).collect();
    format!("{} {} writes={}\n{}", plan.cluster, plan.kubernetes_version, plan.writes.len(), lines.join("\n"))
}

#[test]
fn creating_a_minimal_cluster_publishes_the_stack_and_makes_three_and_three() {
    insta::assert_snapshot!(text(&World::new().plan(&description(&json!({})))));
}

#[test]
fn a_second_plan_of_the_same_description_is_empty() {
    let world = World::with(&description(&json!({})));
    let plan = world.plan(&description(&json!({})));
    assert!(plan.is_empty() && plan.writes.is_empty(), "{}", text(&plan));
}

#[test]
fn whatever_the_server_and_other_managers_add_is_no_difference() {
    let mut world = World::with(&description(&json!({})));
    let cluster = world.observed.cluster.as_mut().unwrap();
    cluster["metadata"]["finalizers"] = json!(["cluster.cluster.x-k8s.io"]);
    cluster["metadata"]["annotations"]["someone/else"] = json!("1");
    cluster["spec"]["controlPlaneEndpoint"] = json!({"host": "127.0.0.1", "port": 6443});
    cluster["spec"]["infrastructureRef"] = json!({"name": "demo-x"});
    cluster["spec"]["topology"]["variables"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "controlPlaneRootDiskGiB", "value": 0}));
    assert!(world.plan(&description(&json!({}))).is_empty());
}

#[test]
fn scaling_a_pool_and_the_control_plane_replaces_nothing() {
    let world = World::with(&description(&json!({})));
    let wanted = description(&json!({"controlPlane": {"count": 5}, "workers": [{"name": "default", "count": 7}]}));
    insta::assert_snapshot!(text(&world.plan(&wanted)));
}

#[test]
fn lowering_the_control_plane_count_needs_a_confirmation() {
    let world = World::with(&description(&json!({})));
    let wanted = description(&json!({"controlPlane": {"count": 1, "zones": ["sim-a"]}}));
    insta::assert_snapshot!(text(&world.plan(&wanted)));
    insta::assert_snapshot!(text(&world.plan(&confirmed(wanted, "control-plane"))));
}

#[test]
fn adding_and_removing_pools_with_the_removal_confirmed() {
    let both =
        json!({"workers": [{"name": "web", "count": 4, "zones": ["sim-a", "sim-b"]}, {"name": "batch", "count": 1}]});
    let world =
        World::with(&description(&json!({"workers": [{"name": "web", "count": 4, "zones": ["sim-a", "sim-b"]}]})));
    insta::assert_snapshot!(text(&world.plan(&description(&both))));
    let world = World::with(&description(&both));
    let wanted = description(&json!({"workers": [{"name": "web", "count": 4, "zones": ["sim-a", "sim-b"]}]}));
    insta::assert_snapshot!(text(&world.plan(&wanted)));
    insta::assert_snapshot!(text(&world.plan(&confirmed(wanted, "batch"))));
}

#[test]
fn several_changes_of_the_make_are_one_rolling_replacement() {
    let world =
        World::with(&description(&json!({"workers": [{"name": "web", "count": 5}, {"name": "other", "count": 2}]})));
    let wanted = description(&json!({
        "workers": [
            {"name": "web", "count": 5, "machineFlavor": "SCS-4V-16", "rootDiskGiB": 80, "machineMetadata": {"cost": "1"}},
            {"name": "other", "count": 2},
        ],
    }));
    insta::assert_snapshot!(text(&world.plan(&wanted)));
}

#[test]
fn an_upgrade_by_a_minor_goes_through_the_control_plane_first_and_merges_a_flavor_change() {
    let world = World::with(&description(&json!({"kubernetes": {"version": "1.33.12"}})));
    let wanted = description(&json!({
        "kubernetes": {"version": "1.34"},
        "workers": [{"name": "default", "machineFlavor": "SCS-4V-16"}],
    }));
    insta::assert_snapshot!(text(&world.plan(&wanted)));
}

#[test]
fn a_skipped_minor_is_refused_with_the_path_and_a_downgrade_with_an_alternative() {
    let world = World::with(&description(&json!({"kubernetes": {"version": "1.34"}})));
    insta::assert_snapshot!(text(&world.plan(&description(&json!({"kubernetes": {"version": "1.36"}})))));
    insta::assert_snapshot!(text(&world.plan(&description(&json!({"kubernetes": {"version": "v1.34.1"}})))));
    insta::assert_snapshot!(text(&world.plan(&description(&json!({"kubernetes": {"version": "1.29"}})))));
}

#[test]
fn the_next_minor_waits_for_the_running_upgrade() {
    let mut world = World::with(&description(&json!({"kubernetes": {"version": "1.34"}})));
    world.observed.machine_versions.push("v1.33.12".parse().unwrap());
    insta::assert_snapshot!(text(&world.plan(&description(&json!({"kubernetes": {"version": "1.35"}})))));
}

#[test]
fn a_new_patch_is_taken_automatically_inside_the_maintenance_window_only() {
    let window = json!({"begin": "22:00", "end": "04:00", "timezone": "Europe/Berlin", "days": ["Tue"]});
    let described = description(&json!({"maintenance": {"window": window}}));
    let mut world = World::with(&described);
    let mut newer = world.profile.spec.versions[0].clone();
    newer.version = "v1.34.10".to_owned();
    world.profile.spec.versions.push(newer);
    insta::assert_snapshot!(text(&world.plan(&described)));
    // Wednesday, 01:00 in Berlin: still Tuesday's window.
    world.now = "2026-08-25T23:00:00Z".parse().unwrap();
    insta::assert_snapshot!(text(&world.plan(&described)));
    let exact = description(&json!({"kubernetes": {"version": "v1.34.9"}}));
    let mut pinned = World::with(&exact);
    pinned.profile = world.profile;
    assert!(pinned.plan(&exact).is_empty());
}

#[test]
fn changes_in_place_replace_no_machine() {
    let world = World::with(&description(&json!({})));
    let wanted = description(&json!({
        "workers": [{"name": "default", "labels": {"tier": "a"}, "taints": [{"key": "k", "effect": "NoSchedule"}]}],
        "apiServer": {"allowedCIDRs": ["198.51.100.0/24"]},
        "network": {"dnsServers": ["192.0.2.1"]},
        "maintenance": {"drainTimeout": "30m"},
        "provider": {"credentialsRef": {"name": "other"}},
    }));
    insta::assert_snapshot!(text(&world.plan(&wanted)));
}

#[test]
fn changes_of_what_is_built_into_machines_replace_them() {
    let world = World::with(&description(&json!({})));
    let wanted = description(&json!({
        "registries": {"mirrors": [{"upstream": "docker.io", "endpoints": [{"url": "https://mirror.example.com"}]}]},
        "access": {"oidc": {"issuerURL": "https://id.example.com", "clientID": "kubernetes"}},
        "apiServer": {"certSANs": ["api.example.com"]},
    }));
    insta::assert_snapshot!(text(&world.plan(&wanted)));
}

#[test]
fn addons_come_and_go() {
    let world = World::with(&description(&json!({"addons": {"ingress": {"enabled": true}}})));
    let wanted = json!({"addons": {"metricsServer": {"enabled": false}, "harbor": {"enabled": true}, "ingress": {"enabled": true, "version": "1.2.3"}}});
    insta::assert_snapshot!(text(&world.plan(&description(&wanted))));
}

#[test]
fn pausing_stops_every_other_change_and_resuming_makes_them() {
    let mut world = World::with(&description(&json!({})));
    let paused = description(&json!({"paused": true, "workers": [{"name": "default", "count": 9}]}));
    insta::assert_snapshot!(text(&world.apply(&paused)));
    insta::assert_snapshot!(text(&world.plan(&paused)));
    let resumed = description(&json!({"workers": [{"name": "default", "count": 9}]}));
    insta::assert_snapshot!(text(&world.plan(&resumed)));
}

#[test]
fn autoscaling_hands_the_count_over() {
    let world = World::with(&description(&json!({})));
    let wanted = description(&json!({"workers": [{"name": "default", "autoscaling": {"min": 1, "max": 6}}]}));
    insta::assert_snapshot!(text(&world.plan(&wanted)));
}

#[test]
fn leaving_a_zone_moves_its_machines() {
    let world = World::with(&description(&json!({"workers": [{"name": "default", "count": 6}]})));
    let wanted = description(&json!({"workers": [{"name": "default", "count": 6, "zones": ["sim-a", "sim-b"]}]}));
    insta::assert_snapshot!(text(&world.plan(&wanted)));
}

#[test]
fn what_was_changed_behind_our_back_is_put_back() {
    let mut world = World::with(&description(&json!({})));
    world.observed.cluster.as_mut().unwrap()["spec"]["topology"]["controlPlane"]["replicas"] = json!(1);
    insta::assert_snapshot!(text(&world.plan(&description(&json!({})))));
    world.observed.cluster.as_mut().unwrap()["spec"]["topology"]["controlPlane"]["replicas"] = json!(3);
    world.observed.cluster.as_mut().unwrap()["metadata"]["labels"]["kogge.dev/cluster"] = json!("x");
    insta::assert_snapshot!(text(&world.plan(&description(&json!({})))));
}

#[test]
fn new_defaults_of_a_profile_leave_existing_clusters_alone() {
    let mut world = World::with(&description(&json!({})));
    world.profile.spec.defaults.worker_flavor = Some("SCS-8V-32".to_owned());
    world.profile.spec.regions[0].zones.pop();
    assert!(world.plan(&description(&json!({}))).is_empty());
}

#[test]
fn what_is_decided_at_creation_is_refused_later() {
    let world = World::with(&description(&json!({})));
    let wanted = description(&json!({"network": {"podCIDR": "172.20.0.0/14"}, "apiServer": {"access": "Internal"}}));
    insta::assert_snapshot!(text(&world.plan(&wanted)));
}

#[test]
fn deletion_deletes_the_cluster_once_and_then_its_unused_stack() {
    let mut world = World::with(&description(&json!({})));
    let mut going = description(&json!({}));
    going["metadata"]["deletionTimestamp"] = json!(NOW);
    insta::assert_snapshot!(text(&world.plan(&going)));
    world.observed.cluster.as_mut().unwrap()["metadata"]["deletionTimestamp"] = json!(NOW);
    insta::assert_snapshot!(text(&world.plan(&going)));
    world.observed.cluster = None;
    world.observed.unused_classes = vec!["sim-scs-1-34-v1".to_owned()];
    insta::assert_snapshot!(text(&world.plan(&going)));
}

#[test]
fn the_steps_of_a_plan_read_as_json_by_every_client() {
    let world = World::with(&description(&json!({})));
    let wanted = description(&json!({"workers": [{"name": "default", "count": 4}]}));
    insta::assert_json_snapshot!(world.plan(&wanted));
}

#[test]
fn a_full_description_renders_to_a_cluster_with_every_option() {
    let spec = json!({
        "provider": {"credentialsRef": {"name": "x-project"}},
        "kubernetes": {"version": "v1.34.3"},
        "controlPlane": {"count": 5, "machineFlavor": "SCS-4V-16-100s", "zones": ["sim-a", "sim-b"], "machineMetadata": {"restart": "true"}},
        "workers": [
            {"name": "general", "count": 4, "machineFlavor": "SCS-8V-32", "zones": ["sim-a", "sim-b", "sim-c"], "rootDiskGiB": 80, "labels": {"example.com/tier": "general"}},
            {"name": "gpu", "autoscaling": {"min": 0, "max": 2}, "machineFlavor": "SCS-16V-64-500s_GNa-14h", "antiAffinity": "Disabled", "taints": [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}]},
        ],
        "network": {
            "ipv6": {"nodeCIDR": "fd00:10:8::/64", "podCIDR": "fd00:10:20::/56", "serviceCIDR": "fd00:10:96::/112"},
            "externalNetwork": "public-dmz", "dnsServers": ["192.0.2.53", "192.0.2.54"],
            "proxy": {"url": "http://proxy.example.com:3128", "noProxy": [".intern.example.com"]},
        },
        "apiServer": {"access": "AllowList", "allowedCIDRs": ["198.51.100.0/24"], "certSANs": ["api.full.example.com"]},
        "registries": {"mirrors": [{"upstream": "docker.io", "endpoints": [{"url": "https://mirror.example.com/v2/docker.io", "capabilities": ["pull"], "overridePath": true, "caSecretRef": {"name": "mirror-ca"}, "credentialsSecretRef": {"name": "mirror-login"}}]}]},
        "trust": {"caSecretRef": {"name": "corporate-ca"}},
        "access": {"oidc": {"issuerURL": "https://id.example.com/realms/x", "clientID": "kubernetes", "usernameClaim": "email", "groupsClaim": "groups"}},
        "maintenance": {"drainTimeout": "30m"},
        "advanced": {"sshKeyName": "emergency", "healthCheck": {"nodeStartupTimeout": "20m", "unhealthyTimeout": "5m", "maxUnhealthy": "40%"}},
    });
    let mut cluster = World::with(&description(&spec)).observed.cluster.unwrap();
    cluster["metadata"]["annotations"]["kogge.dev/applied-description"] = json!("…");
    insta::assert_yaml_snapshot!(cluster);
}

#[test]
fn the_built_in_release_is_what_its_folder_says() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("stacks/sim-scs/v1");
    let mut files: Vec<(String, String)> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read_to_string(entry.path()).unwrap()))
        .collect();
    files.sort();
    let embedded: BTreeMap<&str, Value> =
        files.iter().map(|(name, content)| (name.as_str(), serde_saphyr::from_str(content).unwrap())).collect();
    let embedded = serde_json::to_string(&embedded).unwrap();
    let file = folder.with_extension("json");
    if std::env::var_os("KOGGE_UPDATE").is_some() {
        std::fs::write(&file, &embedded).unwrap();
    }
    let stored = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(stored == embedded, "{} differs from the folder: run this test with KOGGE_UPDATE=1", file.display());
    let files = files.iter().map(|(name, content)| (name.as_str(), content.as_str()));
    let read = kogge_stacks::StackRelease::from_files(files).unwrap();
    assert_eq!(StackCatalogue::default().releases(), std::slice::from_ref(&read));
    let kinds: Vec<String> = read.machine_kinds().into_iter().map(|kind| kind.kind).collect();
    insta::assert_debug_snapshot!((
        kinds,
        read.cluster_kind(),
        read.class_name("1.34"),
        read.variable_scope("nodeImage")
    ));
}

#[test]
fn a_class_with_a_missing_template_is_no_release() {
    let identity = "{name: a, release: v1, kubernetesMinors: ['1.34'], nodeImage: x, workerClass: w}";
    let class = "{apiVersion: cluster.x-k8s.io/v1beta2, kind: ClusterClass, metadata: {name: c}, spec: {infrastructure: {templateRef: {kind: T, name: t}}, workers: {machineDeployments: [{class: w}]}}}";
    let read = kogge_stacks::StackRelease::from_files([("stack.yaml", identity), ("class.yaml", class)]);
    assert_eq!(
        read.unwrap_err().to_string(),
        "the cluster class refers to T `t`, which the stack release does not contain"
    );
}
