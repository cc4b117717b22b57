//! ClusterClass patches applied to templates.

use serde_json::{Value, json};

use super::{
    expression::{TemplateError, render},
    variables::{Variables, lookup},
};
use crate::{kind::Kind, object::Object};

/// Which part of a topology a template belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// The infrastructure cluster.
    InfrastructureCluster,
    /// The control plane or its machines.
    ControlPlane,
    /// A machine deployment of this class.
    MachineDeploymentClass(&'a str),
}

/// Why the patches of a class could not be applied.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum PatchError {
    #[error("patch {patch:?}: {source}")]
    Template { patch: String, source: TemplateError },
    #[error("patch {patch:?}: variable {variable:?} has no value")]
    Variable { patch: String, variable: String },
    #[error("patch {patch:?}: path {path:?} must begin with /spec/")]
    Path { patch: String, path: String },
    #[error("patch {patch:?}: {message}")]
    Apply { patch: String, message: String },
}

/// The template's content (`spec.template`) after all patches of the class that select it, in order.
///
/// # Errors
/// When a patch cannot be evaluated or applied; the template is then not used at all.
pub fn patched(
    class: &Object,
    kind: Kind,
    template: &Object,
    part: Part<'_>,
    variables: &Variables,
) -> Result<Value, PatchError> {
    let mut document = json!({"spec": template.at("/spec")});
    for patch in class.list("/spec/patches") {
        let name = || patch["name"].as_str().unwrap_or_default().to_owned();
        if let Some(condition) = patch["enabledIf"].as_str() {
            let enabled =
                render(condition, variables).map_err(|source| PatchError::Template { patch: name(), source })?;
            if enabled.trim() != "true" {
                continue;
            }
        }
        let definitions = patch["definitions"].as_array().map_or(&[][..], Vec::as_slice);
        for definition in definitions.iter().filter(|it| selects(&it["selector"], kind, part)) {
            for operation in definition["jsonPatches"].as_array().map_or(&[][..], Vec::as_slice) {
                apply(&mut document, operation, variables, &name())?;
            }
        }
    }
    Ok(document["spec"]["template"].take())
}

fn selects(selector: &Value, kind: Kind, part: Part<'_>) -> bool {
    let resources = &selector["matchResources"];
    selector["kind"] == kind.name()
        && selector["apiVersion"] == kind.api_version()
        && match part {
            Part::InfrastructureCluster => resources["infrastructureCluster"] == true,
            Part::ControlPlane => resources["controlPlane"] == true,
            Part::MachineDeploymentClass(class) => {
                resources.pointer("/machineDeploymentClass/names").and_then(Value::as_array).is_some_and(|names| {
                    names.iter().filter_map(Value::as_str).any(|name| {
                        // `*`, `prefix*` and `*suffix` are allowed beside exact names.
                        name == class
                            || name == "*"
                            || name.strip_suffix('*').is_some_and(|prefix| class.starts_with(prefix))
                            || name.strip_prefix('*').is_some_and(|suffix| class.ends_with(suffix))
                    })
                })
            }
        }
}

fn apply(document: &mut Value, operation: &Value, variables: &Variables, patch: &str) -> Result<(), PatchError> {
    let refused = |message: String| PatchError::Apply { patch: patch.to_owned(), message };
    let path = operation["path"].as_str().unwrap_or_default();
    if !path.starts_with("/spec/") {
        return Err(PatchError::Path { patch: patch.to_owned(), path: path.to_owned() });
    }
    let mut step = json!({"op": operation["op"], "path": path});
    if operation["op"] != "remove" {
        step["value"] = if let Some(variable) = operation.pointer("/valueFrom/variable").and_then(Value::as_str) {
            lookup(variables, variable)
                .cloned()
                .ok_or_else(|| PatchError::Variable { patch: patch.to_owned(), variable: variable.to_owned() })?
        } else if let Some(template) = operation.pointer("/valueFrom/template").and_then(Value::as_str) {
            let text = render(template, variables)
                .map_err(|source| PatchError::Template { patch: patch.to_owned(), source })?;
            serde_saphyr::from_str(&text).map_err(|error| refused(error.to_string()))?
        } else {
            operation["value"].clone()
        };
    }
    let steps: json_patch::Patch = serde_json::from_value(json!([step])).map_err(|error| refused(error.to_string()))?;
    json_patch::patch(document, &steps).map_err(|error| refused(error.to_string()))
}
