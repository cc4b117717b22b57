//! `kogge cluster scale NAME`

use kogge_api::CONFIRM_REMOVAL_ANNOTATION;
use reqwest::Method;
use serde_json::{Value, json};

use crate::arguments::ScaleArguments;
use crate::outcome::{CommandError, Exit};
use crate::progress::{Goal, follow};
use crate::rest_client::{Body, RestClient};
use crate::terminal;

/// Changes the number of machines.
///
/// # Errors
/// Exit code 2 if the pool is not told and there are several, else as the server answers.
pub async fn run(client: &RestClient, arguments: ScaleArguments) -> Result<(), CommandError> {
    let path = client.clusters_path(&format!("/{}", arguments.name));
    let (cluster, changed) = change(client, &path, &arguments).await?;
    let is_same = changed["metadata"]["generation"] == cluster["metadata"]["generation"];
    if is_same {
        terminal::say(&format!("{} has that many already", arguments.name));
    }
    match arguments.wait.wait {
        Some(limit) => follow(client, &arguments.name, Goal::Ready, Some(limit.0)).await,
        None if is_same => Ok(()),
        None => terminal::print(&format!("{0} accepted; `kogge cluster watch {0}` follows it\n", arguments.name)),
    }
}

/// Reads, patches, and reads again where somebody wrote in between. Returns the cluster before and after.
async fn change(client: &RestClient, path: &str, arguments: &ScaleArguments) -> Result<(Value, Value), CommandError> {
    let mut tries = 0;
    loop {
        let cluster: Value = client.call(Method::GET, path, Body::Empty).await?;
        let wanted = patch(&cluster, arguments)?;
        match client.call::<Value>(Method::PATCH, path, Body::MergePatch(&wanted)).await {
            Ok(changed) => return Ok((cluster, changed)),
            Err(error) if error.exit == Exit::Conflict && tries < 10 => tries += 1,
            Err(error) => return Err(error),
        }
    }
}

/// The merge patch for a scale command. It carries the version of the cluster it was made from: a list is replaced as a
/// whole by a merge patch, and nobody else's change may get lost by that.
fn patch(cluster: &Value, arguments: &ScaleArguments) -> Result<Value, CommandError> {
    let mut patch = json!({ "metadata": { "resourceVersion": cluster["metadata"]["resourceVersion"] }, "spec": {} });
    if let Some(count) = arguments.control_plane {
        patch["spec"]["controlPlane"] = json!({ "count": count });
        if arguments.yes {
            patch["metadata"]["annotations"] = json!({ CONFIRM_REMOVAL_ANNOTATION: "control-plane" });
        }
    }
    let Some(count) = arguments.count else { return Ok(patch) };
    let mut pools = cluster["spec"]["workers"].as_array().cloned().unwrap_or_default();
    let names: Vec<String> = pools.iter().filter_map(|pool| pool["name"].as_str()).map(str::to_owned).collect();
    let listed = format!("its pools are: {}", names.join(", "));
    let name = match (&arguments.pool, names.as_slice()) {
        (Some(name), names) if names.contains(name) => name.clone(),
        (Some(name), _) => {
            return Err(
                CommandError::new(Exit::NotFound, format!("{} has no pool {name}", arguments.name)).hint(listed)
            );
        }
        (None, [only]) => only.clone(),
        (None, _) => {
            return Err(CommandError::new(
                Exit::Refused,
                format!("{} has several pools; name one with --pool", arguments.name),
            )
            .hint(listed));
        }
    };
    for pool in pools.iter_mut().filter(|pool| pool["name"] == name.as_str()) {
        if pool.get("autoscaling").is_some() {
            return Err(CommandError::new(Exit::Refused, format!("pool {name} scales by itself"))
                .hint("change workers[].autoscaling in the description"));
        }
        pool["count"] = json!(count);
    }
    patch["spec"]["workers"] = Value::Array(pools);
    Ok(patch)
}
