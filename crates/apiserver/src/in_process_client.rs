//! A `kube::Client` that calls the pipeline without a socket.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::Body;
use http::{Request, Response};

use crate::{authentication::Caller, pipeline, plane::Plane};

/// An extension of requests whose definitions are known to be valid.
#[derive(Clone, Copy)]
pub(crate) struct ValidDefinitions;

/// Answers a client's requests from one plane, as a member of `system:masters`.
#[derive(Clone)]
struct InProcess {
    plane: Plane,
    valid_definitions: Option<ValidDefinitions>,
}

impl tower::Service<Request<kube::client::Body>> for InProcess {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<kube::client::Body>) -> Self::Future {
        let plane = self.plane.clone();
        let valid_definitions = self.valid_definitions;
        Box::pin(async move {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(Caller::InProcess);
            if let Some(valid_definitions) = valid_definitions {
                request.extensions_mut().insert(valid_definitions);
            }
            let path = request.uri().path().to_owned();
            Ok(pipeline::handle_in_plane(&plane, &path, request).await)
        })
    }
}

/// A client of this plane with the default namespace `default`. Needs a running Tokio runtime.
pub(crate) fn client(plane: Plane) -> kube::Client {
    kube::Client::new(InProcess { plane, valid_definitions: None }, "default")
}

/// As [`client`], see [`Plane::installer`].
pub(crate) fn installer(plane: Plane) -> kube::Client {
    kube::Client::new(InProcess { plane, valid_definitions: Some(ValidDefinitions) }, "default")
}
