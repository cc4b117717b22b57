//! `Impersonate-User` and its companions: acting as somebody else (`kubectl --as`).
//!
//! The modes of Kubernetes 1.36 are tried in its order: the constrained ones, where it is allowed to act as a node, a
//! ServiceAccount or a user for certain requests only (`impersonate-on:MODE:VERB` and `impersonate:MODE`), and then the
//! plain verb `impersonate`. What a constrained mode never allows (`system:masters` above all) is refused in it before
//! any rule is asked: `*` in a rule must not make a limited right an unlimited one.

use http::HeaderMap;
use kogge_machinery::status_error::{ApiError, aggregate, quote};

use super::authorization::{Attributes, authorize, forbidden};
use crate::{
    authentication::{ANONYMOUS, AUTHENTICATED, MASTERS, UNAUTHENTICATED, User},
    builtin::validation::text::domain_path_errors,
    plane::Plane,
};

const EXTRA: &str = "impersonate-extra-";
const AUTHENTICATION: &str = "authentication.k8s.io";
const NODE_NAME: &str = "authentication.kubernetes.io/node-name";
/// From so many groups or values of extra on, constrained modes first ask for the right to all of them.
const MANY: usize = 4;

/// The user a request is made as: the one of its credentials, or whom that user asks to be.
///
/// # Errors
/// 403 for users who may not impersonate, 400 for groups, uid or extra without a user.
pub(crate) fn effective_user(
    plane: &Plane,
    user: User,
    headers: &HeaderMap,
    request: &Attributes<'_>,
) -> Result<User, ApiError> {
    let Some(wanted) = wanted(headers)? else { return Ok(user) };
    let mut first = None;
    for mode in [Mode::AssociatedNode, Mode::ArbitraryNode, Mode::ServiceAccount, Mode::UserInfo, Mode::Legacy] {
        if !mode.applies(&user, &wanted) {
            continue;
        }
        match mode.check(plane, &user, &wanted, request) {
            Ok(user) => return Ok(user),
            Err(error) if error.code() != 403 => return Err(error),
            Err(error) => drop(first.get_or_insert(error)),
        }
    }
    Err(first.unwrap_or_else(|| ApiError::internal("all impersonation modes failed")))
}

/// Whom the headers ask for; none without them.
fn wanted(headers: &HeaderMap) -> Result<Option<User>, ApiError> {
    let text = |name: &str| -> Vec<String> {
        let values = headers.get_all(name).iter();
        values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
    };
    let first = |name: &str| text(name).into_iter().next().unwrap_or_default();
    let mut wanted = User::new(first("impersonate-user"), text("impersonate-group"));
    wanted.uid = first("impersonate-uid");
    for name in headers.keys() {
        if let Some(key) = name.as_str().strip_prefix(EXTRA) {
            wanted.extra.entry(percent_decoded(key)).or_default().extend(text(name.as_str()));
        }
    }
    if !wanted.name.is_empty() {
        return Ok(Some(wanted));
    }
    if wanted == User::default() {
        return Ok(None);
    }
    let quoted = |values: &[String]| values.iter().map(|value| quote(value)).collect::<Vec<_>>().join(", ");
    let list = |values: &[String]| match values {
        [] => "[]string(nil)".to_owned(),
        values => format!("[]string{{{}}}", quoted(values)),
    };
    let entries: Vec<String> =
        wanted.extra.iter().map(|(key, values)| format!("{}:[]string{{{}}}", quote(key), quoted(values))).collect();
    let extra = if entries.is_empty() { "(nil)".to_owned() } else { format!("{{{}}}", entries.join(", ")) };
    Err(ApiError::bad_request(format!(
        "requested &user.DefaultInfo{{Name:\"\", UID:{}, Groups:{}, Extra:map[string][]string{extra}}} \
         without impersonating a user name",
        quote(&wanted.uid),
        list(&wanted.groups),
    )))
}

/// Keys of extra values are percent-encoded in header names; a malformed one stays as it is.
fn percent_decoded(key: &str) -> String {
    let mut bytes = Vec::with_capacity(key.len());
    let mut rest = key.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first != b'%' {
            bytes.push(*first);
            rest = tail;
            continue;
        }
        let hex = tail.get(..2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        let Some(byte) = hex else { return key.to_owned() };
        bytes.push(byte);
        rest = &tail[2..];
    }
    String::from_utf8(bytes).unwrap_or_else(|_| key.to_owned())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    AssociatedNode,
    ArbitraryNode,
    ServiceAccount,
    UserInfo,
    Legacy,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::AssociatedNode => "associated-node",
            Self::ArbitraryNode => "arbitrary-node",
            Self::ServiceAccount => "serviceaccount",
            Self::UserInfo => "user-info",
            Self::Legacy => "",
        }
    }

    fn applies(self, user: &User, wanted: &User) -> bool {
        let only_name = wanted.uid.is_empty() && wanted.groups.is_empty() && wanted.extra.is_empty();
        let node = node_name(&wanted.name);
        match self {
            Self::AssociatedNode => {
                let own = user.extra.get(NODE_NAME).filter(|values| values.len() == 1).map(|values| &*values[0]);
                only_name && service_account(&user.name).is_some() && node.is_some() && own == node
            }
            Self::ArbitraryNode => only_name && node.is_some(),
            Self::ServiceAccount => only_name && service_account(&wanted.name).is_some(),
            Self::UserInfo => node.is_none() && service_account(&wanted.name).is_none(),
            Self::Legacy => true,
        }
    }

    /// Whom the user becomes.
    fn check(self, plane: &Plane, user: &User, wanted: &User, request: &Attributes<'_>) -> Result<User, ApiError> {
        let constrained = self != Self::Legacy;
        let verb = if constrained { format!("impersonate:{}", self.name()) } else { "impersonate".to_owned() };
        if constrained {
            let on = format!("impersonate-on:{}:{}", self.name(), request.verb);
            authorize(plane, user, &Attributes { verb: &on, ..*request })?;
        }
        let mut actual = wanted.clone();
        let group = if constrained { AUTHENTICATION } else { "" };
        let mut name =
            Attributes { verb: &verb, group, resource: "users", name: &wanted.name, ..Attributes::default() };
        if let Some(node) = node_name(&wanted.name).filter(|_| constrained) {
            (name.resource, name.name) = ("nodes", if self == Self::AssociatedNode { "*" } else { node });
            actual.groups = vec!["system:nodes".to_owned()];
        }
        if let Some((namespace, account)) = service_account(&wanted.name) {
            (name.resource, name.namespace, name.name) = ("serviceaccounts", namespace, account);
            if wanted.groups.is_empty() {
                actual.groups = service_account_groups(namespace);
            }
        }
        authorize(plane, user, &name)?;
        let of_authentication = Attributes { verb: &verb, group: AUTHENTICATION, ..Attributes::default() };
        if !wanted.uid.is_empty() {
            authorize(plane, user, &Attributes { resource: "uids", name: &wanted.uid, ..of_authentication })?;
        }
        let groups = Attributes { verb: &verb, group, resource: "groups", ..Attributes::default() };
        if constrained && let Some((name, reason)) = never_allowed_group(&wanted.groups) {
            return Err(forbidden(user, &Attributes { name, ..groups }, reason));
        }
        let all =
            |many: bool, everything: Attributes<'_>| constrained && many && authorize(plane, user, &everything).is_ok();
        if !all(wanted.groups.len() >= MANY, Attributes { name: "*", ..groups }) {
            for name in &wanted.groups {
                authorize(plane, user, &Attributes { name, ..groups })?;
            }
        }
        let extra = Attributes { resource: "userextras", ..of_authentication };
        if constrained && let Some(reason) = wanted.extra.iter().find_map(|(key, values)| wrong_extra(key, values)) {
            return Err(forbidden(user, &extra, &reason));
        }
        let values = wanted.extra.values().map(Vec::len).sum::<usize>();
        let many = wanted.extra.len() >= MANY || values >= MANY;
        if !all(many, Attributes { subresource: "*", name: "*", ..extra }) {
            for (key, values) in &wanted.extra {
                for name in values {
                    authorize(plane, user, &Attributes { subresource: key, name, ..extra })?;
                }
            }
        }
        let has = |name: &str| actual.groups.iter().any(|group| group == name);
        if wanted.name == ANONYMOUS {
            if !has(UNAUTHENTICATED) {
                actual.groups.push(UNAUTHENTICATED.to_owned());
            }
        } else if !has(UNAUTHENTICATED) && !has(AUTHENTICATED) {
            actual.groups.push(AUTHENTICATED.to_owned());
        }
        Ok(actual)
    }
}

/// Which group no constrained mode allows, whatever the rules say, and why.
fn never_allowed_group(groups: &[String]) -> Option<(&'static str, &'static str)> {
    let has = |name: &str| groups.iter().any(|group| group == name);
    if has("") {
        return Some(("", "impersonating the empty string group is not allowed"));
    }
    has(MASTERS).then_some((MASTERS, "impersonating the system:masters group is not allowed"))
}

/// Why no constrained mode allows this extra, whatever the rules say.
fn wrong_extra(key: &str, values: &[String]) -> Option<String> {
    if key.is_empty() {
        return Some("impersonating the empty string key in extra is not allowed".to_owned());
    }
    let wrong = domain_path_errors("extra.key", key);
    if !wrong.is_empty() {
        let wrong = aggregate(wrong.iter().map(ToString::to_string));
        return Some(format!("impersonating an invalid key in extra is not allowed: {wrong}"));
    }
    if key.chars().any(char::is_uppercase) {
        return Some(format!("impersonating a non-lowercase key in extra is not allowed: {}", quote(key)));
    }
    let empty = values.iter().any(String::is_empty);
    empty.then(|| "impersonating the empty string value in extra is not allowed".to_owned())
}

/// The groups of a ServiceAccount, without `system:authenticated`.
pub(crate) fn service_account_groups(namespace: &str) -> Vec<String> {
    vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")]
}

/// Namespace and name of a ServiceAccount's user name.
fn service_account(user: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    (namespace.len() <= 63 && is_label(namespace) && is_subdomain(name)).then_some((namespace, name))
}

fn is_subdomain(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_label)
}

fn is_label(label: &str) -> bool {
    let bytes = label.as_bytes();
    let ends = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    ends(bytes.first())
        && ends(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-')
}

fn node_name(user: &str) -> Option<&str> {
    let name = user.strip_prefix("system:node:")?;
    is_subdomain(name).then_some(name)
}
