//! The text of an IP address, as Go's `netip.ParseAddr` reads it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::quoting::quote;

/// Go's `netip.ParseAddr`: the address and whether it has a zone; the error is Go's full text.
pub(super) fn parse_addr(text: &[u8]) -> Result<(IpAddr, bool), String> {
    let fail = |message: &str, at: &[u8]| {
        let place = if at.is_empty() { String::new() } else { format!(" (at {})", quote(at)) };
        format!("ParseAddr({}): {message}{place}", quote(text))
    };
    match text.iter().find(|byte| matches!(byte, b'.' | b':' | b'%')) {
        Some(b'.') => match parse_ipv4(text) {
            Ok(octets) => Ok((IpAddr::V4(Ipv4Addr::from(octets)), false)),
            Err((message, at)) => Err(fail(message, at)),
        },
        Some(b':') => {
            let mut halves = text.splitn(2, |byte| *byte == b'%');
            let address = halves.next().unwrap_or_default();
            let zone = halves.next();
            if zone.is_some_and(<[u8]>::is_empty) {
                return Err(fail("zone must be a non-empty string", &[]));
            }
            match parse_ipv6(address) {
                Ok(octets) => Ok((IpAddr::V6(Ipv6Addr::from(octets)), zone.is_some())),
                Err((message, at)) => Err(fail(message, at)),
            }
        }
        Some(_) => Err(fail("missing IPv6 address", &[])),
        None => Err(fail("unable to parse IP", &[])),
    }
}

/// Go's `parseIPv4Fields`; the error is the message and the bytes at which it came up.
fn parse_ipv4(text: &[u8]) -> Result<[u8; 4], (&'static str, &[u8])> {
    let mut octets = Vec::with_capacity(4);
    let mut value: u8 = 0;
    let mut digits: usize = 0;
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        match byte {
            b'0'..=b'9' => {
                if digits == 1 && value == 0 {
                    return Err(("IPv4 field has octet with leading zero", &[]));
                }
                let next = value.checked_mul(10).and_then(|v| v.checked_add(byte - b'0'));
                let Some(next) = next else {
                    return Err(("IPv4 field has value >255", &[]));
                };
                value = next;
                digits += 1;
            }
            b'.' => {
                if digits == 0 || after.is_empty() {
                    return Err(("IPv4 field must have at least one digit", rest));
                }
                if octets.len() == 3 {
                    return Err(("IPv4 address too long", &[]));
                }
                octets.push(value);
                value = 0;
                digits = 0;
            }
            _ => return Err(("unexpected character", rest)),
        }
        rest = after;
    }
    octets.push(value);
    <[u8; 4]>::try_from(octets).map_err(|_| ("IPv4 address too short", <&[u8]>::default()))
}

/// Go's `parseIPv6` after the zone was cut off; the error is the message and the bytes at which it
/// came up.
fn parse_ipv6(text: &[u8]) -> Result<[u8; 16], (&'static str, &[u8])> {
    let mut octets: Vec<u8> = Vec::with_capacity(16);
    let mut ellipsis: Option<usize> = None;
    let mut rest = text;
    if let Some(after) = rest.strip_prefix(b"::") {
        ellipsis = Some(0);
        rest = after;
        if rest.is_empty() {
            return Ok([0; 16]);
        }
    }
    while octets.len() < 16 {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        if digits > 4 {
            return Err(("each group must have 4 or less digits", rest));
        }
        if digits == 0 {
            return Err(("each colon-separated field must have at least one digit", rest));
        }
        let (group, after) = rest.split_at(digits);
        if after.first() == Some(&b'.') {
            if ellipsis.is_none() && octets.len() != 12 {
                return Err(("embedded IPv4 address must replace the final 2 fields of the address", rest));
            }
            if octets.len() > 12 {
                return Err(("too many hex fields to fit an embedded IPv4 at the end of the address", rest));
            }
            octets.extend(parse_ipv4(rest)?);
            rest = &[];
            break;
        }
        let value = group.iter().fold(0_u16, |value, byte| (value << 4) | u16::from(hex_value(*byte)));
        octets.extend(value.to_be_bytes());
        rest = after;
        if rest.is_empty() {
            break;
        }
        rest = match rest {
            [b':'] => return Err(("colon must be followed by more characters", rest)),
            [b':', after @ ..] => after,
            _ => return Err(("unexpected character, want colon", rest)),
        };
        if let [b':', after @ ..] = rest {
            if ellipsis.is_some() {
                return Err(("multiple :: in address", rest));
            }
            ellipsis = Some(octets.len());
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
    }
    if !rest.is_empty() {
        return Err(("trailing garbage after address", rest));
    }
    match (16_usize.checked_sub(octets.len()), ellipsis) {
        (None | Some(0), Some(_)) => {
            return Err(("the :: must expand to at least one field of zeros", &[]));
        }
        (Some(missing), Some(position)) => {
            octets.splice(position..position, std::iter::repeat_n(0, missing));
        }
        _ => {}
    }
    <[u8; 16]>::try_from(octets).map_err(|_| ("address string too short", <&[u8]>::default()))
}

/// The value of a hexadecimal digit; 0 for any other byte.
pub(super) fn hex_value(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        b'A'..=b'F' => byte - b'A' + 10,
        _ => 0,
    }
}
