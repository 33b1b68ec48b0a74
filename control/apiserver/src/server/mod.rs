//! Requests from the wire to the verbs: who asks, whether they may, what for, and what is counted of it.
//!
//! The same [`Server::handle`] serves connections by TLS and clients in this process.

mod gzip;
mod health;
mod listen;
mod paths;

pub use gzip::takes_gzip;
pub use health::Health;
pub use listen::listen;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use std::sync::Arc;
use std::time::Instant;
use tokio_rustls::rustls::pki_types::CertificateDer;

use crate::api::Api;
use crate::authn::impersonation;
use crate::authz::inflight::InFlight;
use crate::discovery;
use crate::metrics::{Ended, Request as Labels};
use crate::request::{Attributes, User};
use crate::rest::target::{self, Parsed};
use crate::rest::{Answer, Body, Call, MAX_BODY, Query, is_read, negotiate};
use crate::status::{Failure, Outcome};

/// A path longer than this is refused unread.
const LONGEST_PATH: usize = 64 << 10;

/// The server.
#[derive(Debug)]
pub struct Server {
    /// What requests work with.
    pub api: Arc<Api>,
    /// How many are at work.
    pub in_flight: InFlight,
    /// Whether it is ready.
    pub health: Health,
}

/// What of a request everybody looks at.
struct Head<'a> {
    method: &'a Method,
    path: &'a str,
    query: Query,
    headers: &'a HeaderMap,
}

/// Who asks.
enum Who<'a> {
    /// Whom the credentials of the request and the connection's certificates tell.
    Shows(Option<&'a [CertificateDer<'a>]>),
    /// A client in this process.
    Is(User),
}

impl Server {
    /// Serves a request. `peer` is the connection's certificate chain, the client's own first.
    pub async fn handle<B>(&self, request: Request<B>, peer: Option<&[CertificateDer<'_>]>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.answer(request, Who::Shows(peer)).await
    }

    /// Serves a request of a client in this process, which needs to show nothing: all else is as for others.
    pub async fn handle_as<B>(&self, user: User, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.answer(request, Who::Is(user)).await
    }

    async fn answer<B>(&self, request: Request<B>, who: Who<'_>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let started = Instant::now();
        let (parts, body) = request.into_parts();
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        let watched = target::watched(&parts.method, parts.uri.path());
        let head = Head {
            method: &parts.method,
            path: watched.as_deref().unwrap_or(parts.uri.path()),
            query: if watched.is_some() { query.with("watch", "true") } else { query },
            headers: &parts.headers,
        };
        let parsed = target::parse(head.path);
        let served = self.serve(&head, parsed.clone(), body, who).await;
        let answer = served.unwrap_or_else(Answer::from);
        self.count(&head, &parsed, answer.status, started);
        let mut response = gzip::pack(answer.into_response(), head.headers);
        if head.method == Method::HEAD {
            *response.body_mut() = Body::of(Bytes::new());
        }
        response
    }

    async fn serve<B>(&self, head: &Head<'_>, parsed: Parsed, body: B, who: Who<'_>) -> Outcome<Answer>
    where
        B: http_body::Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        if head.path.len() > LONGEST_PATH {
            return Err(Failure::of(StatusCode::URI_TOO_LONG, "RequestURITooLong", "the path is too long"));
        }
        if !matches!(parsed, Parsed::Other) {
            self.api.caches.filled().await?;
        }
        let user = match who {
            Who::Is(user) => user,
            Who::Shows(peer) => self.user(head, peer)?,
        };
        let verb = self.authorize(head, &parsed, &user)?;
        let watches = verb == "watch";
        let _place = match watches {
            true => None,
            false => Some(
                self.in_flight
                    .enter(&user, !is_read(head.method))
                    .map_err(|busy| Failure::too_many_requests(busy.to_string(), busy.retry_after as u32))?,
            ),
        };
        match parsed {
            Parsed::Resource(target) => {
                let limited = Limited::new(body, MAX_BODY).collect().await;
                let body = limited.map_err(|error| body_failed(error.as_ref()))?.to_bytes();
                let call = Call {
                    api: &self.api,
                    user: &user,
                    target,
                    verb,
                    query: head.query.clone(),
                    headers: head.headers,
                    body,
                    form: negotiate(head.headers, &head.query)?,
                };
                call.serve().await
            }
            Parsed::Unknown { .. } => Err(Failure::no_such_path()),
            Parsed::Other => self.path(head).await,
        }
    }

    /// Who asks, and for whom.
    fn user(&self, head: &Head<'_>, peer: Option<&[CertificateDer<'_>]>) -> Outcome<User> {
        let api = &self.api;
        let user = api.authenticators.authenticate(head.headers, peer, head.path, &*api.caches);
        let result = if user.is_ok() { "success" } else { "failure" };
        api.metrics.authentications.get_or_create(&crate::metrics::Authentication { result }).inc();
        let user = user.map_err(|why| {
            tracing::debug!(path = head.path, %why, "unauthorized");
            Failure::of(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized")
        })?;
        let Some(wanted) = impersonation::asked(head.headers)? else { return Ok(user) };
        for check in &wanted.checks {
            api.authorizer.authorize(&check.attributes(&user))?;
        }
        Ok(wanted.user)
    }

    /// The verb, if the user may.
    fn authorize(&self, head: &Head<'_>, parsed: &Parsed, user: &User) -> Outcome<&'static str> {
        let watch = head.query.flag("watch");
        let lower = head.method.as_str().to_lowercase();
        let none = Attributes {
            user,
            verb: &lower,
            group: "",
            version: "",
            resource: "",
            subresource: "",
            namespace: "",
            name: "",
            path: head.path,
        };
        let not_allowed = Failure::method_not_allowed;
        // A list of the one object of a name is authorized as that object's.
        let selected = head.query.text("fieldSelector");
        let selected = selected.split(',').find_map(|term| term.trim().strip_prefix("metadata.name="));
        let selected = selected.map(|name| name.trim_start_matches('=')).unwrap_or_default();
        let (attributes, verb) = match parsed {
            Parsed::Resource(target) => {
                let collection = target.name.is_empty();
                let verb = target::verb(head.method, collection, watch && target.subresource.is_none());
                let verb = verb.ok_or_else(not_allowed)?;
                let (group, version) = (target.kind.group, target.kind.version);
                let subresource = target.subresource.map_or("", |sub| sub.name());
                let (namespace, name) = (target.namespace.as_str(), target.name.as_str());
                let name = if ["list", "watch"].contains(&verb) && name.is_empty() { selected } else { name };
                let resource = target.kind.plural;
                (Attributes { verb, group, version, resource, subresource, namespace, name, ..none }, verb)
            }
            Parsed::Unknown { group, version, resource, subresource, namespace, name } => {
                let verb = target::verb(head.method, name.is_empty(), watch).ok_or_else(not_allowed)?;
                (Attributes { verb, group, version, resource, subresource, namespace, name, ..none }, verb)
            }
            Parsed::Other => (none, "get"),
        };
        let (group, resource, name) = (attributes.group, attributes.resource, attributes.name);
        let allowed = self.api.authorizer.authorize(&attributes);
        allowed.map_err(|refusal| Failure::from(refusal).named(group, resource, name))?;
        Ok(verb)
    }

    /// Paths that are no resource's.
    async fn path(&self, head: &Head<'_>) -> Outcome<Answer> {
        if let Some(answer) = discovery::answer(head.path, head.headers) {
            return read_only(head, answer);
        }
        let answer = paths::answer(self, head).await?;
        read_only(head, answer)
    }

    fn count(&self, head: &Head<'_>, parsed: &Parsed, status: StatusCode, started: Instant) {
        let Parsed::Resource(target) = parsed else { return };
        let collection = target.name.is_empty();
        let watch = head.query.flag("watch");
        let verb = target::verb(head.method, collection, watch).unwrap_or("other");
        let verb = match verb {
            "create" => "POST".to_owned(),
            "update" => "PUT".to_owned(),
            other => other.to_uppercase(),
        };
        let scope = match (collection, target.namespace.is_empty()) {
            (false, _) => "resource",
            (true, false) => "namespace",
            (true, true) => "cluster",
        };
        let kind = target.kind;
        let (group, version, resource) = (kind.group, kind.version, kind.plural);
        let subresource = target.subresource.map_or("", |sub| sub.name());
        let component = "apiserver";
        let request = Labels { verb, group, version, resource, subresource, scope, component };
        let code = status.as_u16();
        let ended = Ended { request: request.clone(), code };
        self.api.metrics.requests.get_or_create(&ended).inc();
        if !watch {
            let seconds = started.elapsed().as_secs_f64();
            self.api.metrics.durations.get_or_create(&request).observe(seconds);
        }
    }
}

fn read_only(head: &Head<'_>, answer: Answer) -> Outcome<Answer> {
    match is_read(head.method) {
        true => Ok(answer),
        false => Err(Failure::method_not_allowed()),
    }
}

fn body_failed(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Failure {
    match error.is::<http_body_util::LengthLimitError>() {
        true => Failure::too_large(MAX_BODY),
        false => Failure::bad_request(format!("the body was not read to its end: {error}")),
    }
}
