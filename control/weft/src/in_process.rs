//! Clients of the API server in its own process: the HTTP service that others reach by TLS, without a socket.
//!
//! A request goes all the way but for authentication: who asks was said when the client was made, and may do what that
//! user may.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use kube::Client;
use tower::Service;
use weft_apiserver::request::User;
use weft_apiserver::rest::Body;
use weft_apiserver::server::Server;
use weft_controllers::OfAccount;

/// The namespace of the controllers' accounts.
const NAMESPACE: &str = "kube-system";

#[derive(Clone)]
struct InProcess {
    server: Arc<Server>,
    user: User,
}

impl Service<Request<kube::client::Body>> for InProcess {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // The server itself has limits, and answers 429.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<kube::client::Body>) -> Self::Future {
        let InProcess { server, user } = self.clone();
        Box::pin(async move { Ok(server.handle_as(user, request).await) })
    }
}

/// A client that is this user.
pub fn client(server: &Arc<Server>, user: User) -> Client {
    Client::new(InProcess { server: server.clone(), user }, "default")
}

/// The controller manager's client.
pub fn controller_manager(server: &Arc<Server>) -> Client {
    client(server, User::of("system:kube-controller-manager", &["system:authenticated"]))
}

/// Clients of service accounts of `kube-system`, in the groups that their tokens would tell.
pub fn accounts(server: &Arc<Server>) -> OfAccount {
    let server = server.clone();
    Arc::new(move |account| {
        let name = format!("system:serviceaccount:{NAMESPACE}:{account}");
        let of_namespace = format!("system:serviceaccounts:{NAMESPACE}");
        let groups = ["system:serviceaccounts", of_namespace.as_str(), "system:authenticated"];
        client(&server, User::of(&name, &groups))
    })
}
