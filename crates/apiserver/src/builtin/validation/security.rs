//! Security contexts of pods and containers, and the annotations that came before them.

use serde_json::Value;

use super::{
    field::{Errors, Field},
    text::{has_form, relative_path, subdomain},
};

const ID_RANGE: &str = "must be between 0 and 2147483647, inclusive";
const NOT_ON_WINDOWS: &str = "cannot be set for a windows pod";

fn id(field: &Field<'_>, errors: &mut Errors) {
    if field.number().is_some_and(|id| !(0..=i64::from(i32::MAX)).contains(&id)) {
        errors.invalid(field, ID_RANGE);
    }
}

/// The security context of a pod.
pub(super) fn of_pod(spec: &Field<'_>, errors: &mut Errors) {
    let context = spec.at("securityContext");
    for name in ["fsGroup", "runAsUser", "runAsGroup"] {
        id(&context.at(name), errors);
    }
    for group in context.at("supplementalGroups").items() {
        id(&group, errors);
    }
    let share = spec.at("shareProcessNamespace");
    if share.is_true() && spec.at("hostPID").is_true() {
        let detail = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.invalid(&share.reported_at(&context, "shareProcessNamespace"), detail);
    }
    sysctls(spec, &context, errors);
    errors.known(&context.at("fsGroupChangePolicy"), &["Always", "OnRootMismatch"]);
    seccomp(&context.at("seccompProfile"), errors);
    windows_options(&context.at("windowsOptions"), errors);
    app_armor(&context.at("appArmorProfile"), errors);
    errors.known(&context.at("supplementalGroupsPolicy"), &["Merge", "Strict"]);
    errors.known(&context.at("seLinuxChangePolicy"), &["MountOption", "Recursive"]);
}

fn sysctls(spec: &Field<'_>, context: &Field<'_>, errors: &mut Errors) {
    const SEGMENT: &str = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?";
    let expression = format!("({SEGMENT}[\\./])*{SEGMENT}");
    let mut seen = std::collections::BTreeSet::new();
    for sysctl in context.at("sysctls").items() {
        let name = sysctl.at("name");
        let text = name.text();
        if text.is_empty() {
            errors.required(&name, "");
        } else if text.len() > 253 || !has_form(text, &expression) {
            let detail = format!("must have at most 253 characters and match regex ^{expression}$");
            errors.invalid(&name, &detail);
        } else if seen.contains(text) {
            errors.duplicate(&name);
        }
        let dotted = text.replace('/', ".");
        if spec.at("hostNetwork").is_true() && dotted.starts_with("net.") {
            errors.invalid(&name, "may not be specified when 'hostNetwork' is true");
        }
        let ipc =
            dotted.starts_with("kernel.shm") || dotted.starts_with("kernel.msg") || dotted.starts_with("fs.mqueue.");
        if spec.at("hostIPC").is_true() && (ipc || dotted == "kernel.sem") {
            errors.invalid(&name, "may not be specified when 'hostIPC' is true");
        }
        seen.insert(text);
    }
}

/// The security context of a container. `host_users` is false for a pod with users of its own.
pub(super) fn of_container(context: &Field<'_>, host_users: bool, errors: &mut Errors) {
    if !context.is_set() {
        return;
    }
    for name in ["runAsUser", "runAsGroup"] {
        id(&context.at(name), errors);
    }
    let proc_mount = context.at("procMount");
    errors.known(&proc_mount, &["Default", "Unmasked"]);
    if host_users && proc_mount.text() == "Unmasked" {
        errors.invalid(&proc_mount, "`hostUsers` must be false to use `Unmasked`");
    }
    seccomp(&context.at("seccompProfile"), errors);
    if context.at("allowPrivilegeEscalation").value == &Value::Bool(false) {
        if context.at("privileged").is_true() {
            let detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            errors.show(context, &internal_context(context), detail);
        }
        if context.at("capabilities.add").texts().any(|capability| capability == "CAP_SYS_ADMIN") {
            let detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            errors.show(context, &internal_context(context), detail);
        }
    }
    windows_options(&context.at("windowsOptions"), errors);
    app_armor(&context.at("appArmorProfile"), errors);
}

/// As the real server prints it: with the names of its own type.
fn internal_context(context: &Field<'_>) -> Value {
    const NAMES: [(&str, &str); 12] = [
        ("Capabilities", "capabilities"),
        ("Privileged", "privileged"),
        ("SELinuxOptions", "seLinuxOptions"),
        ("WindowsOptions", "windowsOptions"),
        ("RunAsUser", "runAsUser"),
        ("RunAsGroup", "runAsGroup"),
        ("RunAsNonRoot", "runAsNonRoot"),
        ("ReadOnlyRootFilesystem", "readOnlyRootFilesystem"),
        ("AllowPrivilegeEscalation", "allowPrivilegeEscalation"),
        ("ProcMount", "procMount"),
        ("SeccompProfile", "seccompProfile"),
        ("AppArmorProfile", "appArmorProfile"),
    ];
    NAMES.iter().map(|(shown, field)| ((*shown).to_owned(), context.at(field).value.clone())).collect()
}

fn seccomp(profile: &Field<'_>, errors: &mut Errors) {
    if !profile.is_set() {
        return;
    }
    let (kind, local) = (profile.at("type"), profile.at("localhostProfile"));
    match kind.text() {
        "Localhost" if !local.is_set() => errors.required(&local, "must be set when seccomp type is Localhost"),
        "Localhost" => relative_path(&local, errors),
        "" => errors.required(&kind, "type is required when seccompProfile is set"),
        text => {
            if !matches!(text, "RuntimeDefault" | "Unconfined") {
                errors.not_supported(&kind, &["Localhost", "RuntimeDefault", "Unconfined"]);
            }
            if local.is_set() {
                let shown = serde_json::json!({"Type": text, "LocalhostProfile": local.value});
                errors.show(&local, &shown, "can only be set when seccomp type is Localhost");
            }
        }
    }
}

fn app_armor(profile: &Field<'_>, errors: &mut Errors) {
    const MAX_BYTES: usize = 4095;
    const NEEDED: &str = "must be set when AppArmor type is Localhost";
    if !profile.is_set() {
        return;
    }
    let (kind, local) = (profile.at("type"), profile.at("localhostProfile"));
    match kind.text() {
        "Localhost" => {
            if local.text().trim() != local.text() {
                errors.invalid(&local, "must not be padded with whitespace");
            } else if local.is_empty() {
                errors.required(&local, NEEDED);
            }
            if local.text().len() > MAX_BYTES {
                errors.too_long(&local, MAX_BYTES);
            }
        }
        "RuntimeDefault" | "Unconfined" => {
            if local.is_set() {
                errors.invalid(&local, "can only be set when AppArmor type is Localhost");
            }
        }
        "" => errors.required(&kind, "type is required when appArmorProfile is set"),
        _ => errors.not_supported(&kind, &["Localhost", "RuntimeDefault", "Unconfined"]),
    }
}

fn windows_options(options: &Field<'_>, errors: &mut Errors) {
    const MAX_SPEC_BYTES: usize = 64 * 1024;
    let (name, spec, user) =
        (options.at("gmsaCredentialSpecName"), options.at("gmsaCredentialSpec"), options.at("runAsUserName"));
    if name.is_set() {
        subdomain(&name, errors);
    }
    if spec.is_set() && spec.is_empty() {
        errors.invalid(&spec, "gmsaCredentialSpec cannot be an empty string");
    } else if spec.text().len() > MAX_SPEC_BYTES {
        errors.invalid(&spec, "gmsaCredentialSpec size must be under 64 KiB");
    }
    if !user.is_set() {
        return;
    }
    let text = user.text();
    let (domain, account) = text.split_once('\\').map_or((None, text), |(domain, user)| (Some(domain), user));
    let net_bios = r#"[^\\/:*?"<>|.][^\\/:*?"<>|]{0,14}"#;
    let label = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?";
    if text.is_empty() {
        errors.invalid(&user, "runAsUserName cannot be an empty string");
    } else if text.chars().any(|character| character.is_ascii_control()) {
        errors.invalid(&user, "runAsUserName cannot contain control characters");
    } else if account.contains('\\') {
        errors.invalid(&user, "runAsUserName cannot contain more than one backslash");
    } else {
        let domain_is_wrong = domain
            .is_some_and(|domain| !has_form(domain, net_bios) && !has_form(domain, &format!("{label}(?:\\.{label})*")));
        let forbidden = |character: char| r#""/\:;|=,+*?<>@[]"#.contains(character);
        for (wrong, detail) in [
            (
                domain.is_some_and(|domain| domain.len() >= 256),
                "runAsUserName's Domain length must be under 256 characters",
            ),
            (domain_is_wrong, "runAsUserName's Domain doesn't match the NetBios nor the DNS format"),
            (account.is_empty(), "runAsUserName's User cannot be empty"),
            (account.len() > 104, "runAsUserName's User length must not be longer than 104 characters"),
            (
                !account.is_empty() && account.chars().all(|character| ". ".contains(character)),
                "runAsUserName's User cannot contain only periods or spaces",
            ),
            (
                account.chars().any(forbidden),
                r#"runAsUserName's User cannot contain the following characters: "/\:;|=,+*?<>@[]"#,
            ),
        ] {
            if wrong {
                errors.invalid(&user, detail);
            }
        }
    }
}

/// What a pod cannot have on its operating system, where it names one.
pub(super) fn operating_system(spec: &Field<'_>, errors: &mut Errors) {
    let os = spec.at("os");
    let name = os.at("name");
    let containers = || ["initContainers", "containers", "ephemeralContainers"].into_iter().map(|list| spec.at(list));
    match name.text() {
        _ if !os.is_set() => {}
        "" => errors.required(&name, ""),
        "linux" => {
            let detail = "windows options cannot be set for a linux pod";
            let of_pod = spec.at("securityContext.windowsOptions");
            if of_pod.is_set() {
                errors.forbidden(&of_pod, detail);
            }
            for list in containers() {
                for options in list.items().map(|container| container.at("securityContext.windowsOptions")) {
                    if options.is_set() {
                        errors.forbidden(&options, detail);
                    }
                }
            }
        }
        "windows" => {
            let context = [
                "appArmorProfile",
                "seLinuxOptions",
                "seccompProfile",
                "fsGroup",
                "fsGroupChangePolicy",
                "sysctls",
                "runAsUser",
                "runAsGroup",
                "supplementalGroups",
                "supplementalGroupsPolicy",
                "seLinuxChangePolicy",
            ];
            for field in context.iter().map(|field| spec.at("securityContext").at(field)) {
                if field.is_set() {
                    errors.forbidden(&field, NOT_ON_WINDOWS);
                }
            }
            for name in ["hostUsers", "hostPID", "hostIPC", "shareProcessNamespace"] {
                let field = spec.at(name);
                if field.is_true() || (field.is_set() && matches!(name, "hostUsers" | "shareProcessNamespace")) {
                    errors.forbidden(&field, NOT_ON_WINDOWS);
                }
            }
            let fields = [
                "appArmorProfile",
                "seLinuxOptions",
                "seccompProfile",
                "capabilities",
                "readOnlyRootFilesystem",
                "privileged",
                "allowPrivilegeEscalation",
                "procMount",
                "runAsUser",
                "runAsGroup",
            ];
            for list in containers() {
                for container in list.items() {
                    for field in fields.iter().map(|field| container.at("securityContext").at(field)) {
                        if field.is_set() {
                            errors.forbidden(&field, NOT_ON_WINDOWS);
                        }
                    }
                }
            }
        }
        _ => errors.push(kogge_machinery::status_error::FieldError::not_supported(
            os.path(),
            name.value,
            &["linux", "windows"],
        )),
    }
}

/// A profile an annotation names.
pub(super) fn seccomp_annotation(value: &Field<'_>, errors: &mut Errors) {
    match value.text() {
        "runtime/default" | "docker/default" | "unconfined" => {}
        text => match text.strip_prefix("localhost/") {
            Some(path) => {
                let path = Value::from(path);
                relative_path(&Field::root(&path).reported_as(value.path()), errors);
            }
            None => errors.invalid_text(value, "must be a valid seccomp profile"),
        },
    }
}
