//! The documents of `/openapi` that describe what every plane serves, byte by byte as kube-apiserver publishes them.
//!
//! They are embedded compressed and put together for each request: clients keep them by their hash, the server keeps
//! nothing. The definitions in them are those that schemas are compiled from.

use std::{collections::BTreeMap, sync::LazyLock};

use bytes::Bytes;
use kogge_machinery::openapi::VersionTwo;

use super::schemas::{GROUP_VERSIONS, packed, unpack};

/// What follows the version in the documents of groups and of other paths, by path.
const OTHERS: &[u8] = include_bytes!("../../schemas/others.json.zz");
/// The document of `/openapi/v2`.
const VERSION_TWO: &[u8] = include_bytes!("../../schemas/version_two.json.zz");
const AUTHENTICATION: &str = r#""securitySchemes":{"BearerToken":{"type":"apiKey","description":"Bearer Token authentication","name":"authorization","in":"header"}}}}"#;

/// Where there are documents, with something that changes when they do.
static DIGESTS: LazyLock<BTreeMap<String, String>> = LazyLock::new(|| {
    let digest = |parts: &[&[u8]]| crate::pipeline::hex_digest(&parts.concat());
    let of_others = others().into_keys().map(|path| (path, digest(&[OTHERS])));
    let of_versions = GROUP_VERSIONS.iter().filter_map(|group_version| {
        let path =
            if group_version.contains('/') { format!("apis/{group_version}") } else { format!("api/{group_version}") };
        Some((path, digest(&packed(group_version)?)))
    });
    of_others.chain(of_versions).collect()
});

fn others() -> BTreeMap<String, String> {
    let raw = text(OTHERS);
    serde_json::from_str(&raw).expect("the embedded documents are JSON, as a test shows")
}

fn text(packed: &[u8]) -> String {
    let raw = unpack(packed).expect("the embedded documents are written by a test and unpacked by another");
    String::from_utf8(raw).expect("the embedded documents are JSON, as a test shows")
}

/// The paths that documents describe, `api/v1`, `apis/apps`, `version`, ..., and a digest of each document but for its
/// version.
pub(crate) fn digests() -> &'static BTreeMap<String, String> {
    &DIGESTS
}

/// The document that describes `path`, for a server of `minor` version (`1.36`).
pub(crate) fn document(path: &str, minor: &str) -> Option<Bytes> {
    let mut document = format!(r#"{{"openapi":"3.0.0","info":{{"title":"Kubernetes","version":"{minor}"}},"paths":"#);
    let group_version = path.strip_prefix("apis/").or_else(|| path.strip_prefix("api/"));
    if let Some([definitions, paths]) = group_version.and_then(packed) {
        document.push_str(&text(paths));
        document.push_str(r#","components":{"schemas":"#);
        document.push_str(&text(definitions));
        document.push(',');
    } else {
        document.push_str(others().get(path)?);
    }
    document.push_str(AUTHENTICATION);
    Some(document.into())
}

/// The document of `/openapi/v2`, for a server of `minor` version.
pub(crate) fn version_two(minor: &str) -> VersionTwo {
    VersionTwo::read(&text(VERSION_TWO), minor).expect("the embedded document is of version 2, as a test shows")
}

/// Something that changes with the document of `/openapi/v2`.
pub(crate) fn version_two_digest() -> &'static str {
    static DIGEST: LazyLock<String> = LazyLock::new(|| crate::pipeline::hex_digest(VERSION_TWO));
    &DIGEST
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_embedded_document_is_json_of_the_path_it_is_for() {
        for path in digests().keys() {
            let document: serde_json::Value = serde_json::from_slice(&document(path, "1.36").unwrap()).unwrap();
            let described = document["paths"].as_object().unwrap();
            assert!(described.keys().all(|described| described.starts_with(&format!("/{path}/"))), "{path}");
            assert_eq!(document["info"]["version"], "1.36");
        }
        assert_eq!(document("apis/nothing/v1", "1.36"), None);
        let two: serde_json::Value = serde_json::from_slice(&version_two("1.36").to_json()).unwrap();
        assert_eq!(two["info"]["version"], "1.36");
    }
}
