//! Whose a frontend is when several service ports want it: the oldest service's.
//!
//! Back ends key their maps by address, port and protocol, so a frontend is in one service port at most. A claim
//! scales with the service ports that want the same frontend, which is one but for mistakes.

use crate::{Family, Frontend, PortId, Protocol, ServiceName};
use k8s_openapi::jiff::Timestamp;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// What only one service port can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Claim {
    /// A port of an address.
    Address(IpAddr, u16, Protocol),
    /// A port of the node's addresses of one family.
    NodePort(Family, u16, Protocol),
    /// A `healthCheckNodePort`.
    HealthCheck(u16),
}

/// Who wants it, in the order of precedence: the oldest service first (one without a time counts as older than any),
/// then by name, then by the order of the service's ports.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Claimant {
    /// When the service was created.
    pub(crate) created: Option<Timestamp>,
    /// The service.
    pub(crate) service: Arc<ServiceName>,
    /// The index of the port in the service.
    pub(crate) index: usize,
}

/// All claims.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    by_claim: HashMap<Claim, Vec<Claimant>>,
}

impl Claim {
    /// The claim of a frontend of a service port.
    pub(crate) fn of(id: &PortId, frontend: &Frontend) -> Claim {
        match frontend.address {
            Some(address) => Claim::Address(address, frontend.port, id.protocol),
            None => Claim::NodePort(id.family, frontend.port, id.protocol),
        }
    }
}

impl Claims {
    /// Adds a claimant.
    pub(crate) fn add(&mut self, claim: Claim, claimant: Claimant) {
        let claimants = self.by_claim.entry(claim).or_insert_with(|| Vec::with_capacity(1));
        if let Err(at) = claimants.binary_search(&claimant) {
            claimants.insert(at, claimant);
        }
    }

    /// Removes a claimant.
    pub(crate) fn remove(&mut self, claim: &Claim, claimant: &Claimant) {
        let Some(claimants) = self.by_claim.get_mut(claim) else { return };
        claimants.retain(|other| other != claimant);
        if claimants.is_empty() {
            self.by_claim.remove(claim);
        }
    }

    /// All who want it, the winner first.
    pub(crate) fn claimants(&self, claim: &Claim) -> &[Claimant] {
        self.by_claim.get(claim).map_or(&[], Vec::as_slice)
    }

    /// Who has it, when it is not this claimant.
    pub(crate) fn winner_over(&self, claim: &Claim, claimant: &Claimant) -> Option<&Claimant> {
        self.claimants(claim).first().filter(|winner| *winner != claimant)
    }
}
