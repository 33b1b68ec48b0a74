//! Discovery: which groups, versions and resources there are, plain and aggregated.
//!
//! Source: `k8s.io/api/apidiscovery/v2` and `k8s.io/apiserver/pkg/endpoints/discovery`. The documents depend on the table
//! of kinds alone; clients that have one already (ETag) get 304.

use http::{HeaderMap, StatusCode, header};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use crate::kinds::{self, KINDS, Kind, Subresource};
use crate::rest::{Answer, Body};

/// The document of a path, if it is one of discovery's.
pub fn answer(path: &str, headers: &HeaderMap) -> Option<Answer> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let document = match parts[..] {
        ["api"] => match aggregated(headers) {
            Some(form) => return Some(typed(groups_of(form, true), form.content_type(), headers)),
            None => json!({
                "kind": "APIVersions", "versions": ["v1"],
                "serverAddressByClientCIDRs": [],
            }),
        },
        ["apis"] => match aggregated(headers) {
            Some(form) => return Some(typed(groups_of(form, false), form.content_type(), headers)),
            None => json!({
                "kind": "APIGroupList", "apiVersion": "v1",
                "groups": named_groups().map(|(name, versions)| group(name, &versions)).collect::<Vec<_>>(),
            }),
        },
        ["api", version] => resources("", version)?,
        ["apis", name] => {
            let (name, versions) = named_groups().find(|(own, _)| *own == name)?;
            let mut document = group(name, &versions);
            document["kind"] = "APIGroup".into();
            document["apiVersion"] = "v1".into();
            document
        }
        ["apis", name, version] if !name.is_empty() => resources(name, version)?,
        _ => return None,
    };
    Some(typed(document, "application/json", headers))
}

fn named_groups() -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    kinds::groups().into_iter().filter(|(name, _)| !name.is_empty())
}

fn group(name: &str, versions: &[&str]) -> Value {
    let of = |version: &&str| json!({"groupVersion": format!("{name}/{version}"), "version": version});
    let all: Vec<Value> = versions.iter().map(of).collect();
    json!({"name": name, "versions": all, "preferredVersion": all.first()})
}

fn resources(group: &str, version: &str) -> Option<Value> {
    let of_version: Vec<&Kind> =
        KINDS.iter().copied().filter(|kind| kind.group == group && kind.version == version).collect();
    let first = of_version.first()?;
    let mut all = Vec::new();
    for kind in &of_version {
        let mut one = json!({
            "name": kind.plural, "singularName": kind.singular, "namespaced": kind.namespaced, "kind": kind.kind,
            "verbs": kind.verbs,
        });
        if !kind.short.is_empty() {
            one["shortNames"] = json!(kind.short);
        }
        if !kind.categories.is_empty() {
            one["categories"] = json!(kind.categories);
        }
        all.push(one);
        for sub in kind.subresources {
            let (group, version, body) = response_kind(kind, *sub);
            let mut one = json!({
                "name": format!("{}/{}", kind.plural, sub.name()), "singularName": "", "namespaced": kind.namespaced,
                "kind": body, "verbs": sub.verbs(),
            });
            if sub.body().is_some() {
                one["group"] = group.into();
                one["version"] = version.into();
            }
            all.push(one);
        }
    }
    Some(json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": first.api_version(), "resources": all,
    }))
}

fn response_kind(kind: &Kind, sub: Subresource) -> (&'static str, &'static str, &'static str) {
    sub.body().unwrap_or((kind.group, kind.version, kind.kind))
}

/// The versions of the aggregated form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aggregated {
    Beta,
    Stable,
}

impl Aggregated {
    fn version(self) -> &'static str {
        match self {
            Aggregated::Beta => "v2beta1",
            Aggregated::Stable => "v2",
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Aggregated::Beta => "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
            Aggregated::Stable => "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        }
    }
}

/// Whether the aggregated form is wanted before the plain one.
fn aggregated(headers: &HeaderMap) -> Option<Aggregated> {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    for range in accepted.flat_map(|value| value.split(',')) {
        let parts: Vec<&str> = range.split(';').map(str::trim).collect();
        let is = |part: &str| parts.contains(&part);
        if parts.first() != Some(&"application/json") {
            continue;
        }
        match (is("g=apidiscovery.k8s.io") && is("as=APIGroupDiscoveryList"), is("v=v2"), is("v=v2beta1")) {
            (true, true, _) => return Some(Aggregated::Stable),
            (true, _, true) => return Some(Aggregated::Beta),
            (true, ..) => continue,
            (false, ..) => return None,
        }
    }
    None
}

fn groups_of(form: Aggregated, core: bool) -> Value {
    let groups = kinds::groups().into_iter().filter(|(name, _)| name.is_empty() == core);
    let items: Vec<Value> = groups
        .map(|(name, versions)| {
            let versions: Vec<Value> =
                versions.iter().map(|version| aggregated_version(name, version)).collect();
            json!({"metadata": {"name": name, "creationTimestamp": null}, "versions": versions})
        })
        .collect();
    json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": format!("apidiscovery.k8s.io/{}", form.version()),
        "metadata": {}, "items": items,
    })
}

fn aggregated_version(group: &str, version: &str) -> Value {
    let of_version = KINDS.iter().filter(|kind| kind.group == group && kind.version == version);
    let resources: Vec<Value> = of_version.map(|kind| aggregated_resource(kind)).collect();
    json!({"version": version, "resources": resources, "freshness": "Current"})
}

fn aggregated_resource(kind: &Kind) -> Value {
    let mut one = json!({
        "resource": kind.plural, "singularResource": kind.singular, "verbs": kind.verbs,
        "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
        "responseKind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
    });
    if !kind.short.is_empty() {
        one["shortNames"] = json!(kind.short);
    }
    if !kind.categories.is_empty() {
        one["categories"] = json!(kind.categories);
    }
    let subs: Vec<Value> = kind
        .subresources
        .iter()
        .map(|sub| {
            let (group, version, body) = response_kind(kind, *sub);
            json!({
                "subresource": sub.name(), "verbs": sub.verbs(),
                "responseKind": {"group": group, "version": version, "kind": body},
            })
        })
        .collect();
    if !subs.is_empty() {
        one["subresources"] = subs.into();
    }
    one
}

/// With its ETag, or 304 for who has it.
fn typed(document: Value, content_type: &'static str, headers: &HeaderMap) -> Answer {
    let text = document.to_string();
    let hash: String =
        digest(&SHA256, text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    let etag = format!("\"{hash}\"");
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()) == Some(&etag);
    let (status, body) =
        if known { (StatusCode::NOT_MODIFIED, String::new()) } else { (StatusCode::OK, text) };
    let mut answer = Answer::of(status, content_type, Body::of(body));
    answer.etag = Some(etag);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepting(text: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, http::HeaderValue::from_static(text));
        headers
    }

    #[test]
    fn clients_get_the_form_that_they_ask_for() {
        let kubectl = accepting(
            "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;\
             v=v2beta1;as=APIGroupDiscoveryList,application/json",
        );
        assert_eq!(aggregated(&kubectl), Some(Aggregated::Stable));
        assert_eq!(aggregated(&accepting("application/json")), None);
        assert!(answer("/apis/apps/v1", &HeaderMap::new()).is_some());
        assert!(answer("/apis/none", &HeaderMap::new()).is_none());
    }
}
