//! Who asks: from a client's certificate or its token to a user.
//!
//! ```text
//! certificate of a CA of ours ─┐
//! token: static file, service account, bootstrap ─┼→ user + system:authenticated
//! neither, on a path that anybody may read ─┘→ system:anonymous + system:unauthenticated
//! ```
//!
//! As upstream a certificate comes before a token, and a credential that is wrong is never ignored: the answer is 401,
//! though an anonymous request for the same would be served. What was proved is remembered for ten seconds, so that a
//! request costs a digest, not a signature; it scales with the number of clients in ten seconds, and is bounded.

mod bootstrap;
mod cache;
mod certificate;
pub mod discovery;
pub mod impersonation;
mod jwt;
mod keys;
mod review;
mod service_account;
mod static_tokens;
mod token_request;

pub use keys::KeyError;
pub use review::{self_subject_review, token_review, user_info};
pub use service_account::{ServiceAccountFlags, ServiceAccounts};
pub use static_tokens::{StaticTokens, TokenFileError};

use crate::pki::ClientTrust;
use crate::request::User;
use cache::Cache;
use http::HeaderMap;
use serde_json::Value;
use std::sync::Arc;
use std::time::SystemTime;
use tokio_rustls::rustls::pki_types::CertificateDer;

/// Every user that was authenticated is in it.
pub const AUTHENTICATED: &str = "system:authenticated";
/// Every user that was not is in it.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// Who asks without a credential.
pub const ANONYMOUS: &str = "system:anonymous";

/// No token of ours is as long; what is longer is refused unread.
const LONGEST_TOKEN: usize = 16 << 10;

/// What may be asked for without a credential (then RBAC decides); the last is what `kubeadm join` begins with.
const OPEN_PATHS: [&str; 6] = [
    "/healthz",
    "/livez",
    "/readyz",
    "/version",
    "/version/",
    "/api/v1/namespaces/kube-public/configmaps/cluster-info",
];

/// Objects by name, as the watch caches have them.
pub trait Lookup: Send + Sync {
    /// An object; `namespace` is empty for what is in none.
    fn object(&self, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>>;
}

/// No user: 401, with this for the log. The client is told `Unauthorized` alone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unauthorized: {0}")]
pub struct Unauthorized(pub String);

/// All ways to show who one is.
#[derive(Debug, Default)]
pub struct Authenticators {
    /// Clients' certificates.
    pub certificates: Option<ClientTrust>,
    /// `--token-auth-file`.
    pub tokens: Option<StaticTokens>,
    /// Service accounts' tokens.
    pub accounts: Option<Arc<ServiceAccounts>>,
    /// `--enable-bootstrap-token-auth`.
    pub bootstrap: bool,
    /// Whether nobody may read the open paths (`--anonymous-auth`).
    pub anonymous: bool,
    /// What was proved within the last seconds.
    pub proved: Cache,
}

impl Authenticators {
    /// Who sends a request. `peer` is the certificate chain of the connection, the client's own first.
    pub fn authenticate(
        &self,
        headers: &HeaderMap,
        peer: Option<&[CertificateDer<'_>]>,
        path: &str,
        lookup: &dyn Lookup,
    ) -> Result<User, Unauthorized> {
        let by_certificate = match (&self.certificates, peer) {
            (Some(trust), Some(chain)) if !chain.is_empty() => self.certificate(trust, chain),
            _ => Ok(None),
        };
        if let Ok(Some(user)) = by_certificate {
            return Ok(user);
        }
        if let Some(token) = bearer(headers)? {
            return self.token(token, lookup);
        }
        by_certificate?;
        if self.anonymous && OPEN_PATHS.contains(&path) {
            return Ok(User::of(ANONYMOUS, &[UNAUTHENTICATED]));
        }
        Err(Unauthorized("no credential".into()))
    }

    fn certificate(
        &self,
        trust: &ClientTrust,
        chain: &[CertificateDer<'_>],
    ) -> Result<Option<User>, Unauthorized> {
        let key = cache::key(&chain[0]);
        if let Some(user) = self.proved.get(&key) {
            return Ok(Some(user));
        }
        trust.trusts(chain).map_err(|e| Unauthorized(format!("client certificate: {e}")))?;
        let user = certificate::user(&chain[0]).map(authenticated);
        if let Some(user) = &user {
            self.proved.put(key, user.clone());
        }
        Ok(user)
    }

    /// Whose token it is.
    pub fn token(&self, token: &str, lookup: &dyn Lookup) -> Result<User, Unauthorized> {
        let key = cache::key(token.as_bytes());
        if let Some(user) = self.proved.get(&key) {
            return Ok(user);
        }
        let audiences = self.accounts.as_ref().map_or(&[][..], |accounts| accounts.audiences());
        let (user, _) = self.token_for(token, audiences, lookup)?;
        self.proved.put(key, user.clone());
        Ok(user)
    }

    /// Whose token it is, and for which of these audiences it is good.
    fn token_for(
        &self,
        token: &str,
        audiences: &[String],
        lookup: &dyn Lookup,
    ) -> Result<(User, Vec<String>), Unauthorized> {
        if token.len() > LONGEST_TOKEN {
            return Err(Unauthorized(format!("a token of {} bytes", token.len())));
        }
        let now = SystemTime::now();
        if let Some(accounts) = &self.accounts
            && let Some(verified) = accounts.verify(token, audiences, lookup, now)
        {
            return verified.map(|(user, good)| (authenticated(user), good)).map_err(Unauthorized);
        }
        let own = self.accounts.as_ref().map_or(&[][..], |accounts| accounts.audiences());
        let good: Vec<String> = audiences.iter().filter(|one| own.contains(one)).cloned().collect();
        if good.is_empty() && !audiences.is_empty() {
            return Err(Unauthorized("the token is not for these audiences".into()));
        }
        let found = self.tokens.as_ref().and_then(|tokens| tokens.user(token));
        let found = match found {
            None if self.bootstrap => bootstrap::user(token, lookup, now).map_err(Unauthorized)?,
            found => found,
        };
        match found {
            Some(user) => Ok((authenticated(user), good)),
            None => Err(Unauthorized("nobody's token".into())),
        }
    }
}

fn authenticated(mut user: User) -> User {
    if !user.is_in(AUTHENTICATED) && !user.is_in(UNAUTHENTICATED) {
        user.groups.push(AUTHENTICATED.to_owned());
    }
    user
}

/// The token in the headers: `Authorization`, or among a WebSocket's protocols (browsers can set no header;
/// `authentication/request/websocket/protocol.go`).
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Unauthorized> {
    if let Some(value) = headers.get(http::header::AUTHORIZATION) {
        let text = value.to_str().map_err(|_| Unauthorized("Authorization is no text".into()))?;
        let (scheme, token) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        let token = token.trim();
        if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
            return Err(Unauthorized("Authorization is no bearer token".into()));
        }
        return Ok(Some(token));
    }
    Ok(None)
}

/// The token among a WebSocket's protocols, which is to be taken as `Authorization: Bearer` by the server before it
/// authenticates, and never offered back.
pub fn websocket_token(headers: &HeaderMap) -> Option<Result<String, Unauthorized>> {
    use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
    const PREFIX: &str = "base64url.bearer.authorization.k8s.io.";
    let values = headers.get_all("sec-websocket-protocol").iter().filter_map(|one| one.to_str().ok());
    let mut tokens = values.flat_map(|one| one.split(',')).filter_map(|one| one.trim().strip_prefix(PREFIX));
    let token = tokens.next()?;
    let bad = |why: &str| Some(Err(Unauthorized(format!("a WebSocket's bearer token: {why}"))));
    if tokens.next().is_some() {
        return bad("more than one");
    }
    match BASE64_URL_SAFE_NO_PAD.decode(token).map(String::from_utf8) {
        Ok(Ok(token)) => Some(Ok(token)),
        _ => bad("no base64url of a text"),
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::{RSA_KEY, SEC1_KEY};
