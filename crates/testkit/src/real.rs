//! Real components: the servers Kogge is compared with, and the managers and clients that run on it, as `real/build.sh`
//! builds them.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Mutex, PoisonError};

pub mod api_server;

pub use api_server::RealApiServer;

/// Where `real/build.sh` builds the file or folder of this name, such as `kubernetes/etcd`; see there for what there is.
///
/// # Panics
/// If the script does not run, or has no group of the name's first part.
pub fn path(name: &str) -> PathBuf {
    static FOLDERS: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    let (group, rest) = name.split_once('/').unwrap_or((name, ""));
    let mut folders = FOLDERS.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = folders.entry(group.to_owned()).or_insert_with(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../real/build.sh");
        let output = Command::new(&script).args(["--path", group]).output();
        let output = output.unwrap_or_else(|error| panic!("{}: {error}", script.display()));
        assert!(output.status.success(), "{}: {}", script.display(), String::from_utf8_lossy(&output.stderr));
        PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
    });
    folder.join(rest)
}

/// The [paths](path) of built files, such as `kubernetes/etcd` or `cluster-api/core/components.yaml`.
///
/// Where one is missing, prints what is `skipped` for want of it and the command that builds it, and is `None`.
///
/// # Panics
/// Instead, in CI (`CI=true`): there nothing is skipped.
pub fn files<const N: usize>(names: [&str; N], skipped: &str) -> Option<[PathBuf; N]> {
    let paths = names.map(path);
    let missing = paths.iter().find(|path| !path.is_file());
    let Some(missing) = missing else { return Some(paths) };
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "`real/build.sh` must have built {} in CI",
        missing.display()
    );
    #[allow(clippy::print_stderr)] // what is skipped must be seen
    {
        eprintln!("SKIPPED: {skipped}, because {} is not built.\nBuild it with: real/build.sh", missing.display());
    }
    None
}

/// A child process that ends with its handle.
#[derive(Debug)]
pub struct Process {
    child: Mutex<Child>,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with both outputs in the file `log`.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(command: &mut Command, log: PathBuf) -> Self {
        let file = std::fs::File::create(&log).unwrap_or_else(|error| panic!("{}: {error}", log.display()));
        let error_file = file.try_clone().unwrap_or_else(|error| panic!("{}: {error}", log.display()));
        command.stdin(std::process::Stdio::null()).stdout(file).stderr(error_file);
        let child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", command.get_program().display()));
        Self { child: Mutex::new(child), log }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.lock().unwrap_or_else(PoisonError::into_inner).id()
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&self) -> bool {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        !matches!(child.try_wait(), Ok(None))
    }

    /// What it has printed so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// A port of this machine's loopback interface that was free a moment ago. It is below those the system gives to outgoing
/// connections (32768 and up on Linux), one of which could else have it before the server does.
///
/// # Panics
/// If a thousand random ones are taken.
pub fn free_port() -> u16 {
    const PORTS: std::ops::Range<u16> = 16_384..32_768;
    for _ in 0..1000 {
        // The keys of a new hasher are random.
        let random = RandomState::new().build_hasher().finish() % u64::from(PORTS.end - PORTS.start);
        let port = PORTS.start + u16::try_from(random).unwrap_or_default();
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port between {} and {} is free", PORTS.start, PORTS.end)
}
