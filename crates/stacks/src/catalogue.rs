//! Which stack releases there are, and which one a cluster gets.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use crate::release::StackRelease;

/// What the files of the folder of the same name hold, by their names. Read as JSON, as this is done at each start and takes a
/// tenth of the time; a test makes it from the files and compares.
const SIM_SCS_V1: &str = include_str!("../stacks/sim-scs/v1.json");

const READ_BY_TESTS: &str = "the embedded stack releases are read by the tests of this crate";

/// The stack releases that are part of the binary.
static BUILT_IN: LazyLock<StackCatalogue> = LazyLock::new(|| {
    let releases = [SIM_SCS_V1].map(|files| {
        let documents = serde_json::from_str::<BTreeMap<_, _>>(files).expect(READ_BY_TESTS);
        StackRelease::from_documents(documents).expect(READ_BY_TESTS)
    });
    StackCatalogue { releases: Arc::new(releases.into()) }
});

/// A set of stack releases to choose from. Clones share them.
#[derive(Clone, Debug)]
pub struct StackCatalogue {
    releases: Arc<Vec<StackRelease>>,
}

/// No release of the catalogue fits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChooseReleaseError {
    /// No stack of that name.
    #[error("stack `{name}` is not known; known: {}", known.join(", "))]
    UnknownStack {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// The stack has no such release.
    #[error("stack `{name}` has no release `{release}`; there are: {}", known.join(", "))]
    UnknownRelease {
        /// The stack.
        name: String,
        /// The release asked for.
        release: String,
        /// The releases there are.
        known: Vec<String>,
    },
    /// The stack has no release for the Kubernetes version.
    #[error("stack `{name}` has no release for Kubernetes {minor}; it supports: {}", supported.join(", "))]
    UnsupportedVersion {
        /// The stack.
        name: String,
        /// The minor version asked for.
        minor: String,
        /// Minor versions with a release.
        supported: Vec<String>,
    },
}

impl Default for StackCatalogue {
    fn default() -> Self {
        BUILT_IN.clone()
    }
}

impl StackCatalogue {
    /// Adds a release; one of the same stack and number is replaced.
    pub fn add(&mut self, release: StackRelease) {
        let releases = Arc::make_mut(&mut self.releases);
        releases.retain(|known| (&known.name, &known.release) != (&release.name, &release.release));
        releases.push(release);
    }

    /// All releases.
    pub fn releases(&self) -> &[StackRelease] {
        &self.releases
    }

    /// The release a cluster gets: the named one (`7` and `v7` are the same), else the newest that supports the minor
    /// version.
    ///
    /// # Errors
    /// When the stack, the release, or a release for the version does not exist; the error lists what there is.
    pub fn choose(&self, name: &str, release: Option<&str>, minor: &str) -> Result<&StackRelease, ChooseReleaseError> {
        let mut of_stack: Vec<&StackRelease> = self.releases.iter().filter(|known| known.name == name).collect();
        of_stack.sort_by_key(|known| release_number(&known.release));
        if of_stack.is_empty() {
            let mut known: Vec<String> = self.releases.iter().map(|known| known.name.clone()).collect();
            known.sort();
            known.dedup();
            return Err(ChooseReleaseError::UnknownStack { name: name.to_owned(), known });
        }
        if let Some(wanted) = release {
            of_stack.retain(|known| release_number(&known.release) == release_number(wanted));
            if of_stack.is_empty() {
                let known = self.releases.iter().filter(|known| known.name == name);
                return Err(ChooseReleaseError::UnknownRelease {
                    name: name.to_owned(),
                    release: wanted.to_owned(),
                    known: known.map(|known| known.release.clone()).collect(),
                });
            }
        }
        of_stack.iter().rev().find(|known| known.supports(minor)).copied().ok_or_else(|| {
            let mut supported: Vec<String> =
                of_stack.iter().flat_map(|known| known.kubernetes_minors.iter().cloned()).collect();
            supported.sort();
            supported.dedup();
            ChooseReleaseError::UnsupportedVersion { name: name.to_owned(), minor: minor.to_owned(), supported }
        })
    }
}

/// Numbers order by value; anything else comes before them, by its text.
fn release_number(release: &str) -> (u64, String) {
    let plain = release.strip_prefix('v').unwrap_or(release);
    (plain.parse().unwrap_or(0), plain.to_owned())
}
