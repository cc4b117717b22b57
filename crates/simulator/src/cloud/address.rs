//! Addresses counted from the start of a network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The `index`-th address of a network in CIDR form, counted from its base; nothing where the text is no network or the
/// network has no such address.
pub fn nth_address(network: &str, index: u128) -> Option<IpAddr> {
    let (base, length) = network.split_once('/')?;
    let length: u32 = length.parse().ok()?;
    match base.parse().ok()? {
        IpAddr::V4(base) => {
            let size = 1_u128.checked_shl(32_u32.checked_sub(length)?)?;
            let value = u32::try_from(u128::from(u32::from(base)) + index).ok()?;
            (index < size).then(|| IpAddr::V4(Ipv4Addr::from(value)))
        }
        IpAddr::V6(base) => {
            let bits = 128_u32.checked_sub(length)?;
            let fits = bits == 128 || index < 1_u128 << bits;
            fits.then(|| u128::from(base).checked_add(index).map(|value| IpAddr::V6(Ipv6Addr::from(value))))?
        }
    }
}

/// The pod network of a node: the `index`-th /24 (or /120) of the cluster's pod network.
pub fn pod_network(network: &str, index: u128) -> Option<String> {
    let base = nth_address(network, index.checked_mul(256)?)?;
    Some(format!("{base}/{}", if base.is_ipv4() { 24 } else { 120 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_counted_and_never_leave_their_network() {
        assert_eq!(nth_address("10.8.0.0/20", 257).map(|it| it.to_string()).as_deref(), Some("10.8.1.1"));
        assert_eq!(nth_address("10.8.0.0/30", 4), None);
        assert_eq!(nth_address("0.0.0.0/0", 5).map(|it| it.to_string()).as_deref(), Some("0.0.0.5"));
        assert_eq!(nth_address("fd00::/64", 16).map(|it| it.to_string()).as_deref(), Some("fd00::10"));
        assert_eq!(nth_address("nonsense", 1), None);
        assert_eq!(pod_network("192.168.0.0/16", 3).as_deref(), Some("192.168.3.0/24"));
        assert_eq!(pod_network("192.168.0.0/24", 1), None);
    }
}
