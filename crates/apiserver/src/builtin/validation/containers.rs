//! Containers of pods: regular, initial and ephemeral ones.

use std::collections::{BTreeMap, BTreeSet};

use kogge_machinery::{
    object_meta::subdomain_messages,
    status_error::{FieldError, FieldErrorKind},
};

use super::{
    field::{Errors, Field},
    resources, security,
    text::{config_key_messages, label, no_backsteps, port_name_messages, port_number, relative_path, variable_name},
    volumes::{VolumeKind, object_field},
};

/// What a pod spec says that its containers depend on.
pub(super) struct PodContext<'o> {
    pub(super) volumes: BTreeMap<&'o str, VolumeKind>,
    /// Names of the pod's resource claims.
    pub(super) claims: BTreeSet<&'o str>,
    pub(super) grace_seconds: Option<i64>,
    pub(super) restart_policy: &'o str,
    /// Whether the pod shares the users of its host.
    pub(super) host_users: bool,
    pub(super) operating_system: Option<&'o str>,
    /// Whether it is a pod, and not a template.
    pub(super) of_pod: bool,
}

mod life;

const ONE_SOURCE: &str = "may not have more than one field specified at a time";
const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];

/// All containers of a pod spec.
pub(super) fn validate<'o>(spec: &Field<'o>, pod: &PodContext<'o>, errors: &mut Errors) {
    let (regular, initial, ephemeral) =
        (spec.at("containers"), spec.at("initContainers"), spec.at("ephemeralContainers"));
    let names_of = |list: &Field<'o>| list.items().map(|container| container.at("name").text()).collect::<Vec<_>>();
    if regular.is_empty() {
        errors.required(&regular, "");
    }
    let mut names = BTreeSet::new();
    for container in regular.items() {
        common(&container, pod, errors);
        if !names.insert(container.at("name").text()) {
            errors.duplicate(&container.at("name"));
        }
        life::validate(&container, pod, errors);
        restart_policy(&container, errors);
    }
    host_port_conflicts(&regular, regular.items(), errors);
    for container in initial.items() {
        common(&container, pod, errors);
        let policy = container.at("restartPolicy");
        if policy.is_set() || !container.at("restartPolicyRules").is_empty() {
            restart_policy(&container, errors);
        }
        let name = container.at("name");
        if names.contains(name.text()) {
            errors.duplicate(&name);
        } else if !name.is_empty() {
            names.insert(name.text());
        }
        host_port_conflicts(&initial, std::iter::once(container.clone()), errors);
        if policy.text() == "Always" {
            life::validate(&container, pod, errors);
        } else {
            for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
                if container.at(field).is_set() {
                    let detail = "may not be set for init containers without restartPolicy=Always";
                    errors.forbidden(&container.at(field), detail);
                }
            }
            for policy in container.at("resizePolicy").items().map(|policy| policy.at("restartPolicy")) {
                if policy.text() == "RestartContainer" {
                    let detail = "must not be set to 'RestartContainer' for non-sidecar initContainers";
                    errors.invalid(&policy, detail);
                }
            }
        }
    }
    let others: BTreeSet<&str> = names_of(&regular).into_iter().chain(names_of(&initial)).collect();
    let mut names = others.clone();
    for container in ephemeral.items() {
        ephemeral_container(&container, pod, &others, &mut names, errors);
    }
}

fn ephemeral_container<'o>(
    container: &Field<'o>,
    pod: &PodContext<'_>,
    others: &BTreeSet<&str>,
    names: &mut BTreeSet<&'o str>,
    errors: &mut Errors,
) {
    const NOT_HERE: &str = "cannot be set for an Ephemeral Container";
    common(container, pod, errors);
    untrimmed_image(container, errors);
    let (name, target) = (container.at("name"), container.at("targetContainerName"));
    if !names.insert(name.text()) {
        errors.duplicate(&name);
    }
    if !target.is_empty() && !others.contains(target.text()) {
        errors.not_found(&target);
    }
    for field in [
        "ports",
        "resources",
        "resizePolicy",
        "restartPolicy",
        "restartPolicyRules",
        "livenessProbe",
        "readinessProbe",
        "startupProbe",
        "lifecycle",
    ] {
        if !container.at(field).is_empty() {
            errors.forbidden(&container.at(field), NOT_HERE);
        }
    }
    for mount in container.at("volumeMounts").items() {
        for field in ["subPath", "subPathExpr"] {
            if !mount.at(field).is_empty() {
                errors.forbidden(&mount.at(field), NOT_HERE);
            }
        }
    }
}

/// What is refused of pods, and tolerated in templates.
pub(super) fn untrimmed_image(container: &Field<'_>, errors: &mut Errors) {
    let image = container.at("image");
    if image.text().trim() != image.text() {
        errors.invalid(&image, "must not have leading or trailing whitespace");
    }
}

fn common(container: &Field<'_>, pod: &PodContext<'_>, errors: &mut Errors) {
    let name = container.at("name");
    if name.is_empty() {
        errors.required(&name, "");
    } else {
        label(&name, errors);
    }
    if container.at("image").is_empty() {
        errors.required(&container.at("image"), "");
    }
    errors.one_of(&container.at("terminationMessagePolicy"), &["File", "FallbackToLogsOnError"]);
    ports(&container.at("ports"), errors);
    environment(&container.at("env"), errors);
    environment_sources(&container.at("envFrom"), errors);
    volume_mounts(container, pod, errors);
    volume_devices(container, pod, errors);
    errors.one_of(&container.at("imagePullPolicy"), &["Always", "IfNotPresent", "Never"]);
    resources::of_container(&container.at("resources"), &pod.claims, errors);
    resize_policy(&container.at("resizePolicy"), pod, errors);
    security::of_container(&container.at("securityContext"), pod.host_users, errors);
}

fn ports(list: &Field<'_>, errors: &mut Errors) {
    let mut names = BTreeSet::new();
    for item in list.items() {
        let (name, number, host) = (item.at("name"), item.at("containerPort"), item.at("hostPort"));
        if !name.is_empty() {
            let messages = port_name_messages(name.text());
            if messages.is_empty() && !names.insert(name.text()) {
                errors.duplicate(&name);
            }
            errors.messages(&name, messages);
        }
        if number.count() == 0 {
            errors.required(&number, "");
        } else {
            port_number(&number, errors);
        }
        if host.count() != 0 {
            port_number(&host, errors);
        }
        errors.one_of(&item.at("protocol"), &PROTOCOLS);
    }
}

fn environment(list: &Field<'_>, errors: &mut Errors) {
    for variable in list.items() {
        let name = variable.at("name");
        if name.is_empty() {
            errors.required(&name, "");
        } else {
            variable_name(&name, errors);
        }
        let from = variable.at("valueFrom");
        if from.is_set() {
            value_from(&variable, &from, errors);
        }
    }
}

fn value_from(variable: &Field<'_>, from: &Field<'_>, errors: &mut Errors) {
    const FIELDS: [&str; 9] = [
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "spec.nodeName",
        "spec.serviceAccountName",
        "status.hostIP",
        "status.hostIPs",
        "status.podIP",
        "status.podIPs",
    ];
    let sources = ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"];
    let given: Vec<_> = sources.iter().map(|source| from.at(source)).filter(Field::is_set).collect();
    let [field, resource, config_map, secret, file] = sources.map(|source| from.at(source));
    if field.is_set() {
        object_field(&field, &FIELDS, errors);
    }
    if resource.is_set() {
        resources::resource_field(&resource, false, errors);
    }
    for reference in [config_map, secret].iter().filter(|reference| reference.is_set()) {
        let (name, key) = (reference.at("name"), reference.at("key"));
        errors.messages(&name, subdomain_messages(name.text(), 253));
        if key.is_empty() {
            errors.required(&key, "");
        } else {
            errors.messages(&key, config_key_messages(key.text()));
        }
    }
    if file.is_set() {
        let (key, volume, path) = (file.at("key"), file.at("volumeName"), file.at("path"));
        for field in [&key, &volume, &path].into_iter().filter(|field| field.is_empty()) {
            errors.required(field, "");
        }
        variable_name(&key, errors);
        if !volume.is_empty() {
            label(&volume, errors);
        }
        no_backsteps(&path, errors);
    }
    let problem = match given.len() {
        0 => "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
        _ if !variable.at("value").is_empty() => "may not be specified when `value` is not empty",
        1 => return,
        _ => ONE_SOURCE,
    };
    errors.show(from, &"".into(), problem);
}

fn environment_sources(list: &Field<'_>, errors: &mut Errors) {
    for source in list.items() {
        variable_name(&source.at("prefix"), errors);
        let references = [source.at("configMapRef"), source.at("secretRef")];
        for reference in references.iter().filter(|reference| reference.is_set()) {
            let name = reference.at("name");
            if name.is_empty() {
                errors.required(&name, "");
            } else {
                errors.messages(&name, subdomain_messages(name.text(), 253));
            }
        }
        match references.iter().filter(|reference| reference.is_set()).count() {
            0 => errors.show(list, &"".into(), "must specify one of: `configMapRef` or `secretRef`"),
            1 => {}
            _ => errors.show(list, &"".into(), ONE_SOURCE),
        }
    }
}

fn volume_mounts(container: &Field<'_>, pod: &PodContext<'_>, errors: &mut Errors) {
    let (list, devices) = (container.at("volumeMounts"), container.at("volumeDevices"));
    let privileged = container.at("securityContext.privileged").is_true();
    let mut paths = BTreeSet::new();
    for mount in list.items() {
        let (name, path) = (mount.at("name"), mount.at("mountPath"));
        if name.is_empty() {
            errors.required(&name, "");
        }
        if !pod.volumes.contains_key(name.text()) {
            errors.not_found(&name);
        }
        if path.is_empty() {
            errors.required(&path, "");
        }
        if !paths.insert(path.text()) {
            errors.invalid_text(&path, "must be unique");
        }
        if devices.items().any(|device| device.at("name").text() == name.text()) {
            errors.invalid_text(&name, "must not already exist in volumeDevices");
        }
        if devices.items().any(|device| device.at("devicePath").text() == path.text()) {
            errors.invalid_text(&path, "must not already exist as a path in volumeDevices");
        }
        let (inner, expression) = (mount.at("subPath"), mount.at("subPathExpr"));
        relative_path(&inner.reported_at(&list, "subPath"), errors);
        if !expression.is_empty() {
            if !inner.is_empty() {
                errors.invalid(&expression, "subPathExpr and subPath are mutually exclusive");
            }
            relative_path(&expression.reported_at(&list, "subPathExpr"), errors);
        }
        let propagation = mount.at("mountPropagation").reported_at(&list, "mountPropagation");
        errors.known(&propagation, &["Bidirectional", "HostToContainer", "None"]);
        if propagation.text() == "Bidirectional" && !privileged {
            let detail = "Bidirectional mount propagation is available only to privileged containers";
            errors.forbidden(&propagation, detail);
        }
        let recursive = mount.at("recursiveReadOnly").reported_at(&list, "recursiveReadOnly");
        errors.known(&recursive, &["Disabled", "Enabled", "IfPossible"]);
        if matches!(recursive.text(), "Enabled" | "IfPossible") {
            if !mount.at("readOnly").is_true() {
                errors.forbidden(&recursive, "may only be specified when readOnly is true");
            }
            if !matches!(propagation.text(), "" | "None") {
                let detail = "may only be specified when mountPropagation is None or not specified";
                errors.forbidden(&recursive, detail);
            }
        }
    }
}

fn volume_devices(container: &Field<'_>, pod: &PodContext<'_>, errors: &mut Errors) {
    let (list, mounts) = (container.at("volumeDevices"), container.at("volumeMounts"));
    let (mut names, mut paths) = (BTreeSet::new(), BTreeSet::new());
    for device in list.items() {
        let (name, path) = (device.at("name"), device.at("devicePath"));
        if name.is_empty() {
            errors.required(&name, "");
        } else if !names.insert(name.text()) {
            errors.invalid(&name, "must be unique");
        }
        match pod.volumes.get(name.text()) {
            None => errors.not_found(&name),
            Some(VolumeKind::Claim) => {}
            Some(_) => {
                let detail = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                errors.invalid(&name, detail);
            }
        }
        if path.is_empty() {
            errors.required(&path, "");
        }
        if path.text().split('/').any(|part| part == "..") {
            errors.invalid(&path, "can not contain backsteps ('..')");
        } else if !paths.insert(path.text()) {
            errors.invalid_text(&path, "must be unique");
        }
        if mounts.items().any(|mount| mount.at("name").text() == name.text()) {
            errors.invalid_text(&name, "must not already exist in volumeMounts");
        }
        if mounts.items().any(|mount| mount.at("mountPath").text() == path.text()) {
            errors.invalid_text(&path, "must not already exist as a path in volumeMounts");
        }
    }
}

fn resize_policy(list: &Field<'_>, pod: &PodContext<'_>, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for policy in list.items() {
        let (resource, restart) = (policy.at("resourceName"), policy.at("restartPolicy"));
        if !seen.insert(resource.text()) {
            errors.push(FieldError::duplicate(policy.path(), resource.value));
        }
        errors.one_of(&resource.reported_as(list.path()), &["cpu", "memory"]);
        errors.one_of(&restart.reported_as(list.path()), &["NotRequired", "RestartContainer"]);
        if pod.restart_policy == "Never" && restart.text() != "NotRequired" {
            let detail = "must be 'NotRequired' when pod `restartPolicy` is 'Never'";
            errors.invalid_text(&restart.reported_as(list.path()), detail);
        }
    }
}

/// When a container is started again on its own.
fn restart_policy(container: &Field<'_>, errors: &mut Errors) {
    let (policy, rules) = (container.at("restartPolicy"), container.at("restartPolicyRules"));
    if policy.is_set() {
        errors.known(&policy, &["Always", "Never", "OnFailure"]);
    } else if !rules.is_empty() {
        errors.required(&policy, "must specify restartPolicy when restart rules are used");
    }
    if rules.len() > 20 {
        errors.too_many(&rules, 20);
    }
    for rule in rules.items() {
        let (action, codes) = (rule.at("action"), rule.at("exitCodes"));
        if !matches!(action.text(), "Restart" | "RestartAllContainers") {
            errors.not_supported(&action, &["Restart", "RestartAllContainers"]);
        }
        if codes.is_set() {
            let operator = codes.at("operator");
            if !matches!(operator.text(), "In" | "NotIn") {
                errors.not_supported(&operator, &["In", "NotIn"]);
            }
            if codes.at("values").len() > 255 {
                errors.too_many(&codes.at("values"), 255);
            }
        } else {
            errors.required(&codes, "must be specified");
        }
    }
}

fn host_port_conflicts<'o>(list: &Field<'o>, containers: impl Iterator<Item = Field<'o>>, errors: &mut Errors) {
    let mut taken = BTreeSet::new();
    for (index, container) in containers.enumerate() {
        for (port_index, port) in container.at("ports").items().enumerate() {
            let number = port.at("hostPort").count();
            let key = format!("{}/{}/{number}", port.at("protocol").text(), port.at("hostIP").text());
            if number != 0 && !taken.insert(key.clone()) {
                let place = format!("{}[{index}].ports[{port_index}].hostPort", list.path());
                errors.push(FieldError::duplicate(place, &key.into()));
            }
        }
    }
}

/// Files of variables are read from volumes made for that.
pub(super) fn file_variables(spec: &Field<'_>, errors: &mut Errors) {
    let kinds: BTreeMap<&str, bool> =
        spec.at("volumes").items().map(|volume| (volume.at("name").text(), volume.at("emptyDir").is_set())).collect();
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for container in spec.at(list).items() {
            for variable in container.at("env").items() {
                let volume = variable.at("valueFrom.fileKeyRef.volumeName");
                if !variable.at("valueFrom.fileKeyRef").is_set() {
                    continue;
                }
                match kinds.get(volume.text()) {
                    None => errors.push(FieldError::with_value(
                        FieldErrorKind::NotFound,
                        volume.path(),
                        &volume.text().into(),
                        "",
                    )),
                    Some(false) => errors.invalid(&volume, "referenced volume must be of type emptyDir"),
                    Some(true) => {}
                }
            }
        }
    }
}
