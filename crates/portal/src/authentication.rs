//! Who may: whoever has the token.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::problem_document::ProblemDocument;

/// The token to compare with.
#[derive(Clone)]
pub(crate) struct Token(Arc<[u8]>);

impl Token {
    pub(crate) fn new(token: &str) -> Self {
        Self(token.as_bytes().into())
    }

    /// Compares in a time that depends on the lengths only, so that an answer's delay tells nothing about the token.
    fn matches(&self, given: &[u8]) -> bool {
        let mut difference = u8::from(self.0.len() != given.len() || self.0.is_empty());
        for (own, given) in self.0.iter().zip(given.iter().chain(std::iter::repeat(&0))) {
            difference |= own ^ given;
        }
        difference == 0
    }
}

/// Lets a request pass that carries the token, and answers 401 to all others.
pub(crate) async fn require_token(State(token): State<Token>, request: Request, next: Next) -> Response {
    let given = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = given.and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    if bearer.is_some_and(|bearer| token.matches(bearer.as_bytes())) {
        return next.run(request).await;
    }
    ProblemDocument::unauthorized(given.is_some()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_matches() {
        let token = Token::new("kogge-secret");
        assert!(token.matches(b"kogge-secret"));
        for wrong in ["", "kogge", "kogge-secret1", "Kogge-secret", "kogge-secreT"] {
            assert!(!token.matches(wrong.as_bytes()), "{wrong}");
        }
        assert!(!Token::new("").matches(b""), "an empty token opens nothing");
    }
}
