//! The objects a topology asks for, as server-side apply bodies.

#![allow(clippy::needless_pass_by_value)] // JSON literals are written at the call sites

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{
    patches::{Part, PatchError, patched},
    variables::{Variables, cluster_variables, part_variables},
};
use crate::{
    kind::Kind,
    object::{
        CLONED_FROM_GROUP_KIND_ANNOTATION, CLONED_FROM_NAME_ANNOTATION, CLUSTER_NAME_LABEL, CONTROL_PLANE_LABEL,
        DEPLOYMENT_LABEL, Object, TOPOLOGY_DEPLOYMENT_LABEL, TOPOLOGY_OWNED_LABEL, joined_name, name_suffix,
    },
    state::{CONTROL_PLANE_FINALIZER, ClusterState, SIMULATED_CLUSTER_FINALIZER},
};

/// Annotation with the hash of what was applied; two equal hashes need no write.
pub const APPLIED_HASH_ANNOTATION: &str = "simulation.kogge.dev/applied-hash";

/// Why a topology cannot be turned into objects.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum TopologyError {
    #[error("ClusterClass {0} not found")]
    ClassMissing(String),
    #[error("{kind} {name} of the ClusterClass not found")]
    TemplateMissing { kind: String, name: String },
    #[error("the ClusterClass has no machine deployment class {0:?}")]
    ClassUnknown(String),
    #[error("failed to apply patches: {0}")]
    Patch(#[from] PatchError),
}

/// A template or object to apply.
#[derive(Clone, Debug, PartialEq)]
pub struct DesiredObject {
    /// Kind.
    pub kind: Kind,
    /// Apply body without `apiVersion` and `kind`.
    pub body: Value,
}

impl DesiredObject {
    /// `metadata.name`.
    pub fn name(&self) -> &str {
        self.body["metadata"]["name"].as_str().unwrap_or_default()
    }
}

/// A machine deployment with its templates.
#[derive(Clone, Debug, PartialEq)]
pub struct DesiredDeployment {
    /// Name in the topology.
    pub topology_name: String,
    /// Cloned bootstrap and infrastructure templates.
    pub templates: Vec<DesiredObject>,
    /// The MachineDeployment.
    pub deployment: Value,
    /// Its MachineHealthCheck.
    pub health_check: Option<Value>,
}

/// All a topology asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// SimulatedCluster.
    pub infrastructure: Value,
    /// Cloned machine template of the control plane.
    pub machine_template: DesiredObject,
    /// KubeadmControlPlane.
    pub control_plane: Value,
    /// Its MachineHealthCheck.
    pub health_check: Option<Value>,
    /// Machine deployments, in the order of the topology.
    pub deployments: Vec<DesiredDeployment>,
}

/// Computes everything a topology asks for.
///
/// # Errors
/// When the class or one of its templates is missing, or a patch cannot be applied.
pub fn desired(state: &ClusterState) -> Result<Desired, TopologyError> {
    let cluster = &state.cluster;
    let class_name = cluster.text("/spec/topology/classRef/name");
    let class = state.class.as_ref().ok_or_else(|| TopologyError::ClassMissing(class_name.to_owned()))?;
    let variables = cluster_variables(class, cluster);
    let builder = Builder { state, class, variables: &variables };
    let machine_template = builder.machine_template()?;
    let control_plane = builder.control_plane(machine_template.name())?;
    let health_check = builder.health_check(
        control_plane["metadata"]["name"].as_str().unwrap_or_default(),
        &json!({CONTROL_PLANE_LABEL: "", CLUSTER_NAME_LABEL: cluster.name()}),
        [cluster.at("/spec/topology/controlPlane/healthCheck"), class.at("/spec/controlPlane/healthCheck")],
    );
    let deployments = cluster
        .list("/spec/topology/workers/machineDeployments")
        .iter()
        .map(|deployment| builder.deployment(deployment))
        .collect::<Result<_, _>>()?;
    Ok(Desired {
        infrastructure: builder.infrastructure()?,
        machine_template,
        control_plane,
        health_check,
        deployments,
    })
}

/// All a topology asks for, with what it was computed from: it stays right while that does not change.
#[derive(Clone, Debug)]
pub struct KnownDesired {
    inputs: Inputs,
    /// What is asked for, or why that cannot be said.
    pub outcome: Result<Arc<Desired>, String>,
}

/// Everything [`desired`] depends on, by uid or name and generation.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Inputs {
    cluster: (String, i64),
    class: Option<(String, i64)>,
    templates: Vec<(Kind, String, i64)>,
}

impl Inputs {
    fn of(state: &ClusterState) -> Self {
        let version = |object: &Object| (object.uid().to_owned(), object.generation());
        let templates = &state.templates;
        Self {
            cluster: version(&state.cluster),
            class: state.class.as_ref().map(version),
            templates: templates.iter().map(|((kind, _), it)| (*kind, it.uid().to_owned(), it.generation())).collect(),
        }
    }
}

/// What the topology of a state asks for: what is known if that is still right, else computed.
pub fn known_desired(state: &ClusterState) -> KnownDesired {
    let inputs = Inputs::of(state);
    if let Some(known) = state.desired.as_ref().filter(|known| known.inputs == inputs) {
        return known.clone();
    }
    KnownDesired { inputs, outcome: desired(state).map(Arc::new).map_err(|error| error.to_string()) }
}

struct Builder<'a> {
    state: &'a ClusterState,
    class: &'a Object,
    variables: &'a Variables,
}

impl Builder<'_> {
    fn template(&self, reference: &Value) -> Result<(Kind, &Object), TopologyError> {
        let text = |field: &str| reference[field].as_str().unwrap_or_default().to_owned();
        let missing = || TopologyError::TemplateMissing { kind: text("kind"), name: text("name") };
        let kind = Kind::from_name(&text("kind")).ok_or_else(missing)?;
        self.state.templates.get(&(kind, text("name"))).map(|template| (kind, template)).ok_or_else(missing)
    }

    fn metadata(&self, name: &str, labels: Value, annotations: Value) -> Value {
        let mut all = json!({CLUSTER_NAME_LABEL: self.state.name(), TOPOLOGY_OWNED_LABEL: ""});
        extend(&mut all, &labels);
        let mut metadata = json!({
            "name": name, "namespace": self.state.namespace(), "labels": all,
            "ownerReferences": [self.state.cluster.owner_reference(Kind::Cluster)],
        });
        if annotations.as_object().is_some_and(|it| !it.is_empty()) {
            metadata["annotations"] = annotations;
        }
        metadata
    }

    fn clone_template(
        &self,
        kind: Kind,
        source: &Object,
        prefix: &str,
        content: Value,
        labels: Value,
    ) -> DesiredObject {
        let name = joined_name(prefix, &name_suffix(&[kind.name(), &content.to_string()]));
        let annotations = json!({
            CLONED_FROM_NAME_ANNOTATION: source.name(),
            CLONED_FROM_GROUP_KIND_ANNOTATION: format!("{}.{}", kind.name(), kind.group()),
        });
        let mut body = json!({"metadata": self.metadata(&name, labels, annotations), "spec": {"template": content}});
        stamp(&mut body);
        DesiredObject { kind, body }
    }

    fn infrastructure(&self) -> Result<Value, TopologyError> {
        let (kind, template) = self.template(self.class.at("/spec/infrastructure/templateRef"))?;
        let content = patched(self.class, kind, template, Part::InfrastructureCluster, self.variables)?;
        let name = joined_name(self.state.name(), &name_suffix(&[self.state.cluster.uid()]));
        let annotations = json!({
            CLONED_FROM_NAME_ANNOTATION: template.name(),
            CLONED_FROM_GROUP_KIND_ANNOTATION: format!("{}.{}", kind.name(), kind.group()),
        });
        let mut metadata = self.metadata(&name, json!({}), annotations);
        metadata["finalizers"] = json!([SIMULATED_CLUSTER_FINALIZER]);
        let mut body = json!({"metadata": metadata, "spec": content.get("spec").cloned().unwrap_or(json!({}))});
        stamp(&mut body);
        Ok(body)
    }

    fn control_plane_variables(&self) -> Variables {
        let part = self.state.cluster.at("/spec/topology/controlPlane");
        let builtin = json!({
            "version": self.state.cluster.text("/spec/topology/version"), "replicas": part["replicas"], "metadata": part["metadata"],
        });
        part_variables(self.variables, part, "controlPlane", builtin)
    }

    fn machine_template(&self) -> Result<DesiredObject, TopologyError> {
        let reference = self.class.at("/spec/controlPlane/machineInfrastructure/templateRef");
        let (kind, template) = self.template(reference)?;
        let content = patched(self.class, kind, template, Part::ControlPlane, &self.control_plane_variables())?;
        Ok(self.clone_template(kind, template, self.state.name(), content, json!({})))
    }

    fn control_plane(&self, machine_template: &str) -> Result<Value, TopologyError> {
        let topology = self.state.cluster.at("/spec/topology/controlPlane");
        let (kind, template) = self.template(self.class.at("/spec/controlPlane/templateRef"))?;
        let content = patched(self.class, kind, template, Part::ControlPlane, &self.control_plane_variables())?;
        let mut spec = content.get("spec").cloned().unwrap_or(json!({}));
        spec["version"] = self.state.cluster.at("/spec/topology/version").clone();
        spec["replicas"] = topology.get("replicas").filter(|it| it.is_number()).cloned().unwrap_or(json!(1));
        let mut labels = json!({CLUSTER_NAME_LABEL: self.state.name(), TOPOLOGY_OWNED_LABEL: ""});
        extend(&mut labels, self.class.at("/spec/controlPlane/metadata/labels"));
        extend(&mut labels, &topology["metadata"]["labels"]);
        spec["machineTemplate"]["metadata"]["labels"] = labels.clone();
        let template_kind = self.template(self.class.at("/spec/controlPlane/machineInfrastructure/templateRef"))?.0;
        spec["machineTemplate"]["spec"]["infrastructureRef"] = template_kind.reference(machine_template);
        let deletion = first_set([&topology["deletion"], self.class.at("/spec/controlPlane/deletion")]);
        if let Some(deletion) = deletion {
            spec["machineTemplate"]["spec"]["deletion"] = deletion.clone();
        }
        if let Some(rollout) = first_set([&topology["rollout"]]) {
            extend(&mut spec["rollout"], rollout);
        }
        // One suffix per cluster, so that a restart finds the same name.
        let name = joined_name(self.state.name(), &name_suffix(&[self.state.cluster.uid(), "control-plane"]));
        let mut metadata = self.metadata(&name, labels, json!({}));
        metadata["ownerReferences"] = json!([self.state.cluster.controller_reference(Kind::Cluster)]);
        metadata["finalizers"] = json!([CONTROL_PLANE_FINALIZER]);
        let mut body = json!({"metadata": metadata, "spec": spec});
        stamp(&mut body);
        Ok(body)
    }

    fn deployment(&self, topology: &Value) -> Result<DesiredDeployment, TopologyError> {
        let text = |field: &str| topology[field].as_str().unwrap_or_default();
        let (topology_name, class_name) = (text("name"), text("class"));
        let class = self
            .class
            .list("/spec/workers/machineDeployments")
            .iter()
            .find(|it| it["class"] == class_name)
            .ok_or_else(|| TopologyError::ClassUnknown(class_name.to_owned()))?;
        let replicas = topology.get("replicas").filter(|it| it.is_number()).cloned();
        let builtin = json!({
            "topologyName": topology_name, "class": class_name, "replicas": replicas, "metadata": topology["metadata"],
            "version": self.state.cluster.text("/spec/topology/version"),
        });
        let variables = part_variables(self.variables, topology, "machineDeployment", builtin);
        let part = Part::MachineDeploymentClass(class_name);
        let own_labels = json!({TOPOLOGY_DEPLOYMENT_LABEL: topology_name});
        let prefix = format!("{}-{topology_name}", self.state.name());
        let mut templates = Vec::new();
        for place in ["bootstrap", "infrastructure"] {
            let (kind, template) = self.template(&class[place]["templateRef"])?;
            let content = patched(self.class, kind, template, part, &variables)?;
            templates.push(self.clone_template(kind, template, &prefix, content, own_labels.clone()));
        }
        let name = joined_name(&prefix, &name_suffix(&[self.state.cluster.uid(), topology_name]));
        let mut labels = own_labels;
        extend(&mut labels, &class["metadata"]["labels"]);
        extend(&mut labels, &topology["metadata"]["labels"]);
        let selector = json!({
            CLUSTER_NAME_LABEL: self.state.name(), TOPOLOGY_OWNED_LABEL: "", TOPOLOGY_DEPLOYMENT_LABEL: topology_name,
        });
        let mut machine_labels = selector.clone();
        extend(&mut machine_labels, &labels);
        extend(&mut machine_labels, &json!({DEPLOYMENT_LABEL: name}));
        let mut machine = json!({
            "clusterName": self.state.name(), "version": self.state.cluster.at("/spec/topology/version"),
            "bootstrap": {"configRef": templates[0].kind.reference(templates[0].name())},
            "infrastructureRef": templates[1].kind.reference(templates[1].name()),
        });
        for (field, value) in [
            ("failureDomain", first_set([&topology["failureDomain"], &class["failureDomain"]])),
            ("deletion", first_set([&topology["deletion"], &class["deletion"]])),
            ("minReadySeconds", first_set([&topology["minReadySeconds"], &class["minReadySeconds"]])),
            ("taints", first_set([&topology["taints"], &class["taints"]])),
        ] {
            if let Some(value) = value {
                machine[field] = value.clone();
            }
        }
        let mut spec = json!({
            "clusterName": self.state.name(), "selector": {"matchLabels": selector},
            "template": {"metadata": {"labels": machine_labels}, "spec": machine},
        });
        if let Some(annotations) = first_set([&topology["metadata"]["annotations"]]) {
            spec["template"]["metadata"]["annotations"] = annotations.clone();
        }
        if let Some(replicas) = replicas {
            spec["replicas"] = replicas;
        }
        if let Some(rollout) = first_set([&topology["rollout"], &class["rollout"]]) {
            spec["rollout"] = rollout.clone();
        }
        let annotations = topology["metadata"].get("annotations").cloned().unwrap_or(json!({}));
        let health_check = self.health_check(
            &name,
            &json!({CLUSTER_NAME_LABEL: self.state.name(), DEPLOYMENT_LABEL: name}),
            [&topology["healthCheck"], &class["healthCheck"]],
        );
        let mut deployment = json!({"metadata": self.metadata(&name, labels, annotations), "spec": spec});
        stamp(&mut deployment);
        Ok(DesiredDeployment { topology_name: topology_name.to_owned(), templates, deployment, health_check })
    }

    fn health_check(&self, name: &str, selector: &Value, definitions: [&Value; 2]) -> Option<Value> {
        let [given, class] = definitions;
        let definition = match given {
            Value::Object(fields) if fields.contains_key("checks") || fields.contains_key("remediation") => given,
            _ => class,
        };
        let enabled = given["enabled"].as_bool().unwrap_or(definition.is_object());
        if !enabled || !definition.is_object() {
            return None;
        }
        let mut spec = json!({"clusterName": self.state.name(), "selector": {"matchLabels": selector}});
        for field in ["checks", "remediation"] {
            if let Some(value) = definition.get(field) {
                spec[field] = value.clone();
            }
        }
        let mut body = json!({"metadata": self.metadata(name, json!({}), json!({})), "spec": spec});
        stamp(&mut body);
        Some(body)
    }
}

fn first_set<const N: usize>(values: [&Value; N]) -> Option<&Value> {
    values.into_iter().find(|it| !it.is_null())
}

/// Adds the fields of `more` to the object `target`.
fn extend(target: &mut Value, more: &Value) {
    if let Some(more) = more.as_object() {
        if !target.is_object() {
            *target = Value::Object(Map::new());
        }
        for (key, value) in more {
            target[key] = value.clone();
        }
    }
}

/// Notes the hash of the body in the body.
pub fn stamp(body: &mut Value) {
    if let Some(annotations) = body["metadata"].get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.remove(APPLIED_HASH_ANNOTATION);
    }
    let hash = name_suffix(&[&body.to_string()]);
    body["metadata"]["annotations"][APPLIED_HASH_ANNOTATION] = json!(hash);
}

/// Whether a stored object already is what `body` asks for.
pub fn is_applied(stored: &Object, body: &Value) -> bool {
    let wanted =
        body.pointer("/metadata/annotations").and_then(|it| it.get(APPLIED_HASH_ANNOTATION)).and_then(Value::as_str);
    wanted.is_some()
        && stored.annotation(APPLIED_HASH_ANNOTATION) == wanted
        // What people edit by hand goes back to what the topology says.
        && ["/spec/replicas", "/spec/version", "/spec/template/spec/version"]
            .into_iter()
            .all(|pointer| body.pointer(pointer).is_none_or(|wanted| stored.at(pointer) == wanted))
}
