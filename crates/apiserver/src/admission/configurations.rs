//! The admission configurations of one plane, parsed once a change.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwapOption;
use kogge_machinery::{
    admission::{GROUP, RequestedResource, Webhook, webhooks},
    resource::GroupResource,
};
use serde_json::Value;

/// The resources this module is about, in the order of their entries.
const RESOURCES: [&str; 2] = ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"];

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
}

impl Configured {
    pub(super) fn mutating(&self) -> &[Arc<Webhook>] {
        &self.mutating
    }

    pub(super) fn validating(&self) -> &[Arc<Webhook>] {
        &self.validating
    }

    /// Whether any rule may be about a request.
    pub(super) fn may_concern(&self, request: &RequestedResource<'_>) -> bool {
        self.mutating.iter().chain(&self.validating).any(|webhook| webhook.may_concern(request))
    }
}

/// A configuration as last seen.
#[derive(Debug)]
struct Entry {
    revision: u64,
    /// Empty once deleted: the revision stays, so that a late notice does not bring it back.
    webhooks: Vec<Arc<Webhook>>,
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
        known.insert(key, Entry { revision, webhooks: object.map(webhooks).unwrap_or_default() });
        let all = |index: usize| -> Vec<Arc<Webhook>> {
            let entries = known.iter().filter(|((of, _), _)| *of == index);
            entries.flat_map(|(_, entry)| entry.webhooks.iter().cloned()).collect()
        };
        let configured = Configured { mutating: all(0), validating: all(1) };
        let is_empty = configured.mutating.is_empty() && configured.validating.is_empty();
        self.current.store((!is_empty).then(|| Arc::new(configured)));
    }
}
