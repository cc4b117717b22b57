//! Which resource a request path names.
//!
//! The rules are those of `k8s.io/apiserver/pkg/endpoints/request` (RequestInfo), including its oddest one:
//! `/api/v1/namespaces/x/status` is a subresource of the namespace, `/api/v1/namespaces/x/pods` a collection in it.

use std::borrow::Cow;

/// A parsed path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestPath {
    /// `/api`
    CoreVersions,
    /// `/apis`
    Groups,
    /// `/apis/GROUP`
    Group {
        /// API group.
        group: String,
    },
    /// `/api/v1` (empty group) or `/apis/GROUP/VERSION`
    GroupVersion {
        /// API group, empty for the core group.
        group: String,
        /// Version.
        version: String,
    },
    /// `/openapi/v3`
    OpenApiV3Index,
    /// `/openapi/v3/PATH`
    OpenApiV3 {
        /// What is described: `api/v1`, `apis/GROUP/VERSION`, `version`, ...
        path: String,
    },
    /// `/openapi/v2`
    OpenApiV2,
    /// A collection or an object.
    Resource {
        /// API group, empty for the core group.
        group: String,
        /// Version.
        version: String,
        /// Namespace, where the path has one. None for a Namespace object itself.
        namespace: Option<String>,
        /// Plural resource name.
        resource: String,
        /// Name of the object; None for a collection.
        name: Option<String>,
        /// Subresource, e.g. `status`.
        subresource: Option<String>,
        /// Segments after the subresource (proxied paths).
        rest: Vec<String>,
        /// Whether it is the old address of a watch, `/api/v1/watch/...`.
        watch: bool,
    },
    /// `/api/v1/watch`: a verb, and nothing it is for.
    VerbAlone,
    /// `/version`, `/livez`, `/metrics`, ...: the path without a trailing slash.
    NonResource(String),
}

/// Subresources of the Namespace object: any other word after a namespace's name is a resource inside it.
const NAMESPACE_SUBRESOURCES: [&str; 2] = ["status", "finalize"];

/// Verbs that a path can begin with instead of a resource.
const VERBS: [&str; 2] = ["proxy", "watch"];

/// Parses the path of a request, still percent-encoded. It is decoded as a whole, so that an encoded slash splits like any
/// other; bytes that are no UTF-8 become U+FFFD, one for each.
/// `/api/v1/namespaces/x` is the namespace object itself.
pub fn parse(path: &str) -> RequestPath {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let non_resource = || RequestPath::NonResource(path.to_owned());
    let inner = path.strip_prefix('/').unwrap_or(path);
    let decoded = percent_decode(inner.strip_suffix('/').unwrap_or(inner));
    let words: Vec<&str> = decoded.split('/').collect();
    if words.contains(&"") {
        // Nothing is served where a word is missing; whose 404 it is depends on the group.
        return match words.as_slice() {
            ["api", ..] => resource("", "", &[]),
            ["apis", group, ..] if !group.is_empty() => resource(group, "", &[]),
            _ => non_resource(),
        };
    }
    match words.as_slice() {
        ["openapi", ..] if inner.ends_with('/') => non_resource(),
        ["api"] => RequestPath::CoreVersions,
        ["apis"] => RequestPath::Groups,
        ["apis", group] => RequestPath::Group { group: (*group).to_owned() },
        ["api", version] => RequestPath::GroupVersion { group: String::new(), version: (*version).to_owned() },
        ["apis", group, version] => {
            RequestPath::GroupVersion { group: (*group).to_owned(), version: (*version).to_owned() }
        }
        ["openapi", "v2"] => RequestPath::OpenApiV2,
        ["openapi", "v3"] => RequestPath::OpenApiV3Index,
        ["openapi", "v3", path @ ..] => RequestPath::OpenApiV3 { path: path.join("/") },
        ["api", _, verb] | ["apis", _, _, verb] if VERBS.contains(verb) => RequestPath::VerbAlone,
        ["api", version, rest @ ..] => resource("", version, rest),
        ["apis", group, version, rest @ ..] => resource(group, version, rest),
        _ => non_resource(),
    }
}

fn resource(group: &str, version: &str, parts: &[&str]) -> RequestPath {
    let (watch, parts) = match parts {
        ["watch", rest @ ..] if !rest.is_empty() => (true, rest),
        _ => (false, parts),
    };
    let (namespace, parts) = match parts {
        ["namespaces", namespace, inner, ..] if !NAMESPACE_SUBRESOURCES.contains(inner) => {
            (Some((*namespace).to_owned()), &parts[2..])
        }
        _ => (None, parts),
    };
    let word = |index: usize| parts.get(index).map(|word| (*word).to_owned());
    RequestPath::Resource {
        group: group.to_owned(),
        version: version.to_owned(),
        namespace,
        resource: word(0).unwrap_or_default(),
        name: word(1),
        subresource: word(2),
        rest: parts.iter().skip(3).map(|word| (*word).to_owned()).collect(),
        watch,
    }
}

/// Decodes `%XX`; a percent sign without two hexadecimal digits stays as it is, as the result is only looked up.
fn percent_decode(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while index < bytes.len() {
        let hex = |offset: usize| bytes.get(index + offset).and_then(|byte| char::from(*byte).to_digit(16));
        let byte = match (bytes[index], hex(1), hex(2)) {
            (b'%', Some(high), Some(low)) => u8::try_from(high * 16 + low).ok(),
            _ => None,
        };
        decoded.push(byte.unwrap_or(bytes[index]));
        index += if byte.is_some() { 3 } else { 1 };
    }
    let mut text = String::with_capacity(decoded.len());
    for chunk in decoded.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_name_what_kubectl_means() {
        let paths = [
            "/api",
            "/apis/",
            "/apis/apps",
            "/api/v1",
            "/apis/apps/v1",
            "/openapi/v3",
            "/openapi/v3/api/v1",
            "/openapi/v3/apis/apps/v1?hash=AB",
            "/openapi/v2",
            "/version",
            "/",
            "/livez/ping",
            "/api/v1/namespaces",
            "/api/v1/namespaces/x",
            "/api/v1/namespaces/x/status",
            "/api/v1/namespaces/x/finalize",
            "/api/v1/namespaces/x/pods",
            "/api/v1/namespaces/x/pods/p/log",
            "/api/v1/namespaces/x/services/s/proxy/a/b",
            "/api/v1/nodes/n/status",
            "/api/v1/watch/namespaces/x",
            "/api/v1/watch/namespaces/x/pods/p",
            "/apis/apps/v1/watch/deployments",
            "/api/v1/watch",
            "/apis/example.com/v1/widgets",
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode",
            "/apis/example.com/v1/namespaces/x/widgets/w%2Fv",
            "/api/v1/namespaces/x/pods/%ff",
        ];
        let lines: Vec<String> = paths.iter().map(|path| format!("{path} => {:?}", parse(path))).collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    proptest! {
        #[test]
        fn no_path_makes_the_parser_panic(path in "[/a-z%0-9A-F.\\PC]{0,60}") {
            let _ = parse(&path);
        }

        #[test]
        fn an_object_path_gives_back_its_parts(
            group in "[a-z]{1,8}", version in "v[1-9]", namespace in "[a-z]{1,8}", resource in "[a-m]{1,8}s", name in "[a-z0-9]{1,8}"
        ) {
            let path = format!("/apis/{group}/{version}/namespaces/{namespace}/{resource}/{name}");
            prop_assume!(!NAMESPACE_SUBRESOURCES.contains(&resource.as_str()));
            prop_assert_eq!(parse(&path), RequestPath::Resource {
                group, version, namespace: Some(namespace), resource, name: Some(name), subresource: None, rest: vec![], watch: false,
            });
        }
    }
}
