//! IP addresses and networks as the CEL functions of Kubernetes see them: Go's `net/netip` with
//! the refusals and the error texts of `k8s.io/apiserver/pkg/cel/library`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{ip_address::parse_addr, quoting::quote};

/// An IP address as CEL's `ip()` accepts it: neither with a zone nor an IPv4-mapped IPv6 address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ip {
    /// The address itself.
    address: IpAddr,
}

impl Ip {
    /// CEL's `ip(text)`.
    ///
    /// # Errors
    ///
    /// The text of CEL's error where `text` is no address or one that is not allowed.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let quoted = || quote(text.as_bytes());
        let (address, zone) = parse_addr(text.as_bytes())
            .map_err(|error| format!("IP Address {} parse error during conversion from string: {error}", quoted()))?;
        if zone {
            return Err(format!("IP address {} with zone value is not allowed", quoted()));
        }
        if is_mapped(&address) {
            return Err(mapped_error(text));
        }
        Ok(Self { address })
    }

    /// CEL's `ip.isCanonical(text)`: whether the address is written as Go would write it.
    ///
    /// # Errors
    ///
    /// The same as [`Ip::parse`].
    pub(crate) fn is_canonical_text(text: &str) -> Result<bool, String> {
        Ok(Self::parse(text)?.text() == text)
    }

    /// CEL's `string(ip)`: the canonical form.
    pub(crate) fn text(&self) -> String {
        self.address.to_string()
    }

    /// CEL's `family()`: 4 or 6.
    pub(crate) fn family(&self) -> i64 {
        match self.address {
            IpAddr::V4(_) => 4,
            IpAddr::V6(_) => 6,
        }
    }

    /// CEL's `isUnspecified()`: `0.0.0.0` or `::`.
    pub(crate) fn is_unspecified(&self) -> bool {
        self.address.is_unspecified()
    }

    /// CEL's `isLoopback()`: `127.0.0.0/8` or `::1`.
    pub(crate) fn is_loopback(&self) -> bool {
        self.address.is_loopback()
    }

    /// CEL's `isLinkLocalMulticast()`: `224.0.0.0/24` or `ff_2::`.
    pub(crate) fn is_link_local_multicast(&self) -> bool {
        match self.address {
            IpAddr::V4(address) => matches!(address.octets(), [224, 0, 0, _]),
            IpAddr::V6(address) => {
                let [first, ..] = address.segments();
                first & 0xff0f == 0xff02
            }
        }
    }

    /// CEL's `isLinkLocalUnicast()`: `169.254.0.0/16` or `fe80::/10`.
    pub(crate) fn is_link_local_unicast(&self) -> bool {
        match self.address {
            IpAddr::V4(address) => matches!(address.octets(), [169, 254, _, _]),
            IpAddr::V6(address) => {
                let [first, ..] = address.segments();
                first & 0xffc0 == 0xfe80
            }
        }
    }

    /// CEL's `isGlobalUnicast()`: everything that is neither unspecified, loopback, multicast,
    /// link-local nor the IPv4 broadcast address; private addresses count as global.
    pub(crate) fn is_global_unicast(&self) -> bool {
        self.address != IpAddr::V4(Ipv4Addr::BROADCAST)
            && !self.is_unspecified()
            && !self.is_loopback()
            && !self.address.is_multicast()
            && !self.is_link_local_unicast()
    }
}

/// A network as CEL's `cidr()` accepts it. Bits after the prefix may be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cidr {
    /// The address as it was written.
    address: IpAddr,
    /// The number of leading bits that make up the network.
    bits: u8,
}

impl Cidr {
    /// CEL's `cidr(text)`.
    ///
    /// # Errors
    ///
    /// The text of CEL's error where `text` is no network or one that is not allowed.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        const CONTEXT: &str = "network address parse error during conversion from string";
        let network = parse_prefix(text).map_err(|message| {
            let quoted = quote(text.as_bytes());
            format!("{CONTEXT}: {CONTEXT}: netip.ParsePrefix({quoted}): {message}")
        })?;
        if is_mapped(&network.address) {
            return Err(format!("{CONTEXT}: {}", mapped_error(text)));
        }
        Ok(network)
    }

    /// CEL's `string(cidr)`.
    pub(crate) fn text(&self) -> String {
        format!("{}/{}", self.address, self.bits)
    }

    /// CEL's `prefixLength()`.
    pub(crate) fn prefix_length(&self) -> i64 {
        i64::from(self.bits)
    }

    /// CEL's `masked()`: the network with all bits after the prefix cleared.
    pub(crate) fn masked(&self) -> Self {
        Self { address: mask(&self.address, self.bits), bits: self.bits }
    }

    /// CEL's `ip()`: the address as it was written.
    pub(crate) fn ip(&self) -> Ip {
        Ip { address: self.address }
    }

    /// CEL's `containsIP(ip)`.
    pub(crate) fn contains_ip(&self, ip: &Ip) -> bool {
        mask(&self.address, self.bits) == mask(&ip.address, self.bits)
    }

    /// CEL's `containsIP(string)`.
    ///
    /// # Errors
    ///
    /// `no such overload` where `text` is no address that [`Ip::parse`] accepts: the Go code asks
    /// the network, not the failed conversion, for an error to hand on.
    pub(crate) fn contains_ip_text(&self, text: &str) -> Result<bool, String> {
        match Ip::parse(text) {
            Ok(ip) => Ok(self.contains_ip(&ip)),
            Err(_) => Err("no such overload".to_owned()),
        }
    }

    /// CEL's `containsCIDR(cidr)`.
    pub(crate) fn contains_cidr(&self, other: &Self) -> bool {
        // An empty prefix contains only its own family, like every other prefix.
        self.bits <= other.bits && mask(&self.address, self.bits) == mask(&other.address, self.bits)
    }

    /// CEL's `containsCIDR(string)`.
    ///
    /// # Errors
    ///
    /// The same as [`Cidr::parse`].
    pub(crate) fn contains_cidr_text(&self, text: &str) -> Result<bool, String> {
        Ok(self.contains_cidr(&Self::parse(text)?))
    }
}

/// The address with all but its first `bits` bits cleared.
fn mask(address: &IpAddr, bits: u8) -> IpAddr {
    let bits = u32::from(bits);
    match address {
        IpAddr::V4(address) => {
            let keep = u32::MAX.checked_shl(32_u32.saturating_sub(bits)).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & keep))
        }
        IpAddr::V6(address) => {
            let keep = u128::MAX.checked_shl(128_u32.saturating_sub(bits)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & keep))
        }
    }
}

/// Whether this is an IPv6 address in `::ffff:0:0/96`.
fn is_mapped(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(address) => address.to_ipv4_mapped().is_some(),
    }
}

/// The refusal of an IPv4-mapped IPv6 address.
fn mapped_error(text: &str) -> String {
    format!("IPv4-mapped IPv6 address {} is not allowed", quote(text.as_bytes()))
}

/// Go's `netip.ParsePrefix`; the error is what follows `netip.ParsePrefix("..."): `.
fn parse_prefix(text: &str) -> Result<Cidr, String> {
    let Some((address, bits_text)) = text.rsplit_once('/') else {
        return Err("no '/'".to_owned());
    };
    let (address, zone) = parse_addr(address.as_bytes())?;
    if zone {
        return Err("IPv6 zones cannot be present in a prefix".to_owned());
    }
    let bad_bits = || format!("bad bits after slash: {}", quote(bits_text.as_bytes()));
    if bits_text.len() > 1 && !bits_text.starts_with(|c| matches!(c, '1'..='9')) {
        return Err(bad_bits());
    }
    let number: i64 = bits_text.parse().map_err(|_| bad_bits())?;
    let largest = match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    };
    match u8::try_from(number) {
        Ok(bits) if bits <= largest => Ok(Cidr { address, bits }),
        _ => Err("prefix length out of range".to_owned()),
    }
}
