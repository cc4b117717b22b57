//! Everything `kogge up` starts, in memory, on free ports.

use std::net::{Ipv4Addr, SocketAddr};

use kogge::all_in_one::{AllInOne, AllInOneError, AllInOneOptions, AuthenticationConfiguration, ServerOptions};
use kogge_simulator::clock::Speed;

/// The token of every world.
pub const TOKEN: &str = "test-token";

/// Options of a world in memory at full speed; change what a test needs otherwise.
pub fn options() -> AllInOneOptions {
    let free_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    AllInOneOptions {
        authentication: AuthenticationConfiguration::default(),
        managers: None,
        simulator: true,
        data: None,
        api_address: free_port,
        portal_address: free_port,
        token: TOKEN.into(),
        speed: Speed::Max,
        faults: Vec::new(),
        api_server: ServerOptions::default(),
    }
}

/// Starts a world.
///
/// # Errors
/// As [`AllInOne::start`].
pub async fn start() -> Result<AllInOne, AllInOneError> {
    AllInOne::start(options()).await
}
