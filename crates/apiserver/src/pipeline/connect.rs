//! Requests that lead to what runs in a pod, or are passed on: `/exec`, `/attach`, `/portforward` and `/proxy`.
//!
//! Admission sees them with the operation `CONNECT` and their parameters as the object. Behind it nothing runs and nothing
//! listens, and the answer says so where the real server would look for a node.

use axum::body::Body;
use http::{Response, request::Parts};
use kogge_machinery::{
    admission::{GroupVersionName, Operation},
    resource::GroupResource,
    status_error::{ApiError, quote},
};
use serde_json::{Map, Value};

use super::{
    admission::kind,
    authorization::{Attributes as Access, decide},
    proxy,
    query::Query,
};
use crate::{
    admission::{Attributes, Requester, concerns},
    plane::Plane,
    registry::ServedResource,
    store::ObjectKey,
};

/// One such request.
pub(super) struct Connect<'a> {
    pub(super) plane: &'a Plane,
    pub(super) served: &'a ServedResource,
    pub(super) parts: &'a Parts,
    pub(super) query: &'a Query,
    /// Without options: there are none for this operation.
    pub(super) requester: &'a Requester,
    pub(super) verb: &'a str,
    pub(super) namespace: &'a str,
    /// Of a proxy also a scheme and a port.
    pub(super) name: &'a str,
    pub(super) subresource: &'a str,
    /// What follows the subresource in the path.
    pub(super) rest: &'a [String],
}

/// Whether a subresource is one of these.
pub(super) fn is_meant(served: &ServedResource, subresource: &str) -> bool {
    match subresource {
        "proxy" => ["pods", "services", "nodes"].iter().any(|plural| served.is_core(plural)),
        "exec" | "attach" | "portforward" => served.is_core("pods"),
        _ => false,
    }
}

impl Connect<'_> {
    /// Answers the request.
    ///
    /// # Errors
    /// 400 in a dry run and for wrong parameters, where admission denies, and why nothing is reached.
    pub(super) async fn answer(self) -> Result<Response<Body>, ApiError> {
        if self.query.has("dryRun") {
            return Err(ApiError::bad_request("dryRun is not supported"));
        }
        let options = self.admit(self.options()?).await?;
        if self.subresource == "proxy" {
            let redirection = proxy::with_slash(self.parts, self.rest);
            return proxy::answer(self.plane, self.served, self.namespace, self.name, redirection);
        }
        self.require_create()?;
        Err(self.out_of_reach(&options)?)
    }

    /// Who may reach into a pod by a GET has to be allowed the POST as well (`AuthorizePodWebsocketUpgradeCreatePermission`
    /// of the real server).
    fn require_create(&self) -> Result<(), ApiError> {
        if self.verb == "create" {
            return Ok(());
        }
        let Self { namespace, name, subresource, .. } = *self;
        let access = Access { verb: "create", resource: "pods", subresource, namespace, name, ..Access::default() };
        let decision = decide(self.plane, &self.requester.user, &access)?;
        if decision.allowed {
            return Ok(());
        }
        Err(ApiError::forbidden(&self.served.resource.group_resource(), name, &decision.reason))
    }

    /// The parameters as the object of their kind.
    fn options(&self) -> Result<Value, ApiError> {
        let GroupVersionName { version, name, .. } = self.kind();
        let mut options = Map::new();
        options.insert("apiVersion".to_owned(), version.into());
        options.insert("kind".to_owned(), name.into());
        if matches!(self.subresource, "exec" | "attach") {
            for flag in ["stdin", "stdout", "stderr", "tty"].into_iter().filter(|flag| self.query.flag(flag)) {
                options.insert(flag.to_owned(), true.into());
            }
            if let Some(container) = self.query.get("container") {
                options.insert("container".to_owned(), container.into());
            }
        }
        match self.subresource {
            "exec" => {
                let command: Vec<&str> = self.query.all("command").collect();
                let command = if command.is_empty() { Value::Null } else { command.into() };
                options.insert("command".to_owned(), command);
            }
            "portforward" => {
                let ports: Result<Vec<Value>, ApiError> =
                    self.query.all("ports").flat_map(|ports| ports.split(',')).map(port).collect();
                let ports = ports?;
                if !ports.is_empty() {
                    options.insert("ports".to_owned(), ports.into());
                }
            }
            "proxy" => {
                let mut path = self.rest.iter().flat_map(|segment| ["/", segment]).collect::<String>();
                if self.parts.uri.path().ends_with('/') && !path.ends_with('/') {
                    path.push('/');
                }
                if !path.is_empty() {
                    options.insert("path".to_owned(), path.into());
                }
            }
            _ => {}
        }
        Ok(Value::Object(options))
    }

    fn kind(&self) -> GroupVersionName {
        let name = match (self.subresource, self.served.resource.plural.as_str()) {
            ("exec", _) => "PodExecOptions",
            ("attach", _) => "PodAttachOptions",
            ("portforward", _) => "PodPortForwardOptions",
            (_, "services") => "ServiceProxyOptions",
            (_, "nodes") => "NodeProxyOptions",
            _ => "PodProxyOptions",
        };
        kind("", "v1", name)
    }

    /// What admission makes of the options.
    async fn admit(&self, options: Value) -> Result<Value, ApiError> {
        let Self { plane, served, namespace, name, subresource, requester, .. } = *self;
        let operation = Operation::Connect;
        if !concerns(plane, served, operation, subresource, namespace) {
            return Ok(options);
        }
        let body_kind = Some(self.kind());
        let attributes = Attributes { plane, served, operation, subresource, body_kind, namespace, name, requester };
        let mutated = attributes.mutate(None, options).await?;
        attributes.validate(None, Some(&mutated.object)).await?;
        Ok(mutated.object)
    }

    /// Why nobody gets at what runs in a pod.
    fn out_of_reach(&self, options: &Value) -> Result<ApiError, ApiError> {
        let resource = GroupResource { group: String::new(), resource: "pods".to_owned() };
        let key = ObjectKey { resource, namespace: self.namespace.to_owned(), name: self.name.to_owned() };
        let pod = self.plane.get_value(&key)?.ok_or_else(|| ApiError::not_found(&key.resource, &key.name))?;
        if self.subresource != "portforward" {
            container_of(&pod, options["container"].as_str().unwrap_or_default())?;
        }
        Ok(ApiError::bad_request(if has_host(&pod) {
            format!("pods on this server run nowhere, so {} is not supported", self.subresource)
        } else {
            format!("pod {} does not have a host assigned", self.name)
        }))
    }
}

/// A port of `ports`.
fn port(text: &str) -> Result<Value, ApiError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u16>() {
        Ok(port) if digits => Ok(port.into()),
        _ => {
            let why = if digits { "value out of range" } else { "invalid syntax" };
            let text = quote(text);
            Err(ApiError::bad_request(format!("cannot convert to []int32: strconv.ParseUint: parsing {text}: {why}")))
        }
    }
}

/// Whether a pod is on a node.
pub(super) fn has_host(pod: &Value) -> bool {
    pod["spec"]["nodeName"].as_str().is_some_and(|node| !node.is_empty())
}

/// The container a request is about: the one it names, or the only one there is.
///
/// # Errors
/// 400 for one that is not there, and for none where there are several.
pub(super) fn container_of<'p>(pod: &'p Value, wanted: &str) -> Result<&'p str, ApiError> {
    let pod_name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let names = |list: &str| {
        pod["spec"][list].as_array().into_iter().flatten().filter_map(|container| container["name"].as_str())
    };
    let all: Vec<&str> = ["initContainers", "containers", "ephemeralContainers"].into_iter().flat_map(names).collect();
    if !wanted.is_empty() {
        return all
            .into_iter()
            .find(|name| *name == wanted)
            .ok_or_else(|| ApiError::bad_request(format!("container {wanted} is not valid for pod {pod_name}")));
    }
    match names("containers").collect::<Vec<&str>>().as_slice() {
        [only] => Ok(only),
        [] => Ok(""),
        _ => Err(ApiError::bad_request(format!(
            "a container name must be specified for pod {pod_name}, choose one of: [{}]",
            all.join(" ")
        ))),
    }
}
