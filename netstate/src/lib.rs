//! Kernel network state as values: observe it, plan against what is desired, apply the difference.
//!
//! ```text
//!   observe()            desired()
//!      │ State              │ Desired          both plain values
//!      └───────► plan ◄─────┘                  pure: property tests live here
//!                  │ Vec<Op>                   Display = what logs, --dry-run and explain print
//!                  ▼
//!               apply ──► kernel               batches; answers matched by sequence number
//!                  ▲
//!   Monitor ───────┘ "look again"              an event carries no state, only the reason to look
//! ```
//!
//! Devices are named, not numbered, in every value: a number dies with its device, a name can be
//! planned before the device exists. [`Kernel::apply`] resolves names when it sends.
//!
//! The crate is synchronous: a netlink answer is there when the send returns, and the CNI plugin,
//! which must start in well under a millisecond, shares it with the daemons.

mod address;
mod apply;
mod channel;
mod conntrack;
mod display;
mod encode;
mod entry;
mod error;
mod link;
mod message;
mod monitor;
mod neighbour;
mod netns;
mod op;
mod owner;
mod plan;
mod route;
mod rule;
mod socket;
mod sockets;
mod state;

pub mod nft;
pub mod sysctl;
pub mod tc;

pub use address::Address;
pub use apply::Kernel;
pub use channel::Traffic;
pub use conntrack::{Conntrack, UdpFlow};
pub use error::{Error, Result};
pub use link::{
    Bridge, BridgePort, DevName, Link, LinkChange, LinkKind, Mac, MacParseError, NetNsTarget, NewLink,
    NewLinkKind, VethPeer, Vxlan,
};
pub use monitor::{Event, Monitor, Topic};
pub use neighbour::{FdbEntry, Neighbour};
pub use netns::{Entered, NetNs};
pub use op::Op;
pub use owner::{ALIAS_PREFIX, ROUTE_PROTOCOL, fnv1a, owned_alias};
pub use plan::{Desired, Scope, plan};
pub use route::{Route, RouteKey, RouteScope};
pub use rule::Rule;
pub use socket::RouteSocket;
pub use sockets::{ConnectedSocket, SocketDiag};
pub use state::{Observe, State};
