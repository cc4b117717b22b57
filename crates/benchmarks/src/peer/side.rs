//! The two servers that are compared, started the same way: on an empty directory, until they answer.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use kogge_testkit::real::RealApiServer;

use crate::report::{memory_kib, processor_time_of};
use crate::server_process::ServerProcess;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Which {
    /// `kogge up --no-simulator`
    Kogge,
    /// etcd, kube-apiserver and kube-controller-manager
    Peers,
}

/// A running server; its processes end with it.
#[derive(Debug)]
pub(super) struct Side {
    handle: Handle,
    kubeconfig: PathBuf,
}

#[derive(Debug)]
enum Handle {
    Kogge(ServerProcess),
    Peers(RealApiServer),
}

impl Side {
    /// Starts a server on an empty directory and says how long that took, certificates included. What was written before is on
    /// the disk by then, so that no server waits for what another one has left.
    pub(super) async fn start(which: Which, directory: &Path) -> anyhow::Result<(Self, Duration)> {
        tokio::process::Command::new("sync").status().await.context("failed to run sync")?;
        let begin = Instant::now();
        let side = match which {
            Which::Kogge => {
                let mut server = ServerProcess::spawn_without_simulator(&directory.join("kogge"))?;
                server.ready().await?;
                let kubeconfig = server.kubeconfig().await?;
                Side { handle: Handle::Kogge(server), kubeconfig }
            }
            Which::Peers => {
                let server = RealApiServer::start_synced("the comparison with kube-apiserver and etcd").await;
                let server = server.context("the real servers are not built")?;
                Side { kubeconfig: server.kubeconfig().to_owned(), handle: Handle::Peers(server) }
            }
        };
        Ok((side, begin.elapsed()))
    }

    /// The file with the kubeconfig of an administrator.
    pub(super) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A client of kube-rs, as its administrator.
    pub(super) async fn kubernetes(&self) -> anyhow::Result<kube::Client> {
        let kubeconfig = kube::config::Kubeconfig::read_from(&self.kubeconfig)?;
        let options = kube::config::KubeConfigOptions::default();
        Ok(kube::Client::try_from(kube::Config::from_custom_kubeconfig(kubeconfig, &options).await?)?)
    }

    fn processes(&self) -> Vec<u32> {
        match &self.handle {
            Handle::Kogge(server) => vec![server.id()],
            Handle::Peers(server) => server.process_ids(),
        }
    }

    /// Resident memory of all processes, in KiB.
    pub(super) fn memory_kib(&self) -> anyhow::Result<u64> {
        let parts = self.processes().into_iter().map(|id| memory_kib(id, "VmRSS"));
        parts.sum::<Option<u64>>().context("the memory of a server process is not in /proc")
    }

    /// The largest resident memory each process ever had, summed up, in KiB.
    pub(super) fn peak_memory_kib(&self) -> anyhow::Result<u64> {
        let parts = self.processes().into_iter().map(|id| memory_kib(id, "VmHWM"));
        parts.sum::<Option<u64>>().context("the memory of a server process is not in /proc")
    }

    /// Processor time of all processes so far.
    pub(super) fn processor_time(&self) -> anyhow::Result<Duration> {
        let parts = self.processes().into_iter().map(processor_time_of);
        let parts = parts.collect::<Option<Vec<_>>>();
        Ok(parts.context("the processor time of a server process is not in /proc")?.into_iter().sum())
    }
}
