//! The real `kogge up` as a process of its own, so that its memory and processor time are its alone.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use kogge::data_directory::DataDirectory;
use kogge::rest_client::RestClient;

/// Time a server may take to start before a measurement gives up.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// A running `kogge up`; killed when dropped.
#[derive(Debug)]
pub(crate) struct ServerProcess {
    child: Child,
    data: PathBuf,
    api: SocketAddr,
    portal: SocketAddr,
}

impl ServerProcess {
    /// Starts the binary on a data directory at full speed, on free ports. Its output goes to `DATA/../up.log`.
    pub(crate) fn spawn(data: &Path) -> anyhow::Result<Self> {
        Self::spawn_with(data, &["--speed", "max"])
    }

    /// Like [`Self::spawn`], without the simulated cloud: the server and what always runs beside it.
    pub(crate) fn spawn_without_simulator(data: &Path) -> anyhow::Result<Self> {
        Self::spawn_with(data, &["--no-simulator"])
    }

    fn spawn_with(data: &Path, options: &[&str]) -> anyhow::Result<Self> {
        let (api, portal) = (free_address()?, free_address()?);
        let log = File::create(data.with_extension("log"))?;
        let child = Command::new(binary()?)
            .arg("up")
            .args(options)
            .args(["--listen", &api.to_string(), "--portal-listen", &portal.to_string()])
            .arg("--data")
            .arg(data)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        Ok(ServerProcess { child, data: data.to_owned(), api, portal })
    }

    /// Waits until both listeners answer `/readyz` with 200.
    pub(crate) async fn ready(&mut self) -> anyhow::Result<()> {
        let client =
            reqwest::Client::builder().tls_danger_accept_invalid_certs(true).no_proxy().use_rustls_tls().build()?;
        let begin = Instant::now();
        for address in [format!("http://{}/readyz", self.portal), format!("https://{}/readyz", self.api)] {
            while !client.get(&address).send().await.is_ok_and(|answer| answer.status().is_success()) {
                if let Some(status) = self.child.try_wait()? {
                    let log = std::fs::read_to_string(self.data.with_extension("log")).unwrap_or_default();
                    bail!("kogge up ended with {status}: {log}");
                }
                ensure!(begin.elapsed() < START_TIMEOUT, "{address} did not answer within {START_TIMEOUT:?}");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        Ok(())
    }

    /// A client of the REST API.
    pub(crate) async fn rest(&self) -> anyhow::Result<RestClient> {
        self.announced().await?;
        let data = DataDirectory::locate(Some(&self.data))?;
        let token = data.token().context("the server wrote no token")?;
        RestClient::new(format!("http://{}", self.portal), token, "default".to_owned())
            .map_err(|error| anyhow::anyhow!(error.render()))
    }

    /// A client of the Kubernetes-style API, over TLS with the admin's certificate.
    pub(crate) async fn kubernetes(&self) -> anyhow::Result<kube::Client> {
        let kubeconfig = kube::config::Kubeconfig::read_from(self.kubeconfig().await?)?;
        let options = kube::config::KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await?;
        Ok(kube::Client::try_from(config)?)
    }

    /// The file with the admin's kubeconfig, once it is written.
    pub(crate) async fn kubeconfig(&self) -> anyhow::Result<PathBuf> {
        self.announced().await?;
        Ok(self.data.join("kubeconfig"))
    }

    /// The addresses are announced last, after the credentials.
    async fn announced(&self) -> anyhow::Result<()> {
        let begin = Instant::now();
        while !self.data.join("endpoints.json").exists() {
            ensure!(begin.elapsed() < START_TIMEOUT, "the server did not announce its addresses");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    /// Process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing else to do about it then.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// The `kogge` beside this executable: same build, same profile.
fn binary() -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name("kogge");
    let build = if cfg!(debug_assertions) { "cargo build" } else { "cargo build --release" };
    ensure!(path.exists(), "{} is missing; build it with `{build} -p kogge`", path.display());
    Ok(path)
}
