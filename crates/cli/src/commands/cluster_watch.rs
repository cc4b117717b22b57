//! `kogge cluster watch NAME`

use crate::arguments::NameArguments;
use crate::outcome::CommandError;
use crate::progress::{Goal, current, follow};
use crate::rest_client::RestClient;

/// Follows a cluster until interrupted or gone.
///
/// # Errors
/// As the server answers.
pub async fn run(client: &RestClient, arguments: NameArguments) -> Result<(), CommandError> {
    current(client, &arguments.name).await?;
    tokio::select! {
        result = follow(client, &arguments.name, Goal::Nothing, None) => result,
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}
