//! Kubernetes versions: exact ones (`v1.34.2`), the requests of descriptions (`"1.34"`, `"1.34.x"`, `"v1.34.2"`), and
//! which exact version a request stands for on a profile.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;

use crate::kubernetes_cluster::KubernetesClusterSpec;
use crate::provider_profile::{OfferedVersion, ProviderProfileSpec};

/// An exact version of Kubernetes 1. Ordered as released within a minor version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KubernetesVersion {
    /// The second number.
    pub minor: u32,
    /// The third number.
    pub patch: u32,
}

/// A text that is no version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a Kubernetes version; write \"1.34\", \"1.34.x\" or \"v1.34.2\"")]
pub struct VersionSyntaxError(pub String);

impl FromStr for KubernetesVersion {
    type Err = VersionSyntaxError;

    /// Reads `v1.34.2` or `1.34.2`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(VersionRequest::Exact(version)) => Ok(version),
            _ => Err(VersionSyntaxError(text.into())),
        }
    }
}

impl fmt::Display for KubernetesVersion {
    /// Writes `v1.34.2`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "v1.{}.{}", self.minor, self.patch)
    }
}

/// What a description asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VersionRequest {
    /// The newest patch release of a minor version.
    Minor(u32),
    /// One version.
    Exact(KubernetesVersion),
}

impl VersionRequest {
    /// The minor version asked for.
    pub fn minor(self) -> u32 {
        match self {
            Self::Minor(minor) => minor,
            Self::Exact(version) => version.minor,
        }
    }

    /// Whether the patch release is left open.
    pub fn is_floating(self) -> bool {
        matches!(self, Self::Minor(_))
    }

    /// Whether the version is one of those asked for.
    pub fn accepts(self, version: KubernetesVersion) -> bool {
        match self {
            Self::Minor(minor) => version.minor == minor,
            Self::Exact(exact) => version == exact,
        }
    }
}

impl FromStr for VersionRequest {
    type Err = VersionSyntaxError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_request(text).ok_or_else(|| VersionSyntaxError(text.into()))
    }
}

fn parse_request(text: &str) -> Option<VersionRequest> {
    let mut parts = text.strip_prefix('v').unwrap_or(text).split('.');
    if parts.next()? != "1" {
        return None;
    }
    let minor = number(parts.next()?)?;
    let request = match parts.next() {
        None | Some("x") => VersionRequest::Minor(minor),
        Some(patch) => VersionRequest::Exact(KubernetesVersion { minor, patch: number(patch)? }),
    };
    parts.next().is_none().then_some(request)
}

fn number(text: &str) -> Option<u32> {
    let canonical = text == "0" || !text.starts_with('0');
    (canonical && !text.is_empty() && text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

impl fmt::Display for VersionRequest {
    /// Writes `1.34` or `v1.34.2`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Minor(minor) => write!(formatter, "1.{minor}"),
            Self::Exact(version) => version.fmt(formatter),
        }
    }
}

/// Why a request stands for no version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The text is no version.
    #[error(transparent)]
    Syntax(#[from] VersionSyntaxError),
    /// The profile does not offer it at all.
    #[error("version {request} is not offered; offered: {}", .offered.join(", "))]
    NotOffered {
        /// What was asked for.
        request: VersionRequest,
        /// What would be accepted: minor versions, or exact ones of the same minor version.
        offered: Vec<String>,
    },
    /// The profile offers it as a preview only, which the description does not allow.
    #[error("version {version} is a preview")]
    Preview {
        /// The version.
        version: KubernetesVersion,
        /// What would be accepted without a preview.
        offered: Vec<String>,
    },
    /// New clusters are no longer made with it.
    #[error("new clusters with version {version} are no longer made since {end_of_life}")]
    EndOfLife {
        /// The version.
        version: KubernetesVersion,
        /// The last day on which it could be chosen.
        end_of_life: Date,
        /// What would be accepted.
        offered: Vec<String>,
    },
}

/// A version on offer, read.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// The version.
    pub version: KubernetesVersion,
    /// What the profile says about it.
    pub details: &'a OfferedVersion,
}

/// The readable versions of a profile, oldest first.
pub fn offers(profile: &ProviderProfileSpec) -> Vec<Offer<'_>> {
    let mut offers: Vec<_> = profile
        .versions
        .iter()
        .filter_map(|details| Some(Offer { version: details.version.parse().ok()?, details }))
        .collect();
    offers.sort_by_key(|offer| offer.version);
    offers
}

/// The minor versions a new cluster can have on a profile, oldest first, as `1.34`.
pub fn offered_minors(profile: &ProviderProfileSpec, allow_preview: bool, today: Date) -> Vec<String> {
    let mut minors: Vec<u32> = offers(profile)
        .into_iter()
        .filter(|offer| (allow_preview || !offer.details.preview) && !is_over(offer.details, today))
        .map(|offer| offer.version.minor)
        .collect();
    minors.dedup();
    minors.into_iter().map(|minor| format!("1.{minor}")).collect()
}

fn is_over(details: &OfferedVersion, today: Date) -> bool {
    details.end_of_life.is_some_and(|last_day| today > last_day)
}

/// The exact version a request stands for in a new cluster: the newest on offer that it accepts.
///
/// # Errors
/// [`ResolveError`] says why there is none and what would be accepted.
pub fn resolve(
    request: VersionRequest,
    allow_preview: bool,
    profile: &ProviderProfileSpec,
    today: Date,
) -> Result<KubernetesVersion, ResolveError> {
    let accepted: Vec<Offer<'_>> = offers(profile).into_iter().filter(|offer| request.accepts(offer.version)).collect();
    let usable = |offer: &&Offer<'_>| (allow_preview || !offer.details.preview) && !is_over(offer.details, today);
    if let Some(newest) = accepted.iter().rev().find(usable) {
        return Ok(newest.version);
    }
    let offered = alternatives(request, allow_preview, profile, today);
    Err(match accepted.last() {
        None => ResolveError::NotOffered { request, offered },
        Some(offer) => match offer.details.end_of_life {
            Some(end_of_life) if today > end_of_life => {
                ResolveError::EndOfLife { version: offer.version, end_of_life, offered }
            }
            _ => ResolveError::Preview { version: offer.version, offered },
        },
    })
}

/// What to name instead of a request that cannot be met: exact versions where its minor version is offered at all.
fn alternatives(
    request: VersionRequest,
    allow_preview: bool,
    profile: &ProviderProfileSpec,
    today: Date,
) -> Vec<String> {
    let same_minor: Vec<String> = offers(profile)
        .into_iter()
        .filter(|offer| !request.is_floating() && offer.version.minor == request.minor())
        .filter(|offer| (allow_preview || !offer.details.preview) && !is_over(offer.details, today))
        .map(|offer| offer.version.to_string())
        .collect();
    if same_minor.is_empty() { offered_minors(profile, allow_preview, today) } else { same_minor }
}

/// The exact version a cluster should have now.
///
/// A new cluster gets the newest version its request accepts. A running one keeps its version as long as the request
/// accepts it, unless newer patch releases are to be taken up (`maintenance.autoUpdate.kubernetesPatch`, by default with
/// a request that leaves the patch open); a version that is no longer offered stays too. It never goes down.
///
/// # Errors
/// [`ResolveError`] when the request stands for no version.
pub fn target_version(
    spec: &KubernetesClusterSpec,
    profile: &ProviderProfileSpec,
    running: Option<KubernetesVersion>,
    today: Date,
) -> Result<KubernetesVersion, ResolveError> {
    let request: VersionRequest = spec.kubernetes.version.parse()?;
    let newest = resolve(request, spec.kubernetes.allow_preview, profile, today);
    match running {
        Some(running) if request.accepts(running) => {
            let follow = spec.maintenance.auto_update.kubernetes_patch.unwrap_or(request.is_floating());
            Ok(match newest {
                Ok(newest) if follow => newest.max(running),
                _ => running,
            })
        }
        _ => newest,
    }
}

/// Whether a profile lets a cluster go from one exact version to another in one step: a newer patch of the same minor
/// version or one minor version up, within the profile's own list if it has one.
pub fn can_upgrade(profile: &ProviderProfileSpec, from: KubernetesVersion, to: KubernetesVersion) -> bool {
    if to < from || to.minor > from.minor + 1 {
        return false;
    }
    let listed =
        offers(profile).into_iter().find(|offer| offer.version == from).map(|offer| &offer.details.upgrades_to);
    match listed {
        Some(list) if !list.is_empty() && to != from => {
            list.iter().filter_map(|text| text.parse::<VersionRequest>().ok()).any(|request| request.accepts(to))
        }
        _ => true,
    }
}

#[cfg(test)]
#[path = "kubernetes_version_tests.rs"]
mod tests;
