//! The data directory of `kogge up`: what is in it, and how a client finds the running server by it.
//!
//! ```text
//! DATA/kogge.redb      every object          DATA/kubeconfig      admin of the Kubernetes-style API (0600)
//! DATA/pki/            certificates, keys    DATA/token           bearer token of the REST API (0600)
//! DATA/lock            held while it runs    DATA/endpoints.json  addresses and process id while it runs
//! ```

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A failed step on the data directory.
#[derive(Debug, thiserror::Error)]
pub enum DataDirectoryError {
    /// Neither `--data` nor `KOGGE_DATA` nor `XDG_DATA_HOME` nor `HOME` says where it is.
    #[error("no data directory: give one with --data DIR")]
    Locate,
    /// It could not be made.
    #[error("failed to create or open the data directory {path}")]
    Create {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another process holds its lock.
    #[error("another `kogge up`{} runs on {}", .process.map(|id| format!(" (process {id})")).unwrap_or_default(), .path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
        /// The other process, if it told.
        process: Option<u32>,
    },
    /// A file in it could not be written.
    #[error("failed to write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Where a running `kogge up` listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// Kubernetes-style API, e.g. `https://127.0.0.1:7443`.
    pub api: String,
    /// REST API, e.g. `http://127.0.0.1:7480`.
    pub portal: String,
    /// Process id.
    pub pid: u32,
}

/// A data directory, not necessarily there yet.
#[derive(Debug, Clone)]
pub struct DataDirectory {
    path: PathBuf,
}

/// Holds the lock of a data directory until dropped.
#[derive(Debug)]
pub struct DataDirectoryLock {
    file: File,
}

impl Drop for DataDirectoryLock {
    fn drop(&mut self) {
        // Closing the file is not enough: a child process that is being started has it too until it runs its program.
        let _ = self.file.unlock();
    }
}

impl DataDirectory {
    /// The directory given, or `$XDG_DATA_HOME/kogge`, or `~/.local/share/kogge`.
    ///
    /// # Errors
    /// [`DataDirectoryError::Locate`] if none of them is known.
    pub fn locate(given: Option<&Path>) -> Result<Self, DataDirectoryError> {
        let path = match given {
            Some(path) => path.to_owned(),
            None => match (std::env::var_os("XDG_DATA_HOME"), std::env::var_os("HOME")) {
                (Some(data), _) if !data.is_empty() => PathBuf::from(data).join("kogge"),
                (_, Some(home)) if !home.is_empty() => PathBuf::from(home).join(".local/share/kogge"),
                _ => return Err(DataDirectoryError::Locate),
            },
        };
        Ok(Self { path })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The admin kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.path.join("kubeconfig")
    }

    /// The file with the REST API's bearer token.
    pub fn token_file(&self) -> PathBuf {
        self.path.join("token")
    }

    fn endpoints_file(&self) -> PathBuf {
        self.path.join("endpoints.json")
    }

    /// Makes the directory (mode 0700) and takes its lock. The operating system frees the lock when the process ends,
    /// however it ends.
    ///
    /// # Errors
    /// [`DataDirectoryError::Locked`] while another process holds it.
    pub fn lock(&self) -> Result<DataDirectoryLock, DataDirectoryError> {
        use std::os::unix::fs::DirBuilderExt as _;
        let create = |source| DataDirectoryError::Create { path: self.path.clone(), source };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.path).map_err(create)?;
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(self.path.join("lock"))
            .map_err(create)?;
        match file.try_lock() {
            Ok(()) => Ok(DataDirectoryLock { file }),
            Err(TryLockError::WouldBlock) => Err(DataDirectoryError::Locked {
                path: self.path.clone(),
                process: self.endpoints().map(|endpoints| endpoints.pid),
            }),
            Err(TryLockError::Error(source)) => Err(create(source)),
        }
    }

    /// Where the running server listens, as it said itself; `None` if there is no such file.
    pub fn endpoints(&self) -> Option<Endpoints> {
        serde_json::from_slice(&std::fs::read(self.endpoints_file()).ok()?).ok()
    }

    /// The REST API's token, if there is one.
    pub fn token(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.token_file()).ok()?;
        Some(text.trim().to_owned()).filter(|token| !token.is_empty())
    }

    /// The token, made by `generate` at first use.
    ///
    /// # Errors
    /// [`DataDirectoryError::Write`].
    pub fn token_or_create(&self, generate: impl FnOnce() -> String) -> Result<String, DataDirectoryError> {
        if let Some(token) = self.token() {
            return Ok(token);
        }
        let token = generate();
        self.write_private(&self.token_file(), token.as_bytes())?;
        Ok(token)
    }

    /// Tells clients where the server listens.
    ///
    /// # Errors
    /// [`DataDirectoryError::Write`].
    pub fn announce(&self, endpoints: &Endpoints) -> Result<(), DataDirectoryError> {
        let text = serde_json::to_vec_pretty(endpoints).expect("endpoints are plain strings");
        self.write_private(&self.endpoints_file(), &text)
    }

    /// Takes the announcement back; a missing file is fine.
    pub fn withdraw(&self) {
        let _ = std::fs::remove_file(self.endpoints_file());
    }

    /// Writes a file of mode 0600 in one step: a reader sees the old content or the new, never half.
    ///
    /// # Errors
    /// [`DataDirectoryError::Write`].
    pub fn write_private(&self, path: &Path, content: &[u8]) -> Result<(), DataDirectoryError> {
        let write = |source| DataDirectoryError::Write { path: path.to_owned(), source };
        let fresh = path.with_extension("new");
        let _ = std::fs::remove_file(&fresh);
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&fresh).map_err(write)?;
        file.write_all(content).and_then(|()| file.sync_all()).map_err(write)?;
        std::fs::rename(&fresh, path).map_err(write)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_on_the_same_directory_is_refused_and_names_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDirectory::locate(Some(folder.path())).unwrap();
        let lock = data.lock().unwrap();
        data.announce(&Endpoints { api: "a".into(), portal: "b".into(), pid: 42 }).unwrap();
        let refused = data.lock().unwrap_err();
        assert!(refused.to_string().contains("(process 42)"), "{refused}");
        drop(lock);
        data.lock().unwrap();
    }

    #[test]
    fn secrets_are_readable_by_their_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let data = DataDirectory::locate(Some(folder.path())).unwrap();
        assert_eq!(data.token_or_create(|| "first".into()).unwrap(), "first");
        assert_eq!(data.token_or_create(|| "second".into()).unwrap(), "first");
        assert_eq!(std::fs::metadata(data.token_file()).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
