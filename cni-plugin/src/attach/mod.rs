//! What the plugins share that attach a container by a veth pair (bridge, ptp): addresses, the pair, the
//! container's side, and how all of it is found again.
//!
//! ```text
//!  host namespace                                       container's namespace
//!    veth<hash>  alias weft:cni:<net>/<id>/<if>  ◄──►  eth0  addresses, routes
//! ```

pub(crate) mod addressing;
pub(crate) mod attempt;
pub(crate) mod availability;
pub(crate) mod compare;
pub(crate) mod delegate;
pub(crate) mod forwarding;
pub(crate) mod links;
pub(crate) mod masquerade;
pub(crate) mod pod;
mod random;
mod resolv_conf;
mod running;
mod settle;
pub(crate) mod stale;
pub(crate) mod veth;

pub(crate) use random::random_mac;

pub(crate) use crate::plugin::kernel_error;
