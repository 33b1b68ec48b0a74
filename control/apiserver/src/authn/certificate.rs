//! A client's certificate: the common name is the user, each organization a group.
//!
//! Source: `k8s.io/apiserver/pkg/authentication/request/x509/x509.go`, `CommonNameUserConversion`.

use super::cache;
use crate::request::User;
use std::collections::BTreeMap;
use x509_parser::oid_registry::Oid;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Whom a certificate names; `None` if it has no common name. That it is to be trusted is known already.
pub fn user(der: &[u8]) -> Option<User> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let subject = certificate.subject();
    let name = subject.iter_common_name().last()?.as_str().ok().filter(|name| !name.is_empty())?.to_owned();
    // A group that is no text would be left out silently: rather no user.
    let groups: Result<Vec<String>, _> =
        subject.iter_organization().map(|one| one.as_str().map(str::to_owned)).collect();
    let uid = Oid::from(&[1, 3, 6, 1, 4, 1, 57683, 2]).ok().and_then(|oid| {
        let values: Vec<_> = subject.iter_by_oid(&oid).filter_map(|one| one.as_str().ok()).collect();
        if let [one] = values[..] { Some(one.to_owned()) } else { None }
    });
    let digest: String = cache::key(der).iter().map(|byte| format!("{byte:02x}")).collect();
    let credential =
        ("authentication.kubernetes.io/credential-id".to_owned(), vec![format!("X509SHA256={digest}")]);
    Some(User {
        name,
        uid: uid.unwrap_or_default(),
        groups: groups.ok()?,
        extra: BTreeMap::from([credential]),
    })
}
