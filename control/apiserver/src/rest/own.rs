//! The server's own requests: the same verbs, without the wire.

use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;
use std::sync::Arc;

use super::target::Target;
use super::{Call, Form, Query};
use crate::api::Api;
use crate::cache::Entry;
use crate::kinds::Kind;
use crate::object::{name, namespace};
use crate::request::User;
use crate::status::Outcome;

/// The user that the server is to itself.
pub fn own_user() -> User {
    User::of("system:apiserver", &["system:masters", "system:authenticated"])
}

impl Api {
    fn own_call<'a>(
        &'a self,
        user: &'a User,
        headers: &'a HeaderMap,
        kind: &'static Kind,
        object: &Value,
        verb: &'static str,
    ) -> Call<'a> {
        let target = Target {
            kind,
            namespace: namespace(object).to_owned(),
            name: if verb == "create" { String::new() } else { name(object).to_owned() },
            subresource: None,
        };
        Call {
            api: self,
            user,
            target,
            verb,
            query: Query::default(),
            headers,
            body: Bytes::new(),
            form: Form::Json,
        }
    }

    /// Makes an object.
    pub async fn make(&self, kind: &'static Kind, object: Value) -> Outcome<Arc<Entry>> {
        let (user, headers) = (own_user(), HeaderMap::new());
        self.own_call(&user, &headers, kind, &object, "create").create_object(object, false).await
    }

    /// Changes an object to what it shall be.
    pub async fn replace(&self, kind: &'static Kind, object: Value) -> Outcome<Arc<Entry>> {
        let (user, headers) = (own_user(), HeaderMap::new());
        let call = self.own_call(&user, &headers, kind, &object, "update");
        let there = self.current(kind, namespace(&object), name(&object)).await?;
        call.change(there, false, |_| Ok(object.clone())).await
    }

    /// Removes an object, if it is there.
    pub async fn discard(&self, kind: &'static Kind, object: &Value) -> Outcome<()> {
        let (user, headers) = (own_user(), HeaderMap::new());
        let call = self.own_call(&user, &headers, kind, object, "delete");
        match call.delete().await {
            Err(failure) if failure.code() == http::StatusCode::NOT_FOUND => Ok(()),
            other => other.map(drop),
        }
    }
}
