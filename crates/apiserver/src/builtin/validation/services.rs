//! Services.

use std::collections::BTreeSet;

use kogge_machinery::status_error::FieldError;
use serde_json::{Value, json};

use super::{list, text};

pub(super) const PORT_RANGE: &str = "must be between 1 and 65535, inclusive";

pub(super) fn validate(object: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    let service_type = text(object, "/spec/type");
    let headless = text(object, "/spec/clusterIP") == "None";
    let ports = list(object, "/spec/ports");
    if ports.is_empty() && !headless && service_type != "ExternalName" {
        errors.push(FieldError::required("spec.ports", ""));
    }
    if service_type == "ExternalName" && text(object, "/spec/externalName").is_empty() {
        errors.push(FieldError::required("spec.externalName", ""));
    }
    if service_type == "LoadBalancer" && headless {
        let detail = "may not be set to 'None' for LoadBalancer services";
        errors.push(FieldError::invalid("spec.clusterIPs[0]", &json!("None"), detail));
    }
    let types = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
    if !types.contains(&service_type) {
        errors.push(FieldError::not_supported("spec.type", &json!(service_type), &types));
    }
    let (mut names, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    for (index, port) in ports.iter().enumerate() {
        let path = format!("spec.ports[{index}]");
        let name = text(port, "/name");
        if name.is_empty() && ports.len() > 1 {
            errors.push(FieldError::required(format!("{path}.name"), ""));
        } else if !name.is_empty() && !names.insert(name) {
            errors.push(FieldError::duplicate(format!("{path}.name"), &json!(name)));
        }
        let number = port.get("port").and_then(Value::as_i64).unwrap_or_default();
        if !(1..=65535).contains(&number) {
            errors.push(FieldError::invalid(format!("{path}.port"), &json!(number), PORT_RANGE));
        }
        let protocol = text(port, "/protocol");
        if !["SCTP", "TCP", "UDP"].contains(&protocol) {
            let supported = ["SCTP", "TCP", "UDP"];
            errors.push(FieldError::not_supported(format!("{path}.protocol"), &json!(protocol), &supported));
        }
        if let Some(target) = port.get("targetPort").and_then(Value::as_i64)
            && !(1..=65535).contains(&target)
        {
            errors.push(FieldError::invalid(format!("{path}.targetPort"), &json!(target), PORT_RANGE));
        }
        if !numbers.insert((protocol, number)) {
            let shown = json!({"port": number, "protocol": protocol});
            errors.push(FieldError::duplicate(path, &shown));
        }
    }
    let Some(old) = old else { return };
    let (before, after) = (text(old, "/spec/clusterIP"), text(object, "/spec/clusterIP"));
    if !before.is_empty()
        && before != after
        && text(old, "/spec/type") != "ExternalName"
        && service_type != "ExternalName"
    {
        let detail = "may not change once set";
        errors.push(FieldError::invalid("spec.clusterIPs[0]", &json!([after]), detail));
    }
}
