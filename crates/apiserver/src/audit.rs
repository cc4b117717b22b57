//! The audit log: who asked for what, when, and what the answer was, one JSON document a line.
//!
//! The lines are `audit.k8s.io/v1` Events at the level Metadata, so tools for the log of the real server read them. They
//! hold no body of any request or answer, and so never what is in a Secret. Every request that comes through a listener
//! is logged, health checks excepted; calls made inside the process are the server's own work and are not. A line is
//! written before the answer is sent. Files are rotated by size.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use axum::body::Body;
use futures::StreamExt as _;
use http::{HeaderName, HeaderValue, Response, StatusCode, request::Parts};
use jiff::Timestamp;
use kogge_machinery::{rbac::Attributes, status_error::ApiError};
use serde_json::{Value, json};
use std::sync::Arc;

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

/// The name of an object that was created, which its path does not tell; an extension of the answer.
#[derive(Clone, Debug)]
pub(crate) struct ObjectName(pub(crate) String);

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

    fn write(&self, event: &Value) {
        let mut line = event.to_string();
        line.push('\n');
        let mut current = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let result =
            self.rotate(&mut current, line.len() as u64).and_then(|()| current.file.write_all(line.as_bytes()));
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

/// Annotations that are added while a request is handled. The first value of a key stays.
#[derive(Clone, Debug, Default)]
pub(crate) struct Annotations(Arc<Mutex<BTreeMap<String, String>>>);

impl Annotations {
    pub(crate) fn add(&self, key: &str, value: String) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(key.to_owned()).or_insert(value);
    }

    fn take(&self) -> BTreeMap<String, String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What is known of one request so far; it does nothing where there is no log.
#[derive(Default)]
pub(crate) struct Trail {
    log: Option<Arc<AuditLog>>,
    event: Value,
    annotations: Annotations,
}

impl Trail {
    /// Begins with what every request has.
    pub(crate) fn begin(log: Option<&Arc<AuditLog>>, parts: &Parts, id: &HeaderValue, now: Timestamp) -> Self {
        let Some(log) = log else { return Self::default() };
        let mut event = json!({
            "apiVersion": "audit.k8s.io/v1",
            "kind": "Event",
            "level": "Metadata",
            "auditID": id.to_str().unwrap_or_default(),
            "requestURI": parts.uri.path_and_query().map_or("/", |path| path.as_str()),
            "verb": parts.method.as_str().to_ascii_lowercase(),
            "user": {},
            "requestReceivedTimestamp": micro_time(now),
        });
        if let Some(agent) = parts.headers.get(http::header::USER_AGENT).and_then(|agent| agent.to_str().ok()) {
            event["userAgent"] = agent.into();
        }
        if let Some(Peer(address)) = parts.extensions.get::<Peer>() {
            event["sourceIPs"] = json!([address.ip().to_string()]);
        }
        Self { log: Some(log.clone()), event, annotations: Annotations::default() }
    }

    /// Where to add annotations.
    pub(crate) fn annotations(&self) -> Annotations {
        self.annotations.clone()
    }

    fn is_on(&self) -> bool {
        self.log.is_some()
    }

    /// Forgets the request: nothing is written.
    pub(crate) fn forget(&mut self) {
        self.log = None;
    }

    /// Who asks.
    pub(crate) fn user(&mut self, user: &User) {
        if self.is_on() {
            self.event["user"] = user.user_info();
        }
    }

    /// As whom the request is made, if that is somebody else.
    pub(crate) fn effective_user(&mut self, user: &User) {
        if self.is_on() {
            let info = user.user_info();
            if info != self.event["user"] {
                self.event["impersonatedUser"] = info;
            }
        }
    }

    /// What is asked for.
    pub(crate) fn attributes(&mut self, attributes: &Attributes<'_>, version: &str) {
        if !self.is_on() {
            return;
        }
        self.event["verb"] = attributes.verb.into();
        if attributes.path.is_some() {
            return;
        }
        let fields = [
            ("resource", attributes.resource),
            ("namespace", attributes.namespace),
            ("name", attributes.name),
            ("apiGroup", attributes.group),
            ("apiVersion", version),
            ("subresource", attributes.subresource),
        ];
        let present = fields.into_iter().filter(|(_, value)| !value.is_empty());
        self.event["objectRef"] = present.map(|(field, value)| (field.to_owned(), Value::from(value))).collect();
    }

    /// Whether the user may do that.
    pub(crate) fn decision(&mut self, allowed: bool) {
        if self.is_on() {
            let decision = if allowed { "allow" } else { "forbid" };
            self.event["annotations"] = json!({"authorization.k8s.io/decision": decision});
        }
    }

    /// Ends with the answer: writes the line, for a watch a second one when it is over.
    pub(crate) fn end(mut self, error: Option<&ApiError>, response: Response<Body>) -> Response<Body> {
        let Some(log) = self.log.take() else { return response };
        let code = response.status();
        let mut status = json!({"metadata": {}, "code": code.as_u16()});
        if let Some(error) = error {
            status["status"] = "Failure".into();
            for (field, text) in [("reason", &error.status().reason), ("message", &error.status().message)] {
                if !text.is_empty() {
                    status[field] = text.as_str().into();
                }
            }
        }
        self.event["responseStatus"] = status;
        for (key, value) in self.annotations.take() {
            self.event["annotations"][key] = value.into();
        }
        if let Some(ObjectName(name)) = response.extensions().get::<ObjectName>()
            && !name.is_empty()
        {
            self.event["objectRef"]["name"] = name.as_str().into();
        }
        if self.event["verb"] == "watch" && code == StatusCode::OK {
            self.stage("ResponseStarted");
            log.write(&self.event);
            let ended = Ended { log, trail: self };
            return response.map(|body| {
                Body::from_stream(body.into_data_stream().inspect(move |_| {
                    let _ = &ended;
                }))
            });
        }
        self.stage("ResponseComplete");
        log.write(&self.event);
        response
    }

    fn stage(&mut self, stage: &str) {
        self.event["stage"] = stage.into();
        self.event["stageTimestamp"] = micro_time(Timestamp::now()).into();
    }
}

/// Writes the end of a watch when its body is gone.
struct Ended {
    log: Arc<AuditLog>,
    trail: Trail,
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.trail.stage("ResponseComplete");
        self.log.write(&self.trail.event);
    }
}

/// RFC 3339 with microseconds, as `metav1.MicroTime`.
fn micro_time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
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
