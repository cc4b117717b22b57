use insta::assert_snapshot;
use jiff::civil::date;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::provider_profile::simulation;

const TODAY: Date = date(2026, 11, 21);

fn cluster(spec: &str) -> KubernetesCluster {
    let text = format!(
        "{{apiVersion: kogge.dev/v1alpha1, kind: KubernetesCluster, metadata: {{name: demo}}, spec: {{provider: {{profile: sim}}, kubernetes: {{version: \"1.35\"}}, {spec}}}}}"
    );
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn findings(description: &KubernetesCluster, previous: Option<&KubernetesCluster>) -> String {
    let lines: Vec<String> = validate(description, previous, Some(&simulation()), TODAY)
        .iter()
        .map(|problem| format!("{:?} {} {problem}", problem.severity, problem.code))
        .collect();
    lines.join("\n")
}

fn of(spec: &str) -> String {
    findings(&cluster(spec), None)
}

#[test]
fn the_minimal_description_is_accepted_without_a_word() {
    assert_eq!(of(""), "");
}

#[test]
fn versions_are_refused_with_what_is_offered() {
    let version = |text: &str| {
        let mut description = cluster("");
        description.spec.kubernetes.version = text.into();
        findings(&description, None)
    };
    assert_snapshot!(["1.29", "v1.34.7", "1.34", "1.35.x", "one", "2.1", ""].map(version).join("\n---\n"));
}

#[test]
fn upgrades_go_one_minor_at_a_time_and_never_down() {
    let step = |from: &str, running: Option<&str>, to: &str| {
        let mut previous = cluster("");
        previous.spec.kubernetes.version = from.into();
        if let Some(running) = running {
            let kubernetes =
                crate::kubernetes_cluster::KubernetesStatus { version: Some(running.into()), target_version: None };
            previous.status =
                Some(crate::KubernetesClusterStatus { kubernetes: Some(kubernetes), ..Default::default() });
        }
        let mut description = cluster("");
        description.spec.kubernetes.version = to.into();
        format!("{from} ({}) -> {to}: {}", running.unwrap_or("nothing yet"), findings(&description, Some(&previous)))
    };
    let steps = [
        step("1.33", Some("v1.33.12"), "1.35"),
        step("1.34", Some("v1.33.12"), "1.35"),
        step("1.35", Some("v1.35.8"), "1.34"),
        step("v1.35.1", Some("v1.35.1"), "v1.35.0"),
        step("1.35", Some("v1.35.8"), "v1.35.1"),
        step("1.35", Some("v1.34.9"), "1.34"),
        step("1.35", Some("v1.35.8"), "1.36"),
        step("v1.35.0", Some("v1.35.0"), "v1.35.1"),
        step("1.35", None, "1.36"),
    ];
    assert_snapshot!(steps.join("\n"));
}

#[test]
fn machines_and_pools_are_checked_against_rules_and_profile() {
    let cases = [
        "controlPlane: {count: 4}",
        "controlPlane: {count: 1}",
        "controlPlane: {machineFlavor: SCS-1V-2}",
        "controlPlane: {machineFlavor: SCS-4V-16}",
        "controlPlane: {count: 1, zones: [sim-a, sim-b]}",
        "controlPlane: {zones: [sim-d, sim-a, sim-a]}",
        "workers: [{name: web, machineFlavor: SCS-4V-61}]",
        "workers: [{name: web}, {name: web}]",
        "workers: [{name: Web}]",
        "workers: [{name: web, count: 0}]",
        "workers: [{name: web, count: 2, autoscaling: {min: 3, max: 1}}]",
        "workers: [{name: web, count: 2000}]",
        "workers: [{name: gpu, machineFlavor: SCS-16V-64-500s_GNa-14h, zones: [sim-b]}]",
        "workers: [{name: web, rootDiskGiB: 50}]",
        "workers: [{name: web, machineFlavor: SCS-4V-16, rootDiskGiB: 10}]",
        "workers: [{name: web, labels: {node.kubernetes.io/x: a, 'a b': c, ok: 'not ok!'}}]",
        "workers: [{name: web, taints: [{key: a, effect: NoSchedule}, {key: a, effect: NoSchedule}]}]",
        "workers: []",
    ];
    assert_snapshot!(cases.map(|case| format!("# {case}\n{}", of(case))).join("\n"));
}

#[test]
fn networks_are_canonical_apart_and_large_enough() {
    let cases = [
        "network: {nodeCIDR: 10.8.0.1/20}",
        "network: {nodeCIDR: 10.8.0.0}",
        "network: {nodeCIDR: ten}",
        "network: {nodeCIDR: 'fd00::/64'}",
        "network: {podCIDR: 10.0.0.0/8}",
        "network: {podCIDR: 172.20.0.0/21}",
        "network: {nodeCIDR: 10.8.0.0/29}",
        "network: {serviceCIDR: 172.16.0.0/25}",
        "network: {nodeCIDR: 169.254.0.0/16}",
        "network: {ipv6: {nodeCIDR: 'fd00:10:8::/64', podCIDR: 'fd00:10:20::/56', serviceCIDR: 'fd00:10:20::/112'}}",
        "network: {externalNetwork: publik}",
        "network: {dnsServers: [dns.example.com, 192.0.2.1]}",
        "network: {proxy: {url: 'socks://proxy:1080'}}",
        "network: {proxy: {url: 'http://me:secret@proxy:3128'}}",
        "apiServer: {access: Public, allowedCIDRs: [198.51.100.0/24]}",
        "apiServer: {allowedCIDRs: [203.0.113.7]}",
        "apiServer: {certSANs: ['api.example.com', '*.example.com', '192.0.2.1', 'not a name']}",
    ];
    assert_snapshot!(cases.map(|case| format!("# {case}\n{}", of(case))).join("\n"));
}

#[test]
fn addons_registries_times_and_addresses_are_checked() {
    let cases = [
        "addons: {harbor: {enabled: true}, flux: {enabled: false}}",
        "addons: {harbor: {enabled: true, domain: registry.example.com}, certManager: {enabled: false}, ingress: {enabled: false}}",
        "addons: {harbor: {enabled: true, domain: registry, acmeEmail: me}}",
        "addons: {harbor: {enabled: true, acmeEmail: ops@example.com, sizes: {trivy: lots}}}",
        "registries: {mirrors: [{upstream: docker.io, endpoints: [{url: mirror.example.com}]}, {upstream: docker.io, endpoints: [{url: 'https://m'}]}]}",
        "registries: {mirrors: [{upstream: 'https://docker.io/', endpoints: [{url: 'https://m', capabilities: []}]}]}",
        "maintenance: {drainTimeout: 25h}",
        "maintenance: {drainTimeout: 15 minutes}",
        "maintenance: {window: {begin: '02:00', end: '02:10', timezone: Europe/Berln}}",
        "maintenance: {window: {begin: '2am', end: '04:00', days: [Sat, Sat]}}",
        "maintenance: {window: {begin: '23:45', end: '00:15'}}",
        "access: {oidc: {issuerURL: 'http://id.example.com', clientID: kubernetes}}",
        "advanced: {etcdBackup: {schedule: '61 * * * *', retention: forever}}",
        "advanced: {healthCheck: {maxUnhealthy: 140%}}",
        "stack: {name: scs, version: v7}",
        "provider: {profile: sim, region: simm}, kubernetes: {version: '1.35'}",
    ];
    let cases = cases.map(|case| {
        let description = if case.starts_with("provider") {
            let mut description = cluster("");
            description.spec.provider.region = Some("simm".into());
            description
        } else {
            cluster(case)
        };
        format!("# {case}\n{}", findings(&description, None))
    });
    assert_snapshot!(cases.join("\n"));
}

#[test]
fn a_profile_without_features_refuses_their_use_by_name() {
    let mut profile = simulation();
    profile.spec.capabilities =
        crate::provider_profile::Capabilities { addons: Some(Vec::new()), ..Default::default() };
    let description = cluster(
        "controlPlane: {antiAffinity: Required}, workers: [{name: a, autoscaling: {min: 1, max: 2}, machineMetadata: {a: b}}], \
         network: {ipv6: {nodeCIDR: 'fd00:10:8::/64', podCIDR: 'fd00:10:20::/56', serviceCIDR: 'fd00:10:96::/112'}, proxy: {url: 'http://p:1'}}, \
         apiServer: {access: Internal}, addons: {ingress: {enabled: true}}, \
         registries: {mirrors: [{upstream: docker.io, endpoints: [{url: 'http://m'}]}]}, \
         advanced: {nodeImage: a, sshKeyName: b, healthCheck: {}, etcdBackup: {}}",
    );
    let lines: Vec<String> =
        validate(&description, None, Some(&profile), TODAY).iter().map(ToString::to_string).collect();
    assert_snapshot!(lines.join("\n"));
    assert_eq!(validate(&cluster(""), None, Some(&profile), TODAY), []);
}

#[test]
fn what_is_fixed_stays_fixed_and_removals_need_a_word() {
    let previous = cluster("workers: [{name: a}, {name: b}]");
    let mut description = cluster(
        "workers: [{name: a}], controlPlane: {count: 1}, network: {nodeCIDR: 10.9.0.0/20, externalNetwork: public}, apiServer: {access: Internal}",
    );
    description.spec.provider.region = Some("sim".into());
    assert_snapshot!(findings(&description, Some(&previous)));
    assert_eq!(confirmation(&description, &previous), ["b", "control-plane"]);
    let mut confirmed = cluster("workers: [{name: a}], controlPlane: {count: 1}");
    confirmed.annotations_mut().insert(crate::CONFIRM_REMOVAL_ANNOTATION.into(), "b, control-plane".into());
    assert!(errors(&validate(&confirmed, Some(&previous), Some(&simulation()), TODAY)).next().is_none());
}

#[test]
fn names_of_clusters_are_short_and_plain() {
    let named = |name: &str| {
        let mut description = cluster("");
        description.metadata.name = Some(name.into());
        findings(&description, None)
    };
    assert_snapshot!(
        ["a-very-long-name-for-a-cluster", "Demo", "a--b", "kogge", "9lives", "", "ok-1"].map(named).join("\n")
    );
}

#[test]
fn a_missing_profile_is_answered_with_those_there_are() {
    let mut description = cluster("");
    description.spec.provider.profile = "simm".into();
    assert_snapshot!(profile_not_found(&description, ["sim", "cloud-one"]).to_string());
}

#[test]
fn a_finding_is_plain_data() {
    let problems = validate(&cluster("controlPlane: {count: 2}"), None, None, TODAY);
    assert_eq!(
        serde_json::to_value(&problems).unwrap(),
        json!([{
            "code": "InvalidDescription",
            "severity": "Error",
            "pointer": "/spec/controlPlane/count",
            "field": "spec.controlPlane.count",
            "value": 2,
            "rule": "1, 3, 5 or 7",
            "accepted": "1, 3, 5, 7",
            "message": "2 control plane machines tolerate no more failures than 1: the number must be odd; use 1, 3, 5 or 7",
        }])
    );
}

proptest! {
    #[test]
    fn any_texts_in_any_place_are_judged_without_a_panic(texts in proptest::collection::vec(".{0,40}", 12), count in any::<u32>(), min in any::<u32>()) {
        let mut description = cluster("workers: [{name: a, taints: [{key: a, effect: NoSchedule}]}], network: {ipv6: {nodeCIDR: a, podCIDR: b, serviceCIDR: c}}, maintenance: {window: {begin: a, end: b}}");
        description.metadata.name = Some(texts[0].clone());
        description.spec.kubernetes.version = texts[1].clone();
        description.spec.network.node_cidr = texts[2].clone();
        description.spec.network.pod_cidr = texts[3].clone();
        description.spec.control_plane.count = count;
        description.spec.control_plane.zones = texts.clone();
        let pool = &mut description.spec.workers[0];
        pool.name = texts[4].clone();
        pool.autoscaling = Some(crate::kubernetes_cluster::Autoscaling { min, max: count });
        pool.labels.insert(texts[5].clone(), texts[6].clone());
        pool.taints[0].key = texts[7].clone();
        description.spec.addons.harbor.sizes.redis = texts[8].clone();
        description.spec.maintenance.drain_timeout = texts[9].clone();
        if let Some(window) = &mut description.spec.maintenance.window {
            window.begin = texts[10].clone();
            window.timezone = texts[11].clone();
        }
        for problem in validate(&description, Some(&cluster("")), Some(&simulation()), TODAY) {
            prop_assert!(!problem.message.is_empty() && !problem.rule.is_empty());
            prop_assert!(problem.pointer.starts_with('/'));
        }
    }

    #[test]
    fn every_canonical_pair_of_networks_is_judged_by_common_addresses(left in any::<u32>(), right in any::<u32>(), left_length in 12u8..24, right_length in 8u8..17) {
        let network = |address: u32, length: u8| ipnet::Ipv4Net::new(address.into(), length).unwrap().trunc();
        let (services, pods) = (network(left, left_length), network(right, right_length));
        let mut description = cluster("");
        description.spec.network.service_cidr = services.to_string();
        description.spec.network.pod_cidr = pods.to_string();
        let common = services.network().max(pods.network()) <= services.broadcast().min(pods.broadcast());
        let found = validate(&description, None, None, TODAY).iter().any(|problem| {
            problem.code == ProblemCode::NetworksOverlap && problem.pointer == "/spec/network/serviceCIDR" && problem.message.contains("podCIDR")
        });
        prop_assert_eq!(found, common);
    }
}
