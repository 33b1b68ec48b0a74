//! The address that a hook sees, as the maps have it.
//!
//! The verifier allows only whole words at fixed offsets of the context, so each field is read and written by
//! itself, and volatile: the compiler must neither merge nor split them.

use aya_ebpf::{
    EbpfContext as _,
    helpers::{bpf_get_netns_cookie, bpf_get_socket_cookie},
    programs::SockAddrContext,
};
use core::ptr::{addr_of, addr_of_mut};
use weft_proxy_abi::{Address, TCP, UDP};

use crate::maps::CONFIG;

/// `::ffff:0:0/96` as the third word in memory.
const MAPPED: u32 = 0xffff_0000;

/// Where a hook's address is.
pub trait Form {
    /// Reads it.
    fn address(context: &SockAddrContext) -> Address;
    /// Writes it.
    fn set_address(context: &SockAddrContext, address: &Address);
}

/// An IPv4 socket.
pub struct V4;
/// An IPv6 socket; its addresses may be mapped ones.
pub struct V6;

/// Four words, in memory order, as an address.
#[inline(always)]
fn of_words(words: [u32; 4]) -> Address {
    // SAFETY: 16 plain bytes either way.
    unsafe { core::mem::transmute(words) }
}

/// An address as four words, in memory order.
#[inline(always)]
fn words(address: &Address) -> [u32; 4] {
    // SAFETY: 16 plain bytes either way.
    unsafe { core::mem::transmute(*address) }
}

impl Form for V4 {
    #[inline(always)]
    fn address(context: &SockAddrContext) -> Address {
        // SAFETY: the kernel hands a valid context; the field is one that these hooks may read.
        let ip = unsafe { addr_of!((*context.sock_addr).user_ip4).read_volatile() };
        of_words([0, 0, MAPPED, ip])
    }

    #[inline(always)]
    fn set_address(context: &SockAddrContext, address: &Address) {
        // SAFETY: as above, and these hooks may write the field.
        unsafe { addr_of_mut!((*context.sock_addr).user_ip4).write_volatile(words(address)[3]) }
    }
}

impl Form for V6 {
    #[inline(always)]
    fn address(context: &SockAddrContext) -> Address {
        // SAFETY: the kernel hands a valid context; these hooks may read the field word by word.
        unsafe {
            let ip = addr_of!((*context.sock_addr).user_ip6).cast::<u32>();
            of_words([
                ip.read_volatile(),
                ip.add(1).read_volatile(),
                ip.add(2).read_volatile(),
                ip.add(3).read_volatile(),
            ])
        }
    }

    #[inline(always)]
    fn set_address(context: &SockAddrContext, address: &Address) {
        let words = words(address);
        // SAFETY: as above, and these hooks may write the field.
        unsafe {
            let ip = addr_of_mut!((*context.sock_addr).user_ip6).cast::<u32>();
            ip.write_volatile(words[0]);
            ip.add(1).write_volatile(words[1]);
            ip.add(2).write_volatile(words[2]);
            ip.add(3).write_volatile(words[3]);
        }
    }
}

/// The port, in network byte order.
#[inline(always)]
pub fn port(context: &SockAddrContext) -> u16 {
    // SAFETY: the kernel hands a valid context.
    unsafe { addr_of!((*context.sock_addr).user_port).read_volatile() as u16 }
}

/// Writes the port.
#[inline(always)]
pub fn set_port(context: &SockAddrContext, port_be: u16) {
    // SAFETY: the kernel hands a valid context, and these hooks may write the field.
    unsafe { addr_of_mut!((*context.sock_addr).user_port).write_volatile(u32::from(port_be)) }
}

/// The protocol, if it is one that we know.
#[inline(always)]
pub fn protocol(context: &SockAddrContext) -> Option<u8> {
    // SAFETY: the kernel hands a valid context.
    match unsafe { addr_of!((*context.sock_addr).protocol).read_volatile() } {
        // MPTCP connects as TCP does.
        6 | 262 => Some(TCP),
        17 => Some(UDP),
        _ => None,
    }
}

/// The socket's cookie.
#[inline(always)]
pub fn cookie(context: &SockAddrContext) -> u64 {
    // SAFETY: the context is one that the helper takes.
    unsafe { bpf_get_socket_cookie(context.as_ptr()) }
}

/// The cookie of the socket's network namespace.
#[inline(always)]
pub fn netns(context: &SockAddrContext) -> u64 {
    // SAFETY: the context is one that the helper takes.
    unsafe { bpf_get_netns_cookie(context.as_ptr()) }
}

/// Whether the socket is in the node's own network namespace.
#[inline(always)]
pub fn on_node(context: &SockAddrContext) -> bool {
    CONFIG.get(0).is_some_and(|config| config.netns_cookie == netns(context))
}
