//! TaintNodesByCondition and DefaultTolerationSeconds: a new node takes no pods until it is ready, and a pod stays five
//! minutes on a node that is lost.
//!
//! Source: `plugin/pkg/admission/nodetaint`, `plugin/pkg/admission/defaulttolerationseconds`.

use super::{each, list, text};
use serde_json::{Value, json};

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

/// Taints a new node.
pub fn taint(node: &mut Value) {
    let same = |taint: &Value| taint["key"] == NOT_READY && taint["effect"] == "NoSchedule";
    if !each(&node["spec"]["taints"]).any(same) {
        list(&mut node["spec"], "taints").push(json!({"key": NOT_READY, "effect": "NoSchedule"}));
    }
}

/// Gives a pod the two tolerations that it does not have yet.
pub fn tolerate(pod: &mut Value) {
    for key in [NOT_READY, UNREACHABLE] {
        let covers = |toleration: &Value| {
            ["", key].contains(&text(toleration, "key"))
                && ["", "NoExecute"].contains(&text(toleration, "effect"))
        };
        if !each(&pod["spec"]["tolerations"]).any(covers) {
            let toleration =
                json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300});
            list(&mut pod["spec"], "tolerations").push(toleration);
        }
    }
}
