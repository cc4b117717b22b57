//! The string formats that custom resource schemas may ask for, as kube-openapi's `strfmt` checks them.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    sync::LazyLock,
};

use base64::Engine as _;
use regex::Regex;

use super::{duration_format::duration_nanoseconds, email_format::is_email};
use crate::cel::library::network::check_request_uri;

/// A format of `type: string` that is checked. Others are ignored, as the real server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StringFormat {
    Byte,
    Cidr,
    CreditCard,
    Date,
    DateTime,
    Duration,
    Email,
    HexColor,
    Hostname,
    Ipv4,
    Ipv6,
    Isbn,
    Isbn10,
    Isbn13,
    LongName,
    Mac,
    ObjectId,
    Password,
    RgbColor,
    ShortName,
    SocialSecurityNumber,
    Uri,
    Uuid,
    Uuid3,
    Uuid4,
    Uuid5,
}

impl StringFormat {
    /// The format called `name`; dashes do not matter (`date-time` and `datetime` are one).
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Some(match name.replace('-', "").as_str() {
            "byte" => Self::Byte,
            "cidr" => Self::Cidr,
            "creditcard" => Self::CreditCard,
            "date" => Self::Date,
            "datetime" => Self::DateTime,
            "duration" => Self::Duration,
            "email" => Self::Email,
            "hexcolor" => Self::HexColor,
            "hostname" => Self::Hostname,
            "ipv4" => Self::Ipv4,
            "ipv6" => Self::Ipv6,
            "isbn" => Self::Isbn,
            "isbn10" => Self::Isbn10,
            "isbn13" => Self::Isbn13,
            "k8slongname" => Self::LongName,
            "k8sshortname" => Self::ShortName,
            "mac" => Self::Mac,
            "bsonobjectid" => Self::ObjectId,
            "password" => Self::Password,
            "rgbcolor" => Self::RgbColor,
            "ssn" => Self::SocialSecurityNumber,
            "uri" => Self::Uri,
            "uuid" => Self::Uuid,
            "uuid3" => Self::Uuid3,
            "uuid4" => Self::Uuid4,
            "uuid5" => Self::Uuid5,
            _ => return None,
        })
    }

    /// Whether `text` has this format.
    pub(crate) fn accepts(self, text: &str) -> bool {
        match self {
            Self::Password => true,
            Self::Byte => is_base64(text),
            Self::Cidr => is_cidr(text),
            Self::Date => is_date(text),
            Self::DateTime => is_date_time(text),
            Self::Duration => duration_nanoseconds(text).is_some(),
            Self::Hostname => {
                matches(&HOSTNAME, text) && text.len() <= 255 && text.split('.').all(|part| part.len() <= 63)
            }
            Self::Email => is_email(text),
            Self::Ipv4 => text.contains('.') && is_sloppy_ip_address(text),
            Self::Ipv6 => text.parse::<Ipv6Addr>().is_ok(),
            Self::Isbn => is_isbn10(text) || is_isbn13(text),
            Self::Isbn10 => is_isbn10(text),
            Self::Isbn13 => is_isbn13(text),
            Self::LongName => text.len() <= 253 && text.split('.').all(is_short_name),
            Self::ShortName => text.len() <= 63 && is_short_name(text),
            Self::Mac => matches(&MAC, text),
            Self::ObjectId => text.len() == 24 && text.bytes().all(|byte| byte.is_ascii_hexdigit()),
            Self::CreditCard => is_credit_card(text),
            Self::HexColor => matches(&HEX_COLOR, text),
            Self::RgbColor => matches(&RGB_COLOR, text),
            Self::SocialSecurityNumber => text.len() == 11 && matches(&SOCIAL_SECURITY_NUMBER, text),
            Self::Uri => check_request_uri(text).is_ok(),
            Self::Uuid => matches(&UUID, text),
            Self::Uuid3 => is_uuid_of_version(text, '3', false),
            Self::Uuid4 => is_uuid_of_version(text, '4', true),
            Self::Uuid5 => is_uuid_of_version(text, '5', true),
        }
    }
}

type Pattern = LazyLock<Option<Regex>>;

static HOSTNAME: Pattern = LazyLock::new(|| {
    Regex::new(concat!(
        r"^([a-zA-Z0-9\p{S}\p{L}]((-?[a-zA-Z0-9\p{S}\p{L}]{0,62})?)|",
        r"([a-zA-Z0-9\p{S}\p{L}](([a-zA-Z0-9-\p{S}\p{L}]{0,61}[a-zA-Z0-9\p{S}\p{L}])?)(\.)){1,}([a-zA-Z\p{L}]){2,63})$"
    ))
    .ok()
});
static TIME: Pattern =
    LazyLock::new(|| Regex::new(r"^[0-9]{2}:[0-9]{2}:[0-9]{2}(.[0-9]+)?(z|[+-][0-9]{2}:[0-9]{2})$").ok());
static MAC: Pattern = LazyLock::new(|| {
    Regex::new(
        r"^(?i)(([0-9a-f]{2}:){5}([0-9a-f]{2}:){0,2}[0-9a-f]{2}|([0-9a-f]{2}-){5}([0-9a-f]{2}-){0,2}[0-9a-f]{2}|([0-9a-f]{4}\.){2,3}[0-9a-f]{4})$",
    )
    .ok()
});
static HEX_COLOR: Pattern = LazyLock::new(|| Regex::new(r"^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$").ok());
static RGB_COLOR: Pattern = LazyLock::new(|| {
    let part = r"\s*(0|[1-9][0-9]?|1[0-9][0-9]?|2[0-4][0-9]|25[0-5])\s*";
    Regex::new(&format!(r"^rgb\({part},{part},{part}\)$")).ok()
});
static SOCIAL_SECURITY_NUMBER: Pattern = LazyLock::new(|| Regex::new(r"^[0-9]{3}[- ]?[0-9]{2}[- ]?[0-9]{4}$").ok());
static UUID: Pattern =
    LazyLock::new(|| Regex::new(r"^(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$").ok());
static CREDIT_CARD: Pattern = LazyLock::new(|| {
    Regex::new(concat!(
        r"^(?:4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|(?:222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)[0-9]{12}|",
        r"6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}|3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:2131|1800|35[0-9]{3})[0-9]{11})$"
    ))
    .ok()
});

fn matches(pattern: &Pattern, text: &str) -> bool {
    pattern.as_ref().is_some_and(|regex| regex.is_match(text))
}

fn is_base64(text: &str) -> bool {
    !text.is_empty() && base64::engine::general_purpose::STANDARD.decode(text).is_ok()
}

fn is_short_name(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    match (bytes.first(), bytes.last()) {
        (Some(&first), Some(&last)) => {
            inner(first) && inner(last) && bytes.iter().all(|&byte| inner(byte) || byte == b'-')
        }
        _ => false,
    }
}

/// Go's `ParseIPSloppy`: leading zeros are tolerated.
fn parse_ipv4(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0_u8; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let part = parts.next()?;
        if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *octet = part.parse().ok()?;
    }
    parts.next().is_none().then(|| Ipv4Addr::from(octets))
}

/// An address as Go's `net.ParseIP` reads it.
pub(super) fn is_ip_address(text: &str) -> bool {
    text.parse::<std::net::IpAddr>().is_ok()
}

/// As [`is_ip_address`], with leading zeros as in [`parse_ipv4`], also where an IPv4 address ends an IPv6 one.
fn is_sloppy_ip_address(text: &str) -> bool {
    let Some((before, last)) = text.rsplit_once(':') else { return parse_ipv4(text).is_some() };
    match parse_ipv4(last) {
        Some(address) => is_ip_address(&format!("{before}:{address}")),
        None => is_ip_address(text),
    }
}

fn is_cidr(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    if length.is_empty() || !length.bytes().all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    let Ok(length) = length.parse::<u8>() else { return false };
    if parse_ipv4(address).is_some() { length <= 32 } else { address.parse::<Ipv6Addr>().is_ok() && length <= 128 }
}

fn is_date(text: &str) -> bool {
    text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok()
}

/// `strfmt.IsDateTime`: a date, then the time, with any offset. A further `T` ends what is looked at.
fn is_date_time(text: &str) -> bool {
    let text = text.to_lowercase();
    let mut parts = text.split('t');
    let (Some(date), Some(time)) = (parts.next(), parts.next()) else { return false };
    let in_range = |time: &str| &time[..2] <= "23" && &time[3..5] <= "59" && &time[6..8] <= "59";
    is_date(date) && matches(&TIME, time) && in_range(time)
}

fn is_uuid_of_version(text: &str, version: char, check_variant: bool) -> bool {
    if !matches(&UUID, text) {
        return false;
    }
    let digits: Vec<char> = text.chars().filter(|character| *character != '-').collect();
    let variant = digits.get(16).map(char::to_ascii_lowercase);
    digits.get(12) == Some(&version) && (!check_variant || matches!(variant, Some('8' | '9' | 'a' | 'b')))
}

fn is_isbn10(text: &str) -> bool {
    let digits: Vec<char> = text.chars().filter(|character| !matches!(character, '-' | ' ')).collect();
    if digits.len() != 10 {
        return false;
    }
    let mut sum = 0;
    for (position, character) in digits.iter().enumerate() {
        let digit = match (position, character) {
            (9, 'X' | 'x') => 10,
            _ => match character.to_digit(10) {
                Some(digit) => digit,
                None => return false,
            },
        };
        sum += digit * (u32::try_from(position).unwrap_or(0) + 1);
    }
    sum.is_multiple_of(11)
}

fn is_isbn13(text: &str) -> bool {
    let digits: Option<Vec<u32>> = text
        .chars()
        .filter(|character| !matches!(character, '-' | ' '))
        .map(|character| character.to_digit(10))
        .collect();
    digits.is_some_and(|digits| {
        digits.len() == 13
            && digits
                .iter()
                .enumerate()
                .map(|(position, digit)| digit * if position % 2 == 0 { 1 } else { 3 })
                .sum::<u32>()
                % 10
                == 0
    })
}

fn is_credit_card(text: &str) -> bool {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    if !matches(&CREDIT_CARD, &digits) {
        return false;
    }
    let sum: u32 = digits
        .chars()
        .rev()
        .filter_map(|character| character.to_digit(10))
        .enumerate()
        .map(|(position, digit)| match (position % 2, digit * 2) {
            (0, _) => digit,
            (_, doubled) if doubled > 9 => doubled - 9,
            (_, doubled) => doubled,
        })
        .sum();
    sum.is_multiple_of(10)
}
