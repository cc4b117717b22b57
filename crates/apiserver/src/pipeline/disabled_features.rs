//! Fields of features that the real server does not enable by default. Its strategies drop them before they are
//! validated, unless the object has them already (`dropDisabledFields`).

use kogge_machinery::resource::ResourceType;
use serde_json::Value;

/// Group, plural and place of each, and the feature that is off.
const FIELDS: &[(&str, &str, &str, &str)] = &[
    ("", "pods", "/spec/schedulingGroup", "GenericWorkload"),
    ("", "podtemplates", "/template/spec/schedulingGroup", "GenericWorkload"),
    ("", "replicationcontrollers", "/spec/template/spec/schedulingGroup", "GenericWorkload"),
    ("apps", "daemonsets", "/spec/template/spec/schedulingGroup", "GenericWorkload"),
    ("apps", "deployments", "/spec/template/spec/schedulingGroup", "GenericWorkload"),
    ("apps", "replicasets", "/spec/template/spec/schedulingGroup", "GenericWorkload"),
    ("apps", "statefulsets", "/spec/template/spec/schedulingGroup", "GenericWorkload"),
    ("apps", "statefulsets", "/spec/updateStrategy/rollingUpdate/maxUnavailable", "MaxUnavailableStatefulSet"),
    ("batch", "jobs", "/spec/template/spec/schedulingGroup", "GenericWorkload"),
    ("batch", "cronjobs", "/spec/jobTemplate/spec/template/spec/schedulingGroup", "GenericWorkload"),
    ("coordination.k8s.io", "leases", "/spec/preferredHolder", "CoordinatedLeaderElection"),
    ("coordination.k8s.io", "leases", "/spec/strategy", "CoordinatedLeaderElection"),
    ("storage.k8s.io", "csidrivers", "/spec/preventPodSchedulingIfMissing", "VolumeLimitScaling"),
];

/// Drops the fields of features that are off from an object that is created (`old` absent) or updated.
pub(super) fn drop_fields(resource: &ResourceType, old: Option<&Value>, object: &mut Value) {
    for (group, plural, place, _) in FIELDS {
        let has = |object: &Value| object.pointer(place).is_some_and(|value| !value.is_null());
        if *group == resource.group && *plural == resource.plural && !old.is_some_and(has) {
            let (parent, name) = place.rsplit_once('/').unwrap_or_default();
            if let Some(members) = object.pointer_mut(parent).and_then(Value::as_object_mut) {
                members.remove(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::drop_fields;
    use crate::builtin::resource_type_of;

    #[test]
    fn fields_of_features_that_are_off_go_unless_the_object_has_them() {
        let leases = resource_type_of("coordination.k8s.io", "leases").unwrap();
        let lease = json!({"spec": {"holderIdentity": "a", "strategy": "OldestEmulationVersion"}});
        let mut created = lease.clone();
        drop_fields(leases, None, &mut created);
        assert_eq!(created, json!({"spec": {"holderIdentity": "a"}}));
        let mut updated = lease.clone();
        drop_fields(leases, Some(&lease), &mut updated);
        assert_eq!(updated, lease);
    }
}
