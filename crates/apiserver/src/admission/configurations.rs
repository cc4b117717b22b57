//! The admission configurations of one plane, parsed once a change.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwapOption;
use kogge_machinery::{
    admission::{GROUP, MutatingPolicy, Policy, PolicyBinding, RequestedResource, Webhook, webhooks},
    resource::GroupResource,
};
use serde_json::Value;

/// The resources this module is about, in the order of their entries.
const RESOURCES: [&str; 6] = [
    "mutatingwebhookconfigurations",
    "validatingwebhookconfigurations",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
    "mutatingadmissionpolicies",
    "mutatingadmissionpolicybindings",
];
/// The places of the policies in [`RESOURCES`].
const POLICIES: usize = 2;
const MUTATING_POLICIES: usize = 4;

/// Whether requests for a resource are never put before webhooks: one could lock everybody out of repairing it.
pub(crate) fn is_configuration(group: &str, plural: &str) -> bool {
    group == GROUP && RESOURCES.contains(&plural)
}

/// What is configured, ordered by configuration name.
#[derive(Debug, Default)]
pub(crate) struct Configured {
    mutating: Vec<Arc<Webhook>>,
    validating: Vec<Arc<Webhook>>,
    /// Each binding with its policy.
    policies: Vec<(Arc<Policy>, Arc<PolicyBinding>)>,
    mutating_policies: Vec<(Arc<MutatingPolicy>, Arc<PolicyBinding>)>,
}

impl Configured {
    pub(super) fn policies(&self) -> &[(Arc<Policy>, Arc<PolicyBinding>)] {
        &self.policies
    }

    pub(super) fn mutating_policies(&self) -> &[(Arc<MutatingPolicy>, Arc<PolicyBinding>)] {
        &self.mutating_policies
    }

    pub(super) fn mutating(&self) -> &[Arc<Webhook>] {
        &self.mutating
    }

    pub(super) fn validating(&self) -> &[Arc<Webhook>] {
        &self.validating
    }

    /// Whether any rule may be about a request.
    pub(super) fn may_concern(&self, request: &RequestedResource<'_>) -> bool {
        let definitions = self.policies.iter().map(|(policy, _)| &policy.definition);
        let mutating = self.mutating_policies.iter().map(|(policy, _)| &policy.definition);
        self.mutating.iter().chain(&self.validating).any(|webhook| webhook.matching.may_concern(request))
            || definitions.chain(mutating).any(|definition| definition.matching.may_concern(request))
    }
}

/// A configuration as last seen.
#[derive(Debug)]
struct Entry {
    revision: u64,
    /// Nothing once deleted: the revision stays, so that a late notice does not bring it back.
    content: Content,
}

#[derive(Debug)]
enum Content {
    Nothing,
    Webhooks(Vec<Arc<Webhook>>),
    Policy(Arc<Policy>),
    MutatingPolicy(Arc<MutatingPolicy>),
    Binding(Arc<PolicyBinding>),
}

impl Content {
    /// What an object of the resource with this index says.
    fn of(index: usize, object: Option<&Value>) -> Self {
        match (index, object) {
            (_, None) => Self::Nothing,
            (0 | 1, Some(configuration)) => Self::Webhooks(webhooks(configuration)),
            (POLICIES, Some(policy)) => Self::Policy(Arc::new(Policy::from_json(policy))),
            (MUTATING_POLICIES, Some(policy)) => Self::MutatingPolicy(Arc::new(MutatingPolicy::from_json(policy))),
            (_, Some(binding)) => Self::Binding(Arc::new(PolicyBinding::from_json(binding))),
        }
    }
}

/// The configurations of a plane.
#[derive(Debug, Default)]
pub(crate) struct Configurations {
    current: ArcSwapOption<Configured>,
    /// By resource (index into [`RESOURCES`]) and name.
    known: Mutex<BTreeMap<(usize, String), Entry>>,
}

impl Configurations {
    /// The resources whose objects [`Self::notice`] wants to hear of.
    pub(crate) fn resources() -> impl Iterator<Item = GroupResource> {
        RESOURCES.iter().map(|plural| GroupResource { group: GROUP.to_owned(), resource: (*plural).to_owned() })
    }

    /// What is configured now; none in a plane that configures nothing.
    pub(crate) fn current(&self) -> Option<Arc<Configured>> {
        self.current.load_full()
    }

    /// Takes over the state of an object at a revision, none where it was deleted; earlier states than the known one
    /// and other resources are ignored.
    pub(crate) fn notice(&self, resource: &GroupResource, name: &str, revision: u64, object: Option<&Value>) {
        let Some(index) = RESOURCES.iter().position(|plural| *plural == resource.resource) else { return };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (index, name.to_owned());
        if known.get(&key).is_some_and(|entry| entry.revision >= revision) {
            return;
        }
        known.insert(key, Entry { revision, content: Content::of(index, object) });
        let mut configured = Configured::default();
        for ((index, _), entry) in known.iter() {
            match (&entry.content, index) {
                (Content::Webhooks(webhooks), 0) => configured.mutating.extend(webhooks.iter().cloned()),
                (Content::Webhooks(webhooks), _) => configured.validating.extend(webhooks.iter().cloned()),
                (Content::Binding(binding), _) => {
                    // A policy without binding does nothing, nor does a binding without policy. Policies stand before
                    // their bindings.
                    match known.get(&(index - 1, binding.policy.clone())).map(|entry| &entry.content) {
                        Some(Content::Policy(policy)) => configured.policies.push((policy.clone(), binding.clone())),
                        Some(Content::MutatingPolicy(policy)) => {
                            configured.mutating_policies.push((policy.clone(), binding.clone()));
                        }
                        _ => {}
                    }
                }
                (Content::Nothing | Content::Policy(_) | Content::MutatingPolicy(_), _) => {}
            }
        }
        let Configured { mutating, validating, policies, mutating_policies } = &configured;
        let is_empty =
            mutating.is_empty() && validating.is_empty() && policies.is_empty() && mutating_policies.is_empty();
        self.current.store((!is_empty).then(|| Arc::new(configured)));
    }
}
