//! Values as they stand in the messages of the real server: JSON of its internal types.
//!
//! Those have no JSON names, so members are called as in Go, all of them are written, and absent ones have their zero
//! value. Types of `meta/v1` are an exception; they are used as they are. Internal types have the fields of the published
//! ones in the same order, but for the spec of pods.

use serde_json::Value;

use super::{canonical, encode};
use crate::go_types::{Shape, StructId, TypeId, table};

/// The internal spec of a pod: its fields in their order.
const POD_SPEC: &[&str] = &[
    "volumes",
    "initContainers",
    "containers",
    "ephemeralContainers",
    "restartPolicy",
    "terminationGracePeriodSeconds",
    "activeDeadlineSeconds",
    "dnsPolicy",
    "nodeSelector",
    "serviceAccountName",
    "automountServiceAccountToken",
    "nodeName",
    "securityContext",
    "imagePullSecrets",
    "hostname",
    "subdomain",
    "setHostnameAsFQDN",
    "affinity",
    "schedulerName",
    "tolerations",
    "hostAliases",
    "priorityClassName",
    "priority",
    "preemptionPolicy",
    "dnsConfig",
    "readinessGates",
    "runtimeClassName",
    "overhead",
    "enableServiceLinks",
    "topologySpreadConstraints",
    "os",
    "schedulingGates",
    "resourceClaims",
    "resources",
    "hostnameOverride",
    "schedulingGroup",
];
/// The rest of the internal security context of a pod.
const POD_SECURITY_CONTEXT: &[&str] = &[
    "seLinuxOptions",
    "windowsOptions",
    "runAsUser",
    "runAsGroup",
    "runAsNonRoot",
    "supplementalGroups",
    "supplementalGroupsPolicy",
    "fsGroup",
    "fsGroupChangePolicy",
    "sysctls",
    "seccompProfile",
    "appArmorProfile",
    "seLinuxChangePolicy",
];
/// Fields of the spec that belong to the internal security context, where they come first.
const OF_SECURITY_CONTEXT: &[&str] = &["hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "hostUsers"];
/// Types and their fields that are pointers only in the published form, and have no default where it shows.
const NO_POINTERS: &[(&str, &str)] = &[
    ("apps.v1.RollingUpdateDaemonSet", "maxSurge"),
    ("apps.v1.RollingUpdateDaemonSet", "maxUnavailable"),
    ("apps.v1.RollingUpdateDeployment", "maxSurge"),
    ("apps.v1.RollingUpdateDeployment", "maxUnavailable"),
    ("apps.v1.RollingUpdateStatefulSetStrategy", "partition"),
];
/// Beginnings of JSON names that Go writes in capitals.
const INITIALISMS: &[(&str, &str)] = &[
    ("api", "API"),
    ("aws", "AWS"),
    ("cidr", "CIDR"),
    ("csi", "CSI"),
    ("dns", "DNS"),
    ("fc", "FC"),
    ("fs", "FS"),
    ("gce", "GCE"),
    ("grpc", "GRPC"),
    ("http", "HTTP"),
    ("id", "ID"),
    ("ip", "IP"),
    ("iscsi", "ISCSI"),
    ("nfs", "NFS"),
    ("os", "OS"),
    ("pd", "PD"),
    ("rbd", "RBD"),
    ("se", "SE"),
    ("tcp", "TCP"),
    ("tls", "TLS"),
    ("tty", "TTY"),
    ("uid", "UID"),
    ("url", "URL"),
];

/// The value of the type that stands at `path` (`spec.ports[0]`, `spec.hard[cpu]`) of objects of a kind; none where the
/// path leads to no such type.
pub(super) fn text(kind: StructId, path: &str, value: &Value) -> Option<String> {
    let id = type_at(kind, path)?;
    let fits = matches!(
        (structure(id), value),
        (Shape::Struct(_) | Shape::Map(_), Value::Object(_)) | (Shape::List(_), Value::Array(_))
    );
    // What is not there has its zero value, unless it is a pointer.
    let has_zero_value =
        matches!(table().shape(id), Shape::String | Shape::Bool | Shape::Int32 | Shape::Int64 | Shape::Struct(_));
    let is_zero = value.is_null() && has_zero_value;
    let mut text = String::new();
    if fits || is_zero {
        write(id, value, &mut text);
        return Some(text);
    }
    None
}

/// Without pointers.
fn structure(id: TypeId) -> Shape {
    match table().shape(id) {
        Shape::Pointer(inner) => structure(inner),
        shape => shape,
    }
}

fn type_at(kind: StructId, path: &str) -> Option<TypeId> {
    let mut found: Option<TypeId> = None;
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(indexed) = rest.strip_prefix('[') {
            rest = &indexed[indexed.find(']')? + 1..];
            let (Shape::List(inner) | Shape::Map(inner)) = structure(found?) else { return None };
            found = Some(inner);
            continue;
        }
        rest = rest.strip_prefix('.').unwrap_or(rest);
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let within = match found {
            None => kind,
            Some(id) => match structure(id) {
                Shape::Struct(within) => within,
                _ => return None,
            },
        };
        found = Some(table().field(within, &rest[..end])?.value);
        rest = &rest[end..];
    }
    found
}

/// What Go calls a field.
pub(super) fn go_name(name: &str) -> String {
    let is_end = |rest: &str| matches!(rest, "" | "s") || rest.starts_with(|next: char| next.is_ascii_uppercase());
    let initialism = INITIALISMS
        .iter()
        .filter_map(|(start, go)| Some((go, name.strip_prefix(start)?)))
        .find(|(_, rest)| is_end(rest));
    if let Some((go, rest)) = initialism {
        return format!("{go}{rest}");
    }
    let mut characters = name.chars();
    let first = characters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(characters).collect()
}

fn write(id: TypeId, value: &Value, into: &mut String) {
    match (table().shape(id), value) {
        (Shape::Pointer(_) | Shape::List(_) | Shape::Map(_), Value::Null) => into.push_str("null"),
        (Shape::Pointer(inner), _) => write(inner, value, into),
        (Shape::Struct(id), _) => structured(id, value, into),
        (Shape::List(item), Value::Array(items)) => {
            into.push('[');
            for (index, value) in items.iter().enumerate() {
                into.push_str(if index > 0 { "," } else { "" });
                write(item, value, into);
            }
            into.push(']');
        }
        (Shape::Map(entry), Value::Object(members)) => {
            into.push('{');
            for (index, (name, value)) in members.iter().enumerate() {
                into.push_str(if index > 0 { "," } else { "" });
                into.push_str(&encode::text_of(&Value::String(name.clone())));
                into.push(':');
                write(entry, value, into);
            }
            into.push('}');
        }
        (Shape::String, Value::Null) => into.push_str("\"\""),
        (Shape::Quantity, Value::Null) => into.push_str("\"0\""),
        (Shape::Bool, Value::Null) => into.push_str("false"),
        (Shape::Int32 | Shape::Int64 | Shape::Float64 | Shape::IntOrString, Value::Null) => into.push('0'),
        _ => into.push_str(&encode::text_of(value)),
    }
}

fn structured(id: StructId, value: &Value, into: &mut String) {
    static NOTHING: Value = Value::Null;
    let name = table().qualified_name(id);
    if name.starts_with("meta.v1.") {
        // These have JSON names, and leave out what is empty.
        let mut written = value.clone();
        return match written.as_object_mut() {
            Some(members) => {
                canonical::Walk { keeps_empty: true, ..canonical::Walk::default() }.fields(id, members);
                encode::write(id, &written, None, into);
            }
            None => into.push_str("{}"),
        };
    }
    let mut fields: Vec<_> = table().fields(id).iter().collect();
    fields.sort_by_key(|field| field.order);
    let own_order = match name {
        "core.v1.PodSpec" => POD_SPEC,
        "core.v1.PodSecurityContext" => POD_SECURITY_CONTEXT,
        _ => &[],
    };
    if !own_order.is_empty() {
        fields = own_order.iter().filter_map(|name| table().field(id, name)).collect();
    }
    let mut parts: Vec<String> = Vec::with_capacity(fields.len());
    for field in fields {
        let member = value.get(field.name).unwrap_or(&NOTHING);
        let mut text = String::new();
        match (field.name, table().shape(field.value)) {
            (_, Shape::Pointer(inner)) if NO_POINTERS.contains(&(name, field.name)) => {
                text = format!("\"{}\":", go_name(field.name));
                write(inner, member, &mut text);
            }
            // The metadata of templates is merged into them.
            ("metadata", Shape::Struct(_)) => {
                let mut whole = String::new();
                write(field.value, member, &mut whole);
                text.push_str(whole.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or_default());
                if text.is_empty() {
                    continue;
                }
            }
            ("securityContext", _) if name == "core.v1.PodSpec" => {
                text = format!("\"SecurityContext\":{}", security_context(id, field.value, value, member));
            }
            _ => {
                text = format!("\"{}\":", go_name(field.name));
                write(field.value, member, &mut text);
            }
        }
        parts.push(text);
    }
    into.push('{');
    into.push_str(&parts.join(","));
    into.push('}');
}

/// The internal security context of a pod holds some fields of the spec.
fn security_context(spec_type: StructId, id: TypeId, spec: &Value, context: &Value) -> String {
    let Shape::Struct(context_type) = structure(id) else { return "null".to_owned() };
    let mut own = String::new();
    structured(context_type, context, &mut own);
    let mut parts: Vec<String> = Vec::new();
    for name in OF_SECURITY_CONTEXT {
        let Some(field) = table().field(spec_type, name) else { continue };
        let mut text = format!("\"{}\":", go_name(name));
        write(field.value, spec.get(*name).unwrap_or(&Value::Null), &mut text);
        parts.push(text);
    }
    parts.push(own.trim_start_matches('{').to_owned());
    format!("{{{}", parts.join(","))
}
