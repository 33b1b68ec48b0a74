//! Acting as somebody else: the `Impersonate-*` headers.
//!
//! Source: `k8s.io/apiserver/pkg/endpoints/filters/impersonation/impersonation.go`. Each part of the new user is asked
//! for by itself (`impersonate` on users, groups, uids, userextras or serviceaccounts); the server authorizes all of
//! them as the first user, and goes on as the second.

use super::{ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED};
use crate::refusal::Refusal;
use crate::request::{Attributes, User};
use http::HeaderMap;
use std::collections::BTreeMap;

/// The group of user extras and UIDs.
const GROUP: &str = "authentication.k8s.io";
const EXTRA: &str = "impersonate-extra-";

/// What has to be allowed for an impersonation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    group: &'static str,
    resource: &'static str,
    subresource: String,
    namespace: String,
    name: String,
}

/// An impersonation that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Impersonation {
    /// All of these have to be allowed.
    pub checks: Vec<Check>,
    /// Who the request is from then.
    pub user: User,
}

impl Check {
    /// What has to be allowed, to the user who asks.
    pub fn attributes<'a>(&'a self, asking: &'a User) -> Attributes<'a> {
        Attributes {
            user: asking,
            verb: "impersonate",
            group: self.group,
            version: "v1",
            resource: self.resource,
            subresource: &self.subresource,
            namespace: &self.namespace,
            name: &self.name,
            path: "",
        }
    }
}

/// Whether a request asks for it, and for whom.
pub fn asked(headers: &HeaderMap) -> Result<Option<Impersonation>, Refusal> {
    let mut values = BTreeMap::<&str, Vec<&str>>::new();
    for (key, value) in headers {
        if key.as_str().starts_with("impersonate-") {
            let refused = |_| Refusal::bad_request(format!("the header {key} is no text"));
            values.entry(key.as_str()).or_default().push(value.to_str().map_err(refused)?);
        }
    }
    if values.is_empty() {
        return Ok(None);
    }
    let first = |key: &str| values.get(key).and_then(|all| all.first()).copied().unwrap_or_default();
    let (name, uid) = (first("impersonate-user"), first("impersonate-uid"));
    if name.is_empty() {
        let all: Vec<&str> = values.keys().copied().collect();
        return Err(Refusal::bad_request(format!(
            "requested {} without impersonating a user",
            all.join(", ")
        )));
    }
    let mut user = User { name: name.to_owned(), uid: uid.to_owned(), ..User::default() };
    let mut checks = vec![whom(&mut user)];
    if let Some(groups) = values.get("impersonate-group") {
        user.groups = groups.iter().map(|group| (*group).to_owned()).collect();
        checks.extend(groups.iter().map(|group| check("", "groups", "", "", group)));
    }
    for (key, all) in &values {
        let Some(key) = key.strip_prefix(EXTRA).filter(|key| !key.is_empty()) else { continue };
        let key = unescaped(key);
        checks.extend(all.iter().map(|value| check(GROUP, "userextras", &key, "", value)));
        user.extra.insert(key, all.iter().map(|value| (*value).to_owned()).collect());
    }
    if !uid.is_empty() {
        checks.push(check(GROUP, "uids", "", "", uid));
    }
    complete(&mut user);
    Ok(Some(Impersonation { checks, user }))
}

/// The check of the name itself; a service account's groups are its own unless others are asked for.
fn whom(user: &mut User) -> Check {
    match user.name.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':')) {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains(':') => {
            user.groups =
                vec!["system:serviceaccounts".into(), format!("system:serviceaccounts:{namespace}")];
            check("", "serviceaccounts", "", namespace, name)
        }
        _ => check("", "users", "", "", &user.name),
    }
}

fn complete(user: &mut User) {
    let known = user.is_in(UNAUTHENTICATED) || (user.name != ANONYMOUS && user.is_in(AUTHENTICATED));
    if !known {
        let group = if user.name == ANONYMOUS { UNAUTHENTICATED } else { AUTHENTICATED };
        user.groups.push(group.to_owned());
    }
}

fn check(
    group: &'static str,
    resource: &'static str,
    subresource: &str,
    namespace: &str,
    name: &str,
) -> Check {
    let [subresource, namespace, name] = [subresource, namespace, name].map(str::to_owned);
    Check { group, resource, subresource, namespace, name }
}

/// Keys are percent-encoded, for headers have a smaller alphabet; what is no encoding stays as it is.
fn unescaped(key: &str) -> String {
    let mut bytes = Vec::with_capacity(key.len());
    let mut rest = key.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digits = (first == b'%').then(|| after.get(..2)).flatten();
        let code = digits.and_then(|two| std::str::from_utf8(two).ok()).filter(|two| !two.starts_with('+'));
        let Some(code) = code.and_then(|two| u8::from_str_radix(two, 16).ok()) else {
            bytes.push(first);
            rest = after;
            continue;
        };
        bytes.push(code);
        rest = &after[2..];
    }
    String::from_utf8(bytes).unwrap_or_else(|_| key.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (key, value) in all {
            headers.append(*key, value.parse().unwrap());
        }
        headers
    }

    /// impersonation_test.go: each part is a check of its own.
    #[test]
    fn each_part_is_asked_for() {
        let asked_for = headers(&[
            ("impersonate-user", "jane"),
            ("impersonate-group", "dev"),
            ("impersonate-group", "ops"),
            ("impersonate-extra-example.com%2fscope", "a"),
            ("impersonate-uid", "7"),
        ]);
        let all = asked(&asked_for).unwrap().unwrap();
        let told: Vec<String> = all
            .checks
            .iter()
            .map(|c| format!("{}/{}/{} {}", c.group, c.resource, c.subresource, c.name))
            .collect();
        assert_eq!(
            told,
            [
                "/users/ jane",
                "/groups/ dev",
                "/groups/ ops",
                "authentication.k8s.io/userextras/example.com/scope a",
                "authentication.k8s.io/uids/ 7",
            ]
        );
        assert_eq!(all.user.groups, ["dev", "ops", AUTHENTICATED]);
        assert_eq!(all.user.extra["example.com/scope"], ["a"]);
    }

    #[test]
    fn a_service_account_brings_its_groups_and_a_group_needs_a_user() {
        let all = asked(&headers(&[("impersonate-user", "system:serviceaccount:a:b")])).unwrap().unwrap();
        assert_eq!(all.checks, [check("", "serviceaccounts", "", "a", "b")]);
        assert_eq!(all.user.groups, ["system:serviceaccounts", "system:serviceaccounts:a", AUTHENTICATED]);
        assert!(asked(&headers(&[("impersonate-group", "system:masters")])).is_err());
        assert_eq!(asked(&headers(&[])).unwrap(), None);
        let nobody = asked(&headers(&[("impersonate-user", ANONYMOUS)])).unwrap().unwrap();
        assert_eq!(nobody.user.groups, [UNAUTHENTICATED]);
    }
}
