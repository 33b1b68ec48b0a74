//! Auth: there are no users here, and every call says so; clients are told apart by certificates.
//!
//! Written on the HTTP level, since etcd-client gives no name to the messages of AuthStatus. A login is answered as an
//! etcd answers that has no users, so that a client with a password finds out.

use super::Service;
use crate::error::Error;
use crate::proto::ResponseHeader;
use http::{Request, Response};
use prost::Message;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;

const NO_USERS: Error = Error::Unsupported(
    "weft etcd has no users and roles; let clients in by certificate (--client-cert-auth, --trusted-ca-file)",
);

/// `AuthStatusResponse` of etcd 3.5.
#[derive(Clone, PartialEq, Message)]
struct AuthStatusResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<ResponseHeader>,
    #[prost(bool, tag = "2")]
    enabled: bool,
    #[prost(uint64, tag = "3")]
    auth_revision: u64,
}

/// The service.
#[derive(Clone, Debug)]
pub struct Auth {
    service: Service,
}

impl Auth {
    /// On a server.
    pub fn of(service: Service) -> Auth {
        Auth { service }
    }

    fn answer(&self, path: &str) -> Response<Body> {
        match path.rsplit('/').next() {
            Some("AuthStatus") => framed(&AuthStatusResponse {
                header: self.service.header(),
                enabled: false,
                auth_revision: 1,
            }),
            Some("Authenticate") => Status::from(Error::AuthNotEnabled).into_http(),
            _ => Status::from(NO_USERS).into_http(),
        }
    }
}

/// One message and the trailers of success.
fn framed(message: &impl Message) -> Response<Body> {
    let mut bytes = vec![0];
    bytes.extend(u32::try_from(message.encoded_len()).unwrap_or(0).to_be_bytes());
    bytes.extend(message.encode_to_vec());
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
    let body = http_body_util::BodyExt::with_trailers(
        http_body_util::Full::new(prost::bytes::Bytes::from(bytes)),
        ready(Some(Ok(trailers))),
    );
    let mut response = Response::new(Body::new(body));
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/grpc"));
    response
}

impl NamedService for Auth {
    const NAME: &'static str = "etcdserverpb.Auth";
}

impl tower::Service<Request<Body>> for Auth {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        ready(Ok(self.answer(request.uri().path())))
    }
}
