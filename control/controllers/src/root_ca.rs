//! The config map `kube-root-ca.crt` of each namespace, by which pods know the API server; put right when it is changed.
//!
//! Upstream: `pkg/controller/certificates/rootcacertpublisher/publisher.go`.

use kube::api::{Api, DynamicObject, PostParams};
use serde_json::{Value, json};

use crate::accounts::lives;
use crate::error::{On as _, code};
use crate::kinds::known;
use crate::{Clients, Error, Step};

/// The config map's name.
pub const NAME: &str = "kube-root-ca.crt";
const KEY: &str = "ca.crt";
const ANNOTATION: &str = "kubernetes.io/description";
const DESCRIPTION: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal \
    endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across \
    distributions of Kubernetes clusters.";

/// Looks at a namespace: it has the config map, with the CA and nothing else in it.
pub async fn look(
    clients: &Clients,
    writer: &kube::Client,
    ca: &str,
    namespace: &str,
) -> Result<Step, Error> {
    let kind = known("", "v1", "ConfigMap", "configmaps");
    let api: Api<DynamicObject> = Api::namespaced_with(clients.own.clone(), namespace, &kind);
    let there = api.get_opt(NAME).await.on(|| format!("cannot read the config map {namespace}/{NAME}"))?;
    let writer: Api<DynamicObject> = Api::namespaced_with(writer.clone(), namespace, &kind);
    let params = PostParams::default();
    let written = match there {
        Some(there) if is_right(&there, ca) => return Ok(Step::Done),
        Some(there) => writer.replace(NAME, &params, &corrected(there, ca)).await,
        None if !lives(clients, namespace).await? => return Ok(Step::Done),
        None => {
            let wanted = corrected(DynamicObject::new(NAME, &kind).within(namespace), ca);
            writer.create(&params, &wanted).await
        }
    };
    match written {
        // Its namespace went away meanwhile.
        Err(error) if code(&error) == 404 => Ok(Step::Done),
        written => {
            written.map(|_| Step::Done).on(|| format!("cannot write the config map {namespace}/{NAME}"))
        }
    }
}

/// Whether nobody has to do anything: the data is the CA alone, and the description is there in whatever words.
fn is_right(there: &DynamicObject, ca: &str) -> bool {
    let described = there.metadata.annotations.as_ref().and_then(|all| all.get(ANNOTATION));
    there.data.get("data") == Some(&json!({KEY: ca})) && described.is_some_and(|text| !text.is_empty())
}

fn corrected(mut object: DynamicObject, ca: &str) -> DynamicObject {
    let mut data = match object.data {
        Value::Object(data) => data,
        _ => serde_json::Map::new(),
    };
    data.insert("data".into(), json!({KEY: ca}));
    object.data = data.into();
    object.metadata.annotations.get_or_insert_default().insert(ANNOTATION.into(), DESCRIPTION.into());
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `publisher_test.go`: changed data, more data and a lost description are put right; other annotations stay.
    #[test]
    fn the_ca_and_nothing_else() {
        let kind = known("", "v1", "ConfigMap", "configmaps");
        let wanted = corrected(DynamicObject::new(NAME, &kind), "pem");
        assert!(is_right(&wanted, "pem") && !is_right(&wanted, "another"));
        let mut other = wanted.clone();
        other.data["data"]["more"] = "x".into();
        assert!(!is_right(&other, "pem") && is_right(&corrected(other, "pem"), "pem"));
        let mut silent = wanted;
        silent.metadata.annotations = Some([("mine".to_owned(), "x".to_owned())].into());
        assert!(!is_right(&silent, "pem"));
        let right = corrected(silent, "pem");
        assert!(
            is_right(&right, "pem") && right.metadata.annotations.is_some_and(|all| all.contains_key("mine"))
        );
    }
}
