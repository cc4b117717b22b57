//! Levels, versions, and the labels of a Namespace that name them.

use std::fmt;

use serde_json::Value;

use crate::status_error::FieldError;

/// What all labels of a namespace that name a policy begin with, and all annotations in the audit log.
pub const LABEL_PREFIX: &str = "pod-security.kubernetes.io/";

/// How much is forbidden; a greater level forbids more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing is.
    Privileged,
    /// What is known to escape from containers.
    Baseline,
    /// All that is not good practice.
    Restricted,
}

impl Level {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "privileged" => Some(Self::Privileged),
            "baseline" => Some(Self::Baseline),
            "restricted" => Some(Self::Restricted),
            _ => None,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        })
    }
}

/// As which version of Kubernetes a level is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 1.x
    Minor(i64),
    /// Whatever the server has.
    Latest,
}

impl Version {
    fn parse(text: &str) -> Option<Self> {
        if text == "latest" {
            return Some(Self::Latest);
        }
        let digits = text.strip_prefix("v1.")?;
        let is_number = digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
        digits.parse().ok().filter(|_| is_number).map(Self::Minor)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Minor(minor) => write!(formatter, "v1.{minor}"),
            Self::Latest => formatter.write_str("latest"),
        }
    }
}

/// A level as of a version, written `baseline:v1.30`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LevelVersion {
    /// The level.
    pub level: Level,
    /// The version.
    pub version: Version,
}

impl LevelVersion {
    const PRIVILEGED: Self = Self { level: Level::Privileged, version: Version::Latest };
}

impl fmt::Display for LevelVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.level, self.version)
    }
}

/// What holds in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What pods that violate it are refused for.
    pub enforce: LevelVersion,
    /// What is noted in the audit log.
    pub audit: LevelVersion,
    /// What clients are warned of.
    pub warn: LevelVersion,
}

impl Policy {
    /// What holds without labels.
    pub const PRIVILEGED: Self =
        Self { enforce: LevelVersion::PRIVILEGED, audit: LevelVersion::PRIVILEGED, warn: LevelVersion::PRIVILEGED };

    /// The policy that the labels of a namespace name, and what is wrong with them: a wrong level is enforced as the
    /// strictest, and not warned of nor audited.
    #[must_use]
    pub fn of_labels(labels: &Value) -> (Self, Vec<FieldError>) {
        let mut policy = Self::PRIVILEGED;
        let mut errors = Vec::new();
        let mut refuse = |label: &str, value: &str, why: &str| {
            let field = format!("metadata.labels[{LABEL_PREFIX}{label}]");
            errors.push(FieldError::invalid(field, &value.into(), why));
        };
        let mut read = |mode: &str, fallback: Level, held: &mut LevelVersion| {
            let named = labels[format!("{LABEL_PREFIX}{mode}")].as_str();
            let level = named.map(Level::parse);
            if let (Some(None), Some(text)) = (level, named) {
                refuse(mode, text, "must be one of privileged, baseline, restricted");
            }
            held.level = level.map_or(held.level, |level| level.unwrap_or(fallback));
            let label = format!("{mode}-version");
            let version = labels[format!("{LABEL_PREFIX}{label}")].as_str();
            if let Some(text) = version {
                let parsed = Version::parse(text);
                if parsed.is_none() {
                    refuse(&label, text, "must be \"latest\" or \"v1.x\"");
                }
                held.version = parsed.unwrap_or(Version::Latest);
            }
            (level, version.is_some())
        };
        let (enforced, _) = read("enforce", Level::Restricted, &mut policy.enforce);
        read("audit", Level::Privileged, &mut policy.audit);
        let (warned, has_version) = read("warn", Level::Privileged, &mut policy.warn);
        // What is enforced on pods is at least warned of on what makes pods.
        if warned.is_none() && enforced.flatten().is_some() && policy.enforce.level > policy.warn.level {
            policy.warn.level = policy.enforce.level;
            if !has_version {
                policy.warn.version = policy.enforce.version;
            }
        }
        (policy, errors)
    }

    /// Whether nothing is forbidden, warned of or audited.
    #[must_use]
    pub fn is_privileged(&self) -> bool {
        [self.enforce, self.audit, self.warn].iter().all(|held| held.level == Level::Privileged)
    }
}
