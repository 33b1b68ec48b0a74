//! Which candidates get connections: `CategorizeEndpoints` of kube-proxy (`pkg/proxy/topology.go`, 1.33 and later).
//!
//! - Cluster: the ready ones, and of these the hinted ones where hints hold; without any ready one in the cluster,
//!   those that terminate and still serve.
//! - Local: this node's ready ones; without any, this node's that terminate and still serve. Hints do not matter.

use super::endpoints::{Candidate, Condition};
use super::node::NodeView;
use crate::{Endpoint, LeftOut};

/// Which policies the frontends of a service port use.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Uses {
    pub(crate) cluster: bool,
    pub(crate) local: bool,
}

/// The endpoints of a service port.
#[derive(Debug, Default)]
pub(crate) struct Categorized {
    pub(crate) cluster: Vec<Endpoint>,
    pub(crate) local: Vec<Endpoint>,
    pub(crate) any_endpoint: bool,
    pub(crate) left_out: Vec<LeftOut>,
}

/// Which hints hold. All ready endpoints must have a hint of the kind, and one of them a hint for this node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hints {
    None,
    Nodes,
    Zones,
}

/// Sorts candidates into the endpoints of each policy in use.
pub(crate) fn categorize(candidates: &[Candidate], uses: Uses, node: &NodeView) -> Categorized {
    let is = |condition| move |c: &&Candidate| c.condition == condition;
    let hints = hints_that_hold(candidates, node);
    let any_ready = candidates.iter().any(|c| c.condition == Condition::Ready);
    let cluster_condition = if any_ready { Condition::Ready } else { Condition::ServingTerminating };
    let local_ready = candidates.iter().any(|c| !c.remote && c.condition == Condition::Ready);
    let local_condition = if local_ready { Condition::Ready } else { Condition::ServingTerminating };

    let mut sorted = Categorized::default();
    for candidate in candidates {
        let hinted = !any_ready || is_hinted(candidate, hints, node);
        let cluster = uses.cluster && is(cluster_condition)(&candidate) && hinted;
        let local = uses.local && is(local_condition)(&candidate) && !candidate.remote;
        sorted.any_endpoint |= candidate.condition <= Condition::ServingTerminating;
        if cluster {
            sorted.cluster.push(endpoint(candidate));
        }
        if local {
            sorted.local.push(endpoint(candidate));
        }
        if !cluster && !local {
            let reason = reason(candidate, uses, any_ready, hints, node);
            sorted.left_out.push(LeftOut { endpoint: candidate.address.to_string(), reason });
        }
    }
    sorted.cluster.sort_unstable();
    sorted.local.sort_unstable();
    sorted
}

fn endpoint(candidate: &Candidate) -> Endpoint {
    Endpoint { address: candidate.address.ip(), port: candidate.address.port(), local: !candidate.remote }
}

fn hints_that_hold(candidates: &[Candidate], node: &NodeView) -> Hints {
    let zone = node.zone.as_deref();
    let ready = || candidates.iter().filter(|c| c.condition == Condition::Ready);
    let all_have_nodes = ready().all(|c| !c.node_hints.is_empty());
    let all_have_zones = ready().all(|c| !c.zone_hints.is_empty());
    if all_have_nodes && ready().any(|c| c.node_hints.contains(&node.name.as_str())) {
        Hints::Nodes
    } else if all_have_zones && ready().any(|c| zone.is_some_and(|zone| c.zone_hints.contains(&zone))) {
        Hints::Zones
    } else {
        Hints::None
    }
}

fn is_hinted(candidate: &Candidate, hints: Hints, node: &NodeView) -> bool {
    match hints {
        Hints::None => true,
        Hints::Nodes => candidate.node_hints.contains(&node.name.as_str()),
        Hints::Zones => node.zone.as_deref().is_some_and(|zone| candidate.zone_hints.contains(&zone)),
    }
}

/// Why a candidate gets no connections.
fn reason(candidate: &Candidate, uses: Uses, any_ready: bool, hints: Hints, node: &NodeView) -> String {
    match candidate.condition {
        Condition::NotReady => "not ready".to_owned(),
        Condition::Terminating => "terminating, and not serving".to_owned(),
        Condition::ServingTerminating if any_ready && (uses.cluster || !candidate.remote) => {
            "terminating, and others are ready".to_owned()
        }
        _ if !uses.cluster && !uses.local => "the service port has no frontend".to_owned(),
        _ if !uses.cluster => match candidate.node {
            Some(other) => format!("on node {other}, and the traffic policy is Local"),
            None => "on no node, and the traffic policy is Local".to_owned(),
        },
        _ => match hints {
            Hints::Nodes => {
                format!("hinted for node {}, this node is {}", candidate.node_hints.join(", "), node.name)
            }
            _ => format!(
                "hinted for zone {}, this node is in {}",
                candidate.zone_hints.join(", "),
                node.zone.as_deref().unwrap_or("none")
            ),
        },
    }
}
