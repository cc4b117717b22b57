//! A real kube-apiserver with its etcd and the controllers every cluster has.
//!
//! It runs on free ports with fresh certificates, keeps its data in a temporary directory, without syncing it unless a
//! benchmark asks for that, and ends with its handle. kube-controller-manager runs only what an API needs to behave as users know it: garbage collection,
//! namespace deletion, quotas and the aggregation of cluster roles.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use tempfile::TempDir;

use super::{Process, files, free_port};

/// A running kube-apiserver. Its processes and its data go with it.
#[derive(Debug)]
pub struct RealApiServer {
    url: String,
    kubeconfig: PathBuf,
    /// Stopped in this order.
    processes: Vec<Process>,
    directory: TempDir,
}

/// What the controllers of kube-controller-manager are called that run here.
const CONTROLLERS: &str = "garbage-collector-controller,namespace-controller,clusterrole-aggregation-controller,\
                            validatingadmissionpolicy-status-controller,resourcequota-controller";

/// How long the servers may take to start, on a machine busy with other tests.
const START_TIMEOUT: Duration = Duration::from_mins(3);

impl RealApiServer {
    /// Starts the servers and returns when they answer; `None` where they are not built (see [`files`], which prints
    /// that `skipped` is left out). Writes are not synced and history is kept, so that answers do not depend on how long
    /// the test has been running.
    ///
    /// # Panics
    /// If they do not start.
    pub async fn start(skipped: &str) -> Option<Self> {
        Self::start_with(skipped, &["--unsafe-no-fsync"], &["--etcd-compaction-interval=0"]).await
    }

    /// Like [`Self::start`], with every acknowledged write synced to disk and history compacted, as by default.
    ///
    /// # Panics
    /// If they do not start.
    pub async fn start_synced(skipped: &str) -> Option<Self> {
        Self::start_with(skipped, &[], &[]).await
    }

    async fn start_with(skipped: &str, etcd_options: &[&str], api_server_options: &[&str]) -> Option<Self> {
        let [etcd, api_server, controller_manager] =
            files(["kubernetes/etcd", "kubernetes/kube-apiserver", "kubernetes/kube-controller-manager"], skipped)?;
        let directory = tempfile::Builder::new().prefix("kogge-real-").tempdir().expect("a temporary directory");
        let path = |name: &str| directory.path().join(name);
        let port = free_port();
        let url = format!("https://127.0.0.1:{port}");
        write_certificates(directory.path(), &url).unwrap_or_else(|error| panic!("certificates: {error}"));

        let (client_port, peer_port) = (free_port(), free_port());
        let client_url = format!("http://127.0.0.1:{client_port}");
        let peer_url = format!("http://127.0.0.1:{peer_port}");
        let etcd = Process::start(
            Command::new(etcd)
                .args(["--name=etcd", "--log-level=warn"])
                .args(etcd_options)
                .arg(format!("--data-dir={}", path("etcd").display()))
                .arg(format!("--listen-client-urls={client_url}"))
                .arg(format!("--advertise-client-urls={client_url}"))
                .arg(format!("--listen-peer-urls={peer_url}"))
                .arg(format!("--initial-advertise-peer-urls={peer_url}"))
                .arg(format!("--initial-cluster=etcd={peer_url}")),
            path("etcd.log"),
        );
        let file = |flag: &str, name: &str| format!("--{flag}={}", path(name).display());
        let api_server = Process::start(
            Command::new(api_server)
                .args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none"])
                .arg(format!("--secure-port={port}"))
                .arg(format!("--etcd-servers={client_url}"))
                .arg(file("tls-cert-file", "serving.crt"))
                .arg(file("tls-private-key-file", "serving.key"))
                .arg(file("client-ca-file", "ca.crt"))
                .arg(file("service-account-key-file", "service-account.pub"))
                .arg(file("service-account-signing-key-file", "service-account.key"))
                .args([
                    "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
                    "--authorization-mode=Node,RBAC",
                ])
                // There are no nodes that could use what this plugin adds to pods.
                .args(["--service-cluster-ip-range=10.0.0.0/24", "--disable-admission-plugins=ServiceAccount"])
                // As every installation has them.
                .args(["--enable-admission-plugins=NodeRestriction", "--allow-privileged"])
                .arg("--profiling=false")
                .args(api_server_options),
            path("kube-apiserver.log"),
        );
        let kubeconfig = path("admin.kubeconfig");
        wait_until_ready(&kubeconfig, &[&etcd, &api_server]).await;
        let controllers = Process::start(
            Command::new(controller_manager)
                .arg(file("kubeconfig", "controllers.kubeconfig"))
                .arg(format!("--controllers={CONTROLLERS}"))
                // As one identity RBAC would let the garbage collector delete hardly anything.
                .args(["--leader-elect=false", "--use-service-account-credentials=true"])
                .args(["--bind-address=127.0.0.1", "--authentication-skip-lookup=true"])
                .arg(format!("--secure-port={}", free_port())),
            path("kube-controller-manager.log"),
        );
        Some(Self { url, kubeconfig, processes: vec![controllers, api_server, etcd], directory })
    }

    /// Its address, such as `https://127.0.0.1:40123`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The file with the kubeconfig of an administrator (`system:masters`).
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The ids of kube-controller-manager, kube-apiserver and etcd, in this order.
    pub fn process_ids(&self) -> Vec<u32> {
        self.processes.iter().map(Process::id).collect()
    }

    /// The folder of its data, certificates and logs (`etcd.log`, `kube-apiserver.log`, ...).
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

async fn wait_until_ready(kubeconfig: &Path, processes: &[&Process]) {
    let config = kube::config::Kubeconfig::read_from(kubeconfig).expect("the kubeconfig was just written");
    let options = kube::config::KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(config, &options);
    let client = kube::Client::try_from(config.await.expect("the kubeconfig is whole")).expect("TLS is there");
    let start = Instant::now();
    loop {
        let request = http::Request::get("/readyz").body(Vec::new()).expect("a request");
        if client.request_text(request).await.is_ok() {
            return;
        }
        for process in processes {
            assert!(!process.has_ended(), "a server has ended:\n{}", process.log());
        }
        let logs = || processes.iter().map(|process| process.log()).collect::<Vec<_>>().join("\n");
        assert!(start.elapsed() < START_TIMEOUT, "not ready after {START_TIMEOUT:?}:\n{}", logs());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// One authority for everything, the serving certificate, two clients as kubeconfigs, and the key that signs tokens.
fn write_certificates(directory: &Path, url: &str) -> Result<(), Box<dyn std::error::Error>> {
    let write = |name: &str, text: &str| std::fs::write(directory.join(name), text);
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, "kogge-real-ca");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority = CertifiedIssuer::self_signed(parameters, KeyPair::generate()?)?;
    write("ca.crt", &authority.pem())?;
    let tokens = KeyPair::generate()?;
    write("service-account.key", &tokens.serialize_pem())?;
    write("service-account.pub", &tokens.public_key_pem())?;

    let leaf = |name: &str, organization: Option<&str>, usage: ExtendedKeyUsagePurpose, names: &[&str]| {
        let mut parameters = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())?;
        if let Some(organization) = organization {
            parameters.distinguished_name.push(DnType::OrganizationName, organization);
        }
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![usage];
        let key = KeyPair::generate()?;
        let certificate = parameters.signed_by(&key, &authority)?;
        Ok::<_, rcgen::Error>((certificate.pem(), key.serialize_pem()))
    };
    let names = ["127.0.0.1", "localhost", "kubernetes.default.svc", "10.0.0.1"];
    let (certificate, key) = leaf("kube-apiserver", None, ExtendedKeyUsagePurpose::ServerAuth, &names)?;
    write("serving.crt", &certificate)?;
    write("serving.key", &key)?;
    for (file, name, organization) in
        [("admin", "system:admin", Some("system:masters")), ("controllers", "system:kube-controller-manager", None)]
    {
        let (certificate, key) = leaf(name, organization, ExtendedKeyUsagePurpose::ClientAuth, &[])?;
        write(&format!("{file}.crt"), &certificate)?;
        write(&format!("{file}.key"), &key)?;
        let path = |name: String| directory.join(name).display().to_string();
        let kubeconfig = serde_json::json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{
                "name": "real",
                "cluster": {"server": url, "certificate-authority": path("ca.crt".to_owned())},
            }],
            "users": [{
                "name": name,
                "user": {
                    "client-certificate": path(format!("{file}.crt")),
                    "client-key": path(format!("{file}.key")),
                },
            }],
            "contexts": [{"name": "real", "context": {"cluster": "real", "user": name}}],
            "current-context": "real",
        });
        write(&format!("{file}.kubeconfig"), &kubeconfig.to_string())?;
    }
    Ok(())
}
