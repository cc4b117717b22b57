//! The TLS listener: HTTP/1.1 and HTTP/2 by ALPN, client certificates asked for and passed on to authentication.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::body::Body;
use futures::{FutureExt as _, future};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use hyper::body::Body as _;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature_with_raw_key},
    pki_types::{CertificateDer, PrivateKeyDer, SubjectPublicKeyInfoDer, UnixTime, pem::PemObject as _},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    audit::Peer,
    authentication::{Caller, PresentedChain},
    certificates::CertificateAndKey,
    connection_buffer::{ReadAhead, WriteBehind},
    write_timeout::WriteTimeout,
};

/// How long a client may take for its TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may read nothing of what is sent to it.
const WRITE_TIMEOUT: Duration = Duration::from_mins(2);
/// How long connections may finish their requests after shutdown began.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the listener ended or did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The serving certificate or its key is not usable.
    #[error("the serving certificate is not usable: {0}")]
    Certificate(String),
}

/// Asks for a client certificate and checks only that the client holds its key: which authority counts depends on the
/// plane, which is known only once the request is read.
#[derive(Debug)]
struct AnyClientCertificate {
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for AnyClientCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        // By the key alone: whether the certificate itself is acceptable is for the plane to say, which answers with 401.
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate)
            .map_err(|_| rustls::Error::InvalidCertificate(CertificateError::BadEncoding))?;
        let key = SubjectPublicKeyInfoDer::from(parsed.public_key().raw);
        verify_tls13_signature_with_raw_key(message, &key, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The answer to HEAD: over HTTP/1.1 the library leaves the body out, over HTTP/2 it would send it, which clients take for
/// an error of the protocol.
fn without_body(mut response: Response<Body>) -> Response<Body> {
    if let Some(length) = response.body().size_hint().exact() {
        response.headers_mut().entry(header::CONTENT_LENGTH).or_insert(length.into());
    }
    response.map(|_| Body::empty())
}

/// Whether a client waits for what no server says: `100-continue` is the only expectation there is, and of HTTP/1 only.
fn expects_unknown<B>(request: &Request<B>) -> bool {
    let expected = request.headers().get(header::EXPECT).filter(|_| request.version() < Version::HTTP_2);
    expected.is_some_and(|expected| {
        let known = |token: &str| token.trim().eq_ignore_ascii_case("100-continue");
        !expected.is_empty() && !expected.to_str().is_ok_and(|expected| expected.split(',').any(known))
    })
}

/// Whether a path has a percent sign without two hexadecimal digits.
fn is_malformed(path: &str) -> bool {
    let digits = |text: &str| text.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    path.split('%').skip(1).any(|rest| !digits(rest))
}

/// What Go's library of HTTP answers before a handler sees the request.
fn refused<B>(request: &Request<B>) -> Option<Response<Body>> {
    let (code, text) = if is_malformed(request.uri().path()) {
        (StatusCode::BAD_REQUEST, "400 Bad Request")
    } else if expects_unknown(request) {
        (StatusCode::EXPECTATION_FAILED, "")
    } else {
        return None;
    };
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = code;
    if !text.is_empty() {
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    }
    // Over HTTP/2 no single request ends its connection.
    if request.version() < Version::HTTP_2 {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Some(response)
}

/// The TLS configuration for a serving certificate.
pub(crate) fn server_config(serving: &CertificateAndKey) -> Result<ServerConfig, ServeError> {
    let unusable = |error: &dyn std::fmt::Display| ServeError::Certificate(error.to_string());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let chain = CertificateDer::pem_slice_iter(serving.certificate_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unusable(&error))?;
    let key = PrivateKeyDer::from_pem_slice(serving.key_pem.as_bytes()).map_err(|error| unusable(&error))?;
    let mut config = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&error))?
        .with_client_cert_verifier(Arc::new(AnyClientCertificate { provider }))
        .with_single_cert(chain, key)
        .map_err(|error| unusable(&error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Answers requests until `shutdown`, then lets open requests finish for a few seconds. Watches end at `shutdown` by
/// themselves, as they hold the same token.
pub(crate) async fn serve<A, F>(
    listener: TcpListener,
    config: ServerConfig,
    answer: A,
    header_bytes: u32,
    shutdown: CancellationToken,
) where
    A: Fn(Request<Body>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let connections = TaskTracker::new();
    let abort = CancellationToken::new();
    loop {
        let (stream, address) = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors and the like: wait a little instead of spinning.
                    tracing::warn!(%error, "failed to accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let _ = stream.set_nodelay(true);
        let stream = ReadAhead::new(WriteTimeout::new(stream, WRITE_TIMEOUT));
        let connection =
            serve_connection(stream, Peer(address), acceptor.clone(), answer.clone(), header_bytes, shutdown.clone());
        connections.spawn(abort.clone().run_until_cancelled_owned(connection));
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(DRAIN_TIMEOUT, connections.wait()).await.is_err() {
        tracing::warn!(open = connections.len(), "connections still open at the end of the drain time");
        abort.cancel();
        connections.wait().await;
    }
}

async fn serve_connection<A, F>(
    stream: ReadAhead<WriteTimeout<tokio::net::TcpStream>>,
    peer: Peer,
    acceptor: TlsAcceptor,
    answer: A,
    header_bytes: u32,
    shutdown: CancellationToken,
) where
    A: Fn(Request<Body>) -> F + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await else { return };
    let caller = stream.get_ref().1.peer_certificates().map(|chain| {
        let chain = chain.iter().map(|certificate| certificate.clone().into_owned()).collect();
        Caller::Certificate(Arc::new(PresentedChain::new(chain)))
    });
    let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
        if let Some(refused) = refused(&request) {
            return future::ready(Ok(refused)).left_future();
        }
        let mut request = request.map(Body::new);
        let extensions = request.extensions_mut();
        extensions.insert(peer);
        if let Some(caller) = &caller {
            extensions.insert(caller.clone());
        }
        let is_head = request.method() == Method::HEAD;
        // In a box, as the state of a connection is moved several times for every request.
        Box::pin(
            answer(request)
                .map(move |response| Ok::<_, Infallible>(if is_head { without_body(response) } else { response })),
        )
        .right_future()
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // No header timeout: it would also close connections kept alive, which clients can notice too late.
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(usize::try_from(header_bytes).unwrap_or(usize::MAX).max(16 << 10));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(1000)
        .max_header_list_size(header_bytes)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    let connection = builder.serve_connection(TokioIo::new(WriteBehind::new(stream)), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}
