//! `kogge cluster tree NAME`

use reqwest::Method;
use serde_json::Value;

use crate::arguments::GetArguments;
use crate::outcome::CommandError;
use crate::rest_client::{Body, RestClient};
use crate::{rendering, terminal};

/// Shows the objects a cluster consists of.
///
/// # Errors
/// As the server answers.
pub async fn run(client: &RestClient, arguments: GetArguments) -> Result<(), CommandError> {
    let path = client.clusters_path(&format!("/{}/tree", arguments.name));
    let tree: Value = client.call(Method::GET, &path, Body::Empty).await?;
    let now = jiff::Timestamp::now();
    terminal::print(&rendering::document(arguments.output.output, &tree, || for_people(&tree, now))?)
}

/// A tree for people, in columns: object, whether it is ready, since when, and what it says if not.
pub fn for_people(tree: &Value, now: jiff::Timestamp) -> String {
    let mut rows = Vec::new();
    walk(tree, "", "", now, &mut rows);
    rendering::table(&["OBJECT", "READY", "SINCE", "REASON", "MESSAGE"], &rows)
}

fn walk(node: &Value, lead: &str, lead_of_children: &str, now: jiff::Timestamp, rows: &mut Vec<Vec<String>>) {
    let text = |field: &str| node[field].as_str().unwrap_or_default().to_owned();
    let since: Option<jiff::Timestamp> = node["since"].as_str().and_then(|time| time.parse().ok());
    let message = text("message");
    rows.push(vec![
        format!("{lead}{}/{}", text("kind"), text("name")),
        text("ready"),
        since.map_or_else(String::new, |_| rendering::age(since, now)),
        text("reason"),
        message.lines().next().unwrap_or_default().to_owned(),
    ]);
    let children = node["children"].as_array().map(Vec::as_slice).unwrap_or_default();
    for (index, child) in children.iter().enumerate() {
        let last = index + 1 == children.len();
        let (branch, beside) = if last { ("└─", "  ") } else { ("├─", "│ ") };
        walk(child, &format!("{lead_of_children}{branch}"), &format!("{lead_of_children}{beside}"), now, rows);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_shows_who_belongs_to_whom() {
        let tree = serde_json::json!({
            "kind": "Cluster", "name": "shop", "ready": "False", "reason": "NotReady", "message": "1 of 2",
            "since": "2026-11-21T08:00:00Z",
            "children": [
                {"kind": "KubeadmControlPlane", "name": "shop-x", "ready": "True", "children": [
                    {"kind": "Machine", "name": "shop-x-1", "ready": "True", "children": []},
                ]},
                {"kind": "MachineDeployment", "name": "shop-default", "ready": "False", "children": []},
            ],
        });
        insta::assert_snapshot!(for_people(&tree, "2026-11-21T08:01:00Z".parse().unwrap()), @r"
        OBJECT                            READY  SINCE  REASON    MESSAGE
        Cluster/shop                      False  60s    NotReady  1 of 2
        ├─KubeadmControlPlane/shop-x      True
        │ └─Machine/shop-x-1              True
        └─MachineDeployment/shop-default  False
        ");
    }
}
