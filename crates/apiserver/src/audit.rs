//! The audit log: who asked for what, when, and what the answer was, one JSON document a line.
//!
//! The lines are `audit.k8s.io/v1` Events at the level Metadata, so tools for the log of the real server read them. They
//! hold no body of any request or answer, and so never what is in a Secret. Every request that comes through a listener
//! is logged, health checks excepted; calls made inside the process are the server's own work and are not. A line is
//! written before the answer is sent. Files are rotated by size.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, Write as _},
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::body::Body;
use futures::StreamExt as _;
use http::{HeaderName, HeaderValue, Response, StatusCode, request::Parts};
use jiff::Timestamp;
use kogge_machinery::{
    rbac::{Attributes, Decision},
    status_error::ApiError,
};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::authentication::User;

/// Where the audit log is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditOptions {
    /// The file; older ones are beside it with `.1`, `.2` and so on behind the name.
    pub path: PathBuf,
    /// A file that has reached so many bytes is rotated.
    pub file_bytes: u64,
    /// So many older files are kept.
    pub older_files: usize,
}

impl AuditOptions {
    /// A log in this file, with 100 MiB a file and 10 older files.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), file_bytes: 100 << 20, older_files: 10 }
    }
}

/// The address a request came from; an extension of requests from listeners.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// The answer is a `Status` of success, with these details (null for none); an extension of the answer.
#[derive(Clone, Debug)]
pub(crate) struct Succeeded(pub(crate) Value);

/// The name a request goes by in the audit log and in its answer: the client's own, or a new one.
pub(crate) fn audit_id(parts: &Parts) -> HeaderValue {
    const LONGEST: usize = 64;
    let given = parts.headers.get(AUDIT_ID).filter(|id| !id.is_empty() && id.len() <= LONGEST && id.to_str().is_ok());
    let made = || HeaderValue::from_str(&uuid::Uuid::new_v4().to_string()).ok();
    given.cloned().or_else(made).unwrap_or_else(|| HeaderValue::from_static("unknown"))
}

/// The header with it.
pub(crate) const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");

/// The open log.
pub(crate) struct AuditLog {
    options: AuditOptions,
    file: Mutex<Rotated>,
}

struct Rotated {
    file: File,
    bytes: u64,
}

impl AuditLog {
    /// Opens the log, going on at the end of a file that is there.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub(crate) fn open(options: AuditOptions) -> io::Result<Self> {
        let file = Mutex::new(open(&options.path)?);
        Ok(Self { options, file })
    }

    fn write(&self, event: &impl Serialize) {
        let mut line = Vec::with_capacity(1024);
        let serialized = serde_json::to_writer(&mut line, event);
        line.push(b'\n');
        let mut current = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let result = serialized
            .map_err(io::Error::from)
            .and_then(|()| self.rotate(&mut current, line.len() as u64))
            .and_then(|()| current.file.write_all(&line));
        match result {
            Ok(()) => current.bytes += line.len() as u64,
            Err(error) => tracing::error!(%error, path = %self.options.path.display(), "failed to write the audit log"),
        }
    }

    /// Begins a new file if the line does not fit into this one.
    fn rotate(&self, current: &mut Rotated, line: u64) -> io::Result<()> {
        if current.bytes == 0 || current.bytes + line <= self.options.file_bytes {
            return Ok(());
        }
        let path = &self.options.path;
        for number in (1..self.options.older_files).rev() {
            let older = numbered(path, number);
            if older.exists() {
                std::fs::rename(older, numbered(path, number + 1))?;
            }
        }
        if self.options.older_files == 0 {
            std::fs::remove_file(path)?;
        } else {
            std::fs::rename(path, numbered(path, 1))?;
        }
        *current = open(path)?;
        Ok(())
    }
}

fn numbered(path: &Path, number: usize) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

/// Opens a log file for its owner alone.
fn open(path: &Path) -> io::Result<Rotated> {
    let mut how = OpenOptions::new();
    how.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut how, 0o600);
    let file = how.open(path)?;
    let bytes = file.metadata()?.len();
    Ok(Rotated { file, bytes })
}

/// What is added while a request is handled: annotations, and what the object of its body is called. It is dropped where
/// there is no log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Annotations(Option<Arc<Mutex<Added>>>);

#[derive(Debug, Default)]
struct Added {
    annotations: BTreeMap<String, String>,
    object: ObjectMeta,
}

/// What the body of a write says of its object.
#[derive(Debug, Default)]
struct ObjectMeta {
    namespace: String,
    name: String,
    uid: String,
    resource_version: String,
}

impl Annotations {
    fn added(&self) -> Option<MutexGuard<'_, Added>> {
        Some(self.0.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds an annotation. The first value of a key stays.
    pub(crate) fn add(&self, key: &str, value: String) {
        if let Some(mut added) = self.added() {
            added.annotations.entry(key.to_owned()).or_insert(value);
        }
    }

    /// Takes notice of the object that a request brings, as it was brought.
    pub(crate) fn object(&self, object: &Value) {
        if let Some(mut added) = self.added() {
            let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
            added.object = ObjectMeta {
                namespace: text("namespace"),
                name: text("name"),
                uid: text("uid"),
                resource_version: text("resourceVersion"),
            };
        }
    }

    fn take(&self) -> Added {
        self.added().map(|mut added| std::mem::take(&mut *added)).unwrap_or_default()
    }
}

/// An `audit.k8s.io/v1` Event at the level Metadata, its fields in the order of the real server's type.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    kind: &'static str,
    api_version: &'static str,
    level: &'static str,
    #[serde(rename = "auditID")]
    audit_id: String,
    stage: &'static str,
    #[serde(rename = "requestURI")]
    request_uri: String,
    verb: Cow<'static, str>,
    user: User,
    #[serde(skip_serializing_if = "Option::is_none")]
    impersonated_user: Option<User>,
    #[serde(rename = "sourceIPs", skip_serializing_if = "Vec::is_empty")]
    source_ips: Vec<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    object_ref: Option<ObjectReference>,
    response_status: ResponseStatus,
    #[serde(serialize_with = "micro_time")]
    request_received_timestamp: Timestamp,
    #[serde(serialize_with = "micro_time")]
    stage_timestamp: Timestamp,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<Cow<'static, str>, Cow<'static, str>>,
}

/// What a request for a resource is about.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ObjectReference {
    resource: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    namespace: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    uid: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    api_group: String,
    api_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    resource_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    subresource: String,
}

impl ObjectReference {
    /// Adds what the path did not tell.
    fn complete(&mut self, object: ObjectMeta) {
        let ObjectMeta { namespace, name, uid, resource_version } = object;
        let added = [namespace, name, uid, resource_version];
        let fields = [&mut self.namespace, &mut self.name, &mut self.uid, &mut self.resource_version];
        for (field, added) in fields.into_iter().zip(added) {
            if field.is_empty() {
                *field = added;
            }
        }
    }
}

/// Empty, as no list is answered with a `Status`.
#[derive(Default, Serialize)]
struct ListMeta {}

/// What of the `Status` of an answer tells no contents.
#[derive(Default, Serialize)]
struct ResponseStatus {
    metadata: ListMeta,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    #[serde(skip_serializing_if = "Value::is_null")]
    details: Value,
    code: u16,
}

/// RFC 3339 with microseconds, as `metav1.MicroTime`.
fn micro_time<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{time:.6}"))
}

/// The addresses a request says it came through, and the one it came from.
fn source_addresses(parts: &Parts) -> Vec<IpAddr> {
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let address = |text: &str| text.trim().parse::<IpAddr>().ok().map(|address| address.to_canonical());
    let mut addresses: Vec<IpAddr> = header("x-forwarded-for").split(',').filter_map(address).collect();
    if let Some(real) = address(header("x-real-ip"))
        && !addresses.contains(&real)
    {
        addresses.push(real);
    }
    let peer = parts.extensions.get::<Peer>().map(|Peer(address)| address.ip().to_canonical());
    addresses.extend(peer.filter(|peer| addresses.last() != Some(peer)));
    addresses
}

/// What is known of one request so far; it does nothing where there is no log.
#[derive(Default)]
pub(crate) struct Trail {
    entry: Option<Entry>,
    annotations: Annotations,
}

struct Entry {
    log: Arc<AuditLog>,
    event: Box<Event>,
}

impl Trail {
    /// Begins with what every request has.
    pub(crate) fn begin(log: Option<&Arc<AuditLog>>, parts: &Parts, id: &HeaderValue, now: Timestamp) -> Self {
        let Some(log) = log else { return Self::default() };
        let agent = parts.headers.get(http::header::USER_AGENT).and_then(|agent| agent.to_str().ok());
        let event = Event {
            kind: "Event",
            api_version: "audit.k8s.io/v1",
            level: "Metadata",
            audit_id: id.to_str().unwrap_or_default().to_owned(),
            stage: "",
            request_uri: parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            verb: parts.method.as_str().to_ascii_lowercase().into(),
            user: User::default(),
            impersonated_user: None,
            source_ips: source_addresses(parts),
            user_agent: agent.map(str::to_owned),
            object_ref: None,
            response_status: ResponseStatus::default(),
            request_received_timestamp: now,
            stage_timestamp: now,
            annotations: BTreeMap::new(),
        };
        let entry = Entry { log: log.clone(), event: Box::new(event) };
        Self { entry: Some(entry), annotations: Annotations(Some(Arc::default())) }
    }

    /// Where to add annotations.
    pub(crate) fn annotations(&self) -> Annotations {
        self.annotations.clone()
    }

    /// Adds annotations.
    pub(crate) fn annotate(&self, annotations: Vec<(&'static str, String)>) {
        for (key, value) in annotations {
            self.annotations.add(key, value);
        }
    }

    /// Forgets the request: nothing is written.
    pub(crate) fn forget(&mut self) {
        self.entry = None;
    }

    /// Who asks.
    pub(crate) fn user(&mut self, user: &User) {
        if let Some(Entry { event, .. }) = &mut self.entry {
            event.user = user.clone();
        }
    }

    /// As whom the request is made, if that is somebody else.
    pub(crate) fn effective_user(&mut self, user: &User) {
        if let Some(Entry { event, .. }) = &mut self.entry {
            event.impersonated_user = (*user != event.user).then(|| user.clone());
        }
    }

    /// What is asked for.
    pub(crate) fn attributes(&mut self, attributes: &Attributes<'_>, version: &str) {
        let Some(Entry { event, .. }) = &mut self.entry else { return };
        if event.verb != attributes.verb {
            event.verb = attributes.verb.to_owned().into();
        }
        event.object_ref = attributes.path.is_none().then(|| ObjectReference {
            resource: attributes.resource.to_owned(),
            namespace: attributes.namespace.to_owned(),
            name: attributes.name.to_owned(),
            uid: String::new(),
            api_group: attributes.group.to_owned(),
            api_version: version.to_owned(),
            resource_version: String::new(),
            subresource: attributes.subresource.to_owned(),
        });
    }

    /// Whether the user may do that and why; none where that cannot be said.
    pub(crate) fn decision(&mut self, decision: Option<&Decision>) {
        let Some(Entry { event, .. }) = &mut self.entry else { return };
        let reason = match decision {
            None => Cow::Borrowed("internal error"),
            Some(Decision { allowed, reason }) => {
                let decision = if *allowed { "allow" } else { "forbid" };
                event.annotations.insert("authorization.k8s.io/decision".into(), decision.into());
                reason.clone().into()
            }
        };
        event.annotations.insert("authorization.k8s.io/reason".into(), reason);
    }

    /// Ends with the answer: writes the line, for a watch a second one when it is over.
    pub(crate) fn end(self, error: Option<&ApiError>, response: Response<Body>) -> Response<Body> {
        let Some(mut entry) = self.entry else { return response };
        let event = &mut entry.event;
        let code = response.status();
        event.response_status.code = code.as_u16();
        // A text is no `Status` to tell of.
        if let Some(error) = error.filter(|error| error.plain_text().is_none()) {
            let (status, told) = (error.status(), &mut event.response_status);
            told.status = Some("Failure");
            told.reason.clone_from(&status.reason);
            told.message.clone_from(&status.message);
            told.details = status.details.as_ref().map(|details| json!(details)).unwrap_or_default();
        } else if let Some(Succeeded(details)) = response.extensions().get::<Succeeded>() {
            event.response_status.status = Some("Success");
            event.response_status.details.clone_from(details);
        }
        let Added { annotations, object } = self.annotations.take();
        event.annotations.extend(annotations.into_iter().map(|(key, value)| (key.into(), value.into())));
        if let Some(reference) = &mut event.object_ref {
            reference.complete(object);
        }
        if code == StatusCode::UNAUTHORIZED {
            // As the real server does, which knows no end of a request that has not begun.
            entry.write("ResponseStarted");
            return response;
        }
        if event.verb == "watch" && code == StatusCode::OK {
            entry.write("ResponseStarted");
            let ended = Ended(entry);
            return response.map(|body| {
                Body::from_stream(body.into_data_stream().inspect(move |_| {
                    let _ = &ended;
                }))
            });
        }
        entry.write("ResponseComplete");
        response
    }
}

impl Entry {
    /// Writes the line of this stage.
    fn write(&mut self, stage: &'static str) {
        self.event.stage = stage;
        self.event.stage_timestamp = Timestamp::now();
        self.log.write(&self.event);
    }
}

/// Writes the end of a watch when its body is gone.
struct Ended(Entry);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.write("ResponseComplete");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_rotated_by_size_and_the_oldest_is_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.log");
        let options = AuditOptions { file_bytes: 30, older_files: 2, ..AuditOptions::new(&path) };
        let log = AuditLog::open(options.clone()).unwrap();
        for number in 0..4 {
            log.write(&json!({"number": number, "a": "xx"}));
        }
        drop(log);
        let log = AuditLog::open(options).unwrap();
        log.write(&json!({"number": 4, "a": "xx"}));
        let mut files: Vec<_> = std::fs::read_dir(&directory).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        let contents: Vec<_> = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
        let line = |number: u32| format!("{{\"a\":\"xx\",\"number\":{number}}}\n");
        assert_eq!(contents, [line(4), line(3), line(2)]);
    }
}
