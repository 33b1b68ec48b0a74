//! Counters, by service port, on this CPU.

use weft_proxy_abi::{Counters, DROPPED};

use crate::maps::COUNTERS;

/// The counters of a service port on this CPU.
#[inline(always)]
pub fn of(service: u32) -> Option<&'static mut Counters> {
    // SAFETY: the slot is this CPU's own, and programs are not moved to another CPU while they run.
    COUNTERS.get_ptr_mut(service).map(|slot| unsafe { &mut *slot })
}

/// A connection or flow of the socket hooks.
#[inline(always)]
pub fn socket_connection(service: u32) {
    if let Some(counters) = of(service) {
        counters.socket_connections += 1;
    }
}

/// A packet or connection that was not let through.
#[inline(always)]
pub fn dropped(service: u32, reason: usize) {
    if let Some(counters) = of(service)
        && reason < DROPPED
    {
        counters.dropped[reason] += 1;
    }
}
