//! Whom the token of a ServiceAccount that a node asks for may be for: who a pod's volumes name, or the CSI drivers behind
//! them, or whom a role allows by the verb `request-serviceaccounts-token-audience`.

use serde_json::Value;

use super::{Cluster, Verdict, Write, find, forbid, text};
use crate::{
    node::references,
    rbac::Attributes,
    status_error::{ApiError, aggregate, quote},
};

const CLAIMS: (&str, &str, &str) = ("", "persistentvolumeclaims", "persistentvolumeclaim");
const VOLUMES: (&str, &str, &str) = ("", "persistentvolumes", "persistentvolume");
const DRIVERS: (&str, &str, &str) = ("storage.k8s.io", "csidrivers", "csidriver");

/// Volumes of older sorts and the CSI drivers that serve them now.
const MIGRATED: [(&str, &str); 7] = [
    ("awsElasticBlockStore", "ebs.csi.aws.com"),
    ("azureDisk", "disk.csi.azure.com"),
    ("azureFile", "file.csi.azure.com"),
    ("cinder", "cinder.csi.openstack.org"),
    ("gcePersistentDisk", "pd.csi.storage.gke.io"),
    ("portworxVolume", "pxd.portworx.com"),
    ("vsphereVolume", "csi.vsphere.vmware.com"),
];

pub(super) fn check(write: &Write<'_>, request: &Value, pod: &Value, cluster: &dyn Cluster) -> Verdict {
    let wanted = request["spec"]["audiences"].as_array().map_or(&[][..], Vec::as_slice);
    let audience = match wanted {
        [] => "",
        [one] => one.as_str().unwrap_or_default(),
        _ => return forbid("node may only request 0 or 1 audiences"),
    };
    let mut problems = Vec::new();
    for volume in pod["spec"]["volumes"].as_array().into_iter().flatten() {
        match is_for(pod, volume, write.namespace, audience, cluster)? {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(problem) => problems.push(problem.to_string()),
        }
    }
    let shown = quote(audience);
    if !problems.is_empty() {
        return forbid(format!("error validating audience {shown}: {}", aggregate(problems)));
    }
    let asked = Attributes {
        verb: "request-serviceaccounts-token-audience",
        resource: audience,
        namespace: write.namespace,
        name: write.name,
        ..Attributes::default()
    };
    if cluster.may(&asked)? {
        return Ok(());
    }
    let user = format!("{}{}", crate::node::USER_PREFIX, write.node);
    forbid(format!(
        "audience {shown} not found in pod spec volume, {user} is not authorized to request tokens for this audience"
    ))
}

/// Whether a volume of a pod needs tokens for somebody. The inner error is of what the volume refers to.
fn is_for(
    pod: &Value,
    volume: &Value,
    namespace: &str,
    audience: &str,
    cluster: &dyn Cluster,
) -> Result<Result<bool, ApiError>, ApiError> {
    let mut projected = volume["projected"]["sources"].as_array().into_iter().flatten();
    if projected.any(|source| {
        let token = &source["serviceAccountToken"];
        token.is_object() && text(token, "audience") == audience
    }) {
        return Ok(Ok(true));
    }
    let driver = if let Some(claim) = references::claim_of(pod, volume) {
        let claim = match find(cluster, CLAIMS, namespace, &claim)? {
            Ok(claim) => claim,
            Err(missing) => return Ok(Err(missing)),
        };
        match find(cluster, VOLUMES, "", text(&claim["spec"], "volumeName"))? {
            Ok(volume) => driver_of(&volume["spec"]),
            Err(missing) => return Ok(Err(missing)),
        }
    } else {
        driver_of(volume)
    };
    let Some(driver) = driver.filter(|driver| !driver.is_empty()) else { return Ok(Ok(false)) };
    Ok(find(cluster, DRIVERS, "", &driver)?.map(|driver| {
        let mut requests = driver["spec"]["tokenRequests"].as_array().into_iter().flatten();
        requests.any(|request| text(request, "audience") == audience)
    }))
}

/// The CSI driver of a volume.
fn driver_of(source: &Value) -> Option<String> {
    if source["csi"].is_object() {
        return Some(text(&source["csi"], "driver").to_owned());
    }
    let migrated = MIGRATED.into_iter().find(|(field, _)| source[*field].is_object());
    migrated.map(|(_, driver)| driver.to_owned())
}
