//! Which kinds of objects a server has: aggregated discovery, and the plain one where a server knows nothing newer.

use http::StatusCode;
use kube::api::ApiResource;
use kube::core::discovery::v2::{APIGroupDiscovery, APIResourceDiscovery};
use kube::discovery::{Discovery, Scope, verbs};
use std::collections::HashSet;

/// A kind of objects, in the version that its group prefers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Group, version, names.
    pub resource: ApiResource,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// What can be done with them.
    pub verbs: Vec<String>,
}

impl Kind {
    /// Whether all of these can be done.
    pub fn can(&self, verbs: &[&str]) -> bool {
        verbs.iter().all(|verb| self.verbs.iter().any(|own| own == verb))
    }
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The kinds, each once.
    pub kinds: Vec<Kind>,
    /// Group versions whose server cannot be asked (aggregated APIs that are down).
    pub stale: Vec<String>,
}

/// Asks for all kinds.
pub async fn discover(client: &kube::Client) -> Result<Found, kube::Error> {
    let (core, groups) = match client.list_core_api_versions_aggregated().await {
        Ok(core) => (core.items, client.list_api_groups_aggregated().await?.items),
        Err(kube::Error::Api(status)) if status.code != StatusCode::NOT_ACCEPTABLE => {
            return Err(kube::Error::Api(status));
        }
        // It answers with a form that it has.
        Err(_) => (Vec::new(), Vec::new()),
    };
    if core.is_empty() {
        return plain(client).await;
    }
    let mut found = Found::default();
    for group in core.into_iter().chain(groups) {
        found.add(group);
    }
    Ok(found)
}

/// The form of servers before 1.26: a request for each version of each group.
async fn plain(client: &kube::Client) -> Result<Found, kube::Error> {
    let all = Discovery::new(client.clone()).run().await?;
    let mut found = Found::default();
    for group in all.groups() {
        for (resource, capabilities) in group.recommended_resources() {
            let namespaced = capabilities.scope == Scope::Namespaced;
            found.kinds.push(Kind { resource, namespaced, verbs: capabilities.operations });
        }
    }
    Ok(found)
}

impl Found {
    /// The kinds of a group: of several versions the first that has it counts (client-go's
    /// `ServerPreferredResources`).
    fn add(&mut self, group: APIGroupDiscovery) {
        let name = group.metadata.and_then(|metadata| metadata.name).unwrap_or_default();
        let mut seen = HashSet::new();
        for version in group.versions {
            let of = version.version.unwrap_or_default();
            let api_version = if name.is_empty() { of.clone() } else { format!("{name}/{of}") };
            if version.freshness.as_deref() == Some("Stale") {
                self.stale.push(api_version);
                continue;
            }
            for resource in version.resources {
                if let Some(kind) = kind(&name, &of, &api_version, resource)
                    && seen.insert(kind.resource.plural.clone())
                {
                    self.kinds.push(kind);
                }
            }
        }
    }

    /// Kinds whose objects a namespace's end has to remove.
    pub fn in_namespaces(&self) -> impl Iterator<Item = &Kind> {
        self.kinds.iter().filter(|kind| kind.namespaced && kind.can(&[verbs::LIST, verbs::DELETE]))
    }
}

fn kind(group: &str, version: &str, api_version: &str, found: APIResourceDiscovery) -> Option<Kind> {
    let kind = found.response_kind?.kind?;
    let resource = ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: api_version.to_owned(),
        kind,
        plural: found.resource?,
    };
    Some(Kind { resource, namespaced: found.scope.as_deref() == Some("Namespaced"), verbs: found.verbs })
}

/// A resource of a group that every server has.
pub fn known(group: &str, version: &str, kind: &str, plural: &str) -> ApiResource {
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version,
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use serde_json::json;

    fn group(name: &str, versions: serde_json::Value) -> APIGroupDiscovery {
        serde_json::from_value(json!({"metadata": {"name": name}, "versions": versions})).unwrap()
    }

    fn resource(plural: &str, scope: &str, verbs: &[&str]) -> serde_json::Value {
        json!({"resource": plural, "responseKind": {"kind": plural}, "scope": scope, "verbs": verbs})
    }

    /// client-go `discovery.ServerPreferredResources`.
    #[test]
    fn of_several_versions_the_preferred_one_that_has_it() {
        let mut found = Found::default();
        let both = resource("scalers", "Namespaced", &["list", "delete"]);
        let old = resource("older", "Namespaced", &["list"]);
        found.add(group(
            "x.io",
            json!([
                {"version": "v2", "resources": [both], "freshness": "Current"},
                {"version": "v1", "resources": [both, old], "freshness": "Current"},
                {"version": "v0", "resources": [], "freshness": "Stale"},
            ]),
        ));
        let named: Vec<_> = found
            .kinds
            .iter()
            .map(|kind| (kind.resource.plural.as_str(), kind.resource.version.as_str()))
            .collect();
        assert_eq!(named, [("scalers", "v2"), ("older", "v1")]);
        assert_eq!(found.stale, ["x.io/v0"]);
        let deletable: Vec<_> = found.in_namespaces().map(|kind| kind.resource.plural.as_str()).collect();
        assert_eq!(deletable, ["scalers"]);
    }

    #[test]
    fn the_core_group_has_no_name() {
        let mut found = Found::default();
        found.add(group(
            "",
            json!([{"version": "v1", "resources": [resource("nodes", "Cluster", &["list"])]}]),
        ));
        assert_eq!(found.kinds[0].resource, known("", "v1", "nodes", "nodes"));
        assert!(!found.kinds[0].namespaced);
    }
}
