//! JSON web tokens in the one form that is used here: compact, signed, with a key's id (RFC 7515, RFC 7519).
//!
//! The key decides the algorithm, and a header that names another is refused: the `alg: none` and the
//! RSA-key-as-HMAC-secret families of faults cannot come up.

use super::keys::{SigningKey, VerifyingKey};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD as BASE64, Engine};
use serde_json::{Value, json};

/// A token taken apart, not yet verified.
pub struct Parts<'a> {
    header: Value,
    /// The claims, which nobody has vouched for yet.
    pub claims: Value,
    signed: &'a str,
    signature: Vec<u8>,
}

/// Takes a token apart; `None` if it has not the form of one.
pub fn parts(token: &str) -> Option<Parts<'_>> {
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.').filter(|(_, claims)| !claims.contains('.'))?;
    let object = |text: &str| -> Option<Value> {
        let value: Value = serde_json::from_slice(&BASE64.decode(text).ok()?).ok()?;
        value.is_object().then_some(value)
    };
    let (header, claims) = (object(header)?, object(claims)?);
    Some(Parts { header, claims, signed, signature: BASE64.decode(signature).ok()? })
}

impl Parts<'_> {
    /// Whether one of the keys has signed it.
    pub fn is_signed_by<'k>(&self, keys: impl IntoIterator<Item = &'k VerifyingKey>) -> bool {
        let id = self.header["kid"].as_str().filter(|id| !id.is_empty());
        let algorithm = self.header["alg"].as_str().unwrap_or_default();
        if !self.header["crit"].is_null() {
            return false;
        }
        let fits =
            |key: &&VerifyingKey| id.is_none_or(|id| id == key.id) && key.algorithm.name() == algorithm;
        let mut fitting = keys.into_iter().filter(fits);
        fitting.any(|key| key.has_signed(self.signed.as_bytes(), &self.signature))
    }
}

/// Signs claims.
pub fn signed(claims: &Value, key: &SigningKey) -> Result<String, String> {
    let header = json!({"alg": key.public.algorithm.name(), "kid": key.public.id});
    let content = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
    let signature = key.sign(content.as_bytes())?;
    Ok(format!("{content}.{}", BASE64.encode(signature)))
}
