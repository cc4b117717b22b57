//! What nodes may write (Kubernetes' `plugin/pkg/admission/noderestriction`): their own Node, the pods on it, and what belongs
//! to either.

use serde_json::{Map, Value};

use super::{authorizer::LEASE_NAMESPACE, references};
use crate::{
    admission::Operation,
    rbac::Attributes,
    resource::GroupResource,
    status_error::{ApiError, quote},
};

mod labels;
mod token_audience;

/// A write by a node.
#[derive(Clone, Copy, Debug)]
pub struct Write<'a> {
    /// Name of the node that writes; empty where the user's name has none.
    pub node: &'a str,
    /// What it does. Nodes may connect as they are authorized to.
    pub operation: Operation,
    /// The type of the object in the path.
    pub resource: &'a GroupResource,
    /// Empty for the object itself.
    pub subresource: &'a str,
    /// Empty for kinds of the cluster.
    pub namespace: &'a str,
    /// Empty where it is still to be generated, and for the delete of a collection.
    pub name: &'a str,
    /// What is sent, changed into an object of the served version with its defaults; absent for a delete.
    pub object: Option<&'a Value>,
    /// What is there; absent for a create.
    pub old: Option<&'a Value>,
}

/// What else has to be known to judge a write.
pub trait Cluster {
    /// A stored object; `namespace` is empty for kinds of the cluster.
    ///
    /// # Errors
    /// If it cannot be read.
    fn object(&self, resource: &GroupResource, namespace: &str, name: &str) -> Result<Option<Value>, ApiError>;

    /// Whether the node may do something else.
    ///
    /// # Errors
    /// If that cannot be decided.
    fn may(&self, attributes: &Attributes<'_>) -> Result<bool, ApiError>;

    /// The common name of the subject of a CertificateSigningRequest.
    ///
    /// # Errors
    /// Why it is no such request.
    fn common_name(&self, request: &Value) -> Result<String, String>;
}

/// Why a write is refused.
enum Refusal {
    Forbidden(String),
    Other(ApiError),
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self::Other(error)
    }
}

type Verdict = Result<(), Refusal>;

fn forbid(message: impl Into<String>) -> Verdict {
    Err(Refusal::Forbidden(message.into()))
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_default()
}

fn resource(group: &str, resource: &str) -> GroupResource {
    GroupResource { group: group.to_owned(), resource: resource.to_owned() }
}

/// A stored object by the singular of its kind, as the error has it if there is none.
fn find(
    cluster: &dyn Cluster,
    kind: (&str, &str, &str),
    namespace: &str,
    name: &str,
) -> Result<Result<Value, ApiError>, ApiError> {
    let (group, plural, singular) = kind;
    let found = cluster.object(&resource(group, plural), namespace, name)?;
    Ok(found.ok_or_else(|| ApiError::not_found(&resource(group, singular), name)))
}

const PODS: (&str, &str, &str) = ("", "pods", "pod");
const NODES: (&str, &str, &str) = ("", "nodes", "node");

/// Refuses a write that is not a node's to make.
///
/// # Errors
/// 403 in the words of the real server, 404 where what the write is about is not there.
pub fn check(write: &Write<'_>, cluster: &dyn Cluster) -> Result<(), ApiError> {
    if write.operation == Operation::Connect {
        return Ok(());
    }
    let verdict = if write.node.is_empty() {
        forbid(format!("could not determine node from user {}", quote(super::USER_PREFIX)))
    } else {
        judge(write, cluster)
    };
    verdict.map_err(|refusal| match refusal {
        Refusal::Forbidden(message) => ApiError::forbidden(write.resource, named(write), &message),
        Refusal::Other(error) => error,
    })
}

/// The name a refusal has.
fn named<'a>(write: &Write<'a>) -> &'a str {
    let given = |field| write.object.map_or("", |object| text(&object["metadata"], field));
    let names = [write.name, given("name"), given("generateName")];
    names.into_iter().find(|name| !name.is_empty()).unwrap_or("Unknown")
}

fn judge(write: &Write<'_>, cluster: &dyn Cluster) -> Verdict {
    match (&*write.resource.group, &*write.resource.resource) {
        ("", "pods") => match write.subresource {
            "" => pod(write, cluster),
            "status" => pod_status(write),
            "eviction" => eviction(write, cluster),
            other => {
                let other = quote(other);
                forbid(format!("unexpected pod subresource {other}, only 'status' and 'eviction' are allowed"))
            }
        },
        ("", "nodes") => node(write),
        ("", "persistentvolumeclaims") if write.subresource == "status" => claim_status(write),
        ("", "persistentvolumeclaims") => forbid("may only update PVC status"),
        ("", "serviceaccounts") if write.operation == Operation::Create && write.subresource == "token" => {
            token(write, cluster)
        }
        ("coordination.k8s.io", "leases") if write.namespace != LEASE_NAMESPACE => {
            forbid(format!("can only access leases in the {} system namespace", quote(LEASE_NAMESPACE)))
        }
        ("coordination.k8s.io", "leases") => own_name(write, "node lease"),
        ("storage.k8s.io", "csinodes") => own_name(write, "CSINode"),
        ("certificates.k8s.io", "certificatesigningrequests") if write.operation == Operation::Create => {
            certificate(write, cluster)
        }
        _ => Ok(()),
    }
}

fn own_name(write: &Write<'_>, what: &str) -> Verdict {
    if write.name == write.node {
        return Ok(());
    }
    forbid(format!("can only access {what} with the same name as the requesting node"))
}

fn pod(write: &Write<'_>, cluster: &dyn Cluster) -> Verdict {
    let node = quote(write.node);
    match (write.operation, write.old) {
        (Operation::Create, _) => mirror_pod(write, write.object.unwrap_or(&Value::Null), cluster),
        (Operation::Delete, Some(old)) if !write.name.is_empty() => {
            if text(&old["spec"], "nodeName") == write.node {
                return Ok(());
            }
            forbid(format!("node {node} can only delete pods with spec.nodeName set to itself"))
        }
        (Operation::Delete, _) => Err(ApiError::not_found(&resource("", PODS.2), write.name).into()),
        (other, _) => {
            let other = quote(other.name());
            forbid(format!("unexpected operation {other}, node {node} can only create and delete mirror pods"))
        }
    }
}

fn mirror_pod(write: &Write<'_>, pod: &Value, cluster: &dyn Cluster) -> Verdict {
    let node = quote(write.node);
    if !references::is_mirror_pod(pod) {
        let annotation = quote(super::MIRROR_POD_ANNOTATION);
        return forbid(format!("pod does not have {annotation} annotation, node {node} can only create mirror pods"));
    }
    if text(&pod["spec"], "nodeName") != write.node {
        return forbid(format!("node {node} can only create pods with spec.nodeName set to itself"));
    }
    let owner = match pod["metadata"]["ownerReferences"].as_array().map_or(&[][..], Vec::as_slice) {
        [owner] => owner,
        [] => return forbid(format!("node {node} can only create pods with an owner reference set to itself")),
        _ => return forbid(format!("node {node} can only create pods with a single owner reference set to itself")),
    };
    if owner["apiVersion"] != "v1" || owner["kind"] != "Node" || owner["name"] != write.node {
        return forbid(format!("node {node} can only create pods with an owner reference set to itself"));
    }
    if owner["controller"] != true {
        return forbid(format!("node {node} can only create pods with a controller owner reference set to itself"));
    }
    if owner["blockOwnerDeletion"] == true {
        return forbid(format!("node {node} must not set blockOwnerDeletion on an owner reference"));
    }
    let found = find(cluster, NODES, "", write.node)??;
    let (claimed, uid) = (text(owner, "uid"), text(&found["metadata"], "uid"));
    if claimed != uid {
        return forbid(format!("node {} UID mismatch: expected {claimed} got {uid}", write.node));
    }
    match references::referenced_resource(pod) {
        Ok(None) => Ok(()),
        Ok(Some(resource)) => forbid(format!("node {node} can not create pods that reference {resource}")),
        Err(why) => forbid(format!("error checking mirror pod for API references: {why}")),
    }
}

fn pod_status(write: &Write<'_>) -> Verdict {
    let node = quote(write.node);
    let (Operation::Update, Some(old), Some(new)) = (write.operation, write.old, write.object) else {
        return forbid(format!("unexpected operation {}", quote(write.operation.name())));
    };
    if text(&old["spec"], "nodeName") != write.node {
        return forbid(format!("node {node} can only update pod status for pods with spec.nodeName set to itself"));
    }
    let changes = |field: fn(&Value) -> &Value| !is_same(field(old), field(new));
    if changes(|pod| &pod["metadata"]["labels"]) {
        return forbid(format!("node {node} cannot update labels through pod status"));
    }
    if changes(|pod| &pod["status"]["resourceClaimStatuses"]) {
        return forbid(format!("node {node} cannot update resource claim statues"));
    }
    if changes(|pod| &pod["status"]["extendedResourceClaimStatus"]) {
        return forbid(format!("node {node} cannot update extended resource claim status"));
    }
    Ok(())
}

fn eviction(write: &Write<'_>, cluster: &dyn Cluster) -> Verdict {
    if write.operation != Operation::Create {
        return forbid(format!("unexpected operation {}", write.operation.name()));
    }
    let name = match write.name {
        "" => write.object.map_or("", |eviction| text(&eviction["metadata"], "name")),
        name => name,
    };
    if name.is_empty() {
        return forbid("could not determine pod from request data");
    }
    let pod = find(cluster, PODS, write.namespace, name)??;
    if text(&pod["spec"], "nodeName") != write.node {
        return forbid(format!("node {} can only evict pods with spec.nodeName set to itself", write.node));
    }
    Ok(())
}

fn claim_status(write: &Write<'_>) -> Verdict {
    let (Operation::Update, Some(old), Some(new)) = (write.operation, write.old, write.object) else {
        return forbid(format!("unexpected operation {}", quote(write.operation.name())));
    };
    // What kubelets tell of a volume that grows, and what every write changes.
    let fixed = |claim: &Value| {
        let mut claim = claim.clone();
        let changing = ["capacity", "conditions", "allocatedResourceStatuses", "allocatedResources"];
        for (part, fields) in [("metadata", &["resourceVersion", "managedFields"][..]), ("status", &changing)] {
            for field in fields {
                claim[part].as_object_mut().map(|part| part.remove(*field));
            }
        }
        claim
    };
    if is_same(&fixed(old), &fixed(new)) {
        return Ok(());
    }
    let node = quote(write.node);
    forbid(format!("node {node} is not allowed to update fields other than status.quantity and status.conditions"))
}

fn node(write: &Write<'_>) -> Verdict {
    let node = quote(write.node);
    if write.name != write.node {
        return forbid(format!("node {node} is not allowed to modify node {}", quote(write.name)));
    }
    let Some(new) = write.object else { return Ok(()) };
    let has_source = new["spec"]["configSource"].is_object();
    let labels = |node: &Value| node["metadata"]["labels"].as_object().cloned().unwrap_or_default();
    let Some(old) = write.old else {
        if has_source {
            return forbid(format!("node {node} is not allowed to create pods with a non-nil configSource"));
        }
        let wrong = labels::forbidden(&labels(new), &Map::new());
        if !wrong.is_empty() {
            let wrong = wrong.join(", ");
            return forbid(format!("node {node} is not allowed to set the following labels: {wrong}"));
        }
        return Ok(());
    };
    if has_source && !is_same(&new["spec"]["configSource"], &old["spec"]["configSource"]) {
        return forbid(format!("node {node} is not allowed to update configSource to a new non-nil configSource"));
    }
    if !is_same(&new["spec"]["taints"], &old["spec"]["taints"]) {
        return forbid(format!("node {node} is not allowed to modify taints"));
    }
    if !is_same(&new["metadata"]["ownerReferences"], &old["metadata"]["ownerReferences"]) {
        return forbid(format!("node {node} is not allowed to modify ownerReferences"));
    }
    let wrong = labels::forbidden(&labels(new), &labels(old));
    if !wrong.is_empty() {
        return forbid(format!("is not allowed to modify labels: {}", wrong.join(", ")));
    }
    Ok(())
}

fn token(write: &Write<'_>, cluster: &dyn Cluster) -> Verdict {
    let request = write.object.unwrap_or(&Value::Null);
    let bound = &request["spec"]["boundObjectRef"];
    if bound["apiVersion"] != "v1" || bound["kind"] != "Pod" || text(bound, "name").is_empty() {
        return forbid("node requested token not bound to a pod");
    }
    let uid = text(bound, "uid");
    if uid.is_empty() {
        return forbid("node requested token with a pod binding without a uid");
    }
    let pod = find(cluster, PODS, write.namespace, text(bound, "name"))??;
    if text(&pod["metadata"], "uid") != uid {
        return forbid(format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been \
             deleted and then recreated"
        ));
    }
    if text(&pod["spec"], "nodeName") != write.node {
        return forbid("node requested token bound to a pod scheduled on a different node");
    }
    token_audience::check(write, request, &pod, cluster)
}

fn certificate(write: &Write<'_>, cluster: &dyn Cluster) -> Verdict {
    const SIGNERS: [&str; 2] = ["kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet"];
    let request = write.object.unwrap_or(&Value::Null);
    if !SIGNERS.contains(&text(&request["spec"], "signerName")) {
        return Ok(());
    }
    let own = format!("{}{}", super::USER_PREFIX, write.node);
    match cluster.common_name(request) {
        Ok(name) if name == own => Ok(()),
        Ok(_) => forbid(format!("can only create a node CSR with CN={own}")),
        Err(why) => forbid(format!("unable to parse csr: {why}")),
    }
}

/// Whether two values are one to Go's `equality.Semantic`, to which nothing and an empty list or map are the same.
fn is_same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => {
            let of = |object: &Map<String, Value>, key: &str| object.get(key).cloned().unwrap_or_default();
            left.keys().chain(right.keys()).all(|key| is_same(&of(left, key), &of(right, key)))
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| is_same(left, right))
        }
        (left, right) => (is_nothing(left) && is_nothing(right)) || left == right,
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(is_nothing),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
