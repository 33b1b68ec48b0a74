//! What lets others verify service accounts' tokens: OpenID discovery (`/.well-known/openid-configuration`) and keys
//! (`/openid/v1/jwks`).
//!
//! Source: `pkg/serviceaccount/openidmetadata.go`.

use super::ServiceAccounts;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The media type of the keys.
pub const JWKS_TYPE: &str = "application/jwk-set+json";

/// `/.well-known/openid-configuration`. `keys` is `--service-account-jwks-uri`, or
/// `https://<external address>/openid/v1/jwks`.
pub fn configuration(accounts: &ServiceAccounts, keys: &str) -> Value {
    let algorithms: BTreeSet<&str> = accounts.keys().iter().map(|key| key.algorithm.name()).collect();
    json!({
        "issuer": accounts.issuer(),
        "jwks_uri": keys,
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": algorithms,
    })
}

/// `/openid/v1/jwks`.
pub fn keys(accounts: &ServiceAccounts) -> Value {
    let keys: Vec<&Value> = accounts.keys().iter().map(|key| &key.jwk).collect();
    json!({ "keys": keys })
}
