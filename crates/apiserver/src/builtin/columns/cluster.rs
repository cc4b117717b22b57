//! Everything else: namespaces, configuration, events, access, admission, API registration.

use kogge_machinery::table::human_duration;
use serde_json::{Value, json};

use super::{Printer, age, at, boolean, condition, count, integer, list, scalar, since, text, text_or};

pub(super) fn printer(group: &str, plural: &str) -> Option<Printer> {
    Some(match (group, plural) {
        ("", "namespaces") => Printer {
            columns: &["Status", "Age"],
            cells: |object, now| vec![text(object, "/status/phase").into(), age(object, now)],
        },
        ("", "componentstatuses") => Printer {
            columns: &["Status", "Message", "Error"],
            cells: |object, _| {
                let health = match text(object, "/conditions/0/status") {
                    "True" => "Healthy",
                    "False" => "Unhealthy",
                    _ => "Unknown",
                };
                let part = |name: &str| text(object, &format!("/conditions/0/{name}")).into();
                vec![health.into(), part("message"), part("error")]
            },
        },
        ("", "configmaps") => Printer {
            columns: &["Data", "Age"],
            cells: |object, now| vec![(count(object, "/data") + count(object, "/binaryData")).into(), age(object, now)],
        },
        ("", "secrets") => Printer {
            columns: &["Type", "Data", "Age"],
            cells: |object, now| vec![text(object, "/type").into(), count(object, "/data").into(), age(object, now)],
        },
        ("", "serviceaccounts") => Printer { columns: &["Age"], cells: |object, now| vec![age(object, now)] },
        ("" | "events.k8s.io", "events") => Printer {
            columns: &[
                "Last Seen",
                "Type",
                "Reason",
                "Object",
                "+Subobject",
                "+Source",
                "Message",
                "+First Seen",
                "+Count",
                "+Name",
            ],
            cells: event,
        },
        ("coordination.k8s.io", "leases") => Printer {
            columns: &["Holder", "Age"],
            cells: |object, now| vec![text(object, "/spec/holderIdentity").into(), age(object, now)],
        },
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") => {
            Printer { columns: &["Role", "Age", "+Users", "+Groups", "+ServiceAccounts"], cells: role_binding }
        }
        ("scheduling.k8s.io", "priorityclasses") => Printer {
            columns: &["#Value", "?Global-Default", "Age", "+PreemptionPolicy"],
            cells: |object, now| {
                vec![
                    integer(object, "/value").into(),
                    boolean(object, "/globalDefault").into(),
                    age(object, now),
                    text(object, "/preemptionPolicy").into(),
                ]
            },
        },
        ("node.k8s.io", "runtimeclasses") => Printer {
            columns: &["Handler", "Age"],
            cells: |object, now| vec![text(object, "/handler").into(), age(object, now)],
        },
        ("certificates.k8s.io", "certificatesigningrequests") => Printer {
            columns: &["Age", "SignerName", "Requestor", "RequestedDuration", "Condition"],
            cells: certificate_signing_request,
        },
        ("admissionregistration.k8s.io", "mutatingwebhookconfigurations" | "validatingwebhookconfigurations") => {
            Printer {
                columns: &["#Webhooks", "Age"],
                cells: |object, now| vec![list(object, "/webhooks").len().into(), age(object, now)],
            }
        }
        ("admissionregistration.k8s.io", "validatingadmissionpolicies") => Printer {
            columns: &["#Validations", "ParamKind", "Age"],
            cells: |object, now| policy(object, "/spec/validations", now),
        },
        ("admissionregistration.k8s.io", "mutatingadmissionpolicies") => Printer {
            columns: &["#Mutations", "ParamKind", "Age"],
            cells: |object, now| policy(object, "/spec/mutations", now),
        },
        ("admissionregistration.k8s.io", "validatingadmissionpolicybindings" | "mutatingadmissionpolicybindings") => {
            Printer { columns: &["PolicyName", "ParamRef", "Age"], cells: policy_binding }
        }
        ("apiregistration.k8s.io", "apiservices") => Printer {
            columns: &["Service", "Available", "Age"],
            cells: |object, now| {
                let service = match at(object, "/spec/service").filter(|service| !service.is_null()) {
                    Some(service) => format!("{}/{}", text(service, "/namespace"), text(service, "/name")),
                    None => "Local".to_owned(),
                };
                let available = match condition(object, "Available") {
                    None => "Unknown".to_owned(),
                    Some(condition) if text(condition, "/status") == "True" => "True".to_owned(),
                    Some(condition) => {
                        format!("{} ({})", text(condition, "/status"), text(condition, "/reason"))
                    }
                };
                vec![service.into(), available.into(), age(object, now)]
            },
        },
        ("flowcontrol.apiserver.k8s.io", "flowschemas") => Printer {
            columns: &["PriorityLevel", "MatchingPrecedence", "DistinguisherMethod", "Age", "MissingPL"],
            cells: |object, now| {
                vec![
                    text(object, "/spec/priorityLevelConfiguration/name").into(),
                    integer(object, "/spec/matchingPrecedence").into(),
                    text_or(object, "/spec/distinguisherMethod/type", "<none>").into(),
                    age(object, now),
                    condition(object, "Dangling").map_or("?", |condition| text(condition, "/status")).into(),
                ]
            },
        },
        ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations") => Printer {
            columns: &["Type", "NominalConcurrencyShares", "Queues", "HandSize", "QueueLengthLimit", "Age"],
            cells: |object, now| {
                let number = |pointer: &str| at(object, pointer).cloned().unwrap_or_else(|| json!("<none>"));
                vec![
                    text(object, "/spec/type").into(),
                    number("/spec/limited/nominalConcurrencyShares"),
                    number("/spec/limited/limitResponse/queuing/queues"),
                    number("/spec/limited/limitResponse/queuing/handSize"),
                    number("/spec/limited/limitResponse/queuing/queueLengthLimit"),
                    age(object, now),
                ]
            },
        },
        _ => return None,
    })
}

/// An event of either group: the names of its fields differ, see `event_conversion`.
fn event(object: &Value, now: i64) -> Vec<Value> {
    let involved = if object.get("regarding").is_some() { "/regarding" } else { "/involvedObject" };
    let of_involved = |field: &str| text(object, &format!("{involved}/{field}"));
    let either = |core: &str, other: &str| text_or(object, core, text(object, other)).to_owned();
    let time = |pointers: [&str; 3]| {
        let found = pointers.into_iter().find(|pointer| !text(object, pointer).is_empty());
        found.map_or("<unknown>".to_owned(), |pointer| since(object, pointer, now))
    };
    let first = time(["/firstTimestamp", "/deprecatedFirstTimestamp", "/eventTime"]);
    let in_series = object.get("series").is_some_and(Value::is_object);
    let last = if in_series {
        since(object, "/series/lastObservedTime", now)
    } else if text(object, "/lastTimestamp").is_empty() && text(object, "/deprecatedLastTimestamp").is_empty() {
        first.clone()
    } else {
        time(["/lastTimestamp", "/deprecatedLastTimestamp", "/deprecatedLastTimestamp"])
    };
    let counted = if in_series {
        integer(object, "/series/count")
    } else {
        (integer(object, "/count") + integer(object, "/deprecatedCount")).max(1)
    };
    let name = of_involved("name");
    let kind = of_involved("kind").to_lowercase();
    let component = [
        text(object, "/source/component"),
        text(object, "/deprecatedSource/component"),
        text(object, "/reportingComponent"),
        text(object, "/reportingController"),
    ];
    let instance =
        [text(object, "/source/host"), text(object, "/deprecatedSource/host"), text(object, "/reportingInstance")];
    let first_of = |texts: &[&str]| texts.iter().find(|text| !text.is_empty()).map_or("", |text| *text).to_owned();
    let (component, instance) = (first_of(&component), first_of(&instance));
    vec![
        last.into(),
        text(object, "/type").into(),
        text(object, "/reason").into(),
        if name.is_empty() { kind.into() } else { format!("{kind}/{name}").into() },
        of_involved("fieldPath").into(),
        if instance.is_empty() { component.into() } else { format!("{component}, {instance}").into() },
        either("/message", "/note").trim().into(),
        first.into(),
        counted.into(),
        text(object, "/metadata/name").into(),
    ]
}

fn role_binding(object: &Value, now: i64) -> Vec<Value> {
    let subjects = |kind: &str| {
        list(object, "/subjects")
            .iter()
            .filter(|subject| text(subject, "/kind") == kind)
            .map(|subject| match kind {
                "ServiceAccount" => format!("{}/{}", text(subject, "/namespace"), text(subject, "/name")),
                _ => text(subject, "/name").to_owned(),
            })
            .collect::<Vec<_>>()
            .join(", ")
    };
    vec![
        format!("{}/{}", text(object, "/roleRef/kind"), text(object, "/roleRef/name")).into(),
        age(object, now),
        subjects("User").into(),
        subjects("Group").into(),
        subjects("ServiceAccount").into(),
    ]
}

fn certificate_signing_request(object: &Value, now: i64) -> Vec<Value> {
    let has = |condition_type: &str| condition(object, condition_type).is_some();
    let mut state = if has("Denied") {
        "Denied".to_owned()
    } else if has("Approved") {
        "Approved".to_owned()
    } else {
        "Pending".to_owned()
    };
    if has("Failed") {
        state.push_str(",Failed");
    }
    if !text(object, "/status/certificate").is_empty() {
        state.push_str(",Issued");
    }
    let duration = at(object, "/spec/expirationSeconds").and_then(Value::as_i64);
    vec![
        age(object, now),
        text_or(object, "/spec/signerName", "<none>").into(),
        text(object, "/spec/username").into(),
        duration.map_or_else(|| "<none>".to_owned(), human_duration).into(),
        state.into(),
    ]
}

fn policy(object: &Value, rules: &str, now: i64) -> Vec<Value> {
    let parameters = match at(object, "/spec/paramKind").filter(|kind| !kind.is_null()) {
        Some(kind) => format!("{}/{}", text(kind, "/apiVersion"), text(kind, "/kind")),
        None => "<unset>".to_owned(),
    };
    vec![list(object, rules).len().into(), parameters.into(), age(object, now)]
}

fn policy_binding(object: &Value, now: i64) -> Vec<Value> {
    let parameters = match at(object, "/spec/paramRef").filter(|given| !given.is_null()) {
        None => "<unset>".to_owned(),
        Some(given) => match (text(given, "/namespace"), text(given, "/name")) {
            (_, "") => scalar(given.get("selector")).unwrap_or_else(|| super::selector(given, "/selector")),
            ("", name) => format!("*/{name}"),
            (namespace, name) => format!("{namespace}/{name}"),
        },
    };
    vec![text(object, "/spec/policyName").into(), parameters.into(), age(object, now)]
}
