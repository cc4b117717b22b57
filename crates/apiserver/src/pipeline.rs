//! From an HTTP request to its answer: which plane, who, what, may they, then the verb.
//!
//! The same function answers in-process clients, the TLS listener and tests. A write goes through fixed stages, each a
//! function of its own: decode ([`body`]), merge ([`patch`] or [`update`]), complete ([`object_completion`]: prune, default,
//! metadata, strategy, ownership), admit ([`admission`]), validate, commit.

use std::pin::pin;

use axum::body::Body;
use http::{Method, Request, Response, StatusCode, header, request::Parts};
use jiff::Timestamp;
use kogge_machinery::{
    negotiation::{self, Answer, Endpoint, ErrorEncoding},
    object_meta::path_segment_messages,
    request_path::{self, RequestPath},
    selector::FieldRequirement,
    status_error::{ApiError, quote},
};
use tokio_util::sync::CancellationToken;

use self::{
    answer::error_response,
    authorization::{Attributes, decide, forbidden},
    query::Query,
    verb::resource_verb,
};
use crate::{
    admission::{Requester, Warnings},
    audit::{self, Annotations, Trail},
    authentication::{self, Caller, Remarks, User, authenticate},
    plane::Plane,
    rbac,
    registry::{Registry, ServedResource},
    server::Server,
    store::{ObjectKey, PlaneName},
};

mod admission;
mod answer;
mod app_armor;
pub(crate) mod authorization;
mod body;
mod builtin_admission;
mod bulk_create;
mod certificate_request;
mod claim_sources;
mod component_statuses;
mod compression;
mod connect;
mod controller_write;
mod create;
mod default_classes;
mod definition_write;
mod delete;
mod dependents;
mod disabled_features;
mod discovery;
mod ephemeral_containers;
mod escalation;
mod eviction;
mod flow_control;
mod get;
mod impersonation;
mod limit_ranges;
mod list;
mod list_options;
mod list_writer;
mod node_restriction;
mod non_resource;
mod object_completion;
mod object_decoding;
mod object_type;
mod object_validation;
mod object_write;
mod openapi;
mod other_versions;
mod patch;
mod patched_object;
mod pod_binding;
mod pod_resize;
mod pod_security;
mod pod_subresources;
mod policy_access;
mod presentation;
mod proxy;
mod query;
mod quota_charge;
mod resource_metrics;
mod reviews;
mod routes;
mod runtime_class;
mod scale;
mod service_allocation;
mod service_endpoints;
mod service_families;
mod strategy;
mod subresources;
mod token_request;
mod topology_labels;
mod update;
mod verb;
mod watch;

pub(crate) use answer::Document;
pub(crate) use body::{read_json, read_yaml};
pub(crate) use builtin_admission::{CLAIM_PROTECTION, CLASS_PROTECTION, VOLUME_PROTECTION};
pub(crate) use bulk_create::{create_all, create_all_as};
pub(crate) use controller_write::change_object;
pub(crate) use definition_write::{
    CLEANUP_FINALIZER, MANAGER as DEFINITION_MANAGER, set_terminating, settle, stored_definitions,
};
pub(crate) use delete::{DeleteOptions, Preconditions, delete_object};
pub(crate) use discovery::hex_digest;
pub(crate) use flow_control::FlowControl;
pub use flow_control::RequestLimits;
pub(crate) use impersonation::service_account_groups;
pub(crate) use non_resource::{Metrics, PUBLIC_PATHS};
pub(crate) use object_decoding::readable_type;
pub(crate) use object_type::{conversion_problem, set_type};
pub(crate) use object_write::{WriteScope, timestamp};
pub(crate) use presentation::present_all;
pub(crate) use service_allocation::ServiceNetwork;

/// The token of the listener a request came through: its watches end when it is cancelled. A request extension.
#[derive(Clone)]
pub(crate) struct ListenerShutdown(pub(crate) CancellationToken);

/// Everything the verbs need to know of a request for a resource.
pub(crate) struct RequestContext<'a> {
    pub(crate) plane: &'a Plane,
    pub(crate) user: User,
    pub(crate) parts: &'a Parts,
    pub(crate) query: Query,
    pub(crate) served: std::sync::Arc<ServedResource>,
    /// Empty for cluster-scoped resources and for requests over all namespaces.
    pub(crate) namespace: String,
    /// Empty for collections.
    pub(crate) name: String,
    pub(crate) answer: Answer,
    pub(crate) now: Timestamp,
    /// Texts for `Warning` headers.
    pub(crate) warnings: Vec<String>,
    /// Texts that admission adds to them.
    pub(crate) admission_warnings: Warnings,
    /// What admission adds to the audit log.
    pub(crate) audit_annotations: Annotations,
}

impl RequestContext<'_> {
    /// Where the named object is stored.
    pub(crate) fn key(&self) -> ObjectKey {
        self.key_of(&self.name)
    }

    /// Where an object of this name is stored.
    pub(crate) fn key_of(&self, name: &str) -> ObjectKey {
        ObjectKey { resource: self.served.stored_as.clone(), namespace: self.namespace.clone(), name: name.to_owned() }
    }

    pub(crate) fn content_type(&self) -> Option<&str> {
        self.parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok())
    }

    /// `fieldManager`, or the program name of the User-Agent.
    pub(crate) fn field_manager(&self) -> Result<String, ApiError> {
        if let Some(manager) = self.query.field_manager()? {
            return Ok(manager.to_owned());
        }
        let agent = header_text(self.parts, &header::USER_AGENT).unwrap_or_default();
        let program = agent.split('/').next().unwrap_or_default();
        let printable: String = program.chars().filter(|character| !character.is_control()).take(128).collect();
        Ok(if printable.is_empty() { "unknown".to_owned() } else { printable })
    }

    /// A warning, at most once.
    pub(crate) fn warn(&mut self, text: impl Into<String>) {
        let text = text.into();
        let lines = ["yaml: unmarshal errors:\n", "error converting YAML to JSON: yaml: unmarshal errors:\n"]
            .iter()
            .find_map(|prefix| text.strip_prefix(prefix));
        let texts: Vec<String> = match lines {
            None => vec![text],
            Some(lines) => lines.lines().map(|line| line.trim().to_owned()).collect(),
        };
        for text in texts {
            if !self.warnings.contains(&text) {
                self.warnings.push(text);
            }
        }
    }
}

/// Answers a request to any plane.
pub(crate) async fn handle(server: &Server, request: Request<Body>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let (plane, path) = match path.strip_prefix("/clusters/") {
        None => (Some(server.management()), path.as_str()),
        Some(rest) => {
            let mut segments = rest.splitn(3, '/');
            let (namespace, name) = (segments.next().unwrap_or_default(), segments.next().unwrap_or_default());
            let prefix = "/clusters/".len() + namespace.len() + 1 + name.len();
            (server.plane(&PlaneName(format!("{namespace}/{name}"))), path.get(prefix..).unwrap_or_default())
        }
    };
    match plane {
        Some(plane) => handle_in_plane(&plane, path, request).await,
        None => error_response(&ApiError::page_not_found(), ErrorEncoding::Json),
    }
}

/// Answers a request whose path, without the plane's prefix, is `path`.
pub(crate) async fn handle_in_plane(plane: &Plane, path: &str, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = body::limited(body, plane.server.flow_control().limits().body_bytes);
    let mut warnings = Vec::new();
    let is_own = matches!(parts.extensions.get::<Caller>(), Some(Caller::InProcess));
    let log = plane.server.audit_log().filter(|_| !is_own);
    let id = audit::audit_id(&parts);
    let mut trail = Trail::begin(log, &parts, &id, Timestamp::now());
    let (verb, result) = route(plane, path, &parts, body, &mut warnings, &mut trail).await;
    let (mut response, error) = match result {
        Ok(response) => (response, None),
        Err(error) => {
            match error.code() {
                504 | ..500 => {}
                // The real server's way to refuse what it cannot bring into its types.
                500 if error.status().reason.is_empty() => {
                    tracing::debug!(plane = %plane.name(), path, %error, "request refused");
                }
                _ => tracing::error!(plane = %plane.name(), path, %error, "request failed"),
            }
            let encoding = ErrorEncoding::of(header_text(&parts, &header::ACCEPT));
            (error_response(&error, encoding), Some(error))
        }
    };
    response = trail.end(error.as_ref(), response);
    if !is_own {
        response.headers_mut().insert(audit::AUDIT_ID, id);
    }
    for warning in answer::told(warnings) {
        if let Some(value) = answer::warning_header(&warning) {
            response.headers_mut().append(header::WARNING, value);
        }
    }
    plane.server.metrics().count(verb, response.status());
    tracing::debug!(plane = %plane.name(), method = %parts.method, path, status = response.status().as_u16());
    response
}

/// The verb (for the counters) and the answer.
async fn route(
    plane: &Plane,
    path: &str,
    parts: &Parts,
    body: Body,
    warnings: &mut Vec<String>,
    trail: &mut Trail,
) -> (&'static str, Result<Response<Body>, ApiError>) {
    let requested = request_path::parse(path);
    if let RequestPath::VerbAlone = requested {
        trail.forget();
        return ("get", Ok(non_resource::verb_alone(path, parts)));
    }
    let public = non_resource::is_public(path, &parts.method);
    // Who says nothing of who it is needs no looking for.
    if public && !says_who(parts) {
        trail.forget();
        return ("get", Ok(non_resource::public(plane, path, parts)));
    }
    let now = Timestamp::now();
    let mut remarks = Remarks::default();
    let mut user = authenticate(plane, parts, now.into(), &mut remarks).await;
    if public && user.is_none() && !authentication::presents_token(parts) {
        user = Some(User::anonymous());
    }
    warnings.append(&mut remarks.warnings);
    trail.annotate(remarks.audit_annotations);
    let Some(user) = user else {
        note_unauthenticated(path, parts, trail);
        return ("get", Err(ApiError::unauthorized()));
    };
    trail.user(&user);
    match requested {
        RequestPath::Resource { group, version, namespace, resource, name, subresource, rest, watch } => {
            let query = match Query::parse(&parts.uri) {
                Ok(query) => query.of_method(&parts.method),
                Err(error) => return ("get", Err(error)),
            };
            let verb = resource_verb(&parts.method, name.is_some(), &query, watch);
            if verb != "watch"
                && let Err(error) = query.check_timeout()
            {
                return (verb, Err(error));
            }
            let of_collection = matches!(verb, "list" | "watch" | "deletecollection");
            // Watches by path have none.
            let selector = query.get("fieldSelector").filter(|_| of_collection && !watch);
            let field_selector = selector.and_then(|text| FieldRequirement::parse_all(text).ok()).unwrap_or_default();
            // A list or watch of the one object with a name counts as that object.
            let selected = field_selector.iter().find(|term| term.equal && term.field == "metadata.name");
            let selected = selected
                .filter(|term| verb != "deletecollection" && path_segment_messages(&term.value, false).is_empty());
            let of_namespace = group.is_empty() && resource == "namespaces";
            let attributes = Attributes {
                verb,
                group: &group,
                resource: &resource,
                subresource: subresource.as_deref().unwrap_or_default(),
                // A Namespace is in itself, so that a role in it can allow to read it.
                namespace: if of_namespace { &name } else { &namespace }.as_deref().unwrap_or_default(),
                name: name.as_deref().or(selected.map(|term| term.value.as_str())).unwrap_or_default(),
                path: None,
                field_selector: &field_selector,
            };
            trail.attributes(&attributes, &version);
            let user = match admit_user(plane, user, parts, &attributes, trail).await {
                Ok(user) => user,
                Err(error) => return (verb, Err(error)),
            };
            let permit = match plane.server.flow_control().admit(plane.name(), &user, verb).await {
                Ok(permit) => permit,
                Err(busy) => return (verb, Ok(busy.response())),
            };
            let served = plane.registry().find(&group, &version, &resource);
            let served = served.or_else(|| resource_metrics::find(plane, &group, &version, &resource));
            let Some(served) = served else {
                return (verb, Err(Registry::unknown_path(&group)));
            };
            let resolved = Resolved { served, namespace, name, subresource, rest, verb, by_path: watch };
            let answer =
                pin!(resource_request(plane, user, parts, query, resolved, body, now, warnings, trail.annotations()));
            let answer = flow_control::in_time(plane.server.flow_control().limits(), answer).await;
            let answer = match answer {
                Ok(response) => Ok(permit.attach(compression::compress(&parts.headers, response).await)),
                Err(error) => Err(error),
            };
            (verb, answer)
        }
        document_path => {
            let verb = parts.method.as_str().to_ascii_lowercase();
            let attributes = Attributes { verb: &verb, path: Some(path), ..Attributes::default() };
            trail.attributes(&attributes, "");
            let result = match admit_user(plane, user, parts, &attributes, trail).await {
                Err(error) => Err(error),
                Ok(_) if public => {
                    trail.forget();
                    Ok(non_resource::public(plane, path, parts))
                }
                Ok(_) if !is_allowed(plane, &parts.method, &document_path) => Err(ApiError::method_not_allowed()),
                Ok(_) => document(plane, &document_path, parts),
            };
            ("get", result)
        }
    }
}

/// Whether a request says in whose name it is, besides the certificate of its connection.
fn says_who(parts: &Parts) -> bool {
    parts.headers.contains_key(header::AUTHORIZATION)
        || parts.headers.keys().any(|name| name.as_str().starts_with("impersonate-"))
}

/// Whether a path that names no resource takes the method. Routes are for GET; what is no route answers any method alike.
fn is_allowed(plane: &Plane, method: &Method, path: &RequestPath) -> bool {
    let is_route = match path {
        RequestPath::CoreVersions => true,
        // Versions of custom resources share a handler that looks at no method.
        RequestPath::GroupVersion { group, version } => {
            !plane.registry().group_version(group, version).iter().any(|resource| resource.custom)
        }
        RequestPath::NonResource(path) => {
            let path = path.strip_suffix('/').unwrap_or(path);
            matches!(path, "/version" | "/openid/v1/jwks" | "/.well-known/openid-configuration")
        }
        _ => false,
    };
    method == Method::GET || !is_route
}

/// The user a request is made as, if that user may make it.
async fn admit_user(
    plane: &Plane,
    user: User,
    parts: &Parts,
    attributes: &Attributes<'_>,
    trail: &mut Trail,
) -> Result<User, ApiError> {
    let looks_at_rules = attributes.group == kogge_machinery::rbac::GROUP;
    if looks_at_rules || !user.is_master() {
        rbac::settle(plane, looks_at_rules).await?;
    }
    let user = impersonation::effective_user(plane, user, &parts.headers, attributes)?;
    trail.effective_user(&user);
    let decision = decide(plane, &user, attributes);
    trail.decision(decision.as_ref().ok());
    let decision = decision?;
    if decision.allowed { Ok(user) } else { Err(forbidden(&user, attributes, &decision.reason)) }
}

fn document(plane: &Plane, path: &RequestPath, parts: &Parts) -> Result<Response<Body>, ApiError> {
    match path {
        RequestPath::CoreVersions
        | RequestPath::Groups
        | RequestPath::Group { .. }
        | RequestPath::GroupVersion { .. } => discovery::document(plane, path, parts),
        RequestPath::OpenApiV3Index => Ok(openapi::index(plane, parts)),
        RequestPath::OpenApiV3 { path } => openapi::document(plane, path, parts),
        RequestPath::OpenApiV2 => Ok(openapi::version_two(plane, parts)),
        RequestPath::NonResource(path) if path.starts_with("/openapi/v3/") => Ok(openapi::no_document()),
        RequestPath::NonResource(path) => non_resource::private(plane, path, parts),
        RequestPath::Resource { .. } | RequestPath::VerbAlone => Err(ApiError::unknown_path()),
    }
}

/// What a resource path was resolved to.
struct Resolved {
    served: std::sync::Arc<ServedResource>,
    namespace: Option<String>,
    name: Option<String>,
    subresource: Option<String>,
    rest: Vec<String>,
    verb: &'static str,
    /// Whether the path itself asks for a watch.
    by_path: bool,
}

#[allow(clippy::too_many_arguments)] // the one place where all parts of a request come together
async fn resource_request(
    plane: &Plane,
    user: User,
    parts: &Parts,
    query: Query,
    resolved: Resolved,
    body: Body,
    now: Timestamp,
    warnings: &mut Vec<String>,
    audit_annotations: Annotations,
) -> Result<Response<Body>, ApiError> {
    let Resolved { served, namespace, name, subresource, rest, verb, by_path } = resolved;
    let resource = &served.resource;
    let route = routes::Route {
        verb,
        method: &parts.method,
        watch: by_path,
        namespace: namespace.as_deref(),
        name: name.as_deref(),
        subresource: subresource.as_deref(),
        rest: &rest,
    };
    let routed = routes::check(resource, &route);
    let connects = subresource.as_deref().filter(|subresource| connect::is_meant(&served, subresource));
    // The type of a patch is looked at before anything else, and by the handler of custom resources before their name.
    if parts.method == Method::PATCH
        && connects.is_none()
        && routed.as_ref().err().is_none_or(|error| error.code() == 400)
    {
        negotiation::body_encoding(header_text(parts, &header::CONTENT_TYPE), true, resource.custom)?;
    }
    if resource.custom && routed.as_ref().is_err_and(|error| error.plain_text().is_none()) {
        warnings.extend(resource.deprecation_warning.iter().cloned());
    }
    routed?;
    if let Some(subresource) = connects {
        let requester = Requester::connecting(user, audit_annotations);
        let connect = connect::Connect {
            plane,
            served: &served,
            parts,
            query: &query,
            requester: &requester,
            verb,
            namespace: namespace.as_deref().unwrap_or_default(),
            name: name.as_deref().unwrap_or_default(),
            subresource,
            rest: &rest,
        };
        let result = Box::pin(connect.answer()).await;
        warnings.extend(requester.warnings.take());
        return result;
    }
    if let Some(name) = name.as_deref().filter(|_| verb != "create") {
        let messages = path_segment_messages(name, false);
        if !messages.is_empty() {
            let message = format!("Name parameter invalid: {}: {}", quote(name), messages.join(";"));
            return Err(ApiError::bad_request(message));
        }
    }
    let endpoint = match verb {
        _ if resource.custom => Endpoint::Custom,
        _ if subresource.as_deref() == Some("log") => Endpoint::Log,
        "list" | "watch" => Endpoint::Collection,
        _ => Endpoint::Object,
    };
    let answer = negotiation::negotiate_answer_at(
        endpoint,
        header_text(parts, &header::ACCEPT),
        query.get("pretty"),
        header_text(parts, &header::USER_AGENT),
    )?;
    let mut context = RequestContext {
        plane,
        user,
        parts,
        query,
        namespace: namespace.unwrap_or_default(),
        name: name.unwrap_or_default(),
        answer,
        now,
        warnings: resource.deprecation_warning.iter().cloned().collect(),
        admission_warnings: Warnings::default(),
        audit_annotations,
        served,
    };
    // The states of these are large; in boxes they are not moved about with every get.
    let result = match &subresource {
        Some(subresource) => Box::pin(subresources::handle(&mut context, subresource, verb, body)).await,
        None if context.served.is_core("componentstatuses") => component_statuses::read(&context),
        None if context.served.is_core("bindings") => {
            Box::pin(pod_binding::create_in_collection(&mut context, body)).await
        }
        None if context.served.resource.group == resource_metrics::GROUP => resource_metrics::read(&context),
        None => match verb {
            "get" => get::get(&context).await,
            "list" => Box::pin(list::list(&context)).await,
            "watch" => Box::pin(watch::watch(&context)).await,
            "create" => Box::pin(create::create(&mut context, body)).await,
            "update" => Box::pin(update::update(&mut context, body)).await,
            "patch" => Box::pin(patch::patch(&mut context, body)).await,
            "delete" => Box::pin(delete::delete(&mut context, body)).await,
            "deletecollection" => Box::pin(delete::delete_collection(&mut context, body)).await,
            _ => Err(ApiError::method_not_supported(&context.served.resource.group_resource(), verb)),
        },
    };
    for warning in context.admission_warnings.take() {
        context.warn(warning);
    }
    warnings.append(&mut context.warnings);
    result
}

/// Remembers what a request without acceptable credentials asks for.
fn note_unauthenticated(path: &str, parts: &Parts, trail: &mut Trail) {
    let RequestPath::Resource { group, version, namespace, resource, name, subresource, watch, .. } =
        request_path::parse(path)
    else {
        return;
    };
    let Ok(query) = Query::parse(&parts.uri) else { return };
    let query = query.of_method(&parts.method);
    let of_namespace = group.is_empty() && resource == "namespaces";
    let attributes = Attributes {
        verb: resource_verb(&parts.method, name.is_some(), &query, watch),
        group: &group,
        resource: &resource,
        subresource: subresource.as_deref().unwrap_or_default(),
        namespace: if of_namespace { &name } else { &namespace }.as_deref().unwrap_or_default(),
        name: name.as_deref().unwrap_or_default(),
        ..Attributes::default()
    };
    trail.attributes(&attributes, &version);
}

pub(crate) fn header_text<'a>(parts: &'a Parts, name: &header::HeaderName) -> Option<&'a str> {
    parts.headers.get(name).and_then(|value| value.to_str().ok())
}

/// A response with a body of this type.
pub(crate) fn response(code: StatusCode, content_type: &str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = code;
    if let Ok(value) = content_type.parse() {
        response.headers_mut().insert(header::CONTENT_TYPE, value);
    }
    response.headers_mut().insert(header::CACHE_CONTROL, http::HeaderValue::from_static("no-cache, private"));
    response
}
