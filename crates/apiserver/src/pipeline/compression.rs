//! Compressed answers, where the client takes them and they are large: as the real server does, with gzip's fastest level,
//! for objects and lists over 128 KiB (`k8s.io/apiserver/pkg/endpoints/handlers/responsewriters`). Streams stay as they
//! are.

use std::io::Write as _;

use axum::body::Body;
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderValue, Response, header};
use http_body_util::BodyExt as _;
use hyper::body::Body as _;

/// Answers of so many bytes are sent as they are.
const THRESHOLD: u64 = 128 << 10;

/// Whether the client takes gzip. Weights mean nothing, also to the real server: `gzip;q=1` is none.
fn is_accepted(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accepted.split(',').any(|encoding| encoding.trim() == "gzip")
}

/// The answer to a request with `headers`, compressed if it is large enough.
pub(crate) async fn compress(headers: &HeaderMap, response: Response<Body>) -> Response<Body> {
    // Logs of pods are texts, and sent as they are.
    let is_document = response.headers().get(header::CONTENT_TYPE);
    let is_document = is_document.is_some_and(|value| value.as_bytes().starts_with(b"application/"));
    let length = response.body().size_hint().exact().unwrap_or_default();
    if length <= THRESHOLD || !is_document || !is_accepted(headers) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    // A body of known length is there already.
    let Ok(whole) = body.collect().await else { return Response::from_parts(parts, Body::empty()) };
    let whole = whole.to_bytes();
    let uncompressed = whole.clone();
    match tokio::task::spawn_blocking(move || gzip(&whole)).await {
        Ok(Ok(compressed)) => {
            parts.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            parts.headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
            parts.headers.remove(header::CONTENT_LENGTH);
            Response::from_parts(parts, Body::from(compressed))
        }
        _ => Response::from_parts(parts, Body::from(uncompressed)),
    }
}

fn gzip(whole: &Bytes) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(whole.len() / 8), Compression::fast());
    encoder.write_all(whole)?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[tokio::test]
    async fn only_large_documents_are_compressed_and_only_for_those_who_ask() {
        let sent = |accepted: &'static str, kind: &'static str, length: usize| async move {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(accepted));
            let answer = Response::builder().header(header::CONTENT_TYPE, kind).body(Body::from(vec![b'x'; length]));
            let (parts, body) = compress(&headers, answer.unwrap()).await.into_parts();
            let bytes = body.collect().await.unwrap().to_bytes();
            let encoding = parts.headers.get(header::CONTENT_ENCODING).cloned();
            if encoding.is_some() {
                let mut whole = Vec::new();
                flate2::read::GzDecoder::new(&*bytes).read_to_end(&mut whole).unwrap();
                assert_eq!(whole, vec![b'x'; length]);
                assert_eq!(parts.headers[header::VARY], "Accept-Encoding");
            } else {
                assert_eq!(bytes.len(), length);
            }
            encoding.is_some()
        };
        assert!(sent("deflate, gzip", "application/json", 131_073).await);
        assert!(!sent("gzip", "application/json", 131_072).await, "small");
        assert!(!sent("gzip;q=1.0", "application/json", 131_073).await, "the real server knows no weights");
        assert!(!sent("br", "application/json", 131_073).await);
        assert!(!sent("gzip", "text/plain", 131_073).await, "a log");
    }
}
