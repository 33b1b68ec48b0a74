//! East-west: an endpoint is chosen when a process of this node connects, and its packets need no translation.
//!
//! ```text
//! connect(VIP)      connect4/6   VIP → endpoint; SOCKET_PEERS remembers VIP        once per connection
//! sendto(VIP)       sendmsg4/6   VIP → the flow's endpoint (SOCKET_FLOWS), or a new one
//! recvfrom()        recvmsg4/6   endpoint → VIP
//! getpeername()     getpeername  endpoint → VIP
//! bind(NodePort)    bind4/6      EADDRINUSE in the node's own namespace
//! ```
//!
//! IPv4, IPv6 and IPv4-mapped IPv6 are one path: addresses are 16 bytes in all maps, and a hook differs only in where
//! it reads and writes them. A port of no frontend costs one look into a bitmap.

mod address;
mod bind;
mod dial;
mod peer;

use aya_ebpf::{macros::cgroup_sock_addr, programs::SockAddrContext};

use address::{V4, V6};

/// The verdict with which the system call goes on.
const PROCEED: i32 = 1;
/// The verdict that ends the system call with the error that was set.
const REFUSE: i32 = 0;

/// `connect` of an IPv4 socket.
#[cgroup_sock_addr(connect4)]
pub fn connect4(context: SockAddrContext) -> i32 {
    dial::connect::<V4>(&context)
}

/// `connect` of an IPv6 socket.
#[cgroup_sock_addr(connect6)]
pub fn connect6(context: SockAddrContext) -> i32 {
    dial::connect::<V6>(&context)
}

/// `sendmsg` with an address on an IPv4 UDP socket.
#[cgroup_sock_addr(sendmsg4)]
pub fn sendmsg4(context: SockAddrContext) -> i32 {
    dial::send::<V4>(&context)
}

/// `sendmsg` with an address on an IPv6 UDP socket.
#[cgroup_sock_addr(sendmsg6)]
pub fn sendmsg6(context: SockAddrContext) -> i32 {
    dial::send::<V6>(&context)
}

/// `recvmsg` of an IPv4 UDP socket.
#[cgroup_sock_addr(recvmsg4)]
pub fn recvmsg4(context: SockAddrContext) -> i32 {
    peer::show::<V4>(&context)
}

/// `recvmsg` of an IPv6 UDP socket.
#[cgroup_sock_addr(recvmsg6)]
pub fn recvmsg6(context: SockAddrContext) -> i32 {
    peer::show::<V6>(&context)
}

/// `getpeername` of an IPv4 socket.
#[cgroup_sock_addr(getpeername4)]
pub fn getpeername4(context: SockAddrContext) -> i32 {
    peer::show::<V4>(&context)
}

/// `getpeername` of an IPv6 socket.
#[cgroup_sock_addr(getpeername6)]
pub fn getpeername6(context: SockAddrContext) -> i32 {
    peer::show::<V6>(&context)
}

/// `bind` of an IPv4 socket.
#[cgroup_sock_addr(bind4)]
pub fn bind4(context: SockAddrContext) -> i32 {
    bind::guard::<V4>(&context)
}

/// `bind` of an IPv6 socket.
#[cgroup_sock_addr(bind6)]
pub fn bind6(context: SockAddrContext) -> i32 {
    bind::guard::<V6>(&context)
}
