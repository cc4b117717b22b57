//! YAML as the real server reads and writes it: `sigs.k8s.io/yaml` over go-yaml v2, in its words.
//!
//! The grammar is libyaml's, of which go-yaml is a port; what it makes of scalars is YAML 1.1 (`yes` is true, `1_000` a
//! number). Only the first document of a stream is read. A body cannot exhaust the stack, and what aliases multiply is
//! bounded as in Go.

mod decode;
mod nodes;
mod resolve;
mod write;

#[cfg(test)]
mod tests;

use serde_json::Value;

pub use write::{to_text, to_unfolded_text};

/// Documents nested deeper are refused, with the text of Go's limit of ten thousand: the scanner's work grows with the
/// depth of flow collections. JSON is no slower for its depth, and is better read as such.
const MAXIMUM_DEPTH: usize = 256;

/// A decoded document.
#[derive(Debug, PartialEq)]
pub struct Decoded {
    /// What it is as JSON; null for an empty one.
    pub value: Value,
    /// `line 3: key "a" already set in map` for each key that is there twice, of which the last one counts.
    pub repeated: Vec<String>,
}

impl Decoded {
    /// The error of strict decoding, where there is one.
    pub fn strict_error(&self) -> Option<String> {
        (!self.repeated.is_empty()).then(|| format!("yaml: unmarshal errors:\n  {}", self.repeated.join("\n  ")))
    }
}

/// Decodes the first document of a stream.
///
/// # Errors
/// Go's text for what is no YAML, or has no form as JSON.
pub fn decode(bytes: &[u8]) -> Result<Decoded, String> {
    let text = nodes::text_of(bytes).map_err(|why| format!("yaml: {why}"))?;
    let document = nodes::Document::parse(&text).map_err(|why| format!("yaml: {why}"))?;
    decode::decode(&document)
}
