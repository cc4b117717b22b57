//! `kogge cluster delete NAME`

use reqwest::Method;

use crate::arguments::DeleteArguments;
use crate::outcome::{CommandError, Exit};
use crate::progress::{Goal, current, follow};
use crate::rest_client::{Body, RestClient};
use crate::terminal;

/// Deletes a cluster, after a yes.
///
/// # Errors
/// Exit code 2 without a yes, else as the server answers.
pub async fn run(client: &RestClient, arguments: DeleteArguments) -> Result<(), CommandError> {
    let name = &arguments.name;
    current(client, name).await?;
    if !arguments.yes && !terminal::confirm(&format!("delete {name} and everything in it"), "--yes")? {
        return Err(CommandError::new(Exit::Refused, "nothing was deleted"));
    }
    client.call_text(Method::DELETE, &client.clusters_path(&format!("/{name}")), Body::Empty).await?;
    if let Some(limit) = arguments.wait.wait {
        follow(client, name, Goal::Gone, Some(limit.0)).await
    } else {
        terminal::say(&format!("{name} is being deleted; `kogge cluster watch {name}` follows it"));
        Ok(())
    }
}
