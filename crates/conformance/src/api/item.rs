//! The numbered list of what a Kubernetes API server has to do, which the scenarios prove point by point.

use serde::Deserialize;

/// One point of the list.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// Its number, from 1.
    pub number: u32,
    /// Its name, e.g. `Optimistic concurrency`.
    pub title: String,
    /// What the server has to do, in two or three sentences.
    pub text: String,
}

/// The list, in order.
///
/// # Panics
/// If the embedded list is not readable, which a test excludes.
pub fn all() -> Vec<Item> {
    serde_saphyr::from_str(include_str!("../../scenarios/items.yaml")).expect("the embedded list of items is readable")
}
