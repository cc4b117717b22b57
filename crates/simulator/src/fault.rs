//! Faults injected on purpose: what they are, how they are written as flags, whom they hit and what the cloud then says.
//!
//! A fault is an object (`simulation.kogge.dev/v1alpha1 Fault`), so that it can be set, listed and lifted with kubectl; a
//! flag such as `quota-exhausted:count=10` is short for creating one. Everything here is pure: the controllers ask
//! [`Faults`] what the cloud answers, in the words OpenStack uses.

use std::{fmt, ops::RangeInclusive, str::FromStr};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    kind::Kind,
    object::{Object, name_suffix},
};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FaultKind {
    /// No more instances than `count` (default: those that exist) fit the project's quota.
    QuotaExhausted,
    /// The node image cannot be found, so that no instance can be created.
    ImageMissing,
    /// The compute hosts of a zone are gone: its nodes are lost, and nothing can be created there.
    ZoneDown,
    /// Instances become active but their nodes never join.
    MachineNeverBoots,
    /// The kubelets of machines stop answering; `count` limits how many (default: all that match).
    NodeLost,
    /// Each request to the cloud takes `seconds` (default 30) longer.
    CloudAPISlow,
    /// The cloud answers with `status` (default 503).
    CloudAPIErrors,
    /// The cloud refuses the cluster's credentials.
    CredentialsExpired,
}

impl FaultKind {
    const ALL: [(Self, &'static str); 8] = [
        (Self::QuotaExhausted, "quota-exhausted"),
        (Self::ImageMissing, "image-missing"),
        (Self::ZoneDown, "zone-down"),
        (Self::MachineNeverBoots, "machine-never-boots"),
        (Self::NodeLost, "node-lost"),
        (Self::CloudAPISlow, "cloud-api-slow"),
        (Self::CloudAPIErrors, "cloud-api-errors"),
        (Self::CredentialsExpired, "credentials-expired"),
    ];

    /// Its parameter, if it has one.
    fn parameter(self) -> &'static str {
        match self {
            Self::QuotaExhausted | Self::NodeLost => "count",
            Self::ImageMissing => "image",
            Self::CloudAPISlow => "seconds",
            Self::CloudAPIErrors => "status",
            Self::ZoneDown | Self::MachineNeverBoots | Self::CredentialsExpired => "",
        }
    }

    /// The kind as flags spell it, e.g. `quota-exhausted`.
    pub fn flag_name(self) -> &'static str {
        Self::ALL.into_iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self:?}")
    }
}

/// Whom a fault hits. An empty field matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultTarget {
    /// Namespace (tenant).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Cluster name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Zone (failure domain).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Machine name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// Worker pool, or `control-plane`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
}

/// Numbers and names of a fault; which ones count depends on the kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultParameters {
    /// Instances that fit the quota, or machines to lose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// Seconds each request to the cloud takes longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u32>,
    /// HTTP status the cloud answers with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Name of the image that is missing, for the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

/// A fault before it is stored: what a flag says, or the `spec` of a `Fault`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultSpec {
    /// What goes wrong.
    pub kind: FaultKind,
    /// Whom it hits.
    #[serde(default)]
    pub target: FaultTarget,
    /// Numbers and names.
    #[serde(default)]
    pub parameters: FaultParameters,
}

/// Why a fault's flag was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[allow(missing_docs)] // the messages say it
pub enum FaultParseError {
    #[error("unknown fault {given:?}; known: {known}")]
    UnknownKind { given: String, known: String },
    #[error("{given:?} is not KEY=VALUE (as in `quota-exhausted:count=10`)")]
    NotAPair { given: String },
    #[error("unknown key {key:?}; known: namespace, cluster, zone, machine, pool, count, seconds, status, image")]
    UnknownKey { key: String },
    #[error("value {value:?} of {key} is not a whole number from {least} to {most}")]
    NotANumber { key: String, value: String, least: u32, most: u32 },
    #[error("{key} is given twice")]
    Twice { key: String },
    #[error("{kind} has no parameter {key}{}", if accepted.is_empty() { "; it has none".to_owned() } else { format!("; it has: {accepted}") })]
    NotOfKind { kind: &'static str, key: String, accepted: &'static str },
}

impl FromStr for FaultSpec {
    type Err = FaultParseError;

    /// Reads `KIND[:KEY=VALUE[,KEY=VALUE]...]`, e.g. `zone-down:zone=zone-b` or `node-lost:cluster=first,count=1`. The kind
    /// may also be spelt as in the API (`ZoneDown`).
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, rest) = text.split_once(':').unwrap_or((text, ""));
        let kind = FaultKind::ALL
            .into_iter()
            .find(|(kind, flag)| *flag == name || kind.to_string() == name)
            .map(|(kind, _)| kind)
            .ok_or_else(|| FaultParseError::UnknownKind {
                given: name.to_owned(),
                known: FaultKind::ALL.map(|(_, flag)| flag).join(", "),
            })?;
        let mut spec = Self { kind, target: FaultTarget::default(), parameters: FaultParameters::default() };
        let mut given = Vec::new();
        for pair in rest.split([',', ':']).filter(|pair| !pair.is_empty()) {
            let Some((key, value)) = pair.split_once('=').filter(|(_, value)| !value.is_empty()) else {
                return Err(FaultParseError::NotAPair { given: pair.to_owned() });
            };
            if given.contains(&key) {
                return Err(FaultParseError::Twice { key: key.to_owned() });
            }
            given.push(key);
            if ["image", "count", "seconds", "status"].contains(&key) && key != kind.parameter() {
                return Err(FaultParseError::NotOfKind {
                    kind: kind.flag_name(),
                    key: key.to_owned(),
                    accepted: kind.parameter(),
                });
            }
            let text = Some(value.to_owned());
            match key {
                "namespace" => spec.target.namespace = text,
                "cluster" => spec.target.cluster = text,
                "zone" => spec.target.zone = text,
                "machine" => spec.target.machine = text,
                "pool" => spec.target.pool = text,
                "image" => spec.parameters.image = text,
                "count" => spec.parameters.count = Some(number(key, value, 0..=u32::MAX)?),
                "seconds" => spec.parameters.seconds = Some(number(key, value, 0..=u32::MAX)?),
                "status" => spec.parameters.status = Some(number(key, value, ERROR_STATUS)?),
                _ => return Err(FaultParseError::UnknownKey { key: key.to_owned() }),
            }
        }
        Ok(spec)
    }
}

/// Statuses that tell of a failure of the cloud, the only ones it can fail with.
const ERROR_STATUS: RangeInclusive<u16> = 400..=599;

fn number<N: FromStr + PartialOrd + Copy + Into<u32>>(
    key: &str,
    value: &str,
    range: RangeInclusive<N>,
) -> Result<N, FaultParseError> {
    value.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| FaultParseError::NotANumber {
        key: key.to_owned(),
        value: value.to_owned(),
        least: (*range.start()).into(),
        most: (*range.end()).into(),
    })
}

impl FaultSpec {
    /// The object that stands for this fault, named after what it says, so that the same flag gives the same object.
    pub fn object(&self) -> Value {
        let spec = json!(self);
        let name = format!("{}-{}", self.kind.flag_name(), name_suffix(&[&spec.to_string()]));
        json!({
            "apiVersion": Kind::Fault.api_version(), "kind": "Fault", "metadata": {"name": name}, "spec": spec,
        })
    }
}

/// Where something is done: what a fault's target is compared with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scope<'a> {
    /// Namespace (tenant).
    pub namespace: &'a str,
    /// Cluster name.
    pub cluster: &'a str,
    /// Zone, empty if none is meant.
    pub zone: &'a str,
    /// Machine name, empty if none is meant.
    pub machine: &'a str,
    /// Pool of the machine, or `control-plane`; empty if none is meant.
    pub pool: &'a str,
    /// Node image of the machine, empty if none is meant.
    pub image: &'a str,
}

impl FaultTarget {
    /// Whether something at `scope` is hit. A target that names a machine, pool or zone does not hit what has none.
    pub fn matches(&self, scope: &Scope<'_>) -> bool {
        let equal = |wanted: &Option<String>, given: &str| wanted.as_deref().is_none_or(|wanted| wanted == given);
        equal(&self.namespace, scope.namespace)
            && equal(&self.cluster, scope.cluster)
            && equal(&self.zone, scope.zone)
            && equal(&self.machine, scope.machine)
            // A pool spread over zones is one machine deployment per zone, `<pool>-<zone>`.
            && self.pool.as_deref().is_none_or(|pool| {
                pool == scope.pool || scope.pool.strip_prefix(pool).is_some_and(|rest| rest == format!("-{}", scope.zone))
            })
    }
}

/// What the cloud says when it refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudError {
    /// Reason of the `Ready` condition of the infrastructure object.
    pub reason: &'static str,
    /// The cloud's own words.
    pub message: String,
}

/// A stored fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Object name.
    pub name: String,
    /// When it was set.
    pub created: Timestamp,
    /// What it does.
    pub spec: FaultSpec,
    /// Machines picked for [`FaultKind::NodeLost`], as `namespace/name`; kept in `status.machines`, so that a replacement
    /// is not lost again.
    pub machines: Vec<String>,
}

impl Fault {
    /// Reads a `Fault`; nothing if it is being deleted or its kind is unknown to this version.
    pub fn read(object: &Object) -> Option<Self> {
        if object.deleting() {
            return None;
        }
        Some(Self {
            name: object.name().to_owned(),
            created: object.created(),
            spec: serde_json::from_value(object.at("/spec").clone()).ok()?,
            machines: object.list("/status/machines").iter().filter_map(|it| it.as_str().map(str::to_owned)).collect(),
        })
    }
}

/// All faults that are set, with the questions the controllers ask.
#[derive(Clone, Debug, Default)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Reads all faults; objects that cannot be read are left out.
    pub fn read<'a>(objects: impl IntoIterator<Item = &'a Object>) -> Self {
        let mut faults: Vec<Fault> = objects.into_iter().filter_map(Fault::read).collect();
        faults.sort_by(|a, b| (a.created, &a.name).cmp(&(b.created, &b.name)));
        Self(faults)
    }

    /// The faults, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter()
    }

    fn first(&self, kind: FaultKind, scope: &Scope<'_>) -> Option<&Fault> {
        self.0.iter().find(|fault| fault.spec.kind == kind && fault.spec.target.matches(scope))
    }

    /// What any request to the cloud is answered with, if not with success.
    pub fn api_refusal(&self, scope: &Scope<'_>) -> Option<CloudError> {
        if self.first(FaultKind::CredentialsExpired, scope).is_some() {
            return Some(CloudError {
                reason: "CredentialsInvalid",
                message: "Authentication failed: The request you have made requires authentication. (HTTP 401): \
                          application credential has expired"
                    .to_owned(),
            });
        }
        let fault = self.first(FaultKind::CloudAPIErrors, scope)?;
        let status = fault.spec.parameters.status.unwrap_or(503);
        let words = match status {
            500 => "Internal Server Error: Unexpected API Error",
            502 => "Bad Gateway: The proxy server received an invalid response from an upstream server",
            504 => "Gateway Timeout: The server did not respond in time",
            _ => "Service Unavailable: The server is currently unavailable. Please try again at a later time",
        };
        Some(CloudError { reason: "CloudAPIUnavailable", message: format!("Compute API: {words}. (HTTP {status})") })
    }

    /// What a request to create an instance is answered with, if not with success. `used` counts the instances that are
    /// already there within the target of a quota.
    pub fn create_refusal(&self, scope: &Scope<'_>, used: impl Fn(&FaultTarget) -> u32) -> Option<CloudError> {
        if let Some(refusal) = self.api_refusal(scope) {
            return Some(refusal);
        }
        if let Some(fault) = self.first(FaultKind::QuotaExhausted, scope) {
            let used = used(&fault.spec.target);
            let limit = fault.spec.parameters.count.unwrap_or(used);
            if used >= limit {
                return Some(CloudError {
                    reason: "InstanceCreateFailed",
                    message: format!(
                        "Quota exceeded for instances: Requested 1, but already used {used} of {limit} instances \
                         (HTTP 403)"
                    ),
                });
            }
        }
        if let Some(fault) = self.first(FaultKind::ImageMissing, scope) {
            let of_machine = Some(scope.image).filter(|image| !image.is_empty());
            let image = fault.spec.parameters.image.as_deref().or(of_machine).unwrap_or("node image");
            return Some(CloudError {
                reason: "ImageNotFound",
                message: format!("No image matching {image:?} was found (HTTP 404)"),
            });
        }
        self.zone_down(scope).then(|| CloudError {
            reason: "ZoneUnavailable",
            message: format!(
                "No valid host was found. There are not enough hosts available in availability zone {}. (HTTP 500)",
                scope.zone
            ),
        })
    }

    /// How much longer a request to the cloud takes, in simulated seconds.
    pub fn slowness(&self, scope: &Scope<'_>) -> Option<u32> {
        self.first(FaultKind::CloudAPISlow, scope).map(|fault| fault.spec.parameters.seconds.unwrap_or(30))
    }

    /// Whether the zone of `scope` is down. A fault without a zone takes all zones down.
    pub fn zone_down(&self, scope: &Scope<'_>) -> bool {
        self.first(FaultKind::ZoneDown, scope).is_some()
    }

    /// Whether the machine of `scope` never gets a node.
    pub fn never_boots(&self, scope: &Scope<'_>) -> bool {
        self.first(FaultKind::MachineNeverBoots, scope).is_some()
    }

    /// Whether the kubelet of the machine of `scope` does not answer.
    pub fn node_lost(&self, scope: &Scope<'_>) -> bool {
        let key = format!("{}/{}", scope.namespace, scope.machine);
        self.zone_down(scope)
            || self.0.iter().any(|fault| fault.spec.kind == FaultKind::NodeLost && fault.machines.contains(&key))
    }
}

/// How long the clock's `timeout` makes a slow cloud take.
pub fn slowness_delay(clock: &crate::clock::Clock, seconds: u32) -> SignedDuration {
    clock.timeout(f64::from(seconds))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("quota-exhausted:count=10")]
    #[case("zone-down:zone=zone-b")]
    #[case("node-lost:namespace=default,cluster=first,pool=default,count=1")]
    #[case("CloudAPIErrors:status=502")]
    #[case("credentials-expired")]
    #[case("disk-full")]
    #[case("zone-down:zone")]
    #[case("zone-down:zone=")]
    #[case("quota-exhausted:count=-1")]
    #[case("quota-exhausted:colour=red")]
    #[case("cloud-api-errors:status=200")]
    #[case("zone-down:count=1")]
    #[case("image-missing:count=1")]
    #[case("zone-down:zone=a,zone=b")]
    fn a_fault_flag_is_read_or_refused_with_what_would_be_accepted(#[case] flag: &str) {
        let shown = match flag.parse::<FaultSpec>() {
            Ok(spec) => serde_json::to_string(&spec.object()).unwrap(),
            Err(error) => error.to_string(),
        };
        insta::assert_snapshot!(flag.replace([':', '=', ','], "_"), shown);
    }

    #[test]
    fn a_quota_counts_what_is_there_and_lets_the_rest_through() {
        let faults = |flag: &str| {
            let mut object = flag.parse::<FaultSpec>().unwrap().object();
            object["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
            Faults::read(&[Object::new(object)])
        };
        let scope = Scope {
            namespace: "default",
            cluster: "first",
            zone: "zone-a",
            machine: "m",
            pool: "default",
            image: "node-1",
        };
        let missing = faults("image-missing").create_refusal(&scope, |_| 0).unwrap();
        assert_eq!(missing.message, "No image matching \"node-1\" was found (HTTP 404)");
        let quota = faults("quota-exhausted:count=10");
        assert_eq!(quota.create_refusal(&scope, |_| 9), None);
        assert_eq!(
            quota.create_refusal(&scope, |_| 10).unwrap().message,
            "Quota exceeded for instances: Requested 1, but already used 10 of 10 instances (HTTP 403)"
        );
        assert_eq!(faults("quota-exhausted:cluster=other").create_refusal(&scope, |_| 10), None);
        assert!(faults("zone-down:zone=zone-a").node_lost(&scope));
        assert!(!faults("zone-down:zone=zone-b").node_lost(&scope));
    }
}
