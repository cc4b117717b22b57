//! `/proxy` of pods, services and nodes. The real server looks up an address and passes the request on to it. Here everything is
//! looked up in the same way, and nothing listens at any address.

use std::net::IpAddr;

use axum::body::Body;
use http::{HeaderValue, Method, Response, StatusCode, header, request::Parts};
use kogge_machinery::{
    resource::GroupResource,
    status_error::{ApiError, quote},
};
use serde_json::Value;

use crate::{plane::Plane, registry::ServedResource, store::ObjectKey};

const KUBELET_PORT: &str = "10250";

/// The address of what a request without a path of its own means, with the slash that belongs behind it.
pub(super) fn with_slash(parts: &Parts, rest: &[String]) -> Option<String> {
    let (path, query) = (parts.uri.path(), parts.uri.query());
    let is_read = matches!(parts.method, Method::GET | Method::HEAD) && !parts.headers.contains_key(header::UPGRADE);
    let location = || format!("{path}/{}", query.map(|query| format!("?{query}")).unwrap_or_default());
    (is_read && rest.is_empty() && !path.ends_with('/')).then(location)
}

/// Where a request has to go first, or why it gets nowhere. `id` is `NAME`, `NAME:PORT` or `SCHEME:NAME:PORT`.
///
/// # Errors
/// The reason, where `redirection` is none.
pub(super) fn answer(
    plane: &Plane,
    served: &ServedResource,
    namespace: &str,
    id: &str,
    redirection: Option<String>,
) -> Result<Response<Body>, ApiError> {
    let plural = served.resource.plural.as_str();
    let parts: Vec<&str> = id.split(':').collect();
    let (scheme, name, port) = match parts.as_slice() {
        [name] => ("", *name, ""),
        [name, port] => ("", *name, *port),
        [scheme, name, port] => (*scheme, *name, *port),
        _ => ("", "", ""),
    };
    if name.is_empty() || !matches!(scheme, "" | "http" | "https") {
        let kind = plural.trim_end_matches('s');
        return Err(ApiError::bad_request(format!("invalid {kind} request {}", quote(id))));
    }
    let target = Target { plane, namespace, name, port, id };
    let (address, port) = match plural {
        "pods" => target.of_pod(),
        "services" => target.of_service(),
        _ => target.of_node(),
    }?;
    if let Some(location) = redirection.and_then(|location| HeaderValue::from_str(&location).ok()) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
        headers.insert(header::LOCATION, location);
        return Ok(response);
    }
    let port = match (port.as_str(), scheme) {
        ("", "https") => "443",
        ("", _) => "80",
        (port, _) => port,
    };
    let host = if address.contains(':') { format!("[{address}]") } else { address };
    let why = format!("error trying to reach service: dial tcp {host}:{port}: connect: connection refused");
    Err(ApiError::service_unavailable(why))
}

/// What a request is for.
struct Target<'a> {
    plane: &'a Plane,
    namespace: &'a str,
    name: &'a str,
    port: &'a str,
    id: &'a str,
}

impl Target<'_> {
    fn object(&self, plural: &str, name: &str) -> Result<Value, ApiError> {
        let resource = resource(plural);
        let namespace = if plural == "nodes" { "" } else { self.namespace };
        let key = ObjectKey { resource: resource.clone(), namespace: namespace.to_owned(), name: name.to_owned() };
        self.plane.get_value(&key)?.ok_or_else(|| ApiError::not_found(&resource, name))
    }

    fn of_pod(&self) -> Result<(String, String), ApiError> {
        let pod = self.object("pods", self.name)?;
        let mut ports =
            items(&pod["spec"]["containers"]).filter_map(|container| container["ports"][0]["containerPort"].as_u64());
        let port = match self.port {
            "" => ports.next().map(|port| port.to_string()).unwrap_or_default(),
            port => port.to_owned(),
        };
        let first = pod["status"]["podIPs"][0]["ip"].as_str();
        let address = first.or(pod["status"]["podIP"].as_str()).unwrap_or_default();
        if is_allowed(address) { Ok((address.to_owned(), port)) } else { Err(not_allowed()) }
    }

    fn of_service(&self) -> Result<(String, String), ApiError> {
        let mut wanted = self.port.to_owned();
        if let Ok(number) = self.port.parse::<i64>() {
            let service = self.object("services", self.name)?;
            let port = items(&service["spec"]["ports"]).find(|port| port["port"].as_i64() == Some(number));
            let port = port.ok_or_else(|| {
                let name = quote(self.name);
                ApiError::service_unavailable(format!("no service port {number} found for service {name}"))
            })?;
            port["name"].as_str().unwrap_or_default().clone_into(&mut wanted);
        }
        // The real server says of missing Endpoints that the Service is not there.
        let endpoints = self.object("endpoints", self.name).map_err(|error| match error.code() {
            404 => ApiError::not_found(&resource("services"), self.name),
            _ => error,
        })?;
        let none =
            |id: &str| ApiError::service_unavailable(format!("no endpoints available for service {}", quote(id)));
        if items(&endpoints["subsets"]).next().is_none() {
            return Err(none(self.name));
        }
        for subset in items(&endpoints["subsets"]) {
            let of_name = |port: &&Value| port["name"].as_str().unwrap_or_default() == wanted;
            let Some(port) = items(&subset["ports"]).find(of_name) else { continue };
            if let Some(address) = items(&subset["addresses"]).find(|address| self.is_of_pod(address)) {
                let port = port["port"].as_u64().map(|port| port.to_string()).unwrap_or_default();
                return Ok((address["ip"].as_str().unwrap_or_default().to_owned(), port));
            }
        }
        Err(none(self.id))
    }

    /// Whether an address is one of a pod of the same namespace.
    fn is_of_pod(&self, address: &Value) -> bool {
        let target = &address["targetRef"];
        target["namespace"] == self.namespace
            && self
                .object("pods", target["name"].as_str().unwrap_or_default())
                .is_ok_and(|pod| items(&pod["status"]["podIPs"]).any(|own| own["ip"] == address["ip"]))
    }

    fn of_node(&self) -> Result<(String, String), ApiError> {
        let node = self.object("nodes", self.name)?;
        // Names are not looked up: nothing knows them.
        let address = ["InternalIP", "ExternalIP"].iter().find_map(|wanted| {
            items(&node["status"]["addresses"]).find(|address| address["type"] == *wanted)?["address"].as_str()
        });
        let Some(address) = address else {
            return Err(ApiError::new(500, "", "no preferred addresses found; known addresses: []"));
        };
        let reported = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"].as_u64();
        let port = match self.port {
            "" => reported.map_or_else(|| KUBELET_PORT.to_owned(), |port| port.to_string()),
            port => port.to_owned(),
        };
        if is_allowed(address) { Ok((address.to_owned(), port)) } else { Err(not_allowed()) }
    }
}

fn resource(plural: &str) -> GroupResource {
    GroupResource { group: String::new(), resource: plural.to_owned() }
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn not_allowed() -> ApiError {
    ApiError::bad_request("address not allowed")
}

/// Whether requests may be passed on to an address: not to the server's own machine and network.
fn is_allowed(address: &str) -> bool {
    match address.parse() {
        Ok(IpAddr::V4(address)) => {
            !(address.is_unspecified()
                || address.is_loopback()
                || address.is_multicast()
                || address.is_link_local()
                || address.is_broadcast())
        }
        Ok(IpAddr::V6(address)) => {
            !(address.is_unspecified()
                || address.is_loopback()
                || address.is_multicast()
                || address.is_unicast_link_local())
        }
        Err(_) => false,
    }
}
