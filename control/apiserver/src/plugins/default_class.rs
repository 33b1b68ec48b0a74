//! DefaultStorageClass, DefaultIngressClass, PersistentVolumeClaimResize: the class of who asks for none, and whether a
//! class lets claims grow.
//!
//! Source: `plugin/pkg/admission/storage/storageclass/setdefault`, `plugin/pkg/admission/network/defaultingressclass`,
//! `plugin/pkg/admission/storage/persistentvolume/resize`.

use super::{Cluster, Write, text};
use crate::refusal::Refusal;
use serde_json::Value;
use weft_objects::quantity::Quantity;

/// Gives a new claim the default class.
pub fn of_claim(claim: &mut Value, cluster: &dyn Cluster) {
    // An empty name is a wish too: no class at all.
    let told = !claim["spec"]["storageClassName"].is_null()
        || !claim["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"].is_null();
    let default =
        ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
    if !told && let Some(name) = newest(cluster, "storageclasses", &default) {
        claim["spec"]["storageClassName"] = name.into();
    }
}

/// Gives a new ingress the default class.
pub fn of_ingress(ingress: &mut Value, cluster: &dyn Cluster) {
    let told = !ingress["spec"]["ingressClassName"].is_null()
        || !ingress["metadata"]["annotations"]["kubernetes.io/ingress.class"].is_null();
    let default = ["ingressclass.kubernetes.io/is-default-class"];
    if !told && let Some(name) = newest(cluster, "ingressclasses", &default) {
        ingress["spec"]["ingressClassName"] = name.into();
    }
}

/// The default class: of several the newest, of these the first by name.
fn newest(cluster: &dyn Cluster, resource: &str, marks: &[&str]) -> Option<String> {
    let mut found: Vec<(String, String)> = Vec::new();
    for class in cluster.all(resource, "") {
        let metadata = &class["metadata"];
        if marks.iter().any(|mark| metadata["annotations"][*mark] == "true") {
            found.push((text(metadata, "creationTimestamp").to_owned(), text(metadata, "name").to_owned()));
        }
    }
    // Times of one form sort as texts.
    found.sort_by(|(time, name), (other, others)| other.cmp(time).then(name.cmp(others)));
    found.into_iter().next().map(|(_, name)| name)
}

/// Whether a claim may grow.
pub fn check_growth(write: &Write<'_>, claim: &Value, cluster: &dyn Cluster) -> Result<(), Refusal> {
    let Some(old) = write.old else { return Ok(()) };
    let size = |claim: &Value| {
        let text = claim["spec"]["resources"]["requests"]["storage"].as_str()?.to_owned();
        Quantity::parse(&text).ok()
    };
    let (Some(before), Some(after)) = (size(old), size(claim)) else { return Ok(()) };
    if after <= before {
        return Ok(());
    }
    if old["status"]["phase"] != "Bound" {
        return Err(write.forbidden(claim, "Only bound persistent volume claims can be expanded"));
    }
    let beta = text(&claim["metadata"]["annotations"], "volume.beta.kubernetes.io/storage-class");
    let name = if beta.is_empty() { text(&claim["spec"], "storageClassName") } else { beta };
    let class = Some(name).filter(|name| !name.is_empty());
    let class = class.and_then(|name| cluster.object("storageclasses", "", name));
    if class.is_some_and(|class| class["allowVolumeExpansion"] == true) {
        return Ok(());
    }
    Err(write.forbidden(
        claim,
        "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support \
         resize",
    ))
}
