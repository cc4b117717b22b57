//! From a `clusterctl.yaml` of the first SCS reference implementation to a description.
//!
//! The old file mixes what a user decides with what the scripts needed to know. What a user decides becomes a field;
//! everything else becomes a finding with the line it came from: dropped (and why that is fine), changed (and into what),
//! or in need of a decision. Nothing is lost silently. Rules: `docs/import.md`.

mod findings;
mod parameter_file;
mod profile_fit;
mod rules;

pub use findings::{Finding, FindingKind};
pub use parameter_file::ParameterFileError;

use crate::kubernetes_cluster::{KubernetesCluster, KubernetesClusterSpec, WorkerPool};
use crate::provider_profile::ProviderProfile;

/// What an import reads.
#[derive(Debug, Clone, Copy)]
pub struct ImportInput<'a> {
    /// Text of the `clusterctl.yaml`, with `harbor-settings` appended if there are any.
    pub clusterctl: &'a str,
    /// Text of the `clouds.yaml` that belongs to it.
    pub clouds: Option<&'a str>,
    /// Name of the new cluster.
    pub name: &'a str,
    /// The profile the cluster will use. Its versions, flavors, zones and networks decide what can stay as it was.
    pub profile: &'a ProviderProfile,
}

/// The result of an import.
#[derive(Debug, Clone)]
pub struct Import {
    /// The description. Valid for the profile, unless a finding says that a decision is needed first.
    pub cluster: KubernetesCluster,
    /// What did not go over as it was, in the order of the lines.
    pub findings: Vec<Finding>,
}

/// Imports a parameter file.
///
/// # Errors
/// If the file cannot be read as a parameter file. Parameters that make no sense are findings, not errors.
pub fn import(input: &ImportInput<'_>) -> Result<Import, ParameterFileError> {
    let parameters = parameter_file::read(input.clusterctl)?;
    if !parameters.iter().any(|parameter| rules::is_known(&parameter.key)) {
        return Err(ParameterFileError::NotClusterctl);
    }
    let mut spec = KubernetesClusterSpec::default();
    spec.provider.profile = input.profile.metadata.name.clone().unwrap_or_default();
    spec.workers = vec![WorkerPool { name: "default".into(), count: Some(3), ..WorkerPool::default() }];
    // Defaults of old and new differ: an old file that says nothing had one control plane machine and an ingress.
    spec.control_plane.count = 1;
    spec.addons.ingress.enabled = Some(true);

    let mut findings = Vec::new();
    rules::apply(&parameters, &mut spec, &mut findings);
    rules::credentials(input, &parameters, &mut spec, &mut findings);
    profile_fit::fit(&parameters, &input.profile.spec, &mut spec, &mut findings);
    findings.sort_by_key(|finding| finding.line);

    let mut cluster = KubernetesCluster::new(input.name, spec);
    cluster.metadata.name = Some(input.name.to_owned());
    Ok(Import { cluster, findings })
}

#[cfg(test)]
mod tests;
