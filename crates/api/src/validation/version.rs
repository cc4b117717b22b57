//! Rules on the Kubernetes version: offered, never down, one minor version at a time.

use super::{FieldPath, FieldProblem, Review, list};
use crate::kubernetes_version::{
    KubernetesVersion, ResolveError, VersionRequest, can_upgrade, offers, resolve, target_version,
};
use crate::problem::ProblemCode;

pub(super) fn check(review: &mut Review<'_>) {
    let path = FieldPath::root().child("spec").child("kubernetes").child("version");
    let text = review.description.spec.kubernetes.version.clone();
    let value = Some(text.as_str().into());
    let Ok(request) = text.parse::<VersionRequest>() else {
        let accepted = "\"1.34\", \"1.34.x\" or \"v1.34.2\", as a string";
        review.add(
            FieldProblem::new(
                ProblemCode::InvalidDescription,
                &path,
                value,
                "1.MINOR, 1.MINOR.x or v1.MINOR.PATCH",
                format!("`{text}` is not a Kubernetes version; write {accepted}"),
            )
            .accepting(accepted),
        );
        return;
    };
    let running = running_version(review);
    if let Some(problem) = step_problem(review, &path, request, running) {
        review.add(problem);
        return;
    }
    offered(review, &path, request, running.map(|(version, _)| version));
}

/// What the cluster has now: the version it runs, else the one asked for before. `true` when it is exact.
fn running_version(review: &Review<'_>) -> Option<(KubernetesVersion, bool)> {
    let previous = review.previous?;
    let observed = previous
        .status
        .as_ref()
        .and_then(|status| status.kubernetes.as_ref())
        .and_then(|kubernetes| kubernetes.version.as_ref());
    if let Some(version) = observed.and_then(|text| text.parse().ok()) {
        return Some((version, true));
    }
    match previous.spec.kubernetes.version.parse().ok()? {
        VersionRequest::Exact(version) => Some((version, true)),
        VersionRequest::Minor(minor) => Some((KubernetesVersion { minor, patch: 0 }, false)),
    }
}

/// Refuses downgrades and skipped minor versions, also against the description before, which the server compares with.
fn step_problem(
    review: &Review<'_>,
    path: &FieldPath,
    request: VersionRequest,
    running: Option<(KubernetesVersion, bool)>,
) -> Option<FieldProblem> {
    let (running, exact) = running?;
    let value = Some(review.description.spec.kubernetes.version.as_str().into());
    let asked_before =
        review.previous.and_then(|previous| previous.spec.kubernetes.version.parse::<VersionRequest>().ok());
    let lowest_minor = asked_before.map_or(running.minor, |before| before.minor().max(running.minor));
    let is_lower = request.minor() < lowest_minor
        || matches!(request, VersionRequest::Exact(version) if exact && version.minor == running.minor && version < running)
        || matches!((request, asked_before), (VersionRequest::Exact(new), Some(VersionRequest::Exact(old))) if new < old);
    let now = if exact { running.to_string() } else { format!("1.{}", running.minor) };
    if is_lower {
        let before = if request.minor() < running.minor || asked_before.is_none_or(|old| old.minor() == running.minor) {
            format!("the cluster has {now}")
        } else {
            format!("the upgrade to 1.{lowest_minor} has begun")
        };
        return Some(
            FieldProblem::new(
                ProblemCode::Downgrade,
                path,
                value,
                "never lower than before",
                format!("Kubernetes cannot be downgraded to {request}: {before}"),
            )
            .accepting(format!("{now} or newer")),
        );
    }
    if request.minor() > running.minor + 1 {
        let steps: Vec<String> = (running.minor..=request.minor()).map(|minor| format!("1.{minor}")).collect();
        let next = running.minor + 1;
        return Some(
            FieldProblem::new(
                ProblemCode::UpgradeSkipsMinor,
                path,
                value,
                "at most one minor version at a time",
                format!(
                    "{request} skips a minor version: the cluster has {now}; set 1.{next} first and wait until it is Ready ({})",
                    steps.join(" -> ")
                ),
            )
            .accepting(format!("1.{} or 1.{next}", running.minor)),
        );
    }
    None
}

/// Checks the request against the profile's versions.
fn offered(review: &mut Review<'_>, path: &FieldPath, request: VersionRequest, running: Option<KubernetesVersion>) {
    let Some(profile) = review.profile else { return };
    let name = review.profile_name().to_owned();
    let value = Some(review.description.spec.kubernetes.version.as_str().into());
    let allow_preview = review.description.spec.kubernetes.allow_preview;
    // An existing cluster keeps what it asked for, also when that is no longer on offer.
    let unchanged = review
        .previous
        .is_some_and(|previous| previous.spec.kubernetes.version == review.description.spec.kubernetes.version)
        && running.is_some_and(|running| request.accepts(running));
    let resolved = if unchanged {
        target_version(&review.description.spec, &profile.spec, running, review.today)
    } else {
        resolve(request, allow_preview, &profile.spec, review.today)
    };
    let rule = "offered by the profile";
    let target = match resolved {
        Ok(target) => target,
        Err(error) => {
            let (message, accepted) = match error {
                ResolveError::Syntax(error) => (error.to_string(), None),
                ResolveError::NotOffered { request, offered } => (
                    format!("version {request} is not offered by profile `{name}`; offered: {}", list(&offered)),
                    Some(list(&offered)),
                ),
                ResolveError::Preview { version, offered } => (
                    format!(
                        "version {version} is offered by profile `{name}` as a preview only; set spec.kubernetes.allowPreview to true to use it, or choose from: {}",
                        list(&offered)
                    ),
                    Some(list(&offered)),
                ),
                ResolveError::EndOfLife { version, end_of_life, offered } => (
                    format!(
                        "version {version} can no longer be chosen on profile `{name}` since {end_of_life}; offered: {}",
                        list(&offered)
                    ),
                    Some(list(&offered)),
                ),
            };
            let mut problem = FieldProblem::new(ProblemCode::VersionNotOffered, path, value, rule, message);
            problem.accepted = accepted;
            review.add(problem);
            return;
        }
    };
    if let Some(running) = running
        .filter(|running| running.patch > 0 || offers(&profile.spec).iter().any(|offer| offer.version == *running))
        && target != running
        && !can_upgrade(&profile.spec, running, target)
    {
        let listed = offers(&profile.spec)
            .into_iter()
            .find(|offer| offer.version == running)
            .map(|offer| offer.details.upgrades_to.clone())
            .unwrap_or_default();
        review.add(
            FieldProblem::new(
                ProblemCode::VersionNotOffered,
                path,
                value,
                "an upgrade the profile offers",
                format!("profile `{name}` offers no upgrade from {running} to {target}; offered: {}", list(&listed)),
            )
            .accepting(list(&listed)),
        );
        return;
    }
    let ended = offers(&profile.spec)
        .into_iter()
        .find(|offer| offer.version == target)
        .and_then(|offer| offer.details.support_ends)
        .filter(|last_day| review.today > *last_day);
    if let Some(last_day) = ended {
        review.add(
            FieldProblem::new(
                ProblemCode::VersionOutOfSupport,
                path,
                value,
                "supported upstream",
                format!(
                    "1.{} has not been supported upstream since {last_day}; upgrade to a newer minor version",
                    target.minor
                ),
            )
            .accepting("a newer minor version"),
        );
    }
}
