//! Volumes and claims on them, classes of storage, and what CSI drivers publish.

use std::collections::{BTreeMap, BTreeSet};

use kogge_machinery::object_meta::subdomain_messages;
use serde_json::Value;

use super::{
    Change,
    field::{Errors, Field, same},
    resources,
    scheduling::node_selector,
    text::{label, label_selector, qualified_name, subdomain},
    volumes::{driver_name, persistent_source, persistent_source_fields},
};

const ACCESS_MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

fn access_modes(modes: &Field<'_>, errors: &mut Errors) {
    let (mut alone, mut shared) = (false, false);
    for mode in modes.items() {
        errors.known(&mode.reported_as(modes.path()), &ACCESS_MODES);
        match mode.text() {
            "ReadWriteOncePod" => alone = true,
            text => shared |= ACCESS_MODES.contains(&text),
        }
    }
    if alone && shared {
        errors.forbidden(modes, "may not use ReadWriteOncePod with other access modes");
    }
}

/// The spec of a claim, or of a template of claims.
pub(super) fn claim_spec(spec: &Field<'_>, errors: &mut Errors) {
    let modes = spec.at("accessModes");
    if modes.is_empty() {
        errors.required(&modes, "at least 1 access mode is required");
    }
    label_selector(&spec.at("selector"), errors);
    access_modes(&modes, errors);
    let storage = spec.at("resources.requests").key("storage");
    let reported = storage.reported_as(&format!("{}[storage]", spec.at("resources").path()));
    match storage.amount() {
        None => errors.required(&reported, ""),
        Some(amount) if !amount.is_positive() => errors.invalid(&reported, "must be greater than zero"),
        Some(_) => {}
    }
    for name in ["storageClassName", "volumeAttributesClassName"] {
        if !spec.at(name).is_empty() {
            subdomain(&spec.at(name), errors);
        }
    }
    errors.known(&spec.at("volumeMode"), &["Block", "Filesystem"]);
    let (source, reference) = (spec.at("dataSource"), spec.at("dataSourceRef"));
    data_source(&source, errors);
    data_source(&reference, errors);
    let namespace = reference.at("namespace");
    if !namespace.is_empty() {
        label(&namespace, errors);
        if source.is_set() {
            // The real server shows a path where it means to show a value.
            let detail = "may not be specified when dataSourceRef.namespace is specified";
            errors.show(spec, &Value::Object(serde_json::Map::new()), detail);
        }
    } else if source.is_set() && reference.is_set() {
        let equal = ["apiGroup", "kind", "name"].iter().all(|name| source.at(name).text() == reference.at(name).text());
        if !equal {
            errors.show(spec, &Value::Object(serde_json::Map::new()), "must match dataSourceRef");
        }
    }
}

fn data_source(source: &Field<'_>, errors: &mut Errors) {
    if !source.is_set() {
        return;
    }
    let (kind, group) = (source.at("kind"), source.at("apiGroup"));
    for field in [source.at("name"), kind.clone()].iter().filter(|field| field.is_empty()) {
        errors.required(field, "");
    }
    if group.is_empty() && kind.text() != "PersistentVolumeClaim" {
        let detail = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
        errors.show(source, &kind.text().into(), detail);
    }
    if !group.is_empty() {
        subdomain(&group, errors);
    }
}

/// A PersistentVolumeClaim: of one that is bound, only the size and the attributes may change.
pub(super) fn validate_claim(change: &Change<'_>, errors: &mut Errors) {
    let claim = &change.new;
    let spec = claim.at("spec");
    claim_spec(&spec, errors);
    let Some(old) = &change.old else { return };
    let before = old.at("spec");
    let class = |claim: &Field<'_>| claim.at("metadata.annotations").key(BETA_CLASS).value.clone();
    let upgraded = !class(old).is_null() && class(claim).is_null() && spec.at("storageClassName").value == &class(old);
    let now = claim.at("metadata.annotations").key(BETA_CLASS);
    if !upgraded && now.value != &class(old) {
        let place = now.reported_as(&format!("metadata.annotations.{BETA_CLASS}"));
        errors.invalid_text(&place, "field is immutable");
    }
    let bound = claim.at("status.phase").text() == "Bound";
    let fixed = |spec: &Value| {
        let mut spec = spec.clone();
        let Some(members) = spec.as_object_mut() else { return spec };
        if before.at("volumeName").is_empty() {
            members.remove("volumeName");
        }
        if before.at("storageClassName").value.is_null() || upgraded {
            members.remove("storageClassName");
        }
        if bound {
            members.remove("volumeAttributesClassName");
            let requests = members.get_mut("resources").and_then(|resources| resources.get_mut("requests"));
            if let Some(requests) = requests.and_then(Value::as_object_mut) {
                requests.remove("storage");
            }
        }
        spec
    };
    // Of a bound claim the size is not compared, unless there is nothing it could stand in.
    let requests = spec.at("resources.requests");
    let lost =
        bound && before.at("resources.requests").is_set() && !requests.is_set() && !errors.was_sent_empty(&requests);
    if lost || !same(&fixed(spec.value), &fixed(before.value)) {
        errors.forbidden(
            &spec,
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
        );
    }
    let size = spec.at("resources.requests.storage");
    let held = old.at("status.capacity.storage").amount();
    // What is not there is nothing.
    let none_held = held.is_none() && size.amount().is_none_or(|size| !size.is_positive());
    if size.amount() < before.at("resources.requests.storage").amount() && (size.amount() <= held || none_held) {
        errors.forbidden(&size, "field can not be less than status.capacity");
    }
    errors.immutable(&spec.at("volumeMode").reported_as("volumeMode"), &before.at("volumeMode"));
    let (attributes, current) =
        (spec.at("volumeAttributesClassName"), old.at("status.currentVolumeAttributesClassName"));
    if current.is_set() && attributes.value != before.at("volumeAttributesClassName").value && attributes.is_empty() {
        let what = if attributes.is_set() { "empty string" } else { "nil" };
        let detail = format!("update to {what} is forbidden when status.currentVolumeAttributesClassName is not nil");
        errors.forbidden(&attributes, &detail);
    }
}

pub(super) fn validate_claim_status(change: &Change<'_>, errors: &mut Errors) {
    let status = change.new.at("status");
    for list in ["capacity", "allocatedResources"] {
        for (_, value) in status.at(list).entries() {
            if let Some(amount) = value.amount().filter(|amount| amount.is_negative()) {
                errors.show(&value, &amount.whole().into(), "must be a valid resource quantity");
            }
        }
    }
}

/// The spec of a volume; `inline` for one that is part of an attachment.
fn volume_spec(spec: &Field<'_>, name: &str, inline: bool, errors: &mut Errors) {
    const INLINE: &str = "may not be specified in the context of inline volumes";
    let capacity = spec.at("capacity");
    if inline {
        for field in [spec.at("claimRef"), capacity.clone()].iter().filter(|field| field.is_set()) {
            errors.forbidden(field, INLINE);
        }
        if !spec.at("csi").is_set() {
            errors.required(&spec.at("csi"), "has to be specified in the context of inline volumes");
        }
    }
    if spec.at("accessModes").is_empty() {
        errors.required(&spec.at("accessModes"), "");
    }
    access_modes(&spec.at("accessModes"), errors);
    if !inline {
        if capacity.is_empty() {
            errors.required(&capacity, "");
        }
        if !capacity.key("storage").is_set() || capacity.len() > 1 {
            errors.not_supported_value(&capacity, &["storage"]);
        }
        for (_, value) in capacity.entries() {
            if let Some(amount) = value.amount().filter(|amount| amount.is_negative()) {
                errors.show(&value, &amount.whole().into(), "must be a valid resource quantity");
            }
            match value.amount() {
                Some(amount) if amount.is_positive() => {}
                _ => errors.invalid(&value, "must be greater than zero"),
            }
        }
        if !spec.at("persistentVolumeReclaimPolicy").is_empty() {
            errors.known(&spec.at("persistentVolumeReclaimPolicy"), &["Delete", "Recycle", "Retain"]);
        }
    }
    let affinity = spec.at("nodeAffinity");
    if affinity.is_set() {
        let required = affinity.at("required");
        if inline {
            errors.forbidden(&affinity, INLINE);
        } else if required.is_set() {
            node_selector(&required, false, errors);
        } else {
            errors.required(&required, "must specify required node constraints");
        }
    }
    persistent_source(spec, name, errors);
    if spec.at("local").is_set() && !affinity.is_set() {
        errors.required(&affinity, "Local volume requires node affinity");
    }
    let root = spec.at("hostPath.path").text().split('/').all(|part| matches!(part, "" | "."));
    if spec.at("hostPath").is_set() && root && spec.at("persistentVolumeReclaimPolicy").text() == "Recycle" {
        let detail = "may not be 'recycle' for a hostPath mount of '/'";
        errors.forbidden(&spec.at("persistentVolumeReclaimPolicy"), detail);
    }
    if !spec.at("storageClassName").is_empty() {
        if inline {
            errors.forbidden(&spec.at("storageClassName"), INLINE);
        } else {
            subdomain(&spec.at("storageClassName"), errors);
        }
    }
    errors.known(&spec.at("volumeMode"), &["Block", "Filesystem"]);
    let attributes = spec.at("volumeAttributesClassName");
    if attributes.is_set() {
        if attributes.is_empty() {
            errors.required(&attributes, "an empty string is disallowed");
        } else {
            subdomain(&attributes, errors);
        }
        if !spec.at("csi").is_set() {
            errors.required(&spec.at("csi"), "has to be specified when using volumeAttributesClassName");
        }
    }
}

/// A PersistentVolume, whose source stays.
pub(super) fn validate_volume(change: &Change<'_>, errors: &mut Errors) {
    let volume = &change.new;
    let spec = volume.at("spec");
    volume_spec(&spec, volume.at("metadata.name").text(), false, errors);
    let Some(old) = &change.old else { return };
    // The rules of a change ask for all of it once more.
    volume_spec(&spec, volume.at("metadata.name").text(), false, errors);
    let before = old.at("spec");
    let source = |spec: &Field<'_>| {
        let mut source = serde_json::Map::new();
        for field in persistent_source_fields() {
            source.insert(field.to_owned(), spec.at(field).value.clone());
        }
        if let Some(csi) = source.get_mut("csi").and_then(Value::as_object_mut)
            && !before.at("csi.controllerExpandSecretRef").is_set()
        {
            csi.remove("controllerExpandSecretRef");
        }
        Value::Object(source)
    };
    if !same(&source(&spec), &source(&before)) {
        let place = spec.reported_as("spec.persistentvolumesource");
        errors.forbidden(&place, "spec.persistentvolumesource is immutable after creation");
    }
    errors.immutable(&spec.at("volumeMode").reported_as("volumeMode"), &before.at("volumeMode"));
    let (affinity, known) = (spec.at("nodeAffinity"), before.at("nodeAffinity"));
    if known.is_set() && !same(affinity.value, &with_renamed_keys(known.value, affinity.value)) {
        let detail = "field is immutable, except for updating from beta label to GA";
        errors.invalid_of(&affinity.reported_as("nodeAffinity"), affinity.path(), detail);
    }
    let (attributes, known) = (spec.at("volumeAttributesClassName"), before.at("volumeAttributesClassName"));
    if known.is_set() && !attributes.is_set() {
        errors.forbidden(&attributes, "update from non-nil value to nil is forbidden");
    }
}

/// The affinity of a volume with the keys that may be changed as they are in `new`: one of a beta label to its successor,
/// and, as the real server looks these up, any other to nothing.
fn with_renamed_keys(known: &Value, new: &Value) -> Value {
    const SUCCESSORS: [(&str, &str); 5] = [
        ("beta.kubernetes.io/arch", "kubernetes.io/arch"),
        ("beta.kubernetes.io/os", "kubernetes.io/os"),
        ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
        ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
        ("beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type"),
    ];
    let mut renamed = known.clone();
    let terms = renamed.pointer_mut("/required/nodeSelectorTerms").and_then(Value::as_array_mut);
    for (index, term) in terms.into_iter().flatten().enumerate() {
        for list in ["matchExpressions", "matchFields"] {
            let requirements = term.get_mut(list).and_then(Value::as_array_mut);
            for (place, requirement) in requirements.into_iter().flatten().enumerate() {
                let known = requirement["key"].as_str().unwrap_or_default();
                let successor = SUCCESSORS.iter().find(|(beta, _)| *beta == known).map_or("", |(_, stable)| stable);
                let changed = &new["required"]["nodeSelectorTerms"][index][list][place]["key"];
                if changed.as_str().unwrap_or_default() == successor {
                    requirement["key"] = changed.clone();
                }
            }
        }
    }
    renamed
}

fn parameters(map: &Field<'_>, may_be_empty: bool, errors: &mut Errors) {
    const MAX_ENTRIES: usize = 512;
    const MAX_BYTES: usize = 256 * 1024;
    if map.len() > MAX_ENTRIES {
        errors.too_long(map, MAX_ENTRIES);
        return;
    }
    let mut bytes = 0;
    for (key, value) in map.entries() {
        if key.is_empty() {
            errors.show(map, &"".into(), "field can not be empty.");
        }
        bytes += key.len() + value.text().len();
    }
    if bytes > MAX_BYTES {
        errors.too_long(map, MAX_BYTES);
    }
    if !may_be_empty && map.is_empty() {
        errors.required(map, "must contain at least one key/value pair");
    }
}

fn provisioner(field: &Field<'_>, errors: &mut Errors) {
    if field.is_empty() {
        errors.required(field, "");
    } else {
        let lower = Value::from(field.text().to_lowercase());
        qualified_name(&Field::root(&lower).reported_as(field.path()), errors);
    }
}

/// A StorageClass, which stays as it is.
pub(super) fn validate_class(change: &Change<'_>, errors: &mut Errors) {
    let class = &change.new;
    if let Some(old) = &change.old {
        for name in ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"] {
            errors.immutable(&class.at(name), &old.at(name));
        }
    }
    provisioner(&class.at("provisioner"), errors);
    parameters(&class.at("parameters"), true, errors);
    if !class.at("reclaimPolicy").is_empty() {
        errors.known(&class.at("reclaimPolicy"), &["Delete", "Retain"]);
    }
    let mode = class.at("volumeBindingMode");
    if mode.is_set() {
        errors.known(&mode, &["Immediate", "WaitForFirstConsumer"]);
    } else {
        errors.required(&mode, "");
    }
    allowed_topologies(&class.at("allowedTopologies"), errors);
}

/// Topologies, each of which says something and none the same as another one.
fn allowed_topologies(terms: &Field<'_>, errors: &mut Errors) {
    // What the real server starts from are as many empty terms as there are terms.
    let mut seen = vec![BTreeMap::new(); terms.items().count()];
    for term in terms.items() {
        let mut keys = BTreeSet::new();
        let mut wanted = BTreeMap::new();
        for expression in term.at("matchLabelExpressions").items() {
            let (key, values) = (expression.at("key"), expression.at("values"));
            if values.is_empty() {
                errors.required(&values, "");
            }
            errors.unique(values.items());
            qualified_name(&key, errors);
            if !keys.insert(key.text()) {
                errors.duplicate(&key);
            }
            wanted.insert(key.text(), values.texts().collect::<BTreeSet<_>>());
        }
        for _ in seen.iter().filter(|known| **known == wanted) {
            errors.show_duplicate(&term.at("matchLabelExpressions"), &"".into());
        }
        seen.push(wanted);
    }
}

/// A VolumeAttributesClass.
pub(super) fn validate_attributes_class(change: &Change<'_>, errors: &mut Errors) {
    let class = &change.new;
    if let Some(old) = &change.old {
        for name in ["driverName", "parameters"] {
            if !same(class.at(name).value, old.at(name).value) {
                errors.forbidden(&class.at(name), &format!("updates to {name} are forbidden."));
            }
        }
    }
    provisioner(&class.at("driverName"), errors);
    parameters(&class.at("parameters"), false, errors);
}

/// A VolumeAttachment.
pub(super) fn validate_attachment(change: &Change<'_>, errors: &mut Errors) {
    let spec = change.new.at("spec");
    driver_name(&spec.at("attacher"), errors);
    let source = spec.at("source");
    let (inline, name) = (source.at("inlineVolumeSpec"), source.at("persistentVolumeName"));
    let one = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
    match (inline.is_set(), name.is_set()) {
        (false, false) => errors.required(&source, one),
        (true, true) => errors.forbidden(&source, one),
        (false, true) if name.is_empty() => {
            errors.required(&name, "must specify non empty persistentVolumeName");
        }
        (false, true) => {}
        (true, false) => volume_spec(&inline, "", true, errors),
    }
    errors.messages(&spec.at("nodeName"), subdomain_messages(spec.at("nodeName").text(), 253));
    if name.is_set() {
        subdomain(&name, errors);
    }
    if let Some(old) = &change.old {
        errors.immutable(&spec, &old.at("spec"));
    }
}

/// A CSINode.
pub(super) fn validate_csi_node(change: &Change<'_>, errors: &mut Errors) {
    const MAX_BYTES: usize = 256;
    let drivers = change.new.at("spec.drivers");
    let mut names = BTreeSet::new();
    for driver in drivers.items() {
        let (name, node) = (driver.at("name"), driver.at("nodeID"));
        driver_name(&name, errors);
        if node.is_empty() {
            errors.required(&node, "");
        }
        if node.text().len() > MAX_BYTES {
            errors.invalid(&node, &format!("must be {MAX_BYTES} characters or less"));
        }
        errors.not_negative(&driver.at("allocatable.count"));
        if !names.insert(name.text()) {
            errors.duplicate(&name);
        }
        let mut keys = BTreeSet::new();
        for key in driver.at("topologyKeys").items().map(|key| key.reported_as(driver.path())) {
            if key.is_empty() {
                errors.required(&key, "");
            }
            if !keys.insert(key.text()) {
                errors.duplicate(&key);
            }
            qualified_name(&key, errors);
        }
    }
    let Some(old) = &change.old else { return };
    let without_allocatable = |driver: &Field<'_>| {
        let mut driver = driver.value.clone();
        if let Some(members) = driver.as_object_mut() {
            members.remove("allocatable");
        }
        driver
    };
    for known in old.at("spec.drivers").items() {
        for driver in drivers.items().filter(|driver| driver.at("name").value == known.at("name").value) {
            if !same(&without_allocatable(&driver), &without_allocatable(&known)) {
                errors.invalid_without(&driver, "allocatable", drivers.path(), "field is immutable");
            }
        }
    }
}

/// A CSIDriver.
pub(super) fn validate_csi_driver(change: &Change<'_>, errors: &mut Errors) {
    let spec = change.new.at("spec");
    for (name, reported) in [
        ("attachRequired", "attachedRequired"),
        ("podInfoOnMount", "podInfoOnMount"),
        ("storageCapacity", "storageCapacity"),
        ("seLinuxMount", "seLinuxMount"),
    ] {
        if !spec.at(name).is_set() {
            errors.required(&spec.at(reported), "");
        }
    }
    errors.known(&spec.at("fsGroupPolicy"), &["File", "None", "ReadWriteOnceWithFSType"]);
    let mut audiences = BTreeSet::new();
    for request in spec.at("tokenRequests").items() {
        let (audience, seconds) = (request.at("audience"), request.at("expirationSeconds"));
        if !audiences.insert(audience.text()) {
            errors.duplicate(&audience);
            continue;
        }
        if seconds.number().is_some_and(|seconds| seconds < 600) {
            errors.invalid(&seconds, "may not specify a duration less than 10 minutes");
        }
        if seconds.count() > 1 << 32 {
            errors.invalid(&seconds, "may not specify a duration larger than 2^32 seconds");
        }
    }
    for mode in spec.at("volumeLifecycleModes").items() {
        errors.known(&mode.reported_as("spec.volumeLifecycleModes"), &["Persistent", "Ephemeral"]);
    }
    let (period, in_secrets) = (spec.at("nodeAllocatableUpdatePeriodSeconds"), spec.at("serviceAccountTokenInSecrets"));
    if period.number().is_some_and(|seconds| seconds < 10) {
        errors.invalid(&period, "must be greater than or equal to 10 seconds");
    }
    if in_secrets.is_set() && spec.at("tokenRequests").is_empty() {
        let detail = "serviceAccountTokenInSecrets is set but no tokenRequests are specified";
        errors.invalid(&in_secrets, detail);
    }
    if let Some(old) = &change.old {
        let attach = spec.at("attachRequired").reported_at(&spec, "attachedRequired");
        errors.immutable(&attach, &old.at("spec.attachRequired"));
        errors.immutable(&spec.at("volumeLifecycleModes"), &old.at("spec.volumeLifecycleModes"));
    }
}

/// A CSIStorageCapacity.
pub(super) fn validate_capacity(change: &Change<'_>, errors: &mut Errors) {
    let object = &change.new;
    let (topology, class) = (object.at("nodeTopology"), object.at("storageClassName"));
    label_selector(&topology, errors);
    subdomain(&class, errors);
    resources::amount("storage", &object.at("capacity"), errors);
    if let Some(old) = &change.old {
        // A selector of everything is not one of nothing.
        let known = old.at("nodeTopology");
        if topology.is_set() != known.is_set() || !same(topology.value, known.value) {
            errors.invalid(&topology, "field is immutable");
        }
        errors.immutable(&class, &old.at("storageClassName"));
    }
}
