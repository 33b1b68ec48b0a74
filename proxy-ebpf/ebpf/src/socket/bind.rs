//! A process binds: a NodePort that is in use is not to be had, as if a socket of ours held it.

use aya_ebpf::{helpers::bpf_set_retval, programs::SockAddrContext};
use weft_proxy_abi::{Address, FrontendKey};

use super::address::{self, Form};
use super::dial::{is_unspecified, wildcard};
use super::{PROCEED, REFUSE};
use crate::maps::{NODE_ADDRESSES, SERVICES};
use crate::ports::frontend_port;

const EADDRINUSE: i32 = 98;

/// Refuses NodePorts in the node's own namespace.
#[inline(always)]
pub fn guard<F: Form>(context: &SockAddrContext) -> i32 {
    let Some(protocol) = address::protocol(context) else { return PROCEED };
    let port_be = address::port(context);
    if port_be == 0 || !frontend_port(protocol, port_be) || !address::on_node(context) {
        return PROCEED;
    }
    let bound = F::address(context);
    let everywhere = is_unspecified(&bound);
    // SAFETY: entries are replaced as a whole by the daemon.
    if !everywhere && unsafe { NODE_ADDRESSES.get(&bound) }.is_none() {
        return PROCEED;
    }
    let taken = |address: Address| {
        // SAFETY: as above.
        unsafe { SERVICES.get(FrontendKey { address, port_be, protocol, zero: 0 }) }.is_some()
    };
    // A socket on `::` takes the port of both families.
    if !taken(wildcard(&bound)) && !(everywhere && bound == [0; 16] && taken(MAPPED_UNSPECIFIED)) {
        return PROCEED;
    }
    // SAFETY: the helper takes any error number.
    unsafe { bpf_set_retval(-EADDRINUSE) };
    REFUSE
}

/// `::ffff:0.0.0.0`.
const MAPPED_UNSPECIFIED: Address = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0];
