//! The packet path: connections from other machines to services, and from this node's pods as packets.
//!
//! ```text
//! client → VIP   ingress eth0: destination VIP := endpoint      kernel routes   egress flannel.1, cni0: source := node,
//!                                                                               where the reply must come back here
//! endpoint → …   ingress flannel.1, cni0: destination := client kernel routes   egress eth0, cni0: source := VIP
//! ```
//!
//! The programs sit on the node's own interfaces, as netfilter's PREROUTING and POSTROUTING would: destinations are
//! rewritten before the kernel routes, sources after it, so that no packet is ever a martian. The kernel itself
//! routes, filters, fragments and answers what is too large; nothing is redirected past it.
//!
//! Per packet: two or three bits of PORTS for everybody, without a helper call; one lookup in CONNECTIONS, one of a
//! service for UDP, and the rewriting for those who concern us; a search among the endpoints only for a new connection.

mod checksum;
mod connection;
mod count;
mod egress;
mod fragment;
mod icmp;
mod ingress;
mod packet;
mod quick;
mod rewrite;
mod service;
mod skb;

use aya_ebpf::{
    bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC},
    macros::classifier,
    programs::TcContext,
};

use skb::Skb;

/// The packet goes on, to the next program of this hook and then to the kernel.
const PASS: i32 = TC_ACT_UNSPEC;
/// The packet ends here.
const DROP: i32 = TC_ACT_SHOT as i32;

/// Length of an Ethernet header; VLAN tags are not in the packet here.
const ETHERNET: u32 = 14;

/// Packets that come in by an interface with Ethernet headers.
#[classifier]
pub fn ingress(context: TcContext) -> i32 {
    ingress::packet(Skb::of(&context), ETHERNET)
}

/// Packets that go out by an interface with Ethernet headers.
#[classifier]
pub fn egress(context: TcContext) -> i32 {
    egress::packet(Skb::of(&context), ETHERNET)
}

/// Packets that come in by an interface without link headers.
#[classifier]
pub fn ingress_l3(context: TcContext) -> i32 {
    ingress::packet(Skb::of(&context), 0)
}

/// Packets that go out by an interface without link headers.
#[classifier]
pub fn egress_l3(context: TcContext) -> i32 {
    egress::packet(Skb::of(&context), 0)
}
