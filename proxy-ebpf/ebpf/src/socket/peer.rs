//! A process asks whom it speaks to: it sees the address that it dialled.

use aya_ebpf::programs::SockAddrContext;
use weft_proxy_abi::SocketKey;

use super::PROCEED;
use super::address::{self, Form};
use crate::maps::SOCKET_PEERS;
use crate::ports::endpoint_port;

/// Writes the dialled address over the endpoint's.
#[inline(always)]
pub fn show<F: Form>(context: &SockAddrContext) -> i32 {
    let Some(protocol) = address::protocol(context) else { return PROCEED };
    let port_be = address::port(context);
    if !endpoint_port(protocol, port_be) {
        return PROCEED;
    }
    let key = SocketKey {
        cookie: address::cookie(context),
        address: F::address(context),
        port_be,
        protocol,
        zero: [0; 5],
    };
    // SAFETY: the entry is this socket's own.
    if let Some(dialled) = unsafe { SOCKET_PEERS.get(&key) } {
        F::set_address(context, &dialled.address);
        address::set_port(context, dialled.port_be);
    }
    PROCEED
}
