//! The plan: what would be done to a cluster, in order, why, and with which effect.
//!
//! A plan is a value. It is computed by one pure function (in `kogge-stacks`), shown by every interface and is the only
//! thing the operator executes, so what a user reads before a change is what happens.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::problem::ProblemCode;

/// Everything that separates a cluster's observed state from its description, as steps in execution order.
///
/// A plan with a refused step is executed not at all: half a change is worse than none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Name of the cluster.
    pub cluster: String,
    /// Namespace of the cluster, which is the tenant.
    pub namespace: String,
    /// Exact Kubernetes version the plan leads to, for example `v1.34.2`; empty when it could not be resolved.
    pub kubernetes_version: String,
    /// What happens, in order. Empty when nothing is to do.
    pub steps: Vec<Step>,
    /// The objects the steps write or delete, in the order they are written. Internal to Kogge, never serialised:
    /// a user reads steps, not Cluster API.
    #[serde(skip)]
    #[schemars(skip)]
    pub writes: Vec<Write>,
}

/// One write of a plan.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Server-side apply of this whole object.
    Apply(Value),
    /// Deletion of the named object; already gone is fine.
    Delete(ObjectReference),
}

/// One step of a [`Plan`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// What is done.
    pub action: Action,
    /// The object it is done to.
    pub object: ObjectReference,
    /// Node pool the step concerns; absent for the control plane and the whole cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// The fields of the description that cause it; empty when observed state drifted by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Change>,
    /// What it means for running machines and workloads.
    pub effect: Effect,
}

/// One field that differs between what is applied and what is described.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// Path of the field, list items by name: `spec.workers[web].count`.
    pub field: String,
    /// Value in effect now; absent when the field is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Value>,
    /// Value described; absent when the field goes away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Value>,
}

/// What a [`Step`] does. The set only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Action {
    /// Publish the templates of the stack release in the cluster's namespace.
    PublishStack,
    /// Create the cluster with its control plane.
    CreateCluster,
    /// Create a node pool.
    AddPool,
    /// Drain and delete a node pool.
    RemovePool,
    /// Change the number of control plane machines.
    ScaleControlPlane,
    /// Change the number of machines of a pool, or its autoscaling bounds.
    ScalePool,
    /// Bring the control plane to another Kubernetes version.
    UpgradeControlPlane,
    /// Bring a pool to another Kubernetes version, after the control plane.
    UpgradePool,
    /// Replace the control plane machines because their make changes.
    ReplaceControlPlane,
    /// Replace the machines of a pool because their make changes.
    ReplacePool,
    /// Change something that needs no new machine.
    UpdateInPlace,
    /// Install an add-on.
    EnableAddon,
    /// Remove an add-on.
    DisableAddon,
    /// Change another version or setting of an add-on.
    UpdateAddon,
    /// Stop reconciling the cluster.
    Pause,
    /// Start reconciling the cluster again.
    Resume,
    /// Put back what was changed behind Kogge's back.
    CorrectDrift,
    /// Delete the cluster with everything in it.
    DeleteCluster,
    /// Remove templates no cluster uses any more.
    RetireStack,
    /// A change that cannot be made; its effect says why.
    Refuse,
}

/// What a [`Step`] means for running machines and workloads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type")]
pub enum Effect {
    /// Nothing visible inside the cluster.
    None,
    /// Takes effect on running machines; none is replaced.
    InPlace,
    /// Machines are replaced one after the other: new one ready first, then the old one is drained and deleted.
    RollingReplacement {
        /// How many machines are replaced.
        machines: u32,
    },
    /// Machines are added, or drained and removed.
    Scale {
        /// Machines now.
        from: u32,
        /// Machines afterwards.
        to: u32,
    },
    /// Something new is made.
    Create {
        /// Machines that are created with it.
        machines: u32,
    },
    /// Something and all it holds goes away for good.
    Delete {
        /// Machines that go with it.
        machines: u32,
    },
    /// The step waits; it is planned again when that has come.
    Deferred {
        /// What it waits for, for example `2026-08-22T02:00:00Z` or `the running upgrade`.
        until: String,
    },
    /// The change is refused and nothing of the plan is executed.
    Refused {
        /// Code from the catalogue of problems.
        code: ProblemCode,
        /// Why, and what to do instead.
        reason: String,
    },
}

/// Which object a [`Step`] is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObjectReference {
    /// API version, for example `cluster.x-k8s.io/v1beta2`.
    pub api_version: String,
    /// Kind, for example `Cluster`.
    pub kind: String,
    /// Name of the object in the cluster's namespace.
    pub name: String,
}

impl Plan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The refused steps. When there is one, no step of the plan is executed.
    pub fn refusals(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| matches!(step.effect, Effect::Refused { .. }))
    }

    /// Whether the plan may be executed, that is: nothing in it is refused.
    pub fn is_executable(&self) -> bool {
        self.refusals().next().is_none()
    }

    /// How many machines are replaced in all.
    pub fn machines_replaced(&self) -> u32 {
        self.steps
            .iter()
            .map(|step| match step.effect {
                Effect::RollingReplacement { machines } => machines,
                _ => 0,
            })
            .sum()
    }
}

/// One line for people: `replace the machines of pool default: 3 machines replaced one by one (spec.workers[default].machineFlavor: A -> B)`;
/// the alternate form (`{:#}`) leaves the causes out.
impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subject = match (&self.pool, self.action) {
            (Some(pool), _) => format!("pool {pool}"),
            (None, Action::ScaleControlPlane | Action::UpgradeControlPlane | Action::ReplaceControlPlane) => {
                "the control plane".to_owned()
            }
            (None, Action::PublishStack | Action::RetireStack) => format!("stack {}", self.object.name),
            (None, _) => format!("cluster {}", self.object.name),
        };
        let verb = match self.action {
            Action::PublishStack => "publish",
            Action::CreateCluster => "create",
            Action::AddPool => "add",
            Action::RemovePool => "remove",
            Action::ScaleControlPlane | Action::ScalePool => "scale",
            Action::UpgradeControlPlane | Action::UpgradePool => "upgrade",
            Action::ReplaceControlPlane | Action::ReplacePool => "replace the machines of",
            Action::UpdateInPlace => "update",
            Action::EnableAddon => "enable an add-on of",
            Action::DisableAddon => "disable an add-on of",
            Action::UpdateAddon => "update an add-on of",
            Action::Pause => "pause",
            Action::Resume => "resume",
            Action::CorrectDrift => "correct drift of",
            Action::DeleteCluster => "delete",
            Action::RetireStack => "retire",
            Action::Refuse => "refuse to change",
        };
        write!(formatter, "{verb} {subject}: {}", self.effect)?;
        if formatter.alternate() {
            return Ok(());
        }
        let mut separator = " (";
        for change in &self.causes {
            write!(formatter, "{separator}{change}")?;
            separator = ", ";
        }
        if self.causes.is_empty() { Ok(()) } else { formatter.write_str(")") }
    }
}

/// For example `spec.workers[web].count: 3 -> 5`.
impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &Option<Value>| match value {
            None => "unset".to_owned(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        write!(formatter, "{}: {} -> {}", self.field, text(&self.from), text(&self.to))
    }
}

/// For example `3 machines replaced one by one`.
impl fmt::Display for Effect {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let machines = |count: u32| if count == 1 { "1 machine".to_owned() } else { format!("{count} machines") };
        match self {
            Self::None => formatter.write_str("no effect on machines"),
            Self::InPlace => formatter.write_str("in place"),
            Self::RollingReplacement { machines: count } => {
                write!(formatter, "{} replaced one by one", machines(*count))
            }
            Self::Scale { from, to } => write!(formatter, "from {} to {to}", machines(*from)),
            Self::Create { machines: 0 } => formatter.write_str("created"),
            Self::Create { machines: count } => write!(formatter, "{} created", machines(*count)),
            Self::Delete { machines: 0 } => formatter.write_str("deleted"),
            Self::Delete { machines: count } => write!(formatter, "{} deleted", machines(*count)),
            Self::Deferred { until } => write!(formatter, "waits for {until}"),
            Self::Refused { reason, .. } => write!(formatter, "refused: {reason}"),
        }
    }
}
