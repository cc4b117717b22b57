//! The access rules of a plane: who may do what, by its Roles, ClusterRoles and bindings.
//!
//! Every Kubernetes API starts with some 130 such objects. A plane has them from the beginning, but stores them only
//! when somebody first looks at the API group or writes to it: until then all planes share one policy, made once. From
//! then on the plane's own policy follows what is written, so a decision never lists anything.

use std::sync::{PoisonError, RwLock};

use kogge_machinery::{
    rbac::{GROUP, ObjectRef, Policy},
    resource::GroupResource,
    status_error::ApiError,
};
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::{
    pipeline,
    plane::{Plane, list_error, parse_stored},
    store::{ObjectKey, PlaneStore, Scope},
};

pub(crate) mod aggregation_controller;
pub(crate) mod bootstrap;

/// The kinds, roles before what refers to them.
pub(crate) const RESOURCES: [&str; 4] = ["clusterroles", "roles", "clusterrolebindings", "rolebindings"];

/// The access rules of one plane.
#[derive(Debug, Default)]
pub(crate) struct AccessRules {
    rules: RwLock<Rules>,
    /// Set once the stored objects were brought up to what this version of the server starts with.
    settled: OnceCell<()>,
}

#[derive(Debug, Default)]
enum Rules {
    /// Not looked at yet, or changed in a way that needs another look.
    #[default]
    Unknown,
    /// Nothing is stored.
    Bootstrap,
    Own(Box<Policy>),
}

impl AccessRules {
    /// Asks the policy of the plane.
    ///
    /// # Errors
    /// If the plane cannot be read, at the first question.
    pub(crate) fn ask<T>(&self, store: &PlaneStore, question: impl FnOnce(&Policy) -> T) -> Result<T, ApiError> {
        loop {
            match &*self.rules.read().unwrap_or_else(PoisonError::into_inner) {
                Rules::Unknown => {}
                Rules::Bootstrap => return Ok(question(bootstrap::policy())),
                Rules::Own(policy) => return Ok(question(policy)),
            }
            self.load(store)?;
        }
    }

    fn load(&self, store: &PlaneStore) -> Result<(), ApiError> {
        // Held while reading: what is written meanwhile is noticed afterwards.
        let mut rules = self.rules.write().unwrap_or_else(PoisonError::into_inner);
        if !matches!(*rules, Rules::Unknown) {
            return Ok(());
        }
        let mut policy = Policy::default();
        let mut any = false;
        for resource in RESOURCES {
            let page = store.list(&Scope::Resource(group_resource(resource)), None, 0, None);
            for item in page.map_err(|error| list_error(&error))?.items {
                any = true;
                set(&mut policy, &item.key, Some(&parse_stored(&item.json)?));
            }
        }
        *rules = if any { Rules::Own(Box::new(policy)) } else { Rules::Bootstrap };
        Ok(())
    }

    /// Takes notice of committed writes.
    pub(crate) fn notice(&self, store: &PlaneStore, keys: &[ObjectKey]) {
        let mut rules = self.rules.write().unwrap_or_else(PoisonError::into_inner);
        let Rules::Own(policy) = &mut *rules else {
            *rules = Rules::Unknown;
            return;
        };
        for key in keys {
            // Notices of two writes may come in any order; what is stored now is never older than either.
            let Ok(object) = store.get(key).map(|stored| stored.map(|stored| parse_stored(&stored.json))) else {
                *rules = Rules::Unknown;
                return;
            };
            match object.transpose() {
                Ok(object) => set(policy, key, object.as_ref()),
                Err(_) => set(policy, key, None),
            }
        }
    }

    /// Whether the plane has objects of its own.
    fn is_own(&self, store: &PlaneStore) -> Result<bool, ApiError> {
        self.ask(store, |_| ())?;
        Ok(!matches!(&*self.rules.read().unwrap_or_else(PoisonError::into_inner), Rules::Bootstrap))
    }
}

fn set(policy: &mut Policy, key: &ObjectKey, object: Option<&Value>) {
    let at = ObjectRef { resource: &key.resource.resource, namespace: &key.namespace, name: &key.name };
    policy.set(at, object, Some(bootstrap::policy()));
}

pub(crate) fn group_resource(resource: &str) -> GroupResource {
    GroupResource { group: GROUP.to_owned(), resource: resource.to_owned() }
}

/// Stores what every Kubernetes API starts with, before somebody looks at the stored objects (`looked_at`) or, where
/// some are stored already, before they count: once a process, as the real server does at its start.
///
/// # Errors
/// If the plane cannot be read or written.
pub(crate) async fn settle(plane: &Plane, looked_at: bool) -> Result<(), ApiError> {
    let rules = &plane.state.access_rules;
    if rules.settled.initialized() || (!looked_at && !rules.is_own(plane.store())?) {
        return Ok(());
    }
    rules
        .settled
        .get_or_try_init(|| {
            Box::pin(async {
                let objects = bootstrap::objects();
                pipeline::create_all_as(plane, objects.to_vec(), bootstrap::MANAGER).await?;
                for expected in objects {
                    bootstrap::reconcile(plane, expected).await?;
                }
                Ok(())
            })
        })
        .await
        .copied()
}

/// All stored objects of one of the kinds.
pub(crate) fn list(plane: &Plane, resource: &str) -> Result<Vec<(ObjectKey, Value)>, ApiError> {
    let page = plane.store().list(&Scope::Resource(group_resource(resource)), None, 0, None);
    let items = page.map_err(|error| list_error(&error))?.items;
    items.into_iter().map(|item| Ok((item.key, parse_stored(&item.json)?))).collect()
}
