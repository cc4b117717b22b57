//! Names of flavors by the SCS naming standard (scs-0100): `SCS-4V-16-100s` is 4 virtual processors, 16 GiB of memory
//! and a local SSD of 100 GB.
//!
//! Only the part before the first underscore matters to Kubernetes; extensions (hypervisor, processor, accelerator) are
//! kept as they are.

use std::fmt;
use std::str::FromStr;

/// The parts of a flavor name.
#[derive(Clone, Debug, PartialEq)]
pub struct FlavorName {
    /// Processors.
    pub cpus: u32,
    /// What a processor is.
    pub cpu_kind: CpuKind,
    /// Whether processors lack the mitigation of known weaknesses (`i`).
    pub insecure: bool,
    /// Memory in GiB, in steps of a half.
    pub memory_gib: f64,
    /// Whether memory has no error correction (`u`).
    pub memory_without_ecc: bool,
    /// Whether memory is promised more than once (`o`).
    pub memory_oversubscribed: bool,
    /// The disk the flavor brings, if any.
    pub disk: Option<FlavorDisk>,
    /// Everything from the first underscore on, without it.
    pub extensions: String,
}

/// What a processor of a flavor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpuKind {
    /// `V`: shared virtual processor.
    Virtual,
    /// `L`: heavily shared.
    Low,
    /// `T`: dedicated thread.
    Thread,
    /// `C`: dedicated core.
    Core,
}

/// The disk a flavor brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlavorDisk {
    /// Number of disks, 1 unless said otherwise.
    pub count: u32,
    /// Size of each in GB.
    pub size: u32,
    /// What it is.
    pub kind: DiskKind,
}

/// What the disk of a flavor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskKind {
    /// No letter: not said.
    Unspecified,
    /// `n`: on the network.
    Network,
    /// `h`: local, rotating.
    Rotating,
    /// `s`: local SSD.
    Ssd,
    /// `p`: local SSD attached by PCI express.
    Nvme,
}

/// Why a name is not a flavor name by the standard.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlavorNameError {
    /// It does not start with `SCS-`.
    #[error("flavor names by the SCS standard start with SCS-")]
    Prefix,
    /// The processors are not a number and one of V, L, T, C.
    #[error("{0:?} is not a number of processors with one of the letters V, L, T, C")]
    Processors(String),
    /// The memory is not a number of GiB in steps of a half.
    #[error("{0:?} is not an amount of memory in GiB")]
    Memory(String),
    /// The disk is not a size in GB.
    #[error("{0:?} is not a disk size in GB")]
    Disk(String),
}

impl FromStr for FlavorName {
    type Err = FlavorNameError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let rest = name.strip_prefix("SCS-").ok_or(FlavorNameError::Prefix)?;
        let (main, extensions) = rest.split_once('_').unwrap_or((rest, ""));
        let mut parts = main.splitn(3, '-');
        let processors = parts.next().unwrap_or_default();
        let memory = parts.next().unwrap_or_default();
        let (cpus, cpu_kind, insecure) =
            parse_processors(processors).ok_or_else(|| FlavorNameError::Processors(processors.into()))?;
        let (memory_gib, memory_without_ecc, memory_oversubscribed) =
            parse_memory(memory).ok_or_else(|| FlavorNameError::Memory(memory.into()))?;
        let disk = match parts.next() {
            Some(text) => Some(parse_disk(text).ok_or_else(|| FlavorNameError::Disk(text.into()))?),
            None => None,
        };
        Ok(Self {
            cpus,
            cpu_kind,
            insecure,
            memory_gib,
            memory_without_ecc,
            memory_oversubscribed,
            disk,
            extensions: extensions.into(),
        })
    }
}

fn parse_processors(text: &str) -> Option<(u32, CpuKind, bool)> {
    let (text, insecure) = match text.strip_suffix('i') {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let kind = match text.chars().last()? {
        'V' => CpuKind::Virtual,
        'L' => CpuKind::Low,
        'T' => CpuKind::Thread,
        'C' => CpuKind::Core,
        _ => return None,
    };
    Some((positive(&text[..text.len() - 1])?, kind, insecure))
}

fn parse_memory(text: &str) -> Option<(f64, bool, bool)> {
    let (text, oversubscribed) = match text.strip_suffix('o') {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let (text, without_ecc) = match text.strip_suffix('u') {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let memory = match text.split_once('.') {
        None => f64::from(positive(text)?),
        Some((whole, "5")) if !whole.is_empty() && whole.bytes().all(|byte| byte.is_ascii_digit()) => {
            f64::from(whole.parse::<u32>().ok()?) + 0.5
        }
        Some(_) => return None,
    };
    Some((memory, without_ecc, oversubscribed))
}

fn parse_disk(text: &str) -> Option<FlavorDisk> {
    let (text, kind) = match text.chars().last()? {
        'n' => (&text[..text.len() - 1], DiskKind::Network),
        'h' => (&text[..text.len() - 1], DiskKind::Rotating),
        's' => (&text[..text.len() - 1], DiskKind::Ssd),
        'p' => (&text[..text.len() - 1], DiskKind::Nvme),
        _ => (text, DiskKind::Unspecified),
    };
    let (count, size) = match text.split_once('x') {
        Some((count, size)) => (positive(count)?, size),
        None => (1, text),
    };
    Some(FlavorDisk { count, size: positive(size)?, kind })
}

fn positive(text: &str) -> Option<u32> {
    if text.is_empty() || text.starts_with('0') || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

impl fmt::Display for FlavorName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.cpu_kind {
            CpuKind::Virtual => 'V',
            CpuKind::Low => 'L',
            CpuKind::Thread => 'T',
            CpuKind::Core => 'C',
        };
        write!(formatter, "SCS-{}{kind}", self.cpus)?;
        if self.insecure {
            formatter.write_str("i")?;
        }
        write!(formatter, "-{}", self.memory_gib)?;
        if self.memory_without_ecc {
            formatter.write_str("u")?;
        }
        if self.memory_oversubscribed {
            formatter.write_str("o")?;
        }
        if let Some(disk) = self.disk {
            formatter.write_str("-")?;
            if disk.count != 1 {
                write!(formatter, "{}x", disk.count)?;
            }
            write!(formatter, "{}", disk.size)?;
            match disk.kind {
                DiskKind::Unspecified => {}
                DiskKind::Network => formatter.write_str("n")?,
                DiskKind::Rotating => formatter.write_str("h")?,
                DiskKind::Ssd => formatter.write_str("s")?,
                DiskKind::Nvme => formatter.write_str("p")?,
            }
        }
        if !self.extensions.is_empty() {
            write!(formatter, "_{}", self.extensions)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_flavors_of_the_simulation_are_what_their_names_say() {
        for flavor in crate::provider_profile::simulation().spec.flavors {
            let name: FlavorName = flavor.name.parse().unwrap();
            assert_eq!((name.cpus, name.memory_gib), (flavor.vcpus, flavor.memory_gib), "{}", flavor.name);
            assert_eq!(name.disk.map_or(0, |disk| disk.size), flavor.root_disk_gib, "{}", flavor.name);
            assert_eq!(name.disk.is_some_and(|disk| disk.kind == DiskKind::Ssd), flavor.local_ssd, "{}", flavor.name);
        }
    }

    #[test]
    fn names_that_are_none_are_refused_with_their_part() {
        let answer =
            |name: &str| name.parse::<FlavorName>().map(|name| name.to_string()).map_err(|error| error.to_string());
        assert_eq!(answer("m1.small"), Err("flavor names by the SCS standard start with SCS-".into()));
        assert_eq!(
            answer("SCS-4X-16"),
            Err("\"4X\" is not a number of processors with one of the letters V, L, T, C".into())
        );
        assert_eq!(answer("SCS-4V-1.3"), Err("\"1.3\" is not an amount of memory in GiB".into()));
        assert_eq!(answer("SCS-4V-16-0"), Err("\"0\" is not a disk size in GB".into()));
        assert_eq!(answer("SCS-16Ti-64uo-3x500p_kvm_i3"), Ok("SCS-16Ti-64uo-3x500p_kvm_i3".into()));
    }

    proptest! {
        #[test]
        fn names_survive_reading_and_writing(name in "SCS-[1-9][0-9]?[VLTC]i?-[1-9][0-9]{0,2}(\\.5)?u?o?(-([2-9]x)?[1-9][0-9]{0,3}[nhsp]?)?(_[A-Za-z0-9-]{1,8})?") {
            prop_assert_eq!(name.parse::<FlavorName>().unwrap().to_string(), name);
        }
    }
}
