//! What tests and benchmarks start: an in-process [`world`] of everything `kogge up` runs, and [`real`] components.

#![deny(missing_docs)]

pub mod real;
#[cfg(feature = "world")]
pub mod world;

#[cfg(feature = "world")]
pub use world::{TOKEN, options, start};
