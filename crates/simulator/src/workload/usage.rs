//! What simulated pods and nodes use of processors and memory. Nothing runs, so it is decided: by what a container asks
//! for, who it is, and the time. The same question always has the same answer.

use jiff::Timestamp;
use kogge_apiserver::server::{Measured, Usage, UsageRequest};
use serde_json::Value;

use super::scheduler::{bytes, milli};

/// Length of the rise and fall of what a container uses, in seconds.
const PERIOD: u64 = 1800;
/// Processors of a container that asks for none, in thousandths.
const CPU_WITHOUT_REQUEST: u64 = 20;
/// Memory of a container that asks for none, in bytes.
const MEMORY_WITHOUT_REQUEST: u64 = 48 << 20;
/// What the operating system and the kubelet of a node use: thousandths of a processor, and bytes.
const OF_NODE: (u64, u64) = (60, 380 << 20);

/// What a container, or a node beside its pods, uses at a time: of what it asks for a tenth to six tenths of the
/// processors, and four to seven tenths of the memory.
pub fn usage(request: &UsageRequest<'_>) -> Usage {
    let ((cpu, memory), who) = match request.measured {
        Measured::Container { pod, container } => {
            let metadata = &pod["metadata"];
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let who = format!("{}/{}/{container}", text(&metadata["namespace"]), text(&metadata["name"]));
            (requests(pod, container), who)
        }
        Measured::Node { node } => (OF_NODE, node["metadata"]["name"].as_str().unwrap_or_default().to_owned()),
    };
    let seed = hash(&format!("{}/{who}", request.plane));
    let (cpu_share, memory_share) = (wave(seed, request.at), wave(seed.rotate_left(21), request.at));
    Usage {
        // Thousandths of a processor times thousandths of a share are millionths: nanocores are a thousand times that.
        nanocores: cpu * (100 + cpu_share / 2) * 1000,
        bytes: memory / 1000 * (400 + memory_share * 3 / 10),
    }
}

/// Thousandths of a processor and bytes of memory that a container asks for.
fn requests(pod: &Value, container: &str) -> (u64, u64) {
    let containers = pod["spec"]["containers"].as_array();
    let found = containers.into_iter().flatten().find(|it| it["name"] == container);
    let requests = found.map_or(&Value::Null, |found| &found["resources"]["requests"]);
    let cpu = requests["cpu"].as_str().map_or(CPU_WITHOUT_REQUEST, milli);
    let memory = requests["memory"].as_str().map_or(MEMORY_WITHOUT_REQUEST, bytes);
    (cpu, memory)
}

/// A wave between 0 and 1000 that rises and falls evenly, each from another place.
fn wave(seed: u64, at: Timestamp) -> u64 {
    let seconds = u64::try_from(at.as_second()).unwrap_or(0);
    let place = (seconds + seed % PERIOD) % PERIOD;
    let half = PERIOD / 2;
    (if place < half { place } else { PERIOD - place }) * 1000 / half
}

/// FNV-1a.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use kogge_apiserver::server::PlaneName;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_used_follows_what_is_asked_for_and_the_time() {
        let pod = json!({
            "metadata": {"namespace": "default", "name": "web"},
            "spec": {"containers": [
                {"name": "main", "resources": {"requests": {"cpu": "500m", "memory": "256Mi"}}}, {"name": "side"},
            ]}
        });
        let plane = PlaneName("default/first".to_owned());
        let mut lines = Vec::new();
        for minutes in [0, 1, 10, 30] {
            let at = Timestamp::from_second(1_767_225_600 + minutes * 60).unwrap();
            for container in ["main", "side"] {
                let measured = Measured::Container { pod: &pod, container };
                let used = usage(&UsageRequest { plane: &plane, measured, at });
                lines.push(format!("{at} {container} {}m {}Mi", used.nanocores / 1_000_000, used.bytes >> 20));
            }
        }
        insta::assert_snapshot!(lines.join("\n"));
    }
}
