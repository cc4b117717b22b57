//! The flavor somebody may have meant: by size where the name tells one, by letters where it does not.

use std::str::FromStr as _;

use super::did_you_mean;
use crate::provider_profile::{Flavor, FlavorName};

/// A hint for a flavor that is not offered, as [`did_you_mean`] gives it; empty when nothing is close.
pub(super) fn hint(name: &str, offered: &[Flavor]) -> String {
    let Ok(asked) = FlavorName::from_str(name) else {
        return did_you_mean(name, offered.iter().map(|flavor| flavor.name.as_str()));
    };
    let disk = asked.disk.map_or(0, |disk| disk.count * disk.size);
    let ratio = |asked: f64, offered: f64| (asked.max(0.1) / offered.max(0.1)).log2().abs();
    let distance = |flavor: &Flavor| {
        // Processors count twice: they are the number people have in mind, and memory is the one they mistype.
        let size =
            2.0 * ratio(f64::from(asked.cpus), f64::from(flavor.vcpus)) + ratio(asked.memory_gib, flavor.memory_gib);
        (size, flavor.root_disk_gib.abs_diff(disk))
    };
    offered
        .iter()
        .map(|flavor| (distance(flavor), flavor))
        // Half or twice the processors, or a quarter or four times the memory, may still be what was meant.
        .filter(|((size, _), _)| *size <= 2.0)
        .min_by(|((size, disk), _), ((other_size, other_disk), _)| {
            size.total_cmp(other_size).then(disk.cmp(other_disk))
        })
        .map(|(_, flavor)| format!(" (did you mean `{}`?)", flavor.name))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::provider_profile::simulation;

    #[rstest]
    #[case("SCS-4V-8", " (did you mean `SCS-4V-8-50s`?)")]
    #[case("SCS-2V-4-10", " (did you mean `SCS-2V-4`?)")]
    #[case("SCS-2V-4-30s", " (did you mean `SCS-2V-4-20s`?)")]
    #[case("SCS-64V-512", "")]
    #[case("SCS-4V-61", " (did you mean `SCS-4V-16`?)")]
    #[case("scs_4v_16", " (did you mean `SCS-4V-16`?)")]
    #[case("m1.large", "")]
    fn the_hint_is_the_flavor_nearest_in_size(#[case] name: &str, #[case] expected: &str) {
        assert_eq!(hint(name, &simulation().spec.flavors), expected);
    }
}
