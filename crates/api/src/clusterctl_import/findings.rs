//! What an import has to say.

use serde::Serialize;

/// What became of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum FindingKind {
    /// Has no field; the message says why none is needed.
    Dropped,
    /// Went over, but not as it was.
    Changed,
    /// Somebody has to decide before or after the cluster is made.
    NeedsDecision,
}

impl std::fmt::Display for FindingKind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(match self {
            Self::Dropped => "dropped",
            Self::Changed => "changed",
            Self::NeedsDecision => "needs a decision",
        })
    }
}

/// One thing an import has to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What became of the parameter.
    pub kind: FindingKind,
    /// Line of the parameter, from 1; 0 where the file does not have it.
    pub line: usize,
    /// The parameter.
    pub parameter: String,
    /// One sentence.
    pub message: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.line > 0 {
            write!(formatter, "line {}: ", self.line)?;
        }
        write!(formatter, "{} {}: {}", self.parameter, self.kind, self.message)
    }
}
