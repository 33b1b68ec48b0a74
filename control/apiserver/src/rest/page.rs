//! Lists by pages: continue tokens, and where the next page is read from.
//!
//! The first page is read from the cache. The next ones are as of the same revision: from the cache while nothing of the
//! kind has changed since, else from etcd's history.

use serde_json::{Value, json};
use std::sync::Arc;

use super::selection::Selection;
use super::{Api, base64};
use crate::cache::{Cache, Entry};
use crate::kinds::Kind;
use crate::object::text;
use crate::status::{Failure, Outcome};

/// How many objects are read from etcd at one go, at least.
const PAGE: i64 = 500;

/// A page.
#[derive(Debug)]
pub struct Read {
    pub items: Vec<Arc<Entry>>,
    pub revision: i64,
    /// The token of the next page.
    pub next: Option<String>,
    /// How many come after this page.
    pub remaining: i64,
}

/// Where a list goes on (`k8s.io/apiserver/pkg/storage/continue.go`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The list's revision; 0 or less for whatever is there now.
    pub revision: i64,
    /// The first key of the page, whole.
    pub start: String,
}

impl Token {
    /// Reads a token for objects under a prefix.
    pub fn read(text: &str, prefix: &str) -> Outcome<Token> {
        let refuse = |why: &str| Failure::bad_request(format!("continue key is not valid: {why}"));
        let bytes = base64::decode(text).ok_or_else(|| refuse("illegal base64 data"))?;
        let value: Value = serde_json::from_slice(&bytes).map_err(|e| refuse(&e.to_string()))?;
        if self::text(&value, "v") != "meta.k8s.io/v1" {
            return Err(refuse("server does not recognize this encoded version"));
        }
        let start = self::text(&value, "start").trim_start_matches('/');
        // The key itself ends with a zero byte: the first one after it.
        if start.is_empty() || start.split('/').any(|part| part == "..") {
            return Err(refuse("the start key is missing or leads elsewhere"));
        }
        let revision = value.get("rv").and_then(Value::as_i64);
        let revision = revision.ok_or_else(|| refuse("incorrect encoded start resourceVersion"))?;
        Ok(Token { revision, start: format!("{prefix}{start}") })
    }

    /// The token's text.
    pub fn write(revision: i64, key: &str) -> String {
        let value = json!({"v": "meta.k8s.io/v1", "rv": revision, "start": format!("{key}\u{0}")});
        base64::encode(value.to_string().as_bytes())
    }
}

/// The first page of what is listed.
pub(super) fn cut(items: Vec<Arc<Entry>>, revision: i64, selection: &Selection, limit: i64) -> Read {
    let mut items: Vec<_> = if selection.is_everything() {
        items
    } else {
        items.into_iter().filter(|entry| selection.has(entry)).collect()
    };
    let limit = if limit == 0 { usize::MAX } else { limit as usize };
    let remaining = items.len().saturating_sub(limit);
    items.truncate(limit);
    let last = items.last().filter(|_| remaining > 0);
    let next = last.map(|entry| Token::write(revision, &entry.key));
    Read { items, revision, next, remaining: remaining as i64 }
}

/// A page after the first.
pub(super) async fn go_on(
    api: &Api,
    cache: &Cache,
    selection: &Selection,
    token: &Token,
    limit: i64,
) -> Outcome<Read> {
    let prefix = cache.kind.prefix();
    let unchanged = match token.revision {
        revision if revision > 0 => cache.list_unchanged(selection.namespace(), revision),
        _ => None,
    };
    if let Some(mut items) = unchanged {
        let start = token.start.strip_prefix(&prefix).unwrap_or_default();
        let from = items.partition_point(|entry| &*entry.key < start);
        return Ok(cut(items.split_off(from), token.revision, selection, limit));
    }
    read_state(api, cache, selection, &token.start, token.revision.max(0), limit).await.map_err(|failure| {
        // A token of the same place that is content with what is there now.
        let start = token.start.strip_prefix(&prefix).unwrap_or_default().trim_end_matches('\u{0}');
        match failure.reason() {
            "Expired" => failure.with_continue(Token::write(-1, start)),
            _ => failure,
        }
    })
}

/// A list as of a revision.
pub(super) async fn at(
    api: &Api,
    cache: &Cache,
    selection: &Selection,
    revision: i64,
    limit: i64,
) -> Outcome<Read> {
    api.caches.wait(revision).await?;
    let prefix = start_of(cache.kind, selection);
    let read = read_state(api, cache, selection, &prefix, revision, limit).await;
    read.map_err(|failure| match failure.reason() {
        "Expired" => {
            Failure::expired(format!("The resourceVersion for the provided list is too old: {revision}"))
        }
        _ => failure,
    })
}

fn start_of(kind: &Kind, selection: &Selection) -> String {
    match selection.namespace() {
        "" => kind.prefix(),
        namespace => format!("{}{namespace}/", kind.prefix()),
    }
}

async fn read_state(
    api: &Api,
    cache: &Cache,
    selection: &Selection,
    from: &str,
    revision: i64,
    limit: i64,
) -> Outcome<Read> {
    let (prefix, of_kind) = (start_of(cache.kind, selection), cache.kind.prefix());
    let (mut from, mut revision) = (from.as_bytes().to_vec(), revision);
    let (mut items, wanted) = (Vec::new(), if limit == 0 { usize::MAX } else { limit as usize });
    loop {
        let page = api.store.page(&prefix, &from, PAGE.max(limit.min(10_000)), revision).await?;
        revision = page.revision;
        for (index, stored) in page.items.iter().enumerate() {
            let key = String::from_utf8_lossy(&stored.key);
            let key = key.strip_prefix(&of_kind).unwrap_or_default();
            let Ok(entry) = Entry::read(cache.kind, key, stored.revision, &stored.bytes) else { continue };
            if !selection.has(&entry) {
                continue;
            }
            items.push(Arc::new(entry));
            let rest = page.count - index as i64 - 1;
            if items.len() == wanted && rest > 0 {
                let next = Token::write(revision, key);
                return Ok(Read { items, revision, next: Some(next), remaining: rest });
            }
        }
        match page.items.last().filter(|_| page.more) {
            Some(last) => {
                from = last.key.clone();
                from.push(0);
            }
            None => return Ok(Read { items, revision, next: None, remaining: 0 }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_read_back_and_others_refused() {
        let text = Token::write(7, "default/a");
        let token = Token::read(&text, "/registry/pods/").ok();
        assert_eq!(token, Some(Token { revision: 7, start: "/registry/pods/default/a\u{0}".into() }));
        for bad in
            ["", "x", "e30", &base64::encode(br#"{"v":"meta.k8s.io/v1","rv":1,"start":"../secrets/a"}"#)]
        {
            assert!(Token::read(bad, "/registry/pods/").is_err(), "{bad}");
        }
    }
}
