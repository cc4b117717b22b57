//! The admission configurations of one plane, parsed once a change.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwapOption;
use kogge_machinery::{
    admission::{GROUP, Policy, PolicyBinding, RequestedResource, Webhook, webhooks},
    resource::GroupResource,
};
use serde_json::Value;

/// The resources this module is about, in the order of their entries.
const RESOURCES: [&str; 4] = [
    "mutatingwebhookconfigurations",
    "validatingwebhookconfigurations",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
];
/// The place of the policies in [`RESOURCES`].
const POLICIES: usize = 2;

/// Whether requests for a resource are never put before webhooks: one could lock everybody out of repairing it.
pub(crate) fn is_configuration(group: &str, plural: &str) -> bool {
    group == GROUP
        && matches!(
            plural,
            "mutatingwebhookconfigurations"
                | "validatingwebhookconfigurations"
                | "validatingadmissionpolicies"
                | "validatingadmissionpolicybindings"
                | "mutatingadmissionpolicies"
                | "mutatingadmissionpolicybindings"
        )
}

/// What is configured, ordered by configuration name.
#[derive(Debug, Default)]
pub(crate) struct Configured {
    mutating: Vec<Arc<Webhook>>,
    validating: Vec<Arc<Webhook>>,
    /// Each binding with its policy.
    policies: Vec<(Arc<Policy>, Arc<PolicyBinding>)>,
}

impl Configured {
    pub(super) fn policies(&self) -> &[(Arc<Policy>, Arc<PolicyBinding>)] {
        &self.policies
    }

    pub(super) fn mutating(&self) -> &[Arc<Webhook>] {
        &self.mutating
    }

    pub(super) fn validating(&self) -> &[Arc<Webhook>] {
        &self.validating
    }

    /// Whether any rule may be about a request.
    pub(super) fn may_concern(&self, request: &RequestedResource<'_>) -> bool {
        self.mutating.iter().chain(&self.validating).any(|webhook| webhook.matching.may_concern(request))
            || self.policies.iter().any(|(policy, _)| policy.matching.may_concern(request))
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
    Binding(Arc<PolicyBinding>),
}

impl Content {
    /// What an object of the resource with this index says.
    fn of(index: usize, object: Option<&Value>) -> Self {
        match (index, object) {
            (_, None) => Self::Nothing,
            (0 | 1, Some(configuration)) => Self::Webhooks(webhooks(configuration)),
            (POLICIES, Some(policy)) => Self::Policy(Arc::new(Policy::from_json(policy))),
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
                    // A policy without binding does nothing, nor does a binding without policy.
                    let policy = known.get(&(POLICIES, binding.policy.clone()));
                    if let Some(Entry { content: Content::Policy(policy), .. }) = policy {
                        configured.policies.push((policy.clone(), binding.clone()));
                    }
                }
                (Content::Nothing | Content::Policy(_), _) => {}
            }
        }
        let Configured { mutating, validating, policies } = &configured;
        let is_empty = mutating.is_empty() && validating.is_empty() && policies.is_empty();
        self.current.store((!is_empty).then(|| Arc::new(configured)));
    }
}
