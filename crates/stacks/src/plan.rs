//! The plan: a pure function from (description, profile, stack releases, observed state, time) to steps.
//!
//! Which steps there are follows from comparing the rendered `Cluster` with the observed one, so the effects are those of
//! the write that will be made. Why they are there (fields, from, to) follows from comparing the description with the
//! one the cluster was last written with.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use kogge_api::KubernetesCluster;
use kogge_api::kubernetes_cluster::{KubernetesClusterSpec, StackReference};
use kogge_api::kubernetes_version::{self, KubernetesVersion, ResolveError, VersionRequest};
use kogge_api::plan::{Action, Change, Effect, ObjectReference, Plan, Step, Write};
use kogge_api::problem::ProblemCode;
use kogge_api::provider_profile::ProviderProfileSpec;
use serde_json::{Value, json};

use crate::catalogue::StackCatalogue;
use crate::description::{self, CompleteDescriptionError, changes};
use crate::maintenance::{WindowState, opens};
use crate::release::StackRelease;
use crate::render::{self, CLUSTER_API_VERSION, RenderError, RenderInput, content_of};

mod difference;
mod observed;
mod refusal;
mod steps;

pub use difference::contains;
pub use observed::ObservedState;

/// What a plan is made from.
#[derive(Clone, Copy, Debug)]
pub struct ClusterPlanInput<'a> {
    /// The description, with its annotations and, when it goes, its deletion timestamp.
    pub cluster: &'a KubernetesCluster,
    /// The profile it names.
    pub profile: &'a ProviderProfileSpec,
    /// The stack releases there are.
    pub catalogue: &'a StackCatalogue,
    /// What there is of the cluster.
    pub observed: &'a ObservedState,
    /// Now; decides whether a maintenance window is open.
    pub now: Timestamp,
}

/// Computes the plan.
///
/// # Guarantees
/// - The plan is empty if and only if the cluster is written as described; then nothing has to be written.
/// - A plan with a refused step has no writes.
/// - Same input, same plan.
pub fn plan(input: &ClusterPlanInput<'_>) -> Plan {
    let metadata = &input.cluster.metadata;
    let mut plan = Plan {
        cluster: metadata.name.clone().unwrap_or_default(),
        namespace: metadata.namespace.clone().unwrap_or_default(),
        ..Plan::default()
    };
    if metadata.deletion_timestamp.is_some() {
        plan_deletion(input, &mut plan);
        return plan;
    }
    match target(input) {
        Ok(target) => plan_change(input, &target, &mut plan),
        Err(refusals) => plan.steps = refusals,
    }
    if !plan.is_executable() {
        plan.writes.clear();
    }
    plan
}

/// What the cluster shall be.
struct Target<'a> {
    effective: KubernetesClusterSpec,
    applied: Option<KubernetesClusterSpec>,
    version: KubernetesVersion,
    release: &'a StackRelease,
    /// What is wanted, but later.
    deferred: Vec<Step>,
}

/// Decides version, release and the description in effect, or says why it cannot be.
fn target<'a>(input: &ClusterPlanInput<'a>) -> Result<Target<'a>, Vec<Step>> {
    let refuse = |code, field: &str, reason: String| vec![refusal::step(input, code, field, reason)];
    let applied = input.observed.applied_description();
    let running = input.observed.version();
    let mut deferred = Vec::new();
    let spec = if input.cluster.spec.paused && applied.is_some() {
        // Everything but the pause itself waits.
        let pending = changes(applied.as_ref(), &completed(input, applied.as_ref())?);
        let pending: Vec<Change> = pending.into_iter().filter(|change| change.field != "spec.paused").collect();
        if !pending.is_empty() {
            let until = "spec.paused to be false".to_owned();
            deferred.push(steps::on_cluster(input, Action::UpdateInPlace, pending, Effect::Deferred { until }));
        }
        let mut spec = applied.clone().unwrap_or_default();
        spec.paused = true;
        spec
    } else {
        completed(input, applied.as_ref())?
    };
    let wanted = wanted_version(input, &spec, running)
        .map_err(|error| refuse(ProblemCode::VersionNotOffered, "spec.kubernetes.version", error.to_string()))?;
    let version = match running {
        Some(running) if spec.paused => running,
        Some(running) if wanted != running => {
            allowed_version(input, &spec, applied.as_ref(), running, wanted, &mut deferred)?
        }
        _ => wanted,
    };
    let release = choose_release(input, &spec, applied.as_ref(), version)
        .map_err(|reason| refuse(ProblemCode::StackNotFound, "spec.stack", reason))?;
    let mut effective = spec;
    if let (true, Some(applied)) = (version != wanted, &applied) {
        // What waits is not applied yet; otherwise it would count as Kogge's own idea once its time has come.
        effective.kubernetes = applied.kubernetes.clone();
    }
    let stack = effective.stack.get_or_insert_with(StackReference::default);
    stack.name = Some(release.name.clone());
    stack.version = Some(release.release.clone());
    let target = Target { effective, applied, version, release, deferred };
    let refusals = refusal::all(input, &target.effective, target.applied.as_ref());
    if refusals.is_empty() { Ok(target) } else { Err(refusals) }
}

fn completed(
    input: &ClusterPlanInput<'_>,
    applied: Option<&KubernetesClusterSpec>,
) -> Result<KubernetesClusterSpec, Vec<Step>> {
    let mut spec = description::complete(&input.cluster.spec, input.profile, applied).map_err(|error| {
        let (code, field) = match error {
            CompleteDescriptionError::UnknownRegion(_) => (ProblemCode::ZoneNotOffered, "spec.provider.region"),
            CompleteDescriptionError::NoDefaultFlavor(_) => (ProblemCode::FlavorNotOffered, "spec"),
        };
        vec![refusal::step(input, code, field, error.to_string())]
    })?;
    // The release in use is part of what was applied; a release nobody names stays what it is.
    if let (Some(stack), Some(kept)) = (&mut spec.stack, applied.and_then(|applied| applied.stack.as_ref()))
        && stack.version.is_none()
        && stack.name == kept.name
    {
        stack.version.clone_from(&kept.version);
    }
    Ok(spec)
}

/// The version the description asks for, not looking at the way there: the newest on offer, or the running one if that is
/// asked for too and newer or no longer offered.
fn wanted_version(
    input: &ClusterPlanInput<'_>,
    spec: &KubernetesClusterSpec,
    running: Option<KubernetesVersion>,
) -> Result<KubernetesVersion, ResolveError> {
    let request: VersionRequest = spec.kubernetes.version.parse()?;
    let today = input.now.to_zoned(TimeZone::UTC).date();
    let newest = kubernetes_version::resolve(request, spec.kubernetes.allow_preview, input.profile, today);
    match (newest, running.filter(|running| request.accepts(*running))) {
        (Ok(newest), Some(running)) => Ok(newest.max(running)),
        (Err(_), Some(running)) => Ok(running),
        (newest, None) => newest,
    }
}

/// The way through the minor versions, for people: `1.33 -> 1.34 -> 1.35`.
fn upgrade_path(from: KubernetesVersion, to: KubernetesVersion) -> String {
    let minors: Vec<String> = (from.minor..=to.minor).map(|minor| format!("1.{minor}")).collect();
    minors.join(" -> ")
}

/// The minor version of a version as people write it, `1.34`.
fn minor_name(version: KubernetesVersion) -> String {
    format!("1.{}", version.minor)
}

/// The version to go to now: `wanted` if the way is free, `running` if it has to wait.
fn allowed_version(
    input: &ClusterPlanInput<'_>,
    spec: &KubernetesClusterSpec,
    applied: Option<&KubernetesClusterSpec>,
    running: KubernetesVersion,
    wanted: KubernetesVersion,
    deferred: &mut Vec<Step>,
) -> Result<KubernetesVersion, Vec<Step>> {
    let change = Change {
        field: "spec.kubernetes.version".to_owned(),
        from: Some(json!(running.to_string())),
        to: Some(json!(wanted.to_string())),
    };
    let refuse = |code: ProblemCode, reason: String| {
        let mut step = refusal::step(input, code, "spec.kubernetes.version", reason);
        step.causes = vec![change.clone()];
        Err(vec![step])
    };
    if wanted < running {
        return refuse(
            ProblemCode::Downgrade,
            format!(
                "Kubernetes cannot be downgraded from {running} to {wanted}; create a new cluster with {wanted} instead"
            ),
        );
    }
    if wanted.minor > running.minor + 1 {
        return refuse(
            ProblemCode::UpgradeSkipsMinor,
            format!(
                "Kubernetes is upgraded one minor version at a time: {}; set \"1.{}\" first and wait until the cluster is Ready",
                upgrade_path(running, wanted),
                running.minor + 1
            ),
        );
    }
    if !kubernetes_version::can_upgrade(input.profile, running, wanted) {
        let offer = input.profile.versions.iter().find(|offered| offered.version == running.to_string());
        let offered = offer.map(|offer| offer.upgrades_to.join(", ")).unwrap_or_default();
        return refuse(
            ProblemCode::VersionNotOffered,
            format!("the profile offers no upgrade from {running} to {wanted}; it offers: {offered}"),
        );
    }
    let mut wait = |until: String| {
        let effect = Effect::Deferred { until };
        let step = Step {
            causes: vec![change.clone()],
            ..steps::on_cluster(input, Action::UpgradeControlPlane, vec![], effect)
        };
        deferred.push(step);
        Ok(running)
    };
    if wanted.minor > running.minor && input.observed.is_upgrading() {
        return wait(format!("the upgrade to {running} to finish"));
    }
    let is_floating = spec.kubernetes.version.parse().is_ok_and(VersionRequest::is_floating);
    let asked_for = applied.is_none_or(|applied| applied.kubernetes.version != spec.kubernetes.version);
    if is_floating && !asked_for {
        let maintenance = &spec.maintenance;
        if !maintenance.auto_update.kubernetes_patch.unwrap_or(true) {
            return Ok(running);
        }
        if let Some(window) = &maintenance.window
            && let WindowState::Closed { opens } = opens(window, input.now)
        {
            let until = opens.map_or_else(|| "the maintenance window".to_owned(), |time| time.to_string());
            return wait(until);
        }
    }
    Ok(wanted)
}

/// The release named, else the one in use, else the newest the profile offers, as long as it was made for the version.
fn choose_release<'a>(
    input: &ClusterPlanInput<'a>,
    spec: &KubernetesClusterSpec,
    applied: Option<&KubernetesClusterSpec>,
    version: KubernetesVersion,
) -> Result<&'a StackRelease, String> {
    let minor = minor_name(version);
    let stack = spec.stack.as_ref();
    let name = stack.and_then(|stack| stack.name.as_deref()).unwrap_or(&input.profile.stack.name);
    let named = input.cluster.spec.stack.as_ref().and_then(|stack| stack.version.as_deref());
    if let Some(named) = named {
        return input.catalogue.choose(name, Some(named), &minor).map_err(|error| error.to_string());
    }
    let kept = applied.and_then(|applied| applied.stack.as_ref()).filter(|kept| kept.name.as_deref() == Some(name));
    let offered = if input.profile.stack.name == name { input.profile.stack.releases.as_slice() } else { &[] };
    let candidates = kept.and_then(|kept| kept.version.as_deref()).into_iter();
    candidates
        .chain(offered.iter().rev().map(String::as_str))
        .find_map(|release| input.catalogue.choose(name, Some(release), &minor).ok())
        .map_or_else(|| input.catalogue.choose(name, None, &minor).map_err(|error| error.to_string()), Ok)
}

fn plan_change(input: &ClusterPlanInput<'_>, target: &Target<'_>, plan: &mut Plan) {
    plan.kubernetes_version = target.version.to_string();
    let minor = minor_name(target.version);
    let metadata = &input.cluster.metadata;
    let rendered = render::cluster(&RenderInput {
        name: &plan.cluster,
        namespace: &plan.namespace,
        uid: metadata.uid.as_deref().unwrap_or_default(),
        spec: &target.effective,
        rollout: input
            .cluster
            .metadata
            .annotations
            .as_ref()
            .and_then(|annotations| annotations.get(kogge_api::ROLLOUT_ANNOTATION).map(String::as_str)),
        profile_variables: &input.profile.defaults.variables,
        release: target.release,
        version: &plan.kubernetes_version,
        minor: &minor,
    });
    let desired = match rendered {
        Ok(desired) => desired,
        Err(error) => {
            let code = match error {
                RenderError::OptionNotSupported { .. } => ProblemCode::CapabilityMissing,
                _ => ProblemCode::InvalidDescription,
            };
            plan.steps.push(refusal::step(input, code, "spec", error.to_string()));
            return;
        }
    };
    if target.effective.paused && input.observed.cluster.is_none() {
        let until = "spec.paused to be false".to_owned();
        plan.steps.push(steps::on_cluster(input, Action::CreateCluster, vec![], Effect::Deferred { until }));
        return;
    }
    let class_name = target.release.class_name(&minor);
    if input.observed.published_classes.get(&class_name).map(String::as_str) != Some(target.release.content()) {
        plan.steps.push(Step {
            action: Action::PublishStack,
            object: cluster_class(&class_name),
            pool: None,
            causes: Vec::new(),
            effect: Effect::None,
        });
        let objects = target.release.objects(&minor, &plan.namespace);
        plan.writes.extend(objects.into_iter().map(Write::Apply));
    }
    let is_written = input
        .observed
        .cluster
        .as_ref()
        .is_some_and(|cluster| content_of(cluster) == content_of(&desired) && contains(cluster, &desired));
    if !is_written {
        let difference = difference::between(input.observed, &desired, target.release);
        plan.steps.extend(steps::all(input, target.applied.as_ref(), &target.effective, &difference, &desired));
        plan.writes.push(Write::Apply(desired));
    }
    plan.steps.extend(target.deferred.iter().cloned());
    if plan.is_empty() {
        for class in input.observed.unused_classes.iter().filter(|class| **class != class_name) {
            retire(input, class, plan);
        }
    }
}

fn plan_deletion(input: &ClusterPlanInput<'_>, plan: &mut Plan) {
    let observed = input.observed;
    if let Some(cluster) = &observed.cluster {
        let workers: u32 = observed.pools().values().flatten().map(|deployment| observed.machines_of(deployment)).sum();
        let machines = observed.control_plane_count() + workers;
        plan.steps.push(steps::on_cluster(input, Action::DeleteCluster, vec![], Effect::Delete { machines }));
        if cluster["metadata"]["deletionTimestamp"].is_null() {
            plan.writes.push(Write::Delete(steps::cluster_reference(&plan.cluster)));
        }
    } else {
        for class in &observed.unused_classes {
            retire(input, class, plan);
        }
    }
}

/// Removes a class no cluster uses, with its templates.
fn retire(input: &ClusterPlanInput<'_>, class_name: &str, plan: &mut Plan) {
    plan.steps.push(Step {
        action: Action::RetireStack,
        object: cluster_class(class_name),
        pool: None,
        causes: Vec::new(),
        effect: Effect::Delete { machines: 0 },
    });
    for release in input.catalogue.releases() {
        for minor in &release.kubernetes_minors {
            if release.class_name(minor) == class_name {
                let mut objects = release.objects(minor, &plan.namespace);
                objects.pop();
                plan.writes.extend(objects.iter().map(|object| Write::Delete(reference_to(object))));
            }
        }
    }
    // Last, because it is what tells that there is something to remove.
    plan.writes.push(Write::Delete(cluster_class(class_name)));
}

fn cluster_class(name: &str) -> ObjectReference {
    ObjectReference {
        api_version: CLUSTER_API_VERSION.to_owned(),
        kind: "ClusterClass".to_owned(),
        name: name.to_owned(),
    }
}

fn reference_to(object: &Value) -> ObjectReference {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    ObjectReference {
        api_version: text(&object["apiVersion"]),
        kind: text(&object["kind"]),
        name: text(&object["metadata"]["name"]),
    }
}
