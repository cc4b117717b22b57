use proptest::prelude::*;

use super::*;
use crate::provider_profile::simulation;

const TODAY: Date = jiff::civil::date(2026, 11, 21);

fn resolved(text: &str) -> String {
    let profile = simulation().spec;
    match text.parse().map_err(ResolveError::from).and_then(|request| resolve(request, false, &profile, TODAY)) {
        Ok(version) => version.to_string(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_request_stands_for_the_newest_version_it_accepts() {
    let lines: Vec<String> =
        ["1.34", "v1.34", "1.34.x", "v1.34.2", "1.34.2", "1.34.7", "1.29", "1.34.02", "2.0", "1", "1.34.2.1", ""]
            .iter()
            .map(|text| format!("{text:?} -> {}", resolved(text)))
            .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn a_running_cluster_follows_patches_only_when_the_request_leaves_them_open() {
    let profile = simulation().spec;
    let running = Some(KubernetesVersion { minor: 34, patch: 1 });
    let mut spec = KubernetesClusterSpec::default();
    let mut target = |version: &str, follow: Option<bool>| {
        spec.kubernetes.version = version.into();
        spec.maintenance.auto_update.kubernetes_patch = follow;
        target_version(&spec, &profile, running, TODAY).map(|version| version.to_string())
    };
    assert_eq!(target("1.34", None), Ok("v1.34.9".into()));
    assert_eq!(target("1.34", Some(false)), Ok("v1.34.1".into()));
    assert_eq!(target("v1.34.1", None), Ok("v1.34.1".into()));
    assert_eq!(target("v1.34.2", None), Ok("v1.34.2".into()));
    assert_eq!(target("1.35", Some(false)), Ok("v1.35.8".into()));
}

#[test]
fn previews_and_retired_versions_are_refused_for_new_clusters_only() {
    let mut profile = simulation().spec;
    for version in &mut profile.versions {
        if version.version.starts_with("v1.36") {
            version.preview = true;
        }
        if version.version.starts_with("v1.33") {
            version.end_of_life = Some(jiff::civil::date(2026, 11, 20));
        }
    }
    let minor =
        |minor| resolve(VersionRequest::Minor(minor), false, &profile, TODAY).map_err(|error| error.to_string());
    assert_eq!(minor(36), Err("version v1.36.4 is a preview".into()));
    assert_eq!(minor(33), Err("new clusters with version v1.33.12 are no longer made since 2026-11-20".into()));
    assert_eq!(offered_minors(&profile, false, TODAY), ["1.34", "1.35"]);
    let mut spec = KubernetesClusterSpec::default();
    spec.kubernetes.version = "1.33".into();
    let running = KubernetesVersion { minor: 33, patch: 5 };
    assert_eq!(target_version(&spec, &profile, Some(running), TODAY), Ok(running));
}

proptest! {
    #[test]
    fn exact_versions_survive_writing_and_reading(minor in 0u32..9999, patch in 0u32..9999) {
        let version = KubernetesVersion { minor, patch };
        prop_assert_eq!(version.to_string().parse(), Ok(version));
        prop_assert_eq!(VersionRequest::Minor(minor).to_string().parse(), Ok(VersionRequest::Minor(minor)));
    }

    #[test]
    fn reading_a_version_never_panics_and_agrees_with_the_pattern_of_the_schema(text in "v?[0-9]{0,3}\\.?[0-9x]{0,5}(\\.[0-9x]{0,5})?") {
        let pattern = regex::Regex::new(r"^v?1\.(0|[1-9][0-9]{0,3})(\.(x|0|[1-9][0-9]{0,3}))?$").unwrap();
        prop_assert_eq!(text.parse::<VersionRequest>().is_ok(), pattern.is_match(&text));
    }
}
