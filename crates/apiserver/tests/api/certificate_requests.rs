//! CertificateSigningRequests from kubectl to the certificate that authenticates.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{CertificateParams, DnType, KeyPair};
use serde_json::{Value, json};

use crate::{client::open, kubectl::start};

const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

/// A request for a user of one group, and its key.
fn requested(name: &str, group: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(DnType::OrganizationName, group);
    parameters.distinguished_name.push(DnType::CommonName, name);
    (STANDARD.encode(parameters.serialize_request(&key).unwrap().pem().unwrap()), key.serialize_pem())
}

fn request(name: &str, signer: &str, encoded: &str, usages: &[&str]) -> Value {
    json!({
        "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": name},
        "spec": {"signerName": signer, "request": encoded, "usages": usages, "expirationSeconds": 86400},
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approved_certificate_authenticates() {
    let Some(mut kubectl) = start().await else { return };
    let (encoded, key) = requested("anna", "crew");
    let wanted = request("anna", "kubernetes.io/kube-apiserver-client", &encoded, &["client auth"]);
    kubectl.run_with("create -f -", &wanted.to_string()).await;
    let other = request("otto", "kubernetes.io/kube-apiserver-client", &encoded, &["client auth"]);
    kubectl.run_with("create -f -", &other.to_string()).await;
    kubectl.run("certificate deny otto").await;
    kubectl.run("certificate approve anna").await;
    kubectl.run("wait --for=jsonpath={.status.certificate} csr/anna --timeout=30s").await;
    kubectl.run("get csr").await;
    let issued =
        kubectl.command(&["get", "csr", "anna", "-o", "jsonpath={.status.certificate}"]).output().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    std::fs::write(path("crt"), STANDARD.decode(issued.stdout).unwrap()).unwrap();
    std::fs::write(path("key"), key).unwrap();
    let (certificate, key) = (format!("--client-certificate={}", path("crt")), format!("--client-key={}", path("key")));
    for arguments in [
        &["config", "set-credentials", "anna", &certificate, &key][..],
        &["config", "set-context", "anna", "--cluster=kogge", "--user=anna"],
    ] {
        assert!(kubectl.command(arguments).output().await.unwrap().status.success());
    }
    kubectl.run("auth whoami --context=anna").await;
    insta::assert_snapshot!(kubectl.transcript);
}

#[tokio::test]
async fn requests_of_kubelets_are_approved_and_others_wait() {
    let client = open().await;
    let (encoded, _) = requested("system:node:a", "system:nodes");
    let kubelet = request(
        "kubelet",
        "kubernetes.io/kube-apiserver-client-kubelet",
        &encoded,
        &["client auth", "digital signature"],
    );
    client.post(REQUESTS, &kubelet).await.ok();
    let serving = request("serving", "kubernetes.io/kubelet-serving", &encoded, &["server auth", "digital signature"]);
    let created = client.post(REQUESTS, &serving).await.ok();
    assert_eq!((&created["spec"]["username"], &created["status"]), (&json!("system:admin"), &json!({})));
    let issued = loop {
        let object = client.get(&format!("{REQUESTS}/kubelet")).await.ok();
        if object["status"]["certificate"].is_string() {
            break object;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(issued["status"]["conditions"][0]["reason"], "AutoApproved");
    assert_eq!(client.get(&format!("{REQUESTS}/serving")).await.ok()["status"], json!({}), "nobody has approved it");
    let mut approved = created.clone();
    approved["status"]["conditions"] = json!([{"type": "Approved", "status": "True", "reason": "Me"}]);
    let by_status = client.put(&format!("{REQUESTS}/serving/status"), &approved).await.error();
    client.put(&format!("{REQUESTS}/serving/approval"), &approved).await.ok();
    let failed = loop {
        let object = client.get(&format!("{REQUESTS}/serving")).await.ok();
        if object["status"]["conditions"].as_array().is_some_and(|conditions| conditions.len() == 2) {
            break object;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(failed["status"]["conditions"][1]["message"], "DNS or IP subjectAltName is required");
    let masters = request(
        "root",
        "kubernetes.io/kube-apiserver-client",
        &requested("root", "system:masters").0,
        &["client auth"],
    );
    let refused = client.post(REQUESTS, &masters).await.error();
    insta::assert_snapshot!(format!("{by_status}\n{refused}"));
}
