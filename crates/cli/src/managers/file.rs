//! Files the user names: read and parsed in one step, so that every error says which file it is about.

use std::path::{Path, PathBuf};

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file, or the folder it is in, could not be read.
    #[error("failed to read {}: {source}", .path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is malformed.
    #[error("{}: {message}", .path.display())]
    Parse {
        /// Which one.
        path: PathBuf,
        /// What is wrong, with the place.
        message: String,
    },
}

/// What `parse` makes of the text of the file.
///
/// # Errors
/// If the file cannot be read, is no UTF-8 or `parse` refuses it with a message.
pub fn read<T>(path: &Path, parse: impl FnOnce(&str) -> Result<T, String>) -> Result<T, FileError> {
    let text = std::fs::read_to_string(path).map_err(|source| FileError::Read { path: path.to_owned(), source })?;
    parse(&text).map_err(|message| FileError::Parse { path: path.to_owned(), message })
}
