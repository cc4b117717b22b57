//! Keeps aggregated ClusterRoles at the rules of the roles they select.

use kogge_machinery::{rbac, rbac::GROUP, status_error::ApiError};
use serde_json::Value;

use crate::{
    controller_loop::Controller,
    object_writer::ObjectWriter,
    pipeline::WriteScope,
    plane::Plane,
    store::{Event, ObjectKey, PlaneName},
};

/// Field manager of the rules, as in the real controller manager.
const MANAGER: &str = "clusterrole-aggregation-controller";

/// The controller of all planes. Its one item a plane is to look at all ClusterRoles: a label decides what belongs
/// together, and there are few changes.
#[derive(Debug, Default)]
pub(crate) struct AggregationController;

impl Controller for AggregationController {
    type Item = ();

    const NAME: &'static str = "cluster role aggregation controller";

    fn resume(&self, _: &Plane) -> Result<Vec<()>, ApiError> {
        Ok(vec![()])
    }

    fn concerned(&self, _: &PlaneName, event: &Event) -> Vec<()> {
        let is_role = event.key.resource.resource == "clusterroles" && event.key.resource.group == GROUP;
        if is_role { vec![()] } else { Vec::new() }
    }

    async fn process(&self, plane: &Plane, (): &()) -> Result<Vec<()>, ApiError> {
        let roles: Vec<(ObjectKey, Value)> = super::list(plane, "clusterroles")?;
        let writer = ObjectWriter { plane, manager: MANAGER };
        for aggregation in rbac::aggregate(roles.iter().map(|(_, role)| role)) {
            let key = roles.iter().map(|(key, _)| key).find(|key| key.name == aggregation.name);
            let Some(key) = key else { continue };
            writer
                .change(key, WriteScope::Main, |role| {
                    let stale = role.get("aggregationRule").is_some();
                    if stale {
                        aggregation.apply_to(role);
                    }
                    stale
                })
                .await?;
        }
        Ok(Vec::new())
    }
}
