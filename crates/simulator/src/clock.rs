//! Simulated time: how long each stage of a machine's or pod's life takes, and how fast the clock runs.
//!
//! Nothing else in the simulator knows a duration. Time is injected, and the jitter of a stage depends only on the seed and
//! the object's name, so that a run can be repeated.

use std::{fmt, str::FromStr, sync::Arc};

use jiff::{SignedDuration, Timestamp};

use crate::object::stable_hash;

/// How fast simulated things happen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Speed {
    /// So many times faster than a typical cloud; 1 is real time.
    Times(f64),
    /// Without delays: everything happens as soon as its causes are there.
    Max,
}

/// Why a speed was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("speed {value:?} is neither `max` nor a number greater than 0 (up to 1000000)")]
pub struct SpeedError {
    value: String,
}

impl FromStr for Speed {
    type Err = SpeedError;

    /// Reads `max` or a positive number, optionally with a trailing `x` (`10`, `2.5`, `60x`).
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.eq_ignore_ascii_case("max") {
            return Ok(Self::Max);
        }
        match text.strip_suffix('x').unwrap_or(text).parse::<f64>() {
            Ok(times) if times > 0.0 && times <= 1e6 => Ok(Self::Times(times)),
            _ => Err(SpeedError { value: text.to_owned() }),
        }
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Times(times) => write!(formatter, "{times}"),
            Self::Max => formatter.write_str("max"),
        }
    }
}

/// A step that takes time on a real cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Networks, security groups and the API load balancer of a cluster are created.
    ClusterInfrastructure,
    /// The cloud builds an instance.
    InstanceCreate,
    /// The instance boots, runs its bootstrap data and its kubelet registers a node.
    InstanceBoot,
    /// The network plugin comes up and the node becomes ready.
    NodeReady,
    /// The cloud deletes an instance.
    InstanceDelete,
    /// The cluster's networks and load balancer are deleted.
    ClusterInfrastructureDelete,
    /// Pulling images and starting containers of a pod.
    PodStart,
    /// The run of a pod that ends by itself (of a Job).
    PodRun,
    /// A container's answer to SIGTERM.
    PodStop,
    /// A volume is created.
    VolumeCreate,
    /// A load balancer is created.
    LoadBalancerCreate,
}

impl Stage {
    /// Typical duration in seconds at speed 1.
    pub const fn seconds(self) -> f64 {
        match self {
            Self::ClusterInfrastructure | Self::PodRun => 5.0,
            Self::InstanceCreate | Self::LoadBalancerCreate => 8.0,
            Self::InstanceBoot => 26.0,
            Self::NodeReady => 6.0,
            Self::InstanceDelete => 4.0,
            Self::ClusterInfrastructureDelete | Self::VolumeCreate => 3.0,
            Self::PodStart => 2.0,
            Self::PodStop => 1.0,
        }
    }
}

/// The simulator's clock. Cheap to clone.
#[derive(Clone)]
pub struct Clock {
    speed: Speed,
    seed: u64,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl fmt::Debug for Clock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Clock").field("speed", &self.speed).field("seed", &self.seed).finish_non_exhaustive()
    }
}

impl Clock {
    /// How far timeouts are shortened where stages take no time at all: a node that is lost for five minutes is replaced
    /// after five seconds. They cannot be zero, or a machine that never boots would be replaced in a busy loop.
    const TIMEOUT_FACTOR_AT_MAX: f64 = 60.0;

    /// A clock that reads the system's time.
    pub fn system(speed: Speed, seed: u64) -> Self {
        Self::with_source(speed, seed, Timestamp::now)
    }

    /// A clock that reads its time from a function, for tests.
    pub fn with_source(speed: Speed, seed: u64, now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self { speed, seed, now: Arc::new(now) }
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        (self.now)()
    }

    /// The speed it runs at.
    pub fn speed(&self) -> Speed {
        self.speed
    }

    /// The seed of all jitter.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// How long a stage takes for the object of this name: its typical duration, up to 20 % longer, divided by the speed.
    pub fn delay(&self, stage: Stage, name: &str) -> SignedDuration {
        let part = stable_hash(&[&self.seed.to_string(), &format!("{stage:?}"), name]) % 1000;
        #[expect(clippy::cast_precision_loss, reason = "less than 1000")]
        let jitter = 1.0 + 0.2 * (part as f64 / 1000.0);
        match self.speed {
            Speed::Max => SignedDuration::ZERO,
            Speed::Times(times) => {
                SignedDuration::try_from_secs_f64(stage.seconds() * jitter / times).unwrap_or_default()
            }
        }
    }

    /// How long a timeout of so many simulated seconds is on this clock. Never zero for a positive number of seconds.
    pub fn timeout(&self, seconds: f64) -> SignedDuration {
        let factor = match self.speed {
            Speed::Max => Self::TIMEOUT_FACTOR_AT_MAX,
            Speed::Times(times) => times,
        };
        SignedDuration::try_from_secs_f64((seconds / factor).max(0.001)).unwrap_or(SignedDuration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("max", Ok(Speed::Max))]
    #[case("1", Ok(Speed::Times(1.0)))]
    #[case("2.5", Ok(Speed::Times(2.5)))]
    #[case("60x", Ok(Speed::Times(60.0)))]
    #[case("0", Err("speed \"0\" is neither `max` nor a number greater than 0 (up to 1000000)"))]
    #[case("-1", Err("speed \"-1\" is neither `max` nor a number greater than 0 (up to 1000000)"))]
    #[case("NaN", Err("speed \"NaN\" is neither `max` nor a number greater than 0 (up to 1000000)"))]
    fn a_speed_is_max_or_a_positive_number(#[case] text: &str, #[case] expected: Result<Speed, &str>) {
        assert_eq!(text.parse::<Speed>().map_err(|error| error.to_string()), expected.map_err(str::to_owned));
    }

    #[test]
    fn a_machine_boots_in_about_forty_seconds_at_speed_one() {
        let clock = Clock::system(Speed::Times(1.0), 7);
        let total: f64 = [Stage::InstanceCreate, Stage::InstanceBoot, Stage::NodeReady]
            .into_iter()
            .map(|stage| clock.delay(stage, "first-abcde").as_secs_f64())
            .sum();
        assert!((40.0..=48.0).contains(&total), "{total}");
        assert_eq!(clock.delay(Stage::InstanceBoot, "a"), clock.delay(Stage::InstanceBoot, "a"));
    }
}
