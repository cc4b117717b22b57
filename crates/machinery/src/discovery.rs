//! Discovery documents: legacy v1 and aggregated v2 / v2beta1.

use serde_json::Value;
use crate::resource::ResourceType;

pub fn core_versions(server_address: &str) -> Value { let _ = server_address; todo!() }
pub fn group_list(resources: &[&ResourceType]) -> Value { let _ = resources; todo!() }
pub fn group(group: &str, resources: &[&ResourceType]) -> Option<Value> { let _ = (group, resources); todo!() }
pub fn resource_list(group: &str, version: &str, resources: &[&ResourceType]) -> Option<Value> { let _ = (group, version, resources); todo!() }
/// APIGroupDiscoveryList of the core group (`/api`) or all others (`/apis`), `discovery_version` `v2` or `v2beta1`.
pub fn aggregated(core: bool, discovery_version: &str, resources: &[&ResourceType]) -> Value { let _ = (core, discovery_version, resources); todo!() }
/// Kubernetes version priority: v1 > v1beta2 > v1beta1 > v1alpha1 > others alphabetically.
pub fn compare_versions(left: &str, right: &str) -> std::cmp::Ordering { let _ = (left, right); todo!() }
