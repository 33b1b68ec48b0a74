//! Bootstrap tokens: what a machine joins with, kept in a secret.
//!
//! Source: `plugin/pkg/auth/authenticator/token/bootstrap/bootstrap.go`: a secret `bootstrap-token-<id>` of the type
//! `bootstrap.kubernetes.io/token` in kube-system, not expired, for authentication.

use super::Lookup;
use crate::request::User;
use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::Value;
use std::time::SystemTime;
use subtle::ConstantTimeEq;

const GROUP: &str = "system:bootstrappers";

/// Whose token it is: `None` if it has not the form of one, an error if it is a wrong one.
pub fn user(token: &str, lookup: &dyn Lookup, now: SystemTime) -> Result<Option<User>, String> {
    let Some((id, secret)) = token.split_once('.') else { return Ok(None) };
    let form = |text: &str, length| {
        text.len() == length && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    if !form(id, 6) || !form(secret, 16) {
        return Ok(None);
    }
    let name = format!("bootstrap-token-{id}");
    let invalid = |why: &str| Err(format!("bootstrap token: secret kube-system/{name} {why}"));
    let Some(object) = lookup.object("secrets", "kube-system", &name) else {
        return invalid("does not exist");
    };
    if !object["metadata"]["deletionTimestamp"].is_null() {
        return invalid("is being deleted");
    }
    if object["type"] != "bootstrap.kubernetes.io/token" {
        return invalid("is of another type than bootstrap.kubernetes.io/token");
    }
    let kept = data(&object, "token-secret").unwrap_or_default();
    if !bool::from(kept.as_bytes().ct_eq(secret.as_bytes()))
        || data(&object, "token-id").as_deref() != Some(id)
    {
        return invalid("has another secret or id");
    }
    if let Some(until) = data(&object, "expiration")
        && !until.parse::<jiff::Timestamp>().is_ok_and(|until| SystemTime::from(until) > now)
    {
        return invalid("has expired");
    }
    if data(&object, "usage-bootstrap-authentication").as_deref() != Some("true") {
        return invalid("is not for authentication");
    }
    let mut groups = vec![GROUP.to_owned()];
    for group in data(&object, "auth-extra-groups").unwrap_or_default().split(',').map(str::trim) {
        if group.is_empty() {
            continue;
        }
        if !is_bootstrap_group(group) {
            return invalid(&format!("names the group {group:?}, which no bootstrap token may have"));
        }
        if !groups.iter().any(|own| own == group) {
            groups.push(group.to_owned());
        }
    }
    Ok(Some(User { name: format!("system:bootstrap:{id}"), groups, ..User::default() }))
}

/// `\Asystem:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]\z`.
fn is_bootstrap_group(group: &str) -> bool {
    let Some(rest) = group.strip_prefix("system:bootstrappers:") else { return false };
    let small = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    rest.len() <= 256
        && rest.bytes().all(|b| small(b) || b == b':' || b == b'-')
        && rest.bytes().last().is_some_and(small)
}

fn data(secret: &Value, key: &str) -> Option<String> {
    let bytes = BASE64_STANDARD.decode(secret["data"][key].as_str()?).ok()?;
    String::from_utf8(bytes).ok()
}
