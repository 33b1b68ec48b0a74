//! A pod's quality of service (`pkg/apis/core/v1/helper/qos`).

use serde_json::Value;
use weft_objects::quantity::Quantity;

use crate::object::{at, list};

/// The resources that count.
const COUNTED: [&str; 2] = ["cpu", "memory"];

/// `Guaranteed`, `Burstable` or `BestEffort`.
pub(super) fn class(pod: &Value) -> &'static str {
    let containers = || list(pod, "spec.containers").iter().chain(list(pod, "spec.initContainers"));
    let mut asks = false;
    let mut guaranteed = true;
    for container in containers() {
        let (requests, limits) = (at(container, "resources.requests"), at(container, "resources.limits"));
        for resource in COUNTED {
            let (request, limit) = (amount(requests, resource), amount(limits, resource));
            asks |= request.is_some() || limit.is_some();
            guaranteed &= limit.is_some() && (request.is_none() || request == limit);
        }
    }
    match (asks, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

/// An amount that is more than nothing.
fn amount(resources: &Value, name: &str) -> Option<Quantity> {
    let amount = Quantity::parse(resources.get(name)?.as_str()?).ok()?;
    (amount.sign() > 0).then_some(amount)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn classes_are_upstreams() {
        let of = |resources: Value| class(&json!({"spec": {"containers": [{"resources": resources}]}}));
        assert_eq!(of(json!({})), "BestEffort");
        assert_eq!(of(json!({"requests": {"cpu": "1"}})), "Burstable");
        assert_eq!(of(json!({"limits": {"cpu": "1", "memory": "1Gi"}})), "Guaranteed");
        assert_eq!(
            of(json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}})),
            "Burstable"
        );
        assert_eq!(
            of(json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m"}})),
            "Guaranteed"
        );
    }
}
