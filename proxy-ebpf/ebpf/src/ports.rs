//! The bitmaps of ports: what is no service's is told in one look.

use weft_proxy_abi::{
    PORT_WORDS, PORTS_OF_ENDPOINTS_TCP, PORTS_OF_ENDPOINTS_UDP, PORTS_OF_FRONTENDS_TCP, PORTS_OF_FRONTENDS_UDP, UDP,
};

use crate::maps::PORTS;

#[inline(always)]
fn has(bitmap: u32, port_be: u16) -> bool {
    let port = u32::from(u16::from_be(port_be));
    PORTS.get(bitmap * PORT_WORDS + port / 64).is_some_and(|word| word >> (port % 64) & 1 == 1)
}

/// Whether any frontend has this port.
#[inline(always)]
pub fn frontend_port(protocol: u8, port_be: u16) -> bool {
    has(if protocol == UDP { PORTS_OF_FRONTENDS_UDP } else { PORTS_OF_FRONTENDS_TCP }, port_be)
}

/// Whether any endpoint has this port.
#[inline(always)]
pub fn endpoint_port(protocol: u8, port_be: u16) -> bool {
    has(if protocol == UDP { PORTS_OF_ENDPOINTS_UDP } else { PORTS_OF_ENDPOINTS_TCP }, port_be)
}
