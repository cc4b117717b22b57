//! The profile of the simulation, which `kogge up` brings along.

use super::ProviderProfile;

/// The profile `sim` as a YAML document.
pub const SIMULATION: &str = include_str!("../../profiles/sim.yaml");

/// The profile `sim`: three zones, flavors by the SCS naming standard, Kubernetes 1.33 to 1.36, every capability.
pub fn simulation() -> ProviderProfile {
    serde_saphyr::from_str(SIMULATION).expect("the built-in profile is valid, which a test holds")
}
