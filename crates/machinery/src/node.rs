//! Nodes as users of an API: what their kubelets may do.
//!
//! A kubelet is the user `system:node:NAME` in the group `system:nodes`. It may read what the pods on its node need
//! ([`authorizer`]) and write only about itself and those pods ([`restriction`]), as kube-apiserver has it with
//! `--authorization-mode=Node,RBAC` and the admission plugin `NodeRestriction`. What is stored is handed in; nothing here
//! looks anything up.

pub mod authorizer;
pub mod references;
pub mod restriction;

/// The group of all nodes.
pub const GROUP: &str = "system:nodes";
/// How their names begin.
pub const USER_PREFIX: &str = "system:node:";
/// On a pod that only shows what a kubelet runs by a file of its own.
pub const MIRROR_POD_ANNOTATION: &str = "kubernetes.io/config.mirror";

/// The name of the node a user is, empty for a node without one; none for everybody else.
pub fn node_name<'a>(user: &'a str, groups: &[String]) -> Option<&'a str> {
    user.strip_prefix(USER_PREFIX).filter(|_| groups.iter().any(|group| group == GROUP))
}
