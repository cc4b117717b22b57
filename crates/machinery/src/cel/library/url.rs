//! URLs as the CEL functions of Kubernetes see them: Go's `net/url` with its error texts.

use std::collections::BTreeMap;

use super::{
    ip_address::{hex_value, parse_addr},
    quoting::quote,
};

/// A URL as Go's `net/url` takes it apart.
///
/// Two URLs are equal where their texts are, which is how CEL compares them.
#[derive(Clone, Debug)]
pub(crate) struct Url {
    /// The scheme in lower case; empty where there is none.
    scheme: String,
    /// What follows the scheme where that does not start with a slash.
    opaque: String,
    /// The unescaped user name and password.
    user: Option<(Vec<u8>, Option<Vec<u8>>)>,
    /// The unescaped host with its port.
    host: Vec<u8>,
    /// `host` as text.
    host_text: String,
    /// The unescaped path.
    path: Vec<u8>,
    /// The path as it was written where that differs from the default escaping.
    raw_path: String,
    /// Whether there is an empty query.
    force_query: bool,
    /// The query as it was written.
    raw_query: String,
    /// The unescaped fragment.
    fragment: Vec<u8>,
    /// The fragment as it was written where that differs from the default escaping.
    raw_fragment: String,
    /// Whether the scheme is followed by a path without any host.
    omit_host: bool,
}

impl PartialEq for Url {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Eq for Url {}

impl Url {
    /// CEL's `url(text)`: what [`Url::parse_request_uri`] accepts, with its fragment split off.
    ///
    /// # Errors
    ///
    /// The text of CEL's error where `text` is no URL.
    pub(crate) fn convert(text: &str) -> Result<Self, String> {
        // Like Kubernetes, which wants only absolute URLs but takes a fragment as one.
        Self::parse_request_uri(text)
            .and_then(|_| Self::parse(text))
            .map_err(|error| format!("URL parse error during conversion from string: {error}"))
    }

    /// Go's `url.ParseRequestURI`, which decides CEL's `isURL(text)`: an absolute URL or path, of
    /// which a fragment is not split off.
    ///
    /// # Errors
    ///
    /// The full text of Go's error.
    pub(crate) fn parse_request_uri(text: &str) -> Result<Self, String> {
        Self::parse_in_context(text, true).map_err(|error| parse_error(text, &error))
    }

    /// Go's `url.Parse`: any URL or relative reference.
    ///
    /// # Errors
    ///
    /// The full text of Go's error.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (before, fragment) = text.split_once('#').unwrap_or((text, ""));
        let mut url = Self::parse_in_context(before, false).map_err(|error| parse_error(before, &error))?;
        url.fragment = unescape(fragment, Part::Fragment).map_err(|error| parse_error(text, &error))?;
        if escape(&url.fragment, Part::Fragment) != fragment {
            fragment.clone_into(&mut url.raw_fragment);
        }
        Ok(url)
    }

    /// CEL's `getScheme()`.
    pub(crate) fn scheme(&self) -> &str {
        &self.scheme
    }

    /// CEL's `getHost()`: the host with its port. Each byte that is not part of valid UTF-8, which
    /// only escapes can bring in, becomes a U+FFFD.
    pub(crate) fn host(&self) -> &str {
        &self.host_text
    }

    /// CEL's `getHostname()`: the host without its port and square brackets.
    pub(crate) fn hostname(&self) -> &str {
        self.host_and_port().0
    }

    /// CEL's `getPort()`; empty where there is none.
    pub(crate) fn port(&self) -> &str {
        self.host_and_port().1
    }

    /// CEL's `getEscapedPath()`.
    pub(crate) fn escaped_path(&self) -> String {
        if self.path == b"*" && self.raw_path.is_empty() {
            return "*".to_owned();
        }
        escaped(&self.path, &self.raw_path, Part::Path)
    }

    /// CEL's `getQuery()`: the keys in order, each with its values in the order of the query.
    /// Malformed pairs are left out. Each byte that is not part of valid UTF-8, which only escapes
    /// can bring in, becomes a U+FFFD; keys that differ only in such bytes remain apart.
    pub(crate) fn query(&self) -> Vec<(String, Vec<String>)> {
        /// More parameters than this and Go reads none.
        const MOST_PARAMETERS: usize = 10_000;

        let pairs = || self.raw_query.split('&');
        if pairs().nth(MOST_PARAMETERS).is_some() {
            return Vec::new();
        }
        let mut values: BTreeMap<Vec<u8>, Vec<String>> = BTreeMap::new();
        for pair in pairs().filter(|pair| !pair.is_empty() && !pair.contains(';')) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            if let (Ok(key), Ok(value)) = (unescape(key, Part::Query), unescape(value, Part::Query)) {
                values.entry(key).or_default().push(to_text(&value));
            }
        }
        values.into_iter().map(|(key, values)| (to_text(&key), values)).collect()
    }

    /// Go's `URL.String()`.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        if !self.scheme.is_empty() {
            text.push_str(&self.scheme);
            text.push(':');
        }
        if self.opaque.is_empty() {
            self.push_hierarchy(&mut text);
        } else {
            text.push_str(&self.opaque);
        }
        if self.force_query || !self.raw_query.is_empty() {
            text.push('?');
            text.push_str(&self.raw_query);
        }
        if !self.fragment.is_empty() {
            text.push('#');
            text.push_str(&escaped(&self.fragment, &self.raw_fragment, Part::Fragment));
        }
        text
    }

    /// Adds user, host and path to the text of the URL.
    fn push_hierarchy(&self, text: &mut String) {
        let no_host = self.host.is_empty() && self.user.is_none();
        if !no_host || !self.scheme.is_empty() && !self.omit_host {
            if !no_host || !self.path.is_empty() {
                text.push_str("//");
            }
            if let Some((name, password)) = &self.user {
                text.push_str(&escape(name, Part::User));
                if let Some(password) = password {
                    text.push(':');
                    text.push_str(&escape(password, Part::User));
                }
                text.push('@');
            }
            text.push_str(&escape(&self.host, Part::Host));
        }
        let path = self.escaped_path();
        if !path.is_empty() && !path.starts_with('/') && !self.host.is_empty() {
            text.push('/');
        }
        let first_segment = path.split('/').next().unwrap_or_default();
        if text.is_empty() && first_segment.contains(':') {
            text.push_str("./");
        }
        text.push_str(&path);
    }

    /// Go's `splitHostPort` of the host.
    fn host_and_port(&self) -> (&str, &str) {
        let (host, port) = match self.host_text.rsplit_once(':') {
            Some((host, port)) if all_digits(port) => (host, port),
            _ => (self.host_text.as_str(), ""),
        };
        let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        (inner.unwrap_or(host), port)
    }

    /// Go's `parse`; the error is without the text of the URL.
    fn parse_in_context(text: &str, via_request: bool) -> Result<Self, String> {
        if text.bytes().any(|byte| byte.is_ascii_control()) {
            return Err("net/url: invalid control character in URL".to_owned());
        }
        if text.is_empty() && via_request {
            return Err("empty url".to_owned());
        }
        let mut url = Self {
            scheme: String::new(),
            opaque: String::new(),
            user: None,
            host: Vec::new(),
            host_text: String::new(),
            path: Vec::new(),
            raw_path: String::new(),
            force_query: false,
            raw_query: String::new(),
            fragment: Vec::new(),
            raw_fragment: String::new(),
            omit_host: false,
        };
        if text == "*" {
            url.path = b"*".to_vec();
            return Ok(url);
        }
        let (scheme, rest) = split_scheme(text)?;
        url.scheme = scheme.to_ascii_lowercase();
        let (mut rest, query) = match rest.split_once('?') {
            Some((before, "")) => {
                url.force_query = true;
                (before, "")
            }
            Some(parts) => parts,
            None => (rest, ""),
        };
        query.clone_into(&mut url.raw_query);
        if !rest.starts_with('/') {
            if !url.scheme.is_empty() {
                rest.clone_into(&mut url.opaque);
                return Ok(url);
            }
            if via_request {
                return Err("invalid URI for request".to_owned());
            }
            let first_segment = rest.split('/').next().unwrap_or_default();
            if first_segment.contains(':') {
                return Err("first path segment in URL cannot contain colon".to_owned());
            }
        }
        let may_have_host = !url.scheme.is_empty() || !via_request && !rest.starts_with("///");
        if let Some(after) = rest.strip_prefix("//").filter(|_| may_have_host) {
            let end = after.find('/').unwrap_or(after.len());
            let (authority, path) = after.split_at(end);
            rest = path;
            url.set_authority(authority)?;
        } else if !url.scheme.is_empty() {
            url.omit_host = true;
        }
        url.path = unescape(rest, Part::Path)?;
        if escape(&url.path, Part::Path) != rest {
            rest.clone_into(&mut url.raw_path);
        }
        Ok(url)
    }

    /// Go's `parseAuthority`.
    fn set_authority(&mut self, authority: &str) -> Result<(), String> {
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        self.host = parse_host(&self.scheme, host)?;
        self.host_text = to_text(&self.host);
        let Some(user) = user else {
            return Ok(());
        };
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&byte);
        if !user.bytes().all(valid) {
            return Err("net/url: invalid userinfo".to_owned());
        }
        self.user = Some(match user.split_once(':') {
            Some((name, password)) => (unescape(name, Part::User)?, Some(unescape(password, Part::User)?)),
            None => (unescape(user, Part::User)?, None),
        });
        Ok(())
    }
}

/// Go's `url.Error`.
fn parse_error(text: &str, error: &str) -> String {
    format!("parse {}: {error}", quote(text.as_bytes()))
}

/// Go's `getScheme`: the scheme, empty where there is none, and what follows it.
fn split_scheme(text: &str) -> Result<(&str, &str), String> {
    let part_of_scheme = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    match text.split_once(':') {
        Some(("", _)) => Err("missing protocol scheme".to_owned()),
        Some((scheme, rest))
            if scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(part_of_scheme) =>
        {
            Ok((scheme, rest))
        }
        _ => Ok(("", text)),
    }
}

/// Go's `parseHost`.
fn parse_host(scheme: &str, host: &str) -> Result<Vec<u8>, String> {
    const INVALID_LITERAL: &str = "invalid IP-literal";

    if let Some((before, literal)) = host.rsplit_once('[') {
        if !before.is_empty() {
            return Err(INVALID_LITERAL.to_owned());
        }
        let Some((address, port)) = literal.rsplit_once(']') else {
            return Err("missing ']' in host".to_owned());
        };
        check_port(port)?;
        let address = match address.find("%25").and_then(|at| address.split_at_checked(at)) {
            Some((address, zone)) => {
                let mut unescaped = unescape(address, Part::Host)?;
                unescaped.extend(unescape(zone, Part::Zone)?);
                unescaped
            }
            None => unescape(address, Part::Host)?,
        };
        let (parsed, _) = parse_addr(&address).map_err(|error| format!("invalid host: {error}"))?;
        if parsed.is_ipv4() {
            return Err(INVALID_LITERAL.to_owned());
        }
        return Ok([b"[", address.as_slice(), b"]", port.as_bytes()].concat());
    }
    // Only the web's schemes are strict about further colons, which lists of hosts have elsewhere.
    let colon = if matches!(scheme, "http" | "https") { host.find(':') } else { host.rfind(':') };
    if let Some((_, port)) = colon.and_then(|at| host.split_at_checked(at)) {
        check_port(port)?;
    }
    unescape(host, Part::Host)
}

/// Refuses what follows a host unless it is empty or a colon with digits or without.
fn check_port(port: &str) -> Result<(), String> {
    if port.is_empty() || port.strip_prefix(':').is_some_and(all_digits) {
        return Ok(());
    }
    Err(format!("invalid port {} after host", quote(port.as_bytes())))
}

/// Whether there is nothing but ASCII digits.
fn all_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The part of a URL, which decides what is escaped there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The path.
    Path,
    /// The host.
    Host,
    /// The zone of an IPv6 address.
    Zone,
    /// The user name or the password.
    User,
    /// A key or a value of the query.
    Query,
    /// The fragment.
    Fragment,
}

impl Part {
    /// Go's `shouldEscape`, the other way round.
    fn allows(self, byte: u8) -> bool {
        let more: &[u8] = match self {
            Self::Path => b"$&+,/:;=@",
            Self::Host | Self::Zone => b"!$&'()*+,;=:[]<>\"",
            Self::User => b"$&+,;=",
            Self::Query => b"",
            Self::Fragment => b"$&+,/:;=?@!()*",
        };
        byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || more.contains(&byte)
    }
}

/// Go's `unescape`.
fn unescape(text: &str, part: Part) -> Result<Vec<u8>, String> {
    let in_host = matches!(part, Part::Host | Part::Zone);
    let mut unescaped = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                let value = (hex_value(*high) << 4) | hex_value(*low);
                let refused = match part {
                    Part::Host => value < 0x80 && value != b'%',
                    Part::Zone => value != b'%' && value != b' ' && !part.allows(value),
                    _ => false,
                };
                if refused {
                    return Err(escape_error(&[byte, *high, *low]));
                }
                unescaped.push(value);
                rest = after;
            }
            (b'%', _) => {
                let bad: Vec<u8> = std::iter::once(byte).chain(after.iter().copied().take(2)).collect();
                return Err(escape_error(&bad));
            }
            (b'+', _) if part == Part::Query => unescaped.push(b' '),
            _ if in_host && byte.is_ascii() && !part.allows(byte) => {
                return Err(format!("invalid character {} in host name", quote(&[byte])));
            }
            _ => unescaped.push(byte),
        }
    }
    Ok(unescaped)
}

/// Go's `url.EscapeError`.
fn escape_error(escape: &[u8]) -> String {
    format!("invalid URL escape {}", quote(escape))
}

/// Go's `escape`.
fn escape(bytes: &[u8], part: Part) -> String {
    use std::fmt::Write as _;

    let mut escaped = String::with_capacity(bytes.len());
    for &byte in bytes {
        if part.allows(byte) {
            escaped.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

/// The escaped form: the one that was written where that is a valid one, else the default.
fn escaped(bytes: &[u8], raw: &str, part: Part) -> String {
    let valid = |byte: u8| part.allows(byte) || b"!$&'()*+,;=:@[]%".contains(&byte);
    if !raw.is_empty() && raw.bytes().all(valid) {
        return raw.to_owned();
    }
    escape(bytes, part)
}

/// The text with a U+FFFD for each byte that is not part of valid UTF-8, which is how Go counts
/// and prints the characters of such a string.
fn to_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    text
}
