//! The service account `default` of each namespace, made again when it is deleted.
//!
//! Upstream: `pkg/controller/serviceaccount/serviceaccounts_controller.go`. Secrets with tokens are not made for
//! accounts (upstream makes none since 1.24): tokens come from the subresource `token`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, DynamicObject, PostParams};

use crate::error::{On as _, code};
use crate::kinds::known;
use crate::{Clients, Error, Step};

/// The account's name.
pub const NAME: &str = "default";

/// Looks at a namespace: it has the account, or is no more.
pub async fn look(clients: &Clients, writer: &kube::Client, namespace: &str) -> Result<Step, Error> {
    let accounts = known("", "v1", "ServiceAccount", "serviceaccounts");
    let api: Api<DynamicObject> = Api::namespaced_with(clients.own.clone(), namespace, &accounts);
    let there =
        api.get_metadata_opt(NAME).await.on(|| format!("cannot read the account {namespace}/{NAME}"))?;
    if there.is_some() || !lives(clients, namespace).await? {
        return Ok(Step::Done);
    }
    let account = DynamicObject::new(NAME, &accounts).within(namespace);
    let writer: Api<DynamicObject> = Api::namespaced_with(writer.clone(), namespace, &accounts);
    match writer.create(&PostParams::default(), &account).await {
        Err(error) if code(&error) != 409 => {
            Err(error).on(|| format!("cannot make the account {namespace}/{NAME}"))
        }
        _ => Ok(Step::Done),
    }
}

/// Whether a namespace is there and not on its way out.
pub async fn lives(clients: &Clients, namespace: &str) -> Result<bool, Error> {
    let namespaces: Api<DynamicObject> =
        Api::all_with(clients.own.clone(), &known("", "v1", "Namespace", "namespaces"));
    let there = namespaces.get_metadata_opt(namespace).await;
    let there = there.on(|| format!("cannot read the namespace {namespace}"))?;
    Ok(there.is_some_and(|there| is_live(&there.metadata)))
}

/// Whether an object is not on its way out.
pub fn is_live(metadata: &ObjectMeta) -> bool {
    metadata.deletion_timestamp.is_none()
}
