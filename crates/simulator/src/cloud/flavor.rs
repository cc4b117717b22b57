//! Flavors by the SCS naming standard (scs-0100): what a name such as `SCS-2V-8-20s` promises.

/// Resources of a flavor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Flavor {
    /// Virtual cores.
    pub cores: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Root disk in GiB; 0 where a volume has to be made.
    pub disk_gib: u64,
}

impl Flavor {
    /// What names that follow no standard stand for: 2 cores, 4 GiB, no disk.
    const UNKNOWN: Self = Self { cores: 2, memory_mib: 4096, disk_gib: 0 };

    /// Reads `SCS-<cores><class>-<GiB>[modifiers][-[<n>x]<GiB>[class]]...`; extensions after the disk are ignored.
    pub fn parse(name: &str) -> Self {
        Self::parse_standard(name).unwrap_or(Self::UNKNOWN)
    }

    fn parse_standard(name: &str) -> Option<Self> {
        let mut segments = name.strip_prefix("SCS-")?.split('-');
        let cores = leading_number(segments.next()?)?;
        let memory = leading_number(segments.next()?)?;
        let disk = segments.next().map_or(Some(0.0), |segment| {
            // `2x50`: two disks; the first is the root disk. Segments such as `_kvm` begin no number: no disk.
            Some(leading_number(segment.split_once('x').map_or(segment, |(_, size)| size)).unwrap_or(0.0))
        })?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "parsed from digits, bounded")]
        Some(Self { cores: cores as u32, memory_mib: (memory * 1024.0) as u64, disk_gib: disk as u64 })
    }
}

fn leading_number(text: &str) -> Option<f64> {
    let end = text.find(|it: char| !it.is_ascii_digit() && it != '.').unwrap_or(text.len());
    text[..end].parse::<f64>().ok().filter(|it| *it < 1e6)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("SCS-2V-8-20s", 2, 8192, 20)]
    #[case("SCS-4V-16", 4, 16384, 0)]
    #[case("SCS-1L-0.5u-2x10p", 1, 512, 10)]
    #[case("SCS-16T-64-3x10s_bms-i", 16, 65536, 10)]
    #[case("cx22", 2, 4096, 0)]
    fn a_flavor_name_says_what_it_has(
        #[case] name: &str,
        #[case] cores: u32,
        #[case] memory_mib: u64,
        #[case] disk_gib: u64,
    ) {
        assert_eq!(Flavor::parse(name), Flavor { cores, memory_mib, disk_gib });
    }
}
