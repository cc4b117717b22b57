//! Names of new machines.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::{
    object::{joined_name, name_suffix},
    state::ClusterState,
};

/// A name nobody has: the owner's with five characters that depend on the owner, the time and a counter.
pub fn new_name(state: &ClusterState, taken: &BTreeSet<String>, owner: &str, uid: &str, now: Timestamp) -> String {
    let mut counter = 0_u64;
    loop {
        let suffix = name_suffix(&[uid, &now.as_nanosecond().to_string(), &counter.to_string()]);
        let name = joined_name(owner, &suffix);
        if !taken.contains(&name) && !state.machines.iter().any(|it| it.name() == name) {
            return name;
        }
        counter += 1;
    }
}
