//! A running `kogge up` on a fresh data directory and free ports, and ways to talk to it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// What a command answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Answer {
    fn new(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The answer of a command that has to succeed.
    #[track_caller]
    pub(crate) fn success(self) -> Self {
        assert_eq!(self.code, 0, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }
}

/// A `kogge up`.
pub(crate) struct Session {
    folder: tempfile::TempDir,
    process: Option<Child>,
}

impl Session {
    /// Starts one at full speed.
    pub(crate) fn start() -> Self {
        Self::start_with(&["--speed", "max"])
    }

    pub(crate) fn start_with(options: &[&str]) -> Self {
        let mut session = Self::prepared();
        session.resume(options);
        session
    }

    /// One that is not started yet.
    pub(crate) fn prepared() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), process: None }
    }

    /// Starts it again on the same data.
    pub(crate) fn resume(&mut self, options: &[&str]) {
        let _ = std::fs::remove_file(self.data().join("endpoints.json"));
        let log = std::fs::File::options().create(true).append(true).open(self.folder.path().join("log")).unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_kogge"))
            .args(["up", "--listen", "127.0.0.1:0", "--portal-listen", "127.0.0.1:0", "--data"])
            .arg(self.data())
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.process = Some(process);
        let data = self.data();
        self.until("it is up", Duration::from_secs(30), || data.join("endpoints.json").exists());
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file and gives its path.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Runs `kogge ARGUMENTS` as a client of this session.
    pub(crate) fn kogge(&self, arguments: &[&str]) -> Answer {
        let output = Command::new(env!("CARGO_BIN_EXE_kogge"))
            .args(arguments)
            .env("KOGGE_DATA", self.data())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Answer::new(&output)
    }

    /// Runs a client of a Kubernetes API that finds its server in a kubeconfig, with a home of its own.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn client(
        &self,
        program: impl AsRef<OsStr>,
        kubeconfig: &Path,
        arguments: &[&str],
    ) -> std::io::Result<Answer> {
        let output = Command::new(program)
            .args(arguments)
            .env("KUBECONFIG", kubeconfig)
            // A cache of its own: ports are used again by other sessions.
            .env("KUBECACHEDIR", self.path("kubectl-cache"))
            .env("HOME", self.folder.path())
            .stdin(Stdio::null())
            .output()?;
        Ok(Answer::new(&output))
    }

    /// Runs kubectl as admin of the management plane, or with another kubeconfig. `None` if there is no kubectl, which only
    /// a machine other than CI's may lack.
    pub(crate) fn kubectl_with(&self, kubeconfig: &Path, arguments: &[&str]) -> Option<Answer> {
        let output = self.client("kubectl", kubeconfig, arguments);
        match output {
            Ok(answer) => Some(answer),
            Err(error) => {
                assert!(std::env::var_os("CI").is_none(), "kubectl is needed in CI: {error}");
                #[expect(clippy::print_stderr, reason = "a test that is skipped has to say so")]
                {
                    eprintln!("SKIPPED: no kubectl on the path ({error}); get it from your package manager");
                }
                None
            }
        }
    }

    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Option<Answer> {
        self.kubectl_with(&self.data().join("kubeconfig"), arguments)
    }

    /// A cluster's document.
    pub(crate) fn cluster(&self, name: &str) -> Value {
        self.kogge(&["cluster", "get", name, "-o", "json"]).success().json()
    }

    /// The codes of a cluster's problems.
    pub(crate) fn problems(&self, name: &str) -> Vec<String> {
        let cluster = self.cluster(name);
        let problems = cluster["status"]["problems"].as_array().cloned().unwrap_or_default();
        problems.iter().filter_map(|problem| problem["code"].as_str().map(str::to_owned)).collect()
    }

    /// Waits for something to become true, without saying how fast it has to be.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
        let deadline = Instant::now() + limit;
        while !holds() {
            assert!(Instant::now() < deadline, "not in {limit:?}: {what}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn signal(&self, name: &str) {
        let process = self.process.as_ref().expect("it runs").id();
        Command::new("kill").args([name, &process.to_string()]).status().unwrap();
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.signal("-KILL");
        self.process.take().expect("it runs").wait().unwrap();
    }

    /// Ends it politely; gives its exit code.
    pub(crate) fn terminate(&mut self) -> i32 {
        self.signal("-TERM");
        self.process.take().expect("it runs").wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}
