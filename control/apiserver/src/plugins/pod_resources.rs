//! What a pod asks for in all.
//!
//! Source: `component-helpers/resource/helpers.go`, `PodRequests` and `PodLimits`: containers run together, init
//! containers one after the other, and those of them that are restarted (sidecars) beside all that come after.

use super::{each, text};
use serde_json::Value;
use std::collections::BTreeMap;
use weft_objects::quantity::Quantity;

/// Amounts by resource.
pub type Amounts = BTreeMap<String, Quantity>;

/// The amounts of a JSON object; what is no quantity is left out, validation tells of it.
pub fn amounts(object: &Value) -> Amounts {
    let all = object.as_object().into_iter().flatten();
    all.filter_map(|(name, amount)| Some((name.clone(), Quantity::parse(amount.as_str()?).ok()?))).collect()
}

/// A pod's `requests` or `limits`.
pub fn of_pod(pod: &Value, which: &str) -> Amounts {
    let spec = &pod["spec"];
    let of = |container: &Value| amounts(&container["resources"][which]);
    let mut together = Amounts::new();
    for container in each(&spec["containers"]) {
        add(&mut together, &of(container));
    }
    let (mut sidecars, mut first) = (Amounts::new(), Amounts::new());
    for container in each(&spec["initContainers"]) {
        let mut now = of(container);
        if text(container, "restartPolicy") == "Always" {
            add(&mut together, &now);
            add(&mut sidecars, &now);
            now = sidecars.clone();
        } else {
            add(&mut now, &sidecars);
        }
        most(&mut first, now);
    }
    most(&mut together, first);
    // What is asked for the pod as a whole counts instead.
    together.extend(amounts(&spec["resources"][which]));
    let overhead = amounts(&spec["overhead"]).into_iter();
    // Where there is no limit, the overhead sets none.
    for (name, amount) in overhead {
        match together.get_mut(&name) {
            Some(sum) => *sum = *sum + amount,
            None if which == "requests" => drop(together.insert(name, amount)),
            None => {}
        }
    }
    together
}

fn add(sum: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        let own = sum.entry(name.clone()).or_insert(Quantity::ZERO);
        *own = *own + *amount;
    }
}

fn most(largest: &mut Amounts, other: Amounts) {
    for (name, amount) in other {
        let own = largest.entry(name).or_insert(amount);
        if *own < amount {
            *own = amount;
        }
    }
}
