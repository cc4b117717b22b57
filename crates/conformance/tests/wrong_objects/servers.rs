//! The two servers that get every request, and their answers in a comparable form.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use kogge_apiserver::server::{Server, ServerOptions};
use kogge_apiserver::store::StoreOptions;
use kogge_conformance::api::difference::{Difference, compare};
use kogge_conformance::api::normalization::normalize;
use kogge_conformance::api::runner::Exchange;
use kogge_conformance::api::scenario::Step;
use kogge_conformance::api::{Clients, transcript};
use kogge_testkit::real::RealApiServer;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use regex::Regex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::case::{Case, Sender};
use super::seed::REVISION;
use super::wire::Wire;

/// How long one answer may take.
const LIMIT: Duration = Duration::from_secs(20);

/// The real server and the embedded one.
pub(crate) struct Servers {
    real: Connections,
    embedded: Connections,
    /// Revisions of stored objects that have to be named, by path, on either server.
    revisions: BTreeMap<String, [String; 2]>,
    _real: RealApiServer,
    _embedded: DropGuard,
}

/// The ways to one server.
struct Connections {
    client: Client,
    wire: Wire,
}

/// The answers of both to one request.
pub(crate) struct Answers {
    pub(crate) real: Exchange,
    pub(crate) embedded: Exchange,
}

impl Servers {
    /// Starts both; `None` where there is no real one, which is said.
    pub(crate) async fn start() -> Option<Self> {
        let real = RealApiServer::start("wrong objects were not compared with a real kube-apiserver").await?;
        let kubernetes_version = transcript::REFERENCE_VERSION.to_owned();
        // All cases take longer than history is kept by default, and the real server keeps all of it.
        let hour = Duration::from_hours(1);
        let store = StoreOptions { history_age: hour, history_changes: 1_000_000, ..StoreOptions::default() };
        let options = ServerOptions { kubernetes_version, store, ..ServerOptions::default() };
        let server = Server::open(options).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let kubeconfig = server.admin_kubeconfig(&url);
        tokio::spawn({
            let shutdown = shutdown.clone();
            async move { server.serve(listener, shutdown).await }
        });
        Some(Self {
            real: Connections::new(Kubeconfig::read_from(real.kubeconfig()).unwrap()).await,
            embedded: Connections::new(Kubeconfig::from_yaml(&kubeconfig).unwrap()).await,
            revisions: BTreeMap::new(),
            _real: real,
            _embedded: shutdown.drop_guard(),
        })
    }

    /// Sends one request to both.
    pub(crate) async fn ask(&self, case: &Case) -> Answers {
        let path = case.path.split('?').next().unwrap_or_default();
        let revisions = self.revisions.get(path).cloned().unwrap_or_default();
        let (real, embedded) =
            tokio::join!(send(&self.real, case, &revisions[0]), send(&self.embedded, case, &revisions[1]));
        Answers { real, embedded }
    }

    /// Sends one request to both, to each with a body of its own.
    pub(crate) async fn ask_each(&self, case: &Case, bodies: [&Value; 2]) -> Answers {
        let [real, embedded] = bodies.map(|body| Case { body: body.to_string().into_bytes(), ..case.clone() });
        let (real, embedded) = tokio::join!(send(&self.real, &real, ""), send(&self.embedded, &embedded, ""));
        Answers { real, embedded }
    }

    /// Sends a request without faults to both, again for up to half a minute until both answer with `code`.
    ///
    /// # Panics
    /// If they do not.
    pub(crate) async fn ask_until(&self, case: &Case, code: u16) -> Answers {
        let mut attempts = 600;
        loop {
            let answers = self.ask(case).await;
            if answers.real.code == code && answers.embedded.code == code {
                return answers;
            }
            attempts -= 1;
            assert!(attempts > 0, "{}: {:?} and {:?}", case.name, answers.real.body, answers.embedded.body);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Remembers the revision of the object at `path`.
    pub(crate) fn remember_revision(&mut self, path: &str, answers: &Answers) {
        let revision =
            |answer: &Exchange| answer.body["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
        self.revisions.insert(path.to_owned(), [revision(&answers.real), revision(&answers.embedded)]);
    }
}

impl Answers {
    /// What the embedded server answered otherwise than the real one. There is nothing to compare with where that one
    /// broke down over the request and ended the connection.
    pub(crate) fn differences(&self, case: &Case) -> Vec<Difference> {
        if self.real.code == 0 && self.embedded.code != 0 {
            return Vec::new();
        }
        // No text of an answer holds this, so that nothing is replaced by it.
        let no_id = "\u{0}";
        let source = format!("{} {}", case.path, String::from_utf8_lossy(&case.body));
        let recorded = |answer: &Exchange| {
            let mut recorded = normalize(std::slice::from_ref(answer), no_id, &source);
            if case.without_body && (200..300).contains(&answer.code) {
                for answer in &mut recorded {
                    answer.body = Value::Null;
                }
            }
            recorded
        };
        compare(&recorded(&self.embedded), &recorded(&self.real))
    }
}

impl Connections {
    async fn new(kubeconfig: Kubeconfig) -> Self {
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(kubeconfig.clone(), &options).await.unwrap();
        let client = Clients::new(kubeconfig, &options).await.unwrap().administrator;
        Self { client, wire: Wire::new(&config) }
    }
}

/// An answer; code 0 where the connection ended instead.
async fn send(connections: &Connections, case: &Case, revision: &str) -> Exchange {
    let mut answer = Err(String::new());
    // Twice, where it met a connection the server was just closing.
    for _ in 0..2 {
        let limited = tokio::time::timeout(LIMIT, send_once(connections, case, revision)).await;
        answer = limited.unwrap_or_else(|_| Err(format!("no answer within {LIMIT:?}")));
        if answer.is_ok() {
            break;
        }
    }
    let (code, headers, body) = answer.unwrap_or_else(|error| (0, BTreeMap::new(), json!({"message": error})));
    let request = format!("{} {}", case.method, case.path.split('?').next().unwrap_or_default());
    Exchange { request, code, headers, body, step: Step::default() }
}

/// A body: JSON, the lines of a watch as a list, the document of a YAML text, or a text. Clients have another certificate on
/// each server, which some objects name. Binary ones are compared by their code alone: revisions are within them.
fn document(headers: &BTreeMap<String, Vec<String>>, bytes: &[u8]) -> Value {
    static CERTIFICATE: LazyLock<Regex> = LazyLock::new(|| Regex::new("X509SHA256=[0-9a-f]{64}").unwrap());
    let content_type = headers.get("content-type").and_then(|values| values.first()).map_or("", String::as_str);
    let is = |part: &str| content_type.contains(part);
    if (is("protobuf") || is("cbor")) && !bytes.is_empty() {
        return Value::String("<binary>".to_owned());
    }
    let text = String::from_utf8_lossy(bytes);
    let text = CERTIFICATE.replace_all(&text, "X509SHA256=<certificate>");
    if let Ok(document) = serde_json::from_str(&text) {
        return document;
    }
    if is("yaml")
        && let Ok(document) = serde_saphyr::from_str(&text)
    {
        return document;
    }
    let lines: Result<Vec<Value>, _> = text.lines().map(serde_json::from_str).collect();
    match lines {
        Ok(events) if !events.is_empty() => events.into(),
        _ => Value::String(text.into_owned()),
    }
}

async fn send_once(
    connections: &Connections,
    case: &Case,
    revision: &str,
) -> Result<(u16, BTreeMap<String, Vec<String>>, Value), String> {
    if case.sender != Sender::Client {
        let answer = connections.wire.send(case, case.sender == Sender::Wire).await?;
        let body = document(&answer.headers, &answer.body);
        return Ok((answer.code, answer.headers, body));
    }
    let body = if revision.is_empty() {
        case.body.clone()
    } else {
        String::from_utf8_lossy(&case.body).replace(REVISION, revision).into_bytes()
    };
    let mut request = http::Request::builder().method(case.method).uri(&case.path);
    for (name, value) in &case.headers {
        request = request.header(*name, value);
    }
    let request = request.body(Body::from(body)).unwrap_or_else(|error| panic!("{}: {error}", case.name));
    let response = connections.client.send(request).await.map_err(|error| error.to_string())?;
    let code = response.status().as_u16();
    let mut headers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in response.headers() {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        headers.entry(name.as_str().to_owned()).or_default().push(value);
    }
    let bytes = response.into_body().collect_bytes().await.map_err(|error| error.to_string())?;
    let body = document(&headers, &bytes);
    Ok((code, headers, body))
}
