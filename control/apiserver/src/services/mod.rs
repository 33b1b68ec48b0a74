//! Addresses and ports of Services: cluster IPs of one or two ranges, node ports.
//!
//! What is taken is known from the Services themselves: the watch cache tells each of them, at start and later, so that
//! nothing needs repair. A cluster IP has an IPAddress object beside it, made in the same transaction, so that two API
//! servers over one state never give the same. Addresses are found by a random start in the part of the range that
//! is not for choosing by hand (KEP-3070), and steps from there: constant time while the range is not nearly full.

mod claim;
mod families;
mod ports;
mod range;
mod taken;

pub use claim::{Claim, released};
pub use range::{Range, RangeError};

use serde_json::Value;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use taken::Taken;

/// `--service-node-port-range`.
pub const NODE_PORTS: (u16, u16) = (30_000, 32_767);

/// Who gives addresses and ports to Services.
#[derive(Debug)]
pub struct Services {
    ranges: Vec<Range>,
    ports: (u16, u16),
    taken: Arc<Mutex<Taken>>,
}

impl Services {
    /// For ranges of one or two families, the first one being the default, and a range of node ports.
    pub fn of(ranges: Vec<Range>, ports: (u16, u16)) -> Services {
        Services { ranges, ports, taken: Arc::default() }
    }

    /// The ranges.
    pub fn ranges(&self) -> &[Range] {
        &self.ranges
    }

    /// The address of the Service `kubernetes`: the first one of the first range.
    pub fn first(&self) -> Option<IpAddr> {
        self.ranges.first().map(|range| range.at(1))
    }

    /// Takes in a Service as it is now, or that it is gone; `key` is `namespace/name`.
    pub fn see(&self, key: &str, service: Option<&Value>) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match service {
            Some(service) => taken.see(key, claim::ips(service), claim::ports(service)),
            None => taken.release(key),
        }
    }
}
