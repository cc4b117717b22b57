//! Paths of custom kinds, from those that the real server publishes for a definition with words to be replaced.
//!
//! All custom kinds have the same operations and parameters, with long descriptions; only names differ, and there are
//! fewer paths without subresources. A test of `conformance` writes the file and compares what comes of it.

use std::{collections::BTreeMap, io::Read};

use flate2::read::ZlibDecoder;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{components::Version, reversed};
use crate::resource::ResourceType;

const TEMPLATE: &[u8] = include_bytes!("custom_kinds.json.zz");

/// Paths, or definitions, by their names.
pub(super) type Texts = BTreeMap<String, Box<RawValue>>;

/// What the real server publishes for two kinds of the group `groupword.example.com` in version `v7beta7`: `Kindword`,
/// which is namespaced, and `Clusterword`, both with all subresources.
#[derive(Default, Deserialize)]
pub(super) struct Template {
    /// Definitions that are in each document of version 3, by name.
    pub(super) definitions: Texts,
    version_two: Texts,
    version_three: Texts,
}

impl Template {
    /// Unpacks the embedded file.
    pub(super) fn unpack() -> Self {
        let mut text = String::new();
        // A test reads it.
        if ZlibDecoder::new(TEMPLATE).read_to_string(&mut text).is_err() {
            return Template::default();
        }
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Adds the paths of a resource.
    pub(super) fn add_paths(&self, resource: &ResourceType, version: Version, paths: &mut Texts) {
        let published = match version {
            Version::Two => &self.version_two,
            Version::Three => &self.version_three,
        };
        let words = words(resource);
        let replace = |text: &str| words.iter().fold(text.to_owned(), |text, (word, name)| text.replace(word, name));
        let plural = if resource.namespaced { "pluralword" } else { "clusterwords" };
        for (path, item) in published {
            let Some((_, rest)) = path.rsplit_once(plural) else { continue };
            let served = match rest.rsplit('/').next() {
                Some("status") => resource.status_subresource,
                Some("scale") => resource.scale.is_some(),
                _ => true,
            };
            if served && let Some(item) = with_verbs(resource, replace(item.get())) {
                paths.insert(replace(path), item);
            }
        }
    }
}

/// The path with the operations that the resource has; `None` if that is none.
fn with_verbs(resource: &ResourceType, item: String) -> Option<Box<RawValue>> {
    if resource.custom {
        return RawValue::from_string(item).ok();
    }
    let mut operations: BTreeMap<String, Box<RawValue>> = serde_json::from_str(&item).ok()?;
    operations.retain(|method, operation| {
        let verb = match method.as_str() {
            "post" => "create",
            "put" => "update",
            "delete" if operation.get().contains(r#""x-kubernetes-action":"deletecollection""#) => "deletecollection",
            "get" if operation.get().contains(r#""x-kubernetes-action":"list""#) => "list",
            method => method,
        };
        verb == "parameters" || resource.verbs.iter().any(|known| known == verb)
    });
    if operations.len() < 2 { None } else { serde_json::value::to_raw_value(&operations).ok() }
}

/// What stands for what in the template. Longer words come before those that are in them.
fn words(resource: &ResourceType) -> Vec<(&'static str, String)> {
    // In names of operations the kind is a part of its own, or goes on after another word.
    let [of_version, in_namespace, of_collection, with_article, list_kind, kind, plural] = if resource.namespaced {
        ["V7beta7Kindword", "NamespacedKindword", "", " a Kindword", "KindwordList", "Kindword", "pluralword"]
    } else {
        let list_kind = "ClusterwordList";
        ["V7beta7Clusterword", "", "CollectionClusterword", " a Clusterword", list_kind, "Clusterword", "clusterwords"]
    };
    let trimmed = resource.group.strip_suffix(".k8s.io").unwrap_or(&resource.group);
    let version = operation_name(&resource.version, true);
    let continued = operation_name(&resource.kind, false);
    let mut words = vec![
        ("com.example.groupword", reversed(&resource.group)),
        ("groupword.example.com", resource.group.clone()),
        ("GroupwordExampleCom", operation_name(trimmed, true)),
        ("groupwordExampleCom", operation_name(trimmed, false)),
        (of_version, format!("{version}{}", operation_name(&resource.kind, true))),
        (in_namespace, format!("Namespaced{continued}")),
        (of_collection, format!("Collection{continued}")),
        ("V7beta7", version),
        ("v7beta7", resource.version.clone()),
        (with_article, format!("{}{}", article(&resource.kind), resource.kind)),
        (list_kind, resource.list_kind.clone()),
        (kind, resource.kind.clone()),
        (plural, resource.plural.clone()),
    ];
    words.retain(|(word, _)| !word.is_empty());
    words
}

/// A name as operations have it: letters and digits, with a capital for each part.
fn operation_name(name: &str, capital: bool) -> String {
    let mut written = String::new();
    let mut capital = capital;
    for (position, character) in name.chars().enumerate() {
        if character.is_alphabetic() || character == '_' || position > 0 && character.is_numeric() {
            written.push(if capital { character.to_ascii_uppercase() } else { character });
            capital = false;
        } else {
            capital = true;
        }
    }
    written
}

/// What stands before a noun, with spaces.
fn article(noun: &str) -> &'static str {
    if noun.ends_with('s') && !noun.ends_with("ss") {
        " "
    } else if noun.starts_with(['a', 'e', 'i', 'o', 'u', 'A', 'E', 'I', 'O', 'U']) {
        " an "
    } else {
        " a "
    }
}
