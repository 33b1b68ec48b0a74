//! What a path means: `/apis/apps/v1/namespaces/default/deployments/web/scale`.

use http::Method;

use crate::kinds::{self, Kind, Subresource};

/// A request for a resource.
#[derive(Clone, Debug)]
pub struct Target {
    /// The kind.
    pub kind: &'static Kind,
    /// The namespace; empty for all of them and for what is in none.
    pub namespace: String,
    /// The object's name; empty for a collection.
    pub name: String,
    /// The subresource.
    pub subresource: Option<Subresource>,
}

/// What a path could mean.
#[derive(Clone, Debug)]
pub enum Parsed {
    /// A resource that is served.
    Resource(Target),
    /// A resource of a group and version: one that is not served, though authorization has its names.
    Unknown {
        /// Group.
        group: String,
        /// Version.
        version: String,
        /// Resource.
        resource: String,
        /// Subresource.
        subresource: String,
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
    },
    /// No resource's path.
    Other,
}

/// Parses a path, whose parts may be percent-encoded.
pub fn parse(path: &str) -> Parsed {
    let parts: Vec<String> = path.trim_matches('/').split('/').map(decoded).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    match parts[..] {
        ["api", version, ref rest @ ..] if !rest.is_empty() => of_group("", version, rest),
        ["apis", group, version, ref rest @ ..] if !rest.is_empty() => of_group(group, version, rest),
        _ => Parsed::Other,
    }
}

fn of_group(group: &str, version: &str, rest: &[&str]) -> Parsed {
    let (namespace, rest) = match rest {
        // `namespaces/x/status` is the namespace's own; `namespaces/x/pods` is in it.
        ["namespaces", namespace, resource, rest @ ..]
            if !(rest.is_empty() && ["status", "finalize"].contains(resource)) =>
        {
            (*namespace, [&[*resource], rest].concat())
        }
        rest => ("", rest.to_vec()),
    };
    let (resource, name, subresource) = match rest[..] {
        [resource] => (resource, "", ""),
        [resource, name] => (resource, name, ""),
        [resource, name, subresource, ..] => (resource, name, subresource),
        [] => return Parsed::Other,
    };
    let too_long = rest.len() > 3;
    let unknown = || Parsed::Unknown {
        group: group.to_owned(),
        version: version.to_owned(),
        resource: resource.to_owned(),
        subresource: subresource.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    };
    let Some(kind) = kinds::of_resource(group, version, resource) else { return unknown() };
    let fits = kind.namespaced || namespace.is_empty();
    let needs = kind.namespaced && namespace.is_empty() && !name.is_empty();
    let sub = match subresource {
        "" => None,
        name => match kind.subresources.iter().find(|sub| sub.name() == name) {
            Some(sub) => Some(*sub),
            None => return unknown(),
        },
    };
    if !fits || needs || too_long {
        return unknown();
    }
    // A namespace is in itself, for authorization.
    let namespace = match (group, resource) {
        ("", "namespaces") => name,
        _ => namespace,
    };
    Parsed::Resource(Target {
        kind,
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        subresource: sub,
    })
}

/// What a path of the old form `/api/v1/watch/namespaces/default/pods` watches: the path without `watch`. Deprecated
/// since 1.11 and served all the same (`apiserver/pkg/endpoints/installer.go`, `WATCHLIST`).
pub fn watched(method: &Method, path: &str) -> Option<String> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (before, of) = match parts[..] {
        ["api", _, "watch", ref of @ ..] => (&parts[..2], of),
        ["apis", _, _, "watch", ref of @ ..] => (&parts[..3], of),
        _ => return None,
    };
    let reads = [Method::GET, Method::HEAD].contains(method);
    (reads && !of.is_empty()).then(|| format!("/{}/{}", before.join("/"), of.join("/")))
}

/// The verb of a method on a resource.
pub fn verb(method: &Method, collection: bool, watch: bool) -> Option<&'static str> {
    Some(match (method.as_str(), collection) {
        ("GET" | "HEAD", _) if watch => "watch",
        ("GET" | "HEAD", true) => "list",
        ("GET" | "HEAD", false) => "get",
        ("POST", _) => "create",
        ("PUT", false) => "update",
        ("PATCH", false) => "patch",
        ("DELETE", true) => "deletecollection",
        ("DELETE", false) => "delete",
        _ => return None,
    })
}

/// With percent-encoded bytes decoded; what is none stays as it is.
pub fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = |byte: u8| (byte as char).to_digit(16);
        match (first, tail) {
            (b'%', [high, low, after @ ..]) if hex(*high).is_some() && hex(*low).is_some() => {
                let value = hex(*high).unwrap_or(0) * 16 + hex(*low).unwrap_or(0);
                bytes.push(value as u8);
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(path: &str) -> String {
        match parse(path) {
            Parsed::Resource(t) => {
                let sub = t.subresource.map_or("", Subresource::name);
                format!("{} {} {} {sub}", t.kind.plural, t.namespace, t.name)
            }
            Parsed::Unknown { resource, subresource, .. } => format!("unknown {resource} {subresource}"),
            Parsed::Other => "other".into(),
        }
    }

    #[test]
    fn paths_are_told_apart() {
        assert_eq!(told("/api/v1/pods"), "pods   ");
        assert_eq!(told("/api/v1/namespaces/default/pods/a"), "pods default a ");
        assert_eq!(told("/api/v1/namespaces/default"), "namespaces default default ");
        assert_eq!(told("/api/v1/namespaces/default/finalize"), "namespaces default default finalize");
        assert_eq!(told("/apis/apps/v1/namespaces/x/deployments/web/scale"), "deployments x web scale");
        assert_eq!(told("/api/v1/namespaces/default/pods/a/log"), "unknown pods log");
        assert_eq!(told("/api/v1/pods/a"), "unknown pods ");
        assert_eq!(
            told("/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode"),
            "clusterroles  system:node "
        );
        assert_eq!(told("/api/v1"), "other");
        assert_eq!(told("/version"), "other");
    }
}
