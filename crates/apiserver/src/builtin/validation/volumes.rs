//! Volumes of pods, and what PersistentVolumes are made of: exactly one source, each with what it needs.

use std::collections::{BTreeMap, BTreeSet};

use kogge_machinery::{object_meta::subdomain_messages, quantity::Quantity};

use super::{
    field::{Errors, Field},
    storage,
    text::{annotations, has_form, label, labels, lenient_subdomain, no_backsteps, relative_path, unreserved_path},
};

mod csi;
mod projected;

pub(super) use self::{csi::driver_name, projected::object_field};

/// What matters of a volume to what uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum VolumeKind {
    /// A claim, or a volume that makes one: can be a block device.
    Claim,
    EmptyDir,
    Other,
}

type Check = fn(&Field<'_>, &Source<'_>, &mut Errors);

/// Whose source is checked.
pub(super) struct Source<'s> {
    /// Name of the volume.
    name: &'s str,
    /// Whether it is a pod's, and not a template's.
    of_pod: bool,
}

/// A source: its field, where it is reported if it is one too many, where else, and its check.
struct SourceRule(&'static str, &'static str, &'static str, Check);

const ONE_TOO_MANY: &str = "may not specify more than 1 volume type";
/// In the order the real server looks at them.
const POD_SOURCES: &[SourceRule] = &[
    SourceRule("emptyDir", "emptyDir", "emptyDir", empty_dir),
    SourceRule("hostPath", "hostPath", "hostPath", host_path),
    SourceRule("gitRepo", "gitRepo", "gitRepo", git_repository),
    SourceRule("gcePersistentDisk", "gcePersistentDisk", "persistentDisk", gce_disk),
    SourceRule("awsElasticBlockStore", "awsElasticBlockStore", "persistentDisk", aws_disk),
    SourceRule("secret", "secret", "secret", secret),
    SourceRule("nfs", "nfs", "nfs", nfs),
    SourceRule("iscsi", "iscsi", "iscsi", iscsi),
    SourceRule("glusterfs", "glusterfs", "glusterfs", |source, _, errors| need(source, &["endpoints", "path"], errors)),
    SourceRule("flocker", "flocker", "flocker", flocker),
    SourceRule("persistentVolumeClaim", "persistentVolumeClaim", "persistentVolumeClaim", |source, _, errors| {
        need(source, &["claimName"], errors);
    }),
    SourceRule("rbd", "rbd", "rbd", |source, _, errors| need(source, &["monitors", "image"], errors)),
    SourceRule("cinder", "cinder", "cinder", |source, _, errors| {
        need(source, &["volumeID"], errors);
        need_inside(&source.at("secretRef"), &["name"], errors);
    }),
    SourceRule("cephfs", "cephFS", "cephfs", |source, _, errors| need(source, &["monitors"], errors)),
    SourceRule("quobyte", "quobyte", "quobyte", quobyte),
    SourceRule("downwardAPI", "downwarAPI", "downwardAPI", projected::downward_api),
    SourceRule("fc", "fc", "fc", fibre_channel),
    SourceRule("flexVolume", "flexVolume", "flexVolume", flex_volume),
    SourceRule("configMap", "configMap", "configMap", config_map),
    SourceRule("azureFile", "azureFile", "azureFile", |source, _, errors| {
        need(source, &["secretName", "shareName"], errors);
    }),
    SourceRule("vsphereVolume", "vsphereVolume", "vsphereVolume", |source, _, errors| {
        need(source, &["volumePath"], errors);
    }),
    SourceRule("photonPersistentDisk", "photonPersistentDisk", "photonPersistentDisk", |source, _, errors| {
        need(source, &["pdID"], errors);
    }),
    SourceRule("portworxVolume", "portworxVolume", "portworxVolume", |source, _, errors| {
        need(source, &["volumeID"], errors);
    }),
    SourceRule("azureDisk", "azureDisk", "azureDisk", azure_disk),
    SourceRule("storageos", "storageos", "storageos", |source, _, errors| {
        storage_os(source, errors);
        need_inside(&source.at("secretRef"), &["name"], errors);
    }),
    SourceRule("projected", "projected", "projected", projected::validate),
    SourceRule("scaleIO", "scaleIO", "scaleIO", |source, _, errors| {
        need(source, &["gateway", "system", "volumeName"], errors);
    }),
    SourceRule("csi", "csi", "csi", csi::of_pod),
    SourceRule("ephemeral", "ephemeral", "ephemeral", ephemeral),
    SourceRule("image", "image", "image", image),
];
/// Of PersistentVolumes, in the real server's order.
const PERSISTENT_SOURCES: &[SourceRule] = &[
    SourceRule("hostPath", "hostPath", "hostPath", host_path),
    SourceRule("gcePersistentDisk", "gcePersistentDisk", "persistentDisk", gce_disk),
    SourceRule("awsElasticBlockStore", "awsElasticBlockStore", "persistentDisk", aws_disk),
    SourceRule("glusterfs", "glusterfs", "glusterfs", |source, _, errors| need(source, &["endpoints", "path"], errors)),
    SourceRule("flocker", "flocker", "flocker", flocker),
    SourceRule("nfs", "nfs", "nfs", nfs),
    SourceRule("rbd", "rbd", "rbd", |source, _, errors| need(source, &["monitors", "image"], errors)),
    SourceRule("quobyte", "quobyte", "quobyte", quobyte),
    SourceRule("cephfs", "cephFS", "cephfs", |source, _, errors| need(source, &["monitors"], errors)),
    SourceRule("iscsi", "iscsi", "iscsi", |source, volume, errors| {
        iscsi(source, volume, errors);
        need_inside(&source.at("secretRef"), &["name"], errors);
    }),
    SourceRule("cinder", "cinder", "cinder", |source, _, errors| {
        need(source, &["volumeID"], errors);
        need_inside(&source.at("secretRef"), &["name", "namespace"], errors);
    }),
    SourceRule("fc", "fc", "fc", fibre_channel),
    SourceRule("flexVolume", "flexVolume", "flexVolume", flex_volume),
    SourceRule("azureFile", "azureFile", "azureFile", |source, _, errors| {
        need(source, &["secretName", "shareName"], errors);
        if source.at("secretNamespace").is_set() {
            need(source, &["secretNamespace"], errors);
        }
    }),
    SourceRule("vsphereVolume", "vsphereVolume", "vsphereVolume", |source, _, errors| {
        need(source, &["volumePath"], errors);
    }),
    SourceRule("photonPersistentDisk", "photonPersistentDisk", "photonPersistentDisk", |source, _, errors| {
        need(source, &["pdID"], errors);
    }),
    SourceRule("portworxVolume", "portworxVolume", "portworxVolume", |source, _, errors| {
        need(source, &["volumeID"], errors);
    }),
    SourceRule("azureDisk", "azureDisk", "azureDisk", azure_disk),
    SourceRule("scaleIO", "scaleIO", "scaleIO", |source, _, errors| {
        need(source, &["gateway", "system", "volumeName"], errors);
    }),
    SourceRule("local", "local", "local", |source, _, errors| {
        need(source, &["path"], errors);
        no_backsteps(&source.at("path"), errors);
    }),
    SourceRule("storageos", "storageos", "storageos", |source, _, errors| {
        storage_os(source, errors);
        need_inside(&source.at("secretRef"), &["name", "namespace"], errors);
    }),
    SourceRule("csi", "csi", "csi", csi::persistent),
];

/// Fields of a PersistentVolume's spec that are its source.
pub(super) fn persistent_source_fields() -> impl Iterator<Item = &'static str> {
    PERSISTENT_SOURCES.iter().map(|rule| rule.0)
}

/// Checks that there is one source, and it.
fn sources(place: &Field<'_>, source: &Source<'_>, rules: &[SourceRule], errors: &mut Errors) {
    let mut found = false;
    for SourceRule(field, surplus, reported, check) in rules {
        let value = place.at(field);
        if !value.is_set() {
            continue;
        }
        if found {
            errors.forbidden(&place.at(surplus), ONE_TOO_MANY);
        } else {
            check(&value.reported_at(place, reported), source, errors);
        }
        found = true;
    }
    if !found {
        errors.required(place, "must specify a volume type");
    }
}

/// The source of a PersistentVolume.
pub(super) fn persistent_source(spec: &Field<'_>, name: &str, errors: &mut Errors) {
    sources(spec, &Source { name, of_pod: false }, PERSISTENT_SOURCES, errors);
}

/// The volumes of a pod spec. `pod` is the name of a pod that is not a template; `claims` are volumes a StatefulSet adds.
/// Returns those that containers may use.
pub(super) fn validate<'o>(
    list: &Field<'o>,
    pod: Option<&str>,
    of_pod: bool,
    claims: &BTreeSet<&'o str>,
    errors: &mut Errors,
) -> BTreeMap<&'o str, VolumeKind> {
    let mut known: BTreeMap<&str, VolumeKind> = claims.iter().map(|name| (*name, VolumeKind::Claim)).collect();
    let pod = pod.filter(|name| !name.is_empty());
    let created: BTreeSet<String> = list
        .items()
        .filter(|volume| volume.at("ephemeral").is_set())
        .filter_map(|volume| Some(format!("{}-{}", pod?, volume.at("name").text())))
        .collect();
    let own = list.items().filter(|volume| !claims.contains(volume.at("name").text()));
    for (index, volume) in own.enumerate() {
        // The volumes of claims come before a template's own.
        let volume = volume.reported_as(&format!("{}[{}]", list.path(), claims.len() + index));
        let name = volume.at("name");
        let before = errors.len();
        sources(&volume, &Source { name: name.text(), of_pod }, POD_SOURCES, errors);
        if let (Some(pod), true, false) = (pod, volume.at("ephemeral").is_set(), name.text().is_empty()) {
            let claim = format!("{pod}-{}", name.text());
            for message in subdomain_messages(&claim, 253) {
                errors.invalid_text(&name, &format!("PVC name {claim:?}: {message}"));
            }
        }
        if name.text().is_empty() {
            errors.required(&name, "");
        } else {
            label(&name, errors);
        }
        if known.contains_key(name.text()) {
            errors.duplicate(&name);
        }
        if errors.len() == before {
            known.insert(name.text(), kind(&volume));
        }
        let claim = volume.at("persistentVolumeClaim.claimName");
        if created.contains(claim.text()) {
            errors.invalid_text(&claim, "must not reference a PVC that gets created for an ephemeral volume");
        }
    }
    known
}

fn kind(volume: &Field<'_>) -> VolumeKind {
    let has = |field: &str| volume.at(field).is_set();
    if has("persistentVolumeClaim") || has("ephemeral") {
        VolumeKind::Claim
    } else if has("emptyDir") {
        VolumeKind::EmptyDir
    } else {
        VolumeKind::Other
    }
}

/// Members that must not be empty.
pub(super) fn need(place: &Field<'_>, names: &[&str], errors: &mut Errors) {
    for name in names {
        let member = place.at(name);
        if member.is_empty() {
            errors.required(&member, "");
        }
    }
}

/// As [`need`], of something that need not be there.
fn need_inside(place: &Field<'_>, names: &[&str], errors: &mut Errors) {
    if place.is_set() {
        need(place, names, errors);
    }
}

fn in_range(field: &Field<'_>, range: std::ops::RangeInclusive<i64>, detail: &str, errors: &mut Errors) {
    if field.number().is_some_and(|number| !range.contains(&number)) {
        errors.invalid(field, detail);
    }
}

fn mode(field: &Field<'_>, errors: &mut Errors) {
    in_range(field, 0..=0o777, "must be a number between 0 and 0777 (octal), both inclusive", errors);
}

fn empty_dir(source: &Field<'_>, _: &Source<'_>, errors: &mut Errors) {
    let limit = source.at("sizeLimit");
    if limit.amount().is_some_and(Quantity::is_negative) {
        errors.forbidden(&limit, "SizeLimit field must be a valid resource quantity");
    }
}

fn host_path(source: &Field<'_>, _: &Source<'_>, errors: &mut Errors) {
    const TYPES: [&str; 8] =
        ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
    if source.at("path").text().is_empty() {
        need(source, &["path"], errors);
        return;
    }
    no_backsteps(&source.at("path"), errors);
    errors.known(&source.at("type"), &TYPES);
}

fn git_repository(source: &Field<'_>, _: &Source<'_>, errors: &mut Errors) {
    need(source, &["repository"], errors);
    relative_path(&source.at("directory"), errors);
}

fn gce_disk(source: &Field<'_>, _: &Source<'_>, errors: &mut Errors) {
    need(source, &["pdName"], errors);
    in_range(&source.at("partition"), 0..=255, "must be between 1 and 255, inclusive", errors);
}

fn aws_disk(source: &Field<'_>, _: &Source<'_>, errors: &mut Errors) {
    need(source, &["volumeID"], errors);
    in_range(&source.at("partition"), 0..=255, "must be between 1 and 255, inclusive", errors);
}

fn keys_to_paths(items: &Field<'_>, errors: &mut Errors) {
    for item in items.items() {
        key_to_path(&item, errors);
    }
}

fn key_to_path(item: &Field<'_>, errors: &mut Errors) {
    need(item, &["key", "path"], errors);
    unreserved_path(&item.at("path"), errors);
    mode(&item.at("mode"), errors);
}

fn secret(source: &Field<'_>, _: &Source<'_>, errors: &mut Errors) {
    need(source, &["secretName"], errors);
    mode(&source.at("defaultMode"), errors);
    keys_to_paths(&source.at("items"), errors);
}

fn config_map(source: &Field<'_>, _: &Source<'_>, errors: &mut Errors) {
    need(source, &["name"], errors);
    mode(&source.at("defaultMode"), errors);
    keys_to_paths(&source.at("items"), errors);
}

fn nfs(source: &Field<'_>, _: &Source<'_>, errors: &mut Errors) {
    need(source, &["server", "path"], errors);
    if !source.at("path").text().starts_with('/') {
        errors.invalid_text(&source.at("path"), "must be an absolute path");
    }
}

fn iscsi_name(field: &Field<'_>, errors: &mut Errors) {
    let name = field.text();
    let expression = match name.get(..3) {
        Some("iqn") => r".*iqn\.\d{4}-\d{2}\.([[:alnum:]\-.]+)(:[^,;*&$|\s]+)",
        Some("eui") => "eui.[[:alnum:]]{16}",
        Some("naa") => "naa.[[:alnum:]]{32}",
        _ => {
            errors.invalid_text(field, "must be valid format starting with iqn, eui, or naa");
            return;
        }
    };
    if !has_form(name, expression) {
        errors.invalid_text(field, "must be valid format");
    }
}

fn iscsi(source: &Field<'_>, volume: &Source<'_>, errors: &mut Errors) {
    need(source, &["targetPortal", "iqn"], errors);
    if !source.at("iqn").is_empty() {
        iscsi_name(&source.at("iqn"), errors);
    }
    in_range(&source.at("lun"), 0..=255, "must be between 0 and 255, inclusive", errors);
    if (source.at("chapAuthDiscovery").is_true() || source.at("chapAuthSession").is_true())
        && !source.at("secretRef").is_set()
    {
        errors.required(&source.at("secretRef"), "");
    }
    let initiator = source.at("initiatorName");
    if initiator.is_set() {
        iscsi_name(&initiator.reported_at(source, "initiatorname"), errors);
        let portal = source.at("targetPortal");
        if volume.name.len() + 1 + portal.text().len() > 64 {
            let detail = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if \
                          iscsi.initiatorName is specified.";
            errors.invalid_text(&portal.reported_at(source, "targetportal"), detail);
        }
    }
}

fn flocker(source: &Field<'_>, _: &Source<'_>, errors: &mut Errors) {
    let (name, uuid) = (source.at("datasetName"), source.at("datasetUUID"));
    if name.is_empty() && uuid.is_empty() {
        errors.required(source, "one of datasetName and datasetUUID is required");
    }
    if !name.is_empty() && !uuid.is_empty() {
        let detail = "datasetName and datasetUUID can not be specified simultaneously";
        errors.show(source, &"resource".into(), detail);
    }
    if name.text().contains('/') {
        errors.invalid(&name, "must not contain '/'");
    }
}

fn quobyte(source: &Field<'_>, _: &Source<'_>, errors: &mut Errors) {
    const REGISTRY: &str = "must be a host:port pair or multiple pairs separated by commas";
    let registry = source.at("registry");
    if registry.is_empty() {
        errors.required(&registry, REGISTRY);
    } else if source.at("tenant").text().len() >= 65 {
        let detail = "must be a UUID and may not exceed a length of 64 characters";
        errors.required(&source.at("tenant"), detail);
    } else {
        for pair in registry.text().split(',') {
            if pair.rsplit_once(':').is_none_or(|(host, _)| host.contains(':') && !host.starts_with('[')) {
                errors.invalid_text(&registry, REGISTRY);
            }
        }
    }
    need(source, &["volume"], errors);
}

fn fibre_channel(source: &Field<'_>, _: &Source<'_>, errors: &mut Errors) {
    let (names, ids, lun) = (source.at("targetWWNs"), source.at("wwids"), source.at("lun"));
    if names.is_empty() && ids.is_empty() {
        errors.required(&names, "must specify either targetWWNs or wwids, but not both");
    }
    if !names.is_empty() && !ids.is_empty() {
        errors.invalid(&names, "targetWWNs and wwids can not be specified simultaneously");
    }
    if !names.is_empty() {
        if lun.is_set() {
            in_range(&lun, 0..=255, "must be between 0 and 255, inclusive", errors);
        } else {
            errors.required(&lun, "lun is required if targetWWNs is specified");
        }
    }
}

fn flex_volume(source: &Field<'_>, _: &Source<'_>, errors: &mut Errors) {
    need(source, &["driver"], errors);
    for (key, option) in source.at("options").entries() {
        let namespace = format!(".{}", key.split('/').next().unwrap_or_default().to_lowercase());
        if namespace.ends_with(".kubernetes.io") || namespace.ends_with(".k8s.io") {
            errors.show(&option, &key.into(), "kubernetes.io and k8s.io namespaces are reserved");
        }
    }
}

fn azure_disk(source: &Field<'_>, _: &Source<'_>, errors: &mut Errors) {
    need(source, &["diskName", "diskURI"], errors);
    errors.known(&source.at("cachingMode"), &["None", "ReadOnly", "ReadWrite"]);
    let (kind, uri) = (source.at("kind"), source.at("diskURI"));
    errors.known(&kind, &["Dedicated", "Managed", "Shared"]);
    if kind.text() == "Managed" && !uri.text().starts_with("/subscriptions/") {
        errors.not_supported(
            &uri,
            &["/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"],
        );
    } else if kind.is_set() && kind.text() != "Managed" && !uri.text().starts_with("https://") {
        let form = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd";
        errors.not_supported(&uri, &[form]);
    }
}

fn storage_os(source: &Field<'_>, errors: &mut Errors) {
    let (name, namespace) = (source.at("volumeName"), source.at("volumeNamespace"));
    if name.is_empty() {
        errors.required(&name, "");
    } else {
        label(&name, errors);
    }
    if !namespace.is_empty() {
        label(&namespace, errors);
    }
}

fn ephemeral(source: &Field<'_>, _: &Source<'_>, errors: &mut Errors) {
    let template = source.at("volumeClaimTemplate");
    if !template.is_set() {
        errors.required(&template, "");
        return;
    }
    let metadata = template.at("metadata");
    annotations(&metadata.at("annotations"), errors);
    labels(&metadata.at("labels"), errors);
    for name in ["name", "generateName", "namespace", "uid", "ownerReferences", "finalizers"] {
        if !metadata.at(name).is_empty() {
            errors.forbidden(&metadata.at(name), "cannot be set");
        }
    }
    storage::claim_spec(&template.at("spec"), errors);
}

fn image(source: &Field<'_>, volume: &Source<'_>, errors: &mut Errors) {
    if volume.of_pod {
        need(source, &["reference"], errors);
    }
    errors.one_of(&source.at("pullPolicy"), &["Always", "IfNotPresent", "Never"]);
}

/// Search domains of a pod's DNS configuration.
pub(super) fn search_domain(field: &Field<'_>, errors: &mut Errors) {
    if field.text() != "." {
        lenient_subdomain(field, field.text().strip_suffix('.').unwrap_or(field.text()), errors);
    }
}
