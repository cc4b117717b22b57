//! Mutating admission: policies, then webhooks, and once more those of both that asked to see what changed since
//! (`k8s.io/apiserver/pkg/admission/reinvocation.go`).

use std::{collections::BTreeSet, sync::Arc};

use kogge_machinery::{admission::MatchResources, status_error::ApiError};
use serde_json::Value;

use super::{
    Attributes, Mutated, Versions,
    configurations::Configured,
    convert, mutating_policies,
    webhooks::{self, Invocation, Surroundings, invocation},
};
use crate::registry::ServedResource;

/// What is to be asked once more.
#[derive(Debug)]
pub(super) struct Reinvocations<Key> {
    /// Asked already, and to be asked again if something changes.
    invoked: BTreeSet<Key>,
    wanted: BTreeSet<Key>,
    /// The object as all of these left it.
    last: Option<Value>,
}

impl<Key: Ord> Reinvocations<Key> {
    fn new() -> Self {
        Self { invoked: BTreeSet::new(), wanted: BTreeSet::new(), last: None }
    }

    /// A round begins: the second one wants all if others changed the object meanwhile.
    pub(super) fn begin(&mut self, again: bool, object: &Value) {
        if again && self.last.as_ref().is_some_and(|last| last != object) {
            self.require_all();
        }
    }

    /// A round ends.
    pub(super) fn end(&mut self, object: &Value) {
        if !self.invoked.is_empty() {
            self.last = Some(object.clone());
        }
    }

    /// Something was asked that is to be asked again if the object changes.
    pub(super) fn note(&mut self, key: Key) {
        self.invoked.insert(key);
    }

    /// The object changed.
    pub(super) fn require_all(&mut self) {
        self.wanted.append(&mut self.invoked);
    }

    pub(super) fn wants(&self, key: &Key) -> bool {
        self.wanted.contains(key)
    }
}

/// An object under mutation.
pub(super) struct Subject<'a> {
    pub(super) attributes: &'a Attributes<'a>,
    pub(super) surroundings: Surroundings,
    pub(super) current: Value,
    /// The version `current` is in, if not the requested one.
    version: Option<Arc<ServedResource>>,
    old: Option<&'a Value>,
    old_versions: Option<Versions<'a>>,
    changed: bool,
}

impl Subject<'_> {
    /// Whether and how something is to be asked about the object as it is.
    pub(super) fn invocation(&self, matching: &MatchResources) -> Result<Option<Invocation>, ApiError> {
        invocation(self.attributes, &self.surroundings, matching, Some(&self.current), self.old)
    }

    /// The object as the request has it, for what looks at the requested version.
    pub(super) fn requested_old(&self) -> Option<&Value> {
        self.old
    }

    /// Brings the object into the version of an invocation.
    pub(super) async fn prepare(&mut self, invocation: &Invocation) -> Result<(), ApiError> {
        if self.attributes.body_kind.is_some() {
            return Ok(());
        }
        let wanted = invocation.served(self.attributes);
        let has = self.version.as_deref().unwrap_or(self.attributes.served);
        if has.resource.api_version() != wanted.resource.api_version() {
            self.current = convert(has, wanted, std::mem::take(&mut self.current)).await?;
            self.version.clone_from(&invocation.equivalent);
        }
        match &mut self.old_versions {
            Some(old) => old.prepare(wanted).await,
            None => Ok(()),
        }
    }

    /// The old object in the version of an invocation that was prepared.
    pub(super) fn old(&self, invocation: &Invocation) -> Option<&Value> {
        self.old_versions.as_ref().map(|old| old.in_version(invocation.served(self.attributes)))
    }

    /// Takes over a changed object.
    pub(super) fn change(&mut self, object: Value) {
        self.changed = true;
        self.current = object;
    }
}

/// Puts an object before mutating policies and webhooks.
///
/// # Errors
/// Where one denies, or can not be asked and its failures count.
pub(super) async fn mutate(
    attributes: &Attributes<'_>,
    configured: &Configured,
    old: Option<&Value>,
    object: Value,
) -> Result<Mutated, ApiError> {
    let mut subject = Subject {
        attributes,
        surroundings: Surroundings::of(attributes, Some(&object)),
        current: object,
        version: None,
        old,
        old_versions: old.map(|old| Versions::of(attributes.served, old)),
        changed: false,
    };
    let (mut of_policies, mut of_webhooks) = (Reinvocations::new(), Reinvocations::new());
    for again in [false, true] {
        let policies = configured.mutating_policies();
        let by_policies = mutating_policies::mutate(&mut subject, policies, &mut of_policies, again).await?;
        let by_webhooks = webhooks::mutate(&mut subject, configured.mutating(), &mut of_webhooks, again).await?;
        if !(by_policies || by_webhooks) {
            break;
        }
    }
    let Subject { mut current, version, changed, .. } = subject;
    if let Some(version) = version {
        current = convert(&version, attributes.served, current).await?;
    }
    Ok(Mutated { object: current, patched: changed })
}
