//! Kubernetes versions: reading them, and finding the exact one a description means.

use std::fmt;
use std::str::FromStr;

use kogge_api::kubernetes_cluster::Kubernetes;
use kogge_api::provider_profile::OfferedVersion;

/// An exact Kubernetes version; the major version is always 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KubernetesVersion {
    /// Minor version, 34 in `v1.34.2`.
    pub minor: u32,
    /// Patch version, 2 in `v1.34.2`.
    pub patch: u32,
}

impl KubernetesVersion {
    /// The minor version as people write it, `1.34`.
    pub fn minor_name(self) -> String {
        format!("1.{}", self.minor)
    }
}

impl fmt::Display for KubernetesVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "v1.{}.{}", self.minor, self.patch)
    }
}

/// Not an exact Kubernetes version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no Kubernetes version such as v1.34.2")]
pub struct ParseVersionError(String);

impl FromStr for KubernetesVersion {
    type Err = ParseVersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let failed = || ParseVersionError(text.to_owned());
        let mut parts = text.strip_prefix('v').unwrap_or(text).split('.');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some("1"), Some(minor), Some(patch), None) => Ok(Self {
                minor: minor.parse().map_err(|_| failed())?,
                // Node versions may carry a vendor suffix: v1.34.2+build.
                patch: patch.split(['+', '-']).next().unwrap_or(patch).parse().map_err(|_| failed())?,
            }),
            _ => Err(failed()),
        }
    }
}

/// The version a description asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestedVersion {
    /// An exact version.
    Exact(KubernetesVersion),
    /// The newest patch of a minor version.
    NewestPatch {
        /// The minor version, 34 in `1.34`.
        minor: u32,
    },
}

impl FromStr for RequestedVersion {
    type Err = ParseVersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = text.strip_prefix('v').unwrap_or(text);
        let plain = plain.strip_suffix(".x").unwrap_or(plain);
        if let Some(minor) = plain.strip_prefix("1.").and_then(|minor| minor.parse().ok()) {
            return Ok(Self::NewestPatch { minor });
        }
        text.parse().map(Self::Exact)
    }
}

/// A version cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveVersionError {
    /// The text is no version.
    #[error(transparent)]
    Unreadable(#[from] ParseVersionError),
    /// The profile does not offer it.
    #[error("version {wanted} is not offered; offered: {}", offered.join(", "))]
    NotOffered {
        /// The version asked for.
        wanted: String,
        /// What is offered, oldest first.
        offered: Vec<String>,
    },
}

/// Finds the exact version a description means. A cluster that runs a version keeps it even when it is no longer offered.
///
/// # Errors
/// When the text is no version or the profile does not offer it.
pub fn resolve(
    wanted: &Kubernetes,
    offered: &[OfferedVersion],
    running: Option<KubernetesVersion>,
) -> Result<KubernetesVersion, ResolveVersionError> {
    let mut available: Vec<KubernetesVersion> = offered
        .iter()
        .filter(|version| wanted.allow_preview || !version.preview)
        .filter_map(|version| version.version.parse().ok())
        .collect();
    available.sort();
    let found = match wanted.version.parse()? {
        RequestedVersion::Exact(exact) => available.iter().copied().chain(running).find(|known| *known == exact),
        RequestedVersion::NewestPatch { minor } => {
            available.iter().copied().chain(running).filter(|known| known.minor == minor).max()
        }
    };
    found.ok_or_else(|| ResolveVersionError::NotOffered {
        wanted: wanted.version.clone(),
        offered: available.iter().map(ToString::to_string).collect(),
    })
}

/// The minor versions on the way, for people: `1.33 -> 1.34 -> 1.35`.
pub fn upgrade_path(from: KubernetesVersion, to: KubernetesVersion) -> String {
    let minors: Vec<String> = (from.minor..=to.minor).map(|minor| format!("1.{minor}")).collect();
    minors.join(" -> ")
}
