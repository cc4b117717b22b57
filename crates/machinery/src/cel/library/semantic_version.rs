//! Semantic versions (`k8s.io/apiserver/pkg/cel/library/semverlib.go` over blang/semver v4), in their words.

use std::cmp::Ordering;

use kube_cel::cel::{
    Context, ExecutionError, Value as CelValue,
    extractors::{Arguments, This},
};

use super::{LibraryType, Outcome, failed, held, value};
use crate::status_error::quote;

/// A version. Build metadata does not count in comparisons.
#[derive(Clone, Debug)]
struct Version {
    numbers: [u64; 3],
    prerelease: Vec<Identifier>,
}

/// A part of a pre-release: a number is less than any text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Identifier {
    Number(u64),
    Text(String),
}

impl Version {
    fn compare(&self, other: &Self) -> Ordering {
        let prerelease = match (self.prerelease.is_empty(), other.prerelease.is_empty()) {
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            _ => self.prerelease.cmp(&other.prerelease),
        };
        self.numbers.cmp(&other.numbers).then(prerelease)
    }

    fn read(text: &str, normalized: bool) -> Result<Self, String> {
        if normalized { Self::parse(&normalize(text)?) } else { Self::parse(text) }
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("Version string empty".to_owned());
        }
        let parts: Vec<&str> = text.splitn(3, '.').collect();
        let [major, minor, rest] = parts[..] else { return Err("No Major.Minor.Patch elements found".to_owned()) };
        let (major, minor) = (number("Major", major)?, number("Minor", minor)?);
        let (rest, build) = rest.split_once('+').map_or((rest, None), |(rest, build)| (rest, Some(build)));
        let (patch, prerelease) = rest.split_once('-').map_or((rest, None), |(patch, pre)| (patch, Some(pre)));
        let patch = number("Patch", patch)?;
        let prerelease: Result<Vec<_>, _> =
            prerelease.into_iter().flat_map(|all| all.split('.')).map(identifier).collect();
        let version = Self { numbers: [major, minor, patch], prerelease: prerelease? };
        for part in build.into_iter().flat_map(|build| build.split('.')) {
            if part.is_empty() {
                return Err("Build meta data is empty".to_owned());
            }
            if !part.bytes().all(is_alphanumeric) {
                return Err(format!("Invalid character(s) found in build meta data {}", quote(part)));
            }
        }
        Ok(version)
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.compare(other) == Ordering::Equal
    }
}

impl Eq for Version {}

impl LibraryType for Version {
    const NAME: &'static str = "kubernetes.Semver";
}

fn is_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
}

fn is_padded(digits: &str) -> bool {
    digits.len() > 1 && digits.starts_with('0')
}

/// A number of a version; `name` begins with a capital.
fn number(name: &str, digits: &str) -> Result<u64, String> {
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let name = name.to_lowercase();
        return Err(format!("Invalid character(s) found in {name} number {}", quote(digits)));
    }
    if is_padded(digits) {
        return Err(format!("{name} number must not contain leading zeroes {}", quote(digits)));
    }
    unsigned(digits)
}

fn unsigned(digits: &str) -> Result<u64, String> {
    let why = if digits.is_empty() { "invalid syntax" } else { "value out of range" };
    digits.parse().map_err(|_| format!("strconv.ParseUint: parsing {}: {why}", quote(digits)))
}

fn identifier(text: &str) -> Result<Identifier, String> {
    if text.is_empty() {
        return Err("Prerelease is empty".to_owned());
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        if is_padded(text) {
            return Err(format!("Numeric PreRelease version must not contain leading zeroes {}", quote(text)));
        }
        return unsigned(text).map(Identifier::Number);
    }
    if !text.bytes().all(is_alphanumeric) {
        return Err(format!("Invalid character(s) found in prerelease {}", quote(text)));
    }
    Ok(Identifier::Text(text.to_owned()))
}

/// Takes a `v` in front and zeros before numbers away, and adds the numbers that are missing.
fn normalize(text: &str) -> Result<String, String> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let without_zeros = |part: &str| {
        let trimmed = if part.len() > 1 { part.trim_start_matches('0') } else { part };
        let needs_zero = part.len() > 1 && !trimmed.starts_with(|first: char| first.is_ascii_digit());
        if needs_zero { format!("0{trimmed}") } else { trimmed.to_owned() }
    };
    let mut parts: Vec<String> = text.splitn(3, '.').map(without_zeros).collect();
    if parts.len() < 3 && parts.last().is_some_and(|last| last.contains(['+', '-'])) {
        return Err("short version cannot contain PreRelease/Build meta data".to_owned());
    }
    parts.resize(3, "0".to_owned());
    Ok(parts.join("."))
}

/// Which of two versions is later; `None` of other values.
pub(super) fn compare(left: &CelValue, right: &CelValue) -> Option<Ordering> {
    Some(held::<Version>(left).ok()?.compare(held(right).ok()?))
}

/// The version in the arguments of a function: a text, and whether to normalize it.
fn read(arguments: &[CelValue]) -> Result<Result<Version, String>, ExecutionError> {
    match arguments {
        [CelValue::String(text)] => Ok(Version::read(text, false)),
        [CelValue::String(text), CelValue::Bool(normalized)] => Ok(Version::read(text, *normalized)),
        _ => Err(ExecutionError::NoSuchOverload),
    }
}

/// Adds the functions to a library, in the place of its own. How two compare is a function of several types.
pub(super) fn add_functions(context: &mut Context<'static>) {
    context.add_function("isSemver", |Arguments(arguments): Arguments| -> Outcome {
        Ok(CelValue::Bool(read(&arguments)?.is_ok()))
    });
    context.add_function("semver", |Arguments(arguments): Arguments| -> Outcome {
        read(&arguments)?.map(value).map_err(failed)
    });
    for (index, name) in ["major", "minor", "patch"].into_iter().enumerate() {
        context.add_function(name, move |This(this): This<CelValue>| -> Outcome {
            // One that is too large for an int64 is negative there.
            Ok(CelValue::Int(held::<Version>(&this)?.numbers[index].cast_signed()))
        });
    }
}
