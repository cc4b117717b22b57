//! A webhook over HTTPS that answers as a test wants and remembers what it was asked.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::SystemTime,
};

use axum::{Json, Router, extract::State, http::Uri};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use kogge_apiserver::certificates::{create_authority, issue_serving_certificate};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use serde_json::{Value, json};
use tokio_rustls::TlsAcceptor;

type Answer = dyn Fn(&str, &Value) -> Value + Send + Sync;

/// A running webhook; ends with the runtime of its test.
pub(crate) struct WebhookServer {
    pub(crate) address: SocketAddr,
    /// The authority of its certificate, as `caBundle`.
    pub(crate) ca_bundle: String,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
}

#[derive(Clone)]
struct Shared {
    answer: Arc<Answer>,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
}

impl WebhookServer {
    /// Starts a webhook. `answer` gets the path and the review and gives the review to answer; the `uid` of the request
    /// is filled in. The certificate is for 127.0.0.1 and `hook.default.svc`.
    pub(crate) async fn start(answer: impl Fn(&str, &Value) -> Value + Send + Sync + 'static) -> Self {
        let now = SystemTime::now();
        let authority = create_authority("webhooks", now).unwrap();
        let names = ["127.0.0.1".to_owned(), "hook.default.svc".to_owned()];
        let serving = issue_serving_certificate(&authority, "webhook", &names, now).unwrap();
        let chain = CertificateDer::pem_slice_iter(serving.certificate_pem.as_bytes()).map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_slice(serving.key_pem.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let router =
            Router::new().fallback(review).with_state(Shared { answer: Arc::new(answer), asked: asked.clone() });
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, router) = (acceptor.clone(), router.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = hyper_util::service::TowerToHyperService::new(router);
                    let connection = hyper::server::conn::http1::Builder::new()
                        .serve_connection(hyper_util::rt::TokioIo::new(stream), service);
                    let _ = connection.await;
                });
            }
        });
        Self { address, ca_bundle: STANDARD.encode(&authority.certificate_pem), asked }
    }

    /// The `clientConfig` of a path.
    pub(crate) fn client_config(&self, path: &str) -> Value {
        json!({"url": format!("https://{}{path}", self.address), "caBundle": self.ca_bundle})
    }

    /// Takes what was asked since the last time: paths and reviews.
    pub(crate) fn asked(&self) -> Vec<(String, Value)> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    /// The paths asked since the last time.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.asked().into_iter().map(|(path, _)| path).collect()
    }
}

async fn review(State(shared): State<Shared>, uri: Uri, Json(review): Json<Value>) -> Json<Value> {
    shared.asked.lock().unwrap().push((uri.path().to_owned(), review.clone()));
    let mut answer = (shared.answer)(uri.path(), &review);
    if answer["response"].is_object() && answer["response"]["uid"].is_null() {
        answer["response"]["uid"] = review["request"]["uid"].clone();
    }
    Json(answer)
}

/// An answer to an AdmissionReview.
pub(crate) fn admission_answer(response: &Value) -> Value {
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
}

/// An answer that allows and patches.
pub(crate) fn patch_answer(operations: &Value) -> Value {
    let patch = STANDARD.encode(operations.to_string());
    admission_answer(&json!({"allowed": true, "patchType": "JSONPatch", "patch": patch}))
}
