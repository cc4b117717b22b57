//! Of which families the addresses of a Service are, in a cluster that has addresses of one family (`initIPFamilyFields` of
//! Kubernetes' `pkg/registry/core/service/storage/alloc.go`).

use kogge_machinery::status_error::FieldError;
use serde_json::{Map, Value, json};

use super::service_allocation::is_empty;

const SINGLE: &str = "SingleStack";
const REQUIRED: &str = "RequireDualStack";

/// Decides what a Service with addresses leaves open. `old` is the spec it had.
///
/// # Errors
/// What it asks for and the cluster does not have.
pub(super) fn decide(spec: &mut Map<String, Value>, old: Option<&Value>, own: &str) -> Result<(), Vec<FieldError>> {
    let without_pods = spec.get("clusterIP").is_some_and(|address| address == "None")
        && spec.get("selector").is_none_or(|selector| selector.as_object().is_none_or(Map::is_empty));
    if spec.get("ipFamilyPolicy").is_none_or(Value::is_null) {
        // Nobody knows the families of endpoints that somebody else writes, so they may be of both.
        let policy = if without_pods { REQUIRED } else { SINGLE };
        spec.insert("ipFamilyPolicy".to_owned(), policy.into());
    }
    let policy = spec.get("ipFamilyPolicy").cloned().unwrap_or_default();
    let mut errors = Vec::new();
    let mut wrong_policy = |detail: &str| errors.push(FieldError::invalid("spec.ipFamilyPolicy", &policy, detail));
    let lists = [("clusterIPs", "cluster IP"), ("ipFamilies", "IP family")];
    for (field, what) in lists {
        let Some(old) = old else { break };
        let before = old[field].as_array().map_or(&[][..], Vec::as_slice);
        let Some(now) = spec.get_mut(field).and_then(Value::as_array_mut) else { continue };
        if policy == SINGLE {
            if now == before {
                now.truncate(1);
            }
        } else if !now.is_empty() && now.len() < before.len() {
            wrong_policy(&format!("must be 'SingleStack' to release the secondary {what}"));
        }
    }
    if policy == SINGLE {
        for (field, what) in [("clusterIPs", "cluster IPs"), ("ipFamilies", "IP families")] {
            if spec.get(field).and_then(Value::as_array).is_some_and(|list| list.len() == 2) {
                let detail =
                    format!("must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified");
                wrong_policy(&detail);
            }
        }
    }
    let addresses = spec.get("clusterIPs").cloned().unwrap_or_default();
    let mut families = spec.get("ipFamilies").and_then(Value::as_array).cloned().unwrap_or_default();
    for (index, address) in addresses.as_array().into_iter().flatten().filter_map(Value::as_str).enumerate() {
        if address == "None" {
            break;
        }
        let family = if address.contains(':') { "IPv6" } else { "IPv4" };
        let is_named = index < families.len();
        if !is_named && family == own {
            families.push(own.into());
        } else if !is_named {
            let detail = format!("{family} is not configured on this cluster");
            errors.push(FieldError::invalid(format!("spec.clusterIPs[{index}]"), &addresses, &detail));
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    if without_pods {
        if families.is_empty() {
            families.push(own.into());
        }
        if families.len() < 2 && policy != SINGLE {
            families.push(if families[0] == "IPv4" { "IPv6" } else { "IPv4" }.into());
        }
    } else {
        if policy == REQUIRED {
            let detail = "this cluster is not configured for dual-stack services";
            errors.push(FieldError::invalid("spec.ipFamilyPolicy", &policy, detail));
        }
        for (index, family) in families.iter().enumerate().filter(|(_, family)| *family != own) {
            let field = format!("spec.ipFamilies[{index}]");
            errors.push(FieldError::invalid(field, family, "not configured on this cluster"));
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        if families.is_empty() {
            families.push(own.into());
        }
    }
    spec.insert("ipFamilies".to_owned(), json!(families));
    if is_empty(&addresses) {
        spec.remove("clusterIPs");
    }
    Ok(())
}
