//! What changing a field of a description does.

/// The kinds of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Refused,
    Setting,
    Scale,
    InPlace,
    Cloud,
    Replacement,
    ControlPlaneReplacement,
    Pools,
    AddOn,
}

impl Change {
    pub(crate) const ALL: [Self; 9] = [
        Self::Refused,
        Self::Setting,
        Self::Scale,
        Self::InPlace,
        Self::Cloud,
        Self::Replacement,
        Self::ControlPlaneReplacement,
        Self::Pools,
        Self::AddOn,
    ];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Setting => "setting",
            Self::Scale => "scale",
            Self::InPlace => "in place",
            Self::Cloud => "cloud",
            Self::Replacement => "replacement",
            Self::ControlPlaneReplacement => "control plane replacement",
            Self::Pools => "pools",
            Self::AddOn => "add-on",
        }
    }

    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::Refused => "Cannot be changed after creation; make a new cluster.",
            Self::Setting => "Only Kogge itself behaves differently from then on; no machine is touched.",
            Self::Scale => "Machines are added, or drained and removed; the others stay as they are.",
            Self::InPlace => "Existing nodes are changed while they run.",
            Self::Cloud => "The cluster's infrastructure in the cloud is changed; no machine is replaced.",
            Self::Replacement => {
                "The machines concerned are replaced one after the other: a new one joins, an old one is drained and removed. Several such changes at once are one replacement."
            }
            Self::ControlPlaneReplacement => "As replacement, of the control plane machines only.",
            Self::Pools => {
                "A new item is a new pool; a pool that is missing goes with its machines, which has to be confirmed."
            }
            Self::AddOn => "The add-on is installed, changed or removed inside the cluster.",
        }
    }

    /// What changing the field at a path does; the longest entry that fits counts.
    pub(crate) fn of(path: &str) -> Option<Self> {
        let fits = |prefix: &str| path == prefix || path.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.'));
        CHANGES
            .iter()
            .filter(|(prefix, _)| fits(prefix))
            .max_by_key(|(prefix, _)| prefix.len())
            .map(|(_, change)| *change)
    }
}

const CHANGES: &[(&str, Change)] = &[
    ("access", Change::ControlPlaneReplacement),
    ("addons", Change::AddOn),
    ("advanced.etcdBackup", Change::Setting),
    ("advanced.healthCheck", Change::Setting),
    ("advanced.nodeImage", Change::Replacement),
    ("advanced.sshKeyName", Change::Replacement),
    ("apiServer.access", Change::Cloud),
    ("apiServer.allowedCIDRs", Change::Cloud),
    ("apiServer.certSANs", Change::ControlPlaneReplacement),
    ("controlPlane", Change::ControlPlaneReplacement),
    ("controlPlane.count", Change::Scale),
    ("kubernetes.allowPreview", Change::Setting),
    ("kubernetes.version", Change::Replacement),
    ("maintenance", Change::Setting),
    ("network", Change::Refused),
    ("network.dnsServers", Change::Cloud),
    ("network.proxy", Change::Replacement),
    ("paused", Change::Setting),
    ("provider", Change::Refused),
    ("provider.credentialsRef", Change::Cloud),
    ("registries", Change::Replacement),
    ("stack", Change::Replacement),
    ("trust", Change::Replacement),
    ("workers[]", Change::Replacement),
    ("workers[].autoscaling", Change::Scale),
    ("workers[].count", Change::Scale),
    ("workers[].labels", Change::InPlace),
    ("workers[].name", Change::Pools),
    ("workers[].taints[]", Change::InPlace),
];

/// Examples of fields that no description has together with the others.
pub(crate) fn example(path: &str) -> Option<String> {
    let example = match path {
        "controlPlane.rootDiskGiB" => "50",
        "workers[].taints[].value" => "batch",
        _ if path.starts_with("addons.") && path.ends_with(".version") => "\"1.19.1\"",
        _ => return None,
    };
    Some(example.to_owned())
}
