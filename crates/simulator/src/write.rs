//! What a decision wants done: values, executed by the edge.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    kind::Kind,
    object::{Object, merge_difference},
    workload::node::NodeSpec,
};

/// Field manager of the topology controller.
pub const TOPOLOGY_MANAGER: &str = "capi-topology";
/// Field manager of the machine set controller.
pub const MACHINE_SET_MANAGER: &str = "capi-machineset";
/// Field manager of the machine deployment controller.
pub const MACHINE_DEPLOYMENT_MANAGER: &str = "capi-machinedeployment";
/// Field manager of the control plane controller.
pub const CONTROL_PLANE_MANAGER: &str = "capi-kubeadmcontrolplane";

/// One write to the management plane.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Server-side apply, forced.
    Apply {
        /// Kind.
        kind: Kind,
        /// Field manager.
        manager: &'static str,
        /// The applied object, with namespace and name.
        body: Value,
    },
    /// Merge patch of the object, or of its status.
    Patch {
        /// Kind.
        kind: Kind,
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
        /// Whether `/status` is patched.
        status: bool,
        /// The patch.
        body: Value,
    },
    /// Deletion in the background, of exactly the object with this uid.
    Delete {
        /// Kind.
        kind: Kind,
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
        /// Uid.
        uid: String,
    },
    /// A Secret whose content the edge makes (keys are random). Kept if it is already there.
    Secret {
        /// Name.
        name: String,
        /// What is in it.
        content: SecretContent,
        /// Owner reference.
        owner: Value,
    },
}

/// What a Secret holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretContent {
    /// A certificate authority with this common name (`tls.crt`, `tls.key`).
    CertificateAuthority(&'static str),
    /// The key pair that signs ServiceAccount tokens.
    ServiceAccountKey,
    /// The administrator's kubeconfig, signed by the cluster's authority.
    Kubeconfig,
    /// Bootstrap data of one machine.
    Bootstrap(String),
}

/// One write to the cluster's own plane. All of them are done before the writes to the management plane, so that what
/// a status claims is there.
#[derive(Clone, Debug, PartialEq)]
pub enum PlaneWrite {
    /// Makes the plane, with what every cluster of the stack has in it.
    Open {
        /// Kubernetes version, e.g. `v1.34.2`.
        version: String,
    },
    /// Registers nodes; those that are there already are brought to this state.
    Nodes(Vec<NodeSpec>),
    /// Brings a registered node to this state.
    UpdateNode(Box<NodeSpec>),
    /// Marks a node unschedulable.
    Cordon(String),
    /// Evicts a pod.
    Evict {
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
    },
    /// Removes a node and its pods.
    RemoveNode(String),
    /// Installs metrics-server, or removes it.
    MetricsServer {
        /// Whether it is to be there.
        installed: bool,
    },
    /// Deletes the plane with all that is in it.
    Close,
}

/// What is to be done now, and when to look again.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// Writes to the plane, in order.
    pub plane: Vec<PlaneWrite>,
    /// Writes to the management plane, in any order.
    pub writes: Vec<Write>,
    /// When something becomes due without any change of an object.
    pub wake_at: Option<Timestamp>,
}

impl Decision {
    /// Whether nothing is to be done now.
    pub fn is_quiet(&self) -> bool {
        self.plane.is_empty() && self.writes.is_empty()
    }

    /// Looks again at `at`, or earlier if something else is due earlier.
    pub fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |other| other.min(at)));
    }

    /// Applies an object; its kind and version are filled in.
    pub fn apply(&mut self, kind: Kind, manager: &'static str, mut body: Value) {
        body["apiVersion"] = json!(kind.api_version());
        body["kind"] = json!(kind.name());
        self.writes.push(Write::Apply { kind, manager, body });
    }

    /// Patches an object.
    pub fn patch(&mut self, kind: Kind, object: &Object, body: Value) {
        self.writes.push(Write::Patch {
            kind,
            namespace: object.namespace().to_owned(),
            name: object.name().to_owned(),
            status: false,
            body,
        });
    }

    /// Brings an object's status to `status`; nothing if it is there already.
    pub fn status(&mut self, kind: Kind, object: &Object, status: &Value) {
        let empty = json!({});
        let old = match object.at("/status") {
            Value::Null => &empty,
            old => old,
        };
        if let Some(difference) = merge_difference(old, status) {
            self.writes.push(Write::Patch {
                kind,
                namespace: object.namespace().to_owned(),
                name: object.name().to_owned(),
                status: true,
                body: json!({"status": difference}),
            });
        }
    }

    /// Deletes an object; nothing if it is being deleted already.
    pub fn delete(&mut self, kind: Kind, object: &Object) {
        if !object.deleting() {
            self.writes.push(Write::Delete {
                kind,
                namespace: object.namespace().to_owned(),
                name: object.name().to_owned(),
                uid: object.uid().to_owned(),
            });
        }
    }

    /// Removes a finalizer.
    pub fn release(&mut self, kind: Kind, object: &Object, finalizer: &str) {
        if object.has_finalizer(finalizer) {
            let rest: Vec<&Value> =
                object.list("/metadata/finalizers").iter().filter(|it| it.as_str() != Some(finalizer)).collect();
            // The resource version makes the removal fail rather than drop a finalizer that somebody else just added.
            let patch =
                json!({"metadata": {"finalizers": rest, "resourceVersion": object.text("/metadata/resourceVersion")}});
            self.patch(kind, object, patch);
        }
    }
}
