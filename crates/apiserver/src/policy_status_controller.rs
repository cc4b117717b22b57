//! Says in the status of each ValidatingAdmissionPolicy what its expressions look like for the kinds it is about
//! (`k8s.io/kubernetes/pkg/controller/validatingadmissionpolicystatus` 1.36).
//!
//! A policy is looked at once in each generation: a kind that is defined later changes nothing until the policy does.

use std::{collections::HashMap, sync::Arc};

use kogge_machinery::{
    admission::{self, GroupVersionName, PublishedKind},
    openapi,
    resource::GroupResource,
    status_error::ApiError,
};
use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Map, Value, json};

use crate::{
    controller_loop::Controller,
    plane::{Plane, list_error, parse_stored},
    registry::references,
    store::{Event, EventKind, ObjectKey, PlaneName, Scope},
};

/// Field manager of the status, as in the real controller manager.
const MANAGER: &str = "validatingadmissionpolicy-status";
const PLURAL: &str = "validatingadmissionpolicies";

/// The controller of all planes. Its items are the names of policies.
#[derive(Debug, Default)]
pub(crate) struct PolicyStatusController;

impl Controller for PolicyStatusController {
    type Item = String;

    const NAME: &'static str = "validating admission policy status controller";

    fn resume(&self, plane: &Plane) -> Result<Vec<String>, ApiError> {
        let page = plane.store().list(&Scope::Resource(policies()), None, 0, None);
        Ok(page.map_err(|error| list_error(&error))?.items.into_iter().map(|policy| policy.key.name).collect())
    }

    fn concerned(&self, _: &PlaneName, event: &Event) -> Vec<String> {
        let is_policy = event.key.resource.resource == PLURAL && event.key.resource.group == admission::GROUP;
        if is_policy && event.kind != EventKind::Deleted { vec![event.key.name.clone()] } else { Vec::new() }
    }

    async fn process(&self, plane: &Plane, name: &String) -> Result<Vec<String>, ApiError> {
        let key = ObjectKey { resource: policies(), namespace: String::new(), name: name.clone() };
        let Some(stored) = plane.get(&key)? else { return Ok(Vec::new()) };
        let policy = parse_stored(&stored.json)?;
        let generation = policy["metadata"]["generation"].as_i64().unwrap_or_default();
        if policy["status"]["observedGeneration"].as_i64().is_some_and(|observed| generation <= observed) {
            return Ok(Vec::new());
        }
        let mut type_checking = Map::new();
        let warnings = warnings(plane, &policy);
        if !warnings.is_empty() {
            type_checking.insert("expressionWarnings".to_owned(), warnings.into());
        }
        let applied = json!({
            "apiVersion": format!("{}/v1", admission::GROUP),
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": name},
            "status": {"observedGeneration": generation, "typeChecking": type_checking},
        });
        let kind = GroupVersionKind::gvk(admission::GROUP, "v1", "ValidatingAdmissionPolicy");
        let api: Api<DynamicObject> = Api::all_with(plane.client(), &ApiResource::from_gvk_with_plural(&kind, PLURAL));
        match api.patch_status(name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&applied)).await {
            Ok(_) => Ok(Vec::new()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
            Err(error) => Err(ApiError::internal(error.to_string())),
        }
    }
}

fn policies() -> GroupResource {
    GroupResource { group: admission::GROUP.to_owned(), resource: PLURAL.to_owned() }
}

fn warnings(plane: &Plane, policy: &Value) -> Vec<Value> {
    let registry = plane.registry();
    let kinds = admission::kinds_to_check(policy, |group, version, plural| {
        registry.find(group, version, plural).map(|served| served.resource.kind.clone())
    });
    let mut documents: HashMap<(String, String), Arc<Map<String, Value>>> = HashMap::new();
    let mut published = |kind: GroupVersionName| {
        let schemas = documents.entry((kind.group.clone(), kind.version.clone())).or_insert_with(|| {
            let resources = registry.group_version(&kind.group, &kind.version);
            Arc::new(openapi::definitions(&kind.group, &kind.version, &references(&resources)))
        });
        PublishedKind { schemas: schemas.clone(), kind }
    };
    let kinds: Vec<PublishedKind> = kinds.into_iter().map(&mut published).collect();
    let parameters = admission::parameter_kind(policy).map(published);
    admission::expression_warnings(policy, &kinds, parameters.as_ref())
}
