//! Every path of discovery with every method.

use serde_json::Value;

use super::super::case::Case;
use super::{JSON, MERGE, request};

const METHODS: [&str; 8] = ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "TRACE"];

/// Subresources that lead to a kubelet, a pod or a service, which are no part of either server here: what they say of an
/// object that is not there is in scenarios.
const CONNECTS: [&str; 5] = ["attach", "exec", "log", "portforward", "proxy"];

/// A resource or a subresource.
#[derive(Clone, Debug)]
pub(crate) struct Resource {
    /// Path of the version of its group.
    base: String,
    plural: String,
    subresource: Option<String>,
    namespaced: bool,
}

/// Those that an `APIResourceList` names.
pub(crate) fn resources(base: &str, list: &Value) -> Vec<Resource> {
    let entries = list["resources"].as_array().into_iter().flatten();
    entries
        .filter_map(|entry| {
            let name = entry["name"].as_str()?;
            let (plural, subresource) =
                name.split_once('/').map_or((name, None), |(plural, name)| (plural, Some(name.to_owned())));
            let namespaced = entry["namespaced"] == Value::Bool(true);
            Some(Resource { base: base.to_owned(), plural: plural.to_owned(), subresource, namespaced })
        })
        .collect()
}

pub(super) fn all(resources: &[Resource]) -> Vec<Case> {
    let mut bases: Vec<&str> = resources.iter().map(|resource| resource.base.as_str()).collect();
    bases.dedup();
    let lists = bases.into_iter().flat_map(|base| METHODS.map(|method| case(method, base)));
    lists.chain(resources.iter().flat_map(Resource::cases)).collect()
}

impl Resource {
    fn cases(&self) -> Vec<Case> {
        // Without a namespace too, where one belongs.
        let mut places = vec![format!("{}/{}", self.base, self.plural)];
        if self.namespaced {
            places.push(format!("{}/namespaces/matrix/{}", self.base, self.plural));
        }
        let methods = |path: String| METHODS.map(|method| case(method, &path));
        places
            .into_iter()
            .flat_map(|place| {
                let paths = match &self.subresource {
                    Some(name) if CONNECTS.contains(&name.as_str()) => Vec::new(),
                    Some(name) => vec![format!("{place}/nope/{name}"), format!("{place}/nope/{name}/nonsense")],
                    None => vec![place.clone(), format!("{place}/nope"), format!("{place}/nope/nonsense")],
                };
                paths.into_iter().flat_map(methods).filter(|case| {
                    // What deletes everything stays out, a dry run or not.
                    case.method != "DELETE" || case.path.contains("/nope")
                })
            })
            .collect()
    }
}

fn case(method: &'static str, path: &str) -> Case {
    let (content_type, body) = match method {
        "PATCH" => (MERGE, "{}"),
        "PUT" | "POST" => (JSON, "{}"),
        _ => ("", ""),
    };
    // What there is in either server has nothing to do with the method.
    let path = format!("{path}?dryRun=All&labelSelector=no%3Done");
    request(format!("matrix of methods: {method} {path}"), method, path, content_type, body)
}
