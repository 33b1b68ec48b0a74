//! For whom a node may ask for a pod's token: for whom the pod's volumes ask, and whom RBAC adds.
//!
//! Source: `plugin/pkg/admission/noderestriction/admission.go`, `validateNodeServiceAccountAudience` (the feature
//! ServiceAccountNodeAudienceRestriction, on by default since 1.33).

use super::references::each;
use crate::authn::Lookup;
use serde_json::Value;

/// The one audience that is asked for (none is the API server's own); `None` for more than one.
pub fn asked(request: &Value) -> Option<&str> {
    let mut all = each(&request["spec"]["audiences"]).filter_map(Value::as_str);
    let first = all.next().unwrap_or_default();
    all.next().is_none().then_some(first)
}

/// Whether a volume of the pod asks for tokens for an audience: a projected one, or one of a CSI driver that gets
/// tokens.
pub fn is_wanted(pod: &Value, namespace: &str, audience: &str, lookup: &dyn Lookup) -> bool {
    let driver_wants = |driver: &Value| {
        let driver = driver.as_str().and_then(|name| lookup.object("csidrivers", "", name));
        driver.is_some_and(|driver| {
            each(&driver["spec"]["tokenRequests"]).any(|one| text(&one["audience"]) == audience)
        })
    };
    let claimed = |claim: &str| {
        let claim = lookup.object("persistentvolumeclaims", namespace, claim)?;
        let volume = lookup.object("persistentvolumes", "", claim["spec"]["volumeName"].as_str()?)?;
        Some(driver_wants(&volume["spec"]["csi"]["driver"]))
    };
    let projected = |volume: &Value| {
        each(&volume["projected"]["sources"]).any(|source| {
            let token = &source["serviceAccountToken"];
            !token.is_null() && text(&token["audience"]) == audience
        })
    };
    each(&pod["spec"]["volumes"]).any(|volume| projected(volume) || driver_wants(&volume["csi"]["driver"]))
        || super::references::claims(pod).iter().any(|claim| claimed(claim).unwrap_or(false))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
