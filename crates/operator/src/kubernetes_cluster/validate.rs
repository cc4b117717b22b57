//! Validation: may the description be planned at all? The rules are those every interface applies; here they catch what
//! changed after the description was stored, such as the profile. Pure.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use kogge_api::kubernetes_cluster::ProblemObject;
use kogge_api::problem::ProblemCode;
use kogge_api::{KubernetesCluster, ProviderProfile, validation};

use super::problem::Finding;

/// What forbids to plan the description: nothing, if it is fine.
///
/// `exists` tells whether the cluster has been made: it then keeps a version that is no longer offered to new ones.
pub fn refusals(
    cluster: &KubernetesCluster,
    profile: Option<&ProviderProfile>,
    profile_names: &[String],
    exists: bool,
    now: Timestamp,
) -> Vec<Finding> {
    let Some(profile) = profile else {
        let problem = validation::profile_not_found(cluster, profile_names.iter().map(String::as_str));
        return vec![finding(cluster, ProblemCode::ProfileNotFound, problem.to_string())];
    };
    let today = now.to_zoned(TimeZone::UTC).date();
    let previous = exists.then_some(cluster);
    let problems = validation::validate(cluster, previous, Some(profile), today);
    validation::errors(&problems).map(|problem| finding(cluster, problem.code, problem.to_string())).collect()
}

/// A finding about the description itself.
pub fn finding(cluster: &KubernetesCluster, code: ProblemCode, message: String) -> Finding {
    let name = cluster.metadata.name.clone().unwrap_or_default();
    Finding { code, message, object: ProblemObject { kind: "KubernetesCluster".to_owned(), name }, since: None }
}
