//! Charging the quotas of a namespace for what is written in it: in the transaction of the write, so that a quota always
//! knows of all that is there.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kogge_machinery::{
    resource::GroupResource,
    resource_quota::{self, Evaluator, Request},
    status_error::ApiError,
};
use serde_json::Value;

use super::{
    object_completion::complete_update,
    object_write::{ATTEMPTS, Merged, WriteScope, Writer, modified, timestamp, write_error},
    presentation::{convert_to_stored, present_value},
};
use crate::{
    plane::{Plane, list_error},
    registry::ServedResource,
    resource_quota_controller::quotas,
    store::{Change, Expected, ListPage, Scope, StoredObject, Write, WriteError},
};

/// Who writes what a quota has come to, as in the real server.
const MANAGER: &str = "kube-apiserver";

/// What the quotas of a namespace may have to be charged for.
#[derive(Clone, Debug)]
pub(super) struct Charge {
    namespace: String,
    resource: GroupResource,
    name: String,
    request: Request,
}

impl Charge {
    /// The charge for a write through an endpoint; none where no quota counts it.
    ///
    /// # Errors
    /// Errors of the store.
    pub(super) fn of(
        plane: &Plane,
        served: &ServedResource,
        scope: WriteScope,
        old: Option<&Value>,
        new: &Value,
    ) -> Result<Option<Self>, ApiError> {
        if !served.resource.namespaced {
            return Ok(None);
        }
        let resource = served.resource.group_resource();
        let subresource = scope.subresource();
        let evaluator =
            Evaluator::of(&resource).filter(|evaluator| Request::may_concern(evaluator, subresource, old.is_none()));
        let Some(evaluator) = evaluator else { return Ok(None) };
        let text = |field: &str| new["metadata"][field].as_str().unwrap_or_default().to_owned();
        let (namespace, name) = (text("namespace"), text("name"));
        if list(plane, &namespace, 1)?.items.is_empty() {
            return Ok(None);
        }
        let request = Request { evaluator, subresource, old: old.cloned(), new: new.clone() };
        Ok(Some(Self { namespace, resource, name, request }))
    }

    /// Whether the quotas allow it, without charging them.
    ///
    /// # Errors
    /// 403 where they do not.
    pub(super) fn check(&self, plane: &Plane) -> Result<(), ApiError> {
        let quotas = list(plane, &self.namespace, 0)?;
        let mut quotas = parsed(&quotas)?;
        self.add_to(&mut quotas).map(drop)
    }

    /// Adds the charge to quotas; answers the indices of those it changes.
    fn add_to(&self, quotas: &mut [Value]) -> Result<Vec<usize>, ApiError> {
        let charged = resource_quota::charge(quotas, &self.request, Timestamp::now());
        let charged = charged.map_err(|why| ApiError::forbidden(&self.resource, &self.name, &why))?;
        Ok(charged
            .into_iter()
            .map(|(index, used)| {
                quotas[index]["status"]["used"] = used.to_value();
                index
            })
            .collect())
    }
}

/// Why writes that are charged were refused.
#[derive(Debug)]
pub(super) enum Refused {
    /// By a quota.
    Forbidden(ApiError),
    /// By the store: the write with this index.
    Store(usize, WriteError),
}

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        Self::Forbidden(error)
    }
}

/// Commits one write with its charge. The error of the store is the inner one.
///
/// # Errors
/// 403 where a quota does not allow it.
pub(super) async fn write(
    plane: &Plane,
    charge: Option<Charge>,
    write: Write,
) -> Result<Result<StoredObject, WriteError>, ApiError> {
    let Some(charge) = charge else { return Ok(plane.write(write.key, write.change, write.expected).await) };
    match write_many(plane, &[&charge], vec![write]).await {
        Ok(mut written) => Ok(written.pop().ok_or_else(|| WriteError::Storage("the writer gave no answer".to_owned()))),
        Err((_, Refused::Store(_, error))) => Ok(Err(error)),
        Err((_, Refused::Forbidden(error))) => Err(error),
    }
}

/// Commits writes with their charges in one transaction. Gives the writes back if they are refused.
///
/// # Errors
/// See [`Refused`].
pub(super) async fn write_many(
    plane: &Plane,
    charges: &[&Charge],
    mut writes: Vec<Write>,
) -> Result<Vec<StoredObject>, (Vec<Write>, Refused)> {
    let namespaces = charges.iter().map(|charge| charge.namespace.as_str());
    let _turns = plane.server.quota_turns().take(plane.name(), namespaces).await;
    for _ in 0..ATTEMPTS {
        let mut all = match charged_quotas(plane, charges).await {
            Ok(quotas) => quotas,
            Err(error) => return Err((writes, error.into())),
        };
        let quotas = all.len();
        all.append(&mut writes);
        let (index, error) = match plane.write_many(&mut all).await {
            Ok(mut written) => return Ok(written.split_off(quotas)),
            Err(refused) => refused,
        };
        writes = all.split_off(quotas);
        match (index.checked_sub(quotas), error) {
            (Some(index), error) => return Err((writes, Refused::Store(index, error))),
            // Somebody else has changed the quota.
            (None, WriteError::Conflict { .. } | WriteError::Missing) => {}
            (None, error) => return Err((writes, Refused::Forbidden(write_error(&error)))),
        }
    }
    Err((writes, Refused::Forbidden(modified(&quotas(), ""))))
}

/// The writes of all quotas that charges change.
async fn charged_quotas(plane: &Plane, charges: &[&Charge]) -> Result<Vec<Write>, ApiError> {
    let mut by_namespace: BTreeMap<&str, Vec<&Charge>> = BTreeMap::new();
    for charge in charges {
        by_namespace.entry(&charge.namespace).or_default().push(charge);
    }
    let mut writes = Vec::new();
    for (namespace, charges) in by_namespace {
        let stored = list(plane, namespace, 0)?;
        let mut quotas = parsed(&stored)?;
        let mut changed = vec![false; quotas.len()];
        for charge in charges {
            for index in charge.add_to(&mut quotas)? {
                changed[index] = true;
            }
        }
        for ((stored, quota), _) in stored.items.into_iter().zip(quotas).zip(changed).filter(|(_, changed)| *changed) {
            writes.push(status_write(plane, stored, quota).await?);
        }
    }
    Ok(writes)
}

async fn status_write(plane: &Plane, stored: StoredObject, quota: Value) -> Result<Write, ApiError> {
    let served = plane.registry().find_stored(&stored.key.resource).ok_or_else(ApiError::unknown_path)?;
    let old = present_value(&served, &stored.json, stored.revision).await?;
    let writer = Writer::own(MANAGER, timestamp(Timestamp::now()));
    let scope = WriteScope::Status("status");
    let new = complete_update(plane, &served, &old, Merged::Untracked(quota), scope, &writer, None).await?;
    let change = Change::Put(convert_to_stored(&served, new).await?);
    Ok(Write { key: stored.key, change, expected: Expected::Revision(stored.revision) })
}

fn list(plane: &Plane, namespace: &str, limit: usize) -> Result<ListPage, ApiError> {
    let scope = Scope::Namespace(quotas(), namespace.to_owned());
    plane.store().list(&scope, None, limit, None).map_err(|error| list_error(&error))
}

fn parsed(page: &ListPage) -> Result<Vec<Value>, ApiError> {
    page.items.iter().map(|item| crate::plane::parse_stored(&item.json)).collect()
}
