//! A terminal on one of the servers: commands typed one after another and what they print, without what differs from run
//! to run.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use kogge_apiserver::server::{Server, ServerOptions};
use kogge_testkit::real::{self, RealApiServer};
use regex::Regex;
use tokio::io::AsyncWriteExt as _;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Time enough for any command on a busy machine; nothing is asserted about speed.
const LIMIT: Duration = Duration::from_mins(2);

/// What is behind a terminal. It ends with it.
#[expect(dead_code, reason = "held, not used")]
enum Backend {
    Embedded(DropGuard),
    Real(RealApiServer),
}

/// A terminal in the folder of the clients' tests, with a home of its own, for an administrator of a fresh server.
pub(crate) struct Terminal {
    home: tempfile::TempDir,
    url: String,
    /// Every command and what it printed.
    pub(crate) transcript: String,
    _backend: Backend,
}

impl Terminal {
    /// One on an embedded server that says it is of the real one's version.
    pub(crate) async fn embedded() -> (Server, Self) {
        let options = ServerOptions { kubernetes_version: "v1.36.3".to_owned(), ..ServerOptions::default() };
        let server = Server::open(options).await.unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        tokio::spawn({
            let (server, shutdown) = (server.clone(), shutdown.clone());
            async move { server.serve(listener, shutdown).await }
        });
        let kubeconfig = server.admin_kubeconfig(&url);
        (server, Self::new(&kubeconfig, &url, Backend::Embedded(shutdown.drop_guard())))
    }

    /// One on a real kube-apiserver; none where that is not built.
    pub(crate) async fn real(skipped: &str) -> Option<Self> {
        let server = RealApiServer::start(skipped).await?;
        let kubeconfig = std::fs::read_to_string(server.kubeconfig()).unwrap();
        let url = server.url().to_owned();
        Some(Self::new(&kubeconfig, &url, Backend::Real(server)))
    }

    fn new(kubeconfig: &str, url: &str, backend: Backend) -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("kubeconfig"), kubeconfig).unwrap();
        Self { home, url: url.to_owned(), transcript: String::new(), _backend: backend }
    }

    /// A file in its home.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// A program that finds the server as an administrator. `helm` and `manager` are those that `real/build.sh` builds.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = match program {
            "helm" | "manager" => Command::new(real::path(&format!("clients/{program}"))),
            _ => Command::new(program),
        };
        command
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients"))
            .env("HOME", self.home.path())
            .env("KUBECONFIG", self.path("kubeconfig"))
            // A cache of its own: ports are used again by other tests.
            .env("KUBECACHEDIR", self.path("kubectl-cache"))
            .env_remove("XDG_CACHE_HOME")
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_DATA_HOME");
        command
    }

    /// Types a command line (split at spaces); gives what it printed, which the transcript has too.
    pub(crate) async fn run(&mut self, line: &str) -> String {
        self.run_with(line, "").await
    }

    /// The same with something on its standard input.
    pub(crate) async fn run_with(&mut self, line: &str, input: &str) -> String {
        let mut words = line.split(' ');
        let mut command = self.command(words.next().unwrap());
        command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = tokio::process::Command::from(command).kill_on_drop(true).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
        let output = tokio::time::timeout(LIMIT, child.wait_with_output());
        let output = output.await.unwrap_or_else(|_| panic!("{line} does not end")).unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let shown = self.stable(&text);
        let _ = writeln!(self.transcript, "$ {line}\n{}", shown.trim_end());
        if let Some(code) = output.status.code().filter(|code| *code != 0) {
            let _ = writeln!(self.transcript, "[exit code {code}]");
        }
        self.transcript.push('\n');
        text
    }

    /// Repeats a command until what it prints `holds`; the transcript does not have it.
    pub(crate) async fn until(&self, line: &str, holds: impl Fn(&str) -> bool) {
        let mut printed = String::new();
        for _ in 0..600 {
            let mut words = line.split(' ');
            let mut command = tokio::process::Command::from(self.command(words.next().unwrap()));
            let output = command.args(words).output().await.unwrap();
            printed = String::from_utf8_lossy(&output.stdout).into_owned();
            if holds(&printed) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{line} never printed what was waited for, but:\n{printed}");
    }

    /// The text without what differs from run to run.
    fn stable(&self, text: &str) -> String {
        let text = text.replace(&self.url, "https://SERVER");
        let replacements = [
            (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UID"),
            (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
            (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? \+0000 UTC", "TIME"),
            (r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun) \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}", "TIME"),
            (r"(modifiedAt\W+)\d+", "${1}TIME"),
            (r#"resourceVersion: "\d+""#, r#"resourceVersion: "N""#),
            (r"(Resource Version: +)\d+", "${1}N"),
            (r"\b\d+s\b", "AGE"),
            (r"\b10\.\d+\.\d+\.\d+\b", "IP"),
            (r"\b\S+_UID\b", "HOST_UID"),
            // What client-go logs when a watch is no longer needed.
            (r"(?m)^[IW]\d{4} .*reflector.*\n", ""),
            (r"(\S)(?: {2,}| *\t)[ \t]*", "$1  "),
            (r"(?m)[ \t]+$", ""),
        ];
        replacements
            .iter()
            .fold(text, |text, (pattern, with)| Regex::new(pattern).unwrap().replace_all(&text, *with).into_owned())
    }
}

/// Whether what the test needs is there; says what is skipped otherwise, and fails in CI.
pub(crate) fn is_equipped(skipped: &str) -> bool {
    let kubectl = Command::new("kubectl").args(["version", "--client"]).output();
    if !kubectl.is_ok_and(|output| output.status.success()) {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "kubectl is not installed");
        #[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
        {
            eprintln!("SKIPPED: {skipped}, because kubectl is not installed");
        }
        return false;
    }
    real::files(["clients/helm", "clients/manager"], skipped).is_some()
}

/// Asserts that two transcripts are the same, and shows the first command that differs with the lines that do.
#[track_caller]
pub(crate) fn assert_same(real: &str, embedded: &str) {
    for (real, embedded) in real.split("\n$ ").zip(embedded.split("\n$ ")) {
        let mut differing = String::new();
        for (real, embedded) in real.lines().zip(embedded.lines()).filter(|(real, embedded)| real != embedded) {
            let _ = write!(differing, "\n- {real}\n+ {embedded}");
        }
        let command = real.lines().next().unwrap_or_default();
        assert!(real == embedded, "$ {command}: - is kube-apiserver's{differing}\n\nas a whole:\n{real}\n\n{embedded}");
    }
    assert_eq!(real.len(), embedded.len());
}
