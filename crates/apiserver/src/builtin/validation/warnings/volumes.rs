//! Warnings about volumes of pods, persistent volumes and claims (`pkg/api/pod`, `pkg/api/persistentvolume*`).

use super::{super::field::Field, deprecated_label};

/// Sources of persistent volumes that are on their way out.
const SOURCES: [(&str, &str); 6] = [
    ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("storageos", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
];

/// A PersistentVolume.
pub(super) fn persistent_volume(volume: &Field<'_>, warnings: &mut Vec<String>) {
    const RECYCLE: &str = "The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic \
                           provisioning.";
    let annotations = volume.at("metadata.annotations");
    for (key, message) in [
        (
            "volume.beta.kubernetes.io/storage-class",
            "deprecated since v1.8; use \"storageClassName\" attribute instead",
        ),
        ("volume.beta.kubernetes.io/mount-options", "deprecated since v1.31; use \"mountOptions\" attribute instead"),
    ] {
        if annotations.key(key).is_set() {
            warnings.push(format!("{}: {message}", annotations.key(key).path()));
        }
    }
    let spec = volume.at("spec");
    let policy = spec.at("persistentVolumeReclaimPolicy");
    if policy.text() == "Recycle" {
        warnings.push(format!("{}: {RECYCLE}", policy.path()));
    }
    for term in spec.at("nodeAffinity.required.nodeSelectorTerms").items() {
        deprecated_keys(&term, warnings);
    }
    for (source, message) in SOURCES {
        if spec.at(source).is_set() {
            let shown = if source == "storageos" { "storageOS" } else { source };
            warnings.push(format!("{}: {message}", spec.at(shown).path()));
        }
    }
}

/// Labels of nodes that have other names by now, in the requirements of a selector.
pub(super) fn deprecated_keys(selector: &Field<'_>, warnings: &mut Vec<String>) {
    for key in selector.at("matchExpressions").items().map(|expression| expression.at("key")) {
        if let Some(message) = deprecated_label(key.text()) {
            warnings.push(format!("{}: {} is {message}", key.path(), key.text()));
        }
    }
}

/// A PersistentVolumeClaim.
pub(super) fn claim(claim: &Field<'_>, warnings: &mut Vec<String>) {
    let annotation = claim.at("metadata.annotations").key("volume.beta.kubernetes.io/storage-class");
    if annotation.is_set() {
        let message = "deprecated since v1.8; use \"storageClassName\" attribute instead";
        warnings.push(format!("{}: {message}", annotation.path()));
    }
    claim_spec(&claim.at("spec"), warnings);
}

/// The spec of a claim: bytes come whole.
pub(super) fn claim_spec(spec: &Field<'_>, warnings: &mut Vec<String>) {
    for list in ["requests", "limits"] {
        let storage = spec.at("resources").at(list).key("storage");
        if storage.amount().is_some_and(|amount| !amount.is_whole()) {
            let (path, text) = (storage.path(), storage.text());
            warnings.push(format!("{path}: fractional byte value {text:?} is invalid, must be an integer"));
        }
    }
}

/// A path in a volume, and what puts a file there.
#[derive(Clone, PartialEq, Eq)]
struct File {
    path: String,
    source: String,
}

impl File {
    fn shown(&self) -> String {
        if self.source.is_empty() { format!("{:?}", self.path) } else { format!("{:?} ({})", self.path, self.source) }
    }

    /// Whether one of two paths leads to or through the other.
    fn overlaps(&self, other: &Self) -> bool {
        let (own, others) = (format!("{}/", self.path), format!("{}/", other.path));
        !self.path.is_empty() && !other.path.is_empty() && (own.starts_with(&others) || others.starts_with(&own))
    }
}

/// Volumes of a pod that put several files in one place.
pub(super) fn overlapping_paths(volumes: &Field<'_>, warnings: &mut Vec<String>) {
    for volume in volumes.items() {
        let name = volume.at("name");
        let name = name.text();
        for (source, naming, what) in
            [("configMap", "name", "ConfigMap"), ("secret", "secretName", "Secret"), ("downwardAPI", "", "DownwardAPI")]
        {
            let source = volume.at(source);
            let title =
                if naming.is_empty() { what.to_owned() } else { format!("{what} {:?}", source.at(naming).text()) };
            for overlap in overlaps(files(&source, "")) {
                warnings.push(format!("volume {name:?} ({title}): overlapping paths: {overlap}"));
            }
        }
        let mut all = Vec::new();
        for source in volume.at("projected.sources").items() {
            match projected(&source) {
                Some(files) => all.extend(files),
                None => warnings.push(format!("volume {name:?} (Projected) has no sources provided")),
            }
        }
        for overlap in overlaps(all) {
            warnings.push(format!("volume {name:?} (Projected): overlapping paths: {overlap}"));
        }
    }
}

fn files(source: &Field<'_>, title: &str) -> Vec<File> {
    let items = source.at("items");
    items.items().map(|item| File { path: item.at("path").text().to_owned(), source: title.to_owned() }).collect()
}

/// The files of one source of a projected volume; none where it has no source.
fn projected(source: &Field<'_>) -> Option<Vec<File>> {
    let file = |path: &Field<'_>, source: String| File { path: path.text().to_owned(), source };
    let given = |name: &str| Some(source.at(name)).filter(Field::is_set);
    let mut found = None;
    for (name, what) in [("configMap", "ConfigMap"), ("secret", "Secret"), ("downwardAPI", "DownwardAPI")] {
        if let Some(source) = given(name) {
            let title =
                if what == "DownwardAPI" { what.to_owned() } else { format!("{what} {:?}", source.at("name").text()) };
            found.get_or_insert_with(|| files(&source, &title));
        }
    }
    if let Some(token) = given("serviceAccountToken") {
        found.get_or_insert_with(|| vec![file(&token.at("path"), "ServiceAccountToken".to_owned())]);
    }
    if let Some(bundle) = given("clusterTrustBundle") {
        let name = if bundle.at("name").is_set() { bundle.at("name") } else { bundle.at("signerName") };
        let title = format!("ClusterTrustBundle {:?}", name.text());
        found.get_or_insert_with(|| vec![file(&bundle.at("path"), title)]);
    }
    if let Some(certificate) = given("podCertificate") {
        let parts =
            [("certificateChainPath", "chain"), ("keyPath", "key"), ("credentialBundlePath", "credential bundle")];
        let parts = parts.map(|(name, what)| file(&certificate.at(name), format!("PodCertificate {what}")));
        found.get_or_insert_with(|| parts.into_iter().filter(|part| !part.path.is_empty()).collect());
    }
    found
}

/// Each file that is in the way of an earlier one.
fn overlaps(files: Vec<File>) -> Vec<String> {
    let mut found = Vec::new();
    let mut earlier: Vec<File> = Vec::new();
    for mut file in files {
        file.path.truncate(file.path.trim_end_matches('/').len());
        let others = earlier.iter().filter(|other| other.overlaps(&file));
        found.extend(others.map(|other| format!("{} with {}", file.shown(), other.shown())));
        earlier.push(file);
    }
    found
}
