//! The catalogue of problems: what can go wrong with a cluster, who can solve it and how.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who can solve a problem.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize, JsonSchema)]
pub enum Actor {
    /// The customer, by changing the description or what runs in the cluster.
    User,
    /// The operator of the cloud or of Kogge.
    #[default]
    Provider,
    /// Kogge itself: it repairs this without anybody's help.
    Platform,
}
