//! What the plugin is asked to do: standard input and CNI_ARGS, checked and with defaults filled in.
//!
//! The keys are the reference bridge plugin's and host-local's, so a configuration moves between them
//! by its `type` alone. A key that those define and this plugin lacks is refused by name (code 2),
//! never ignored; keys that nobody defines, `args`, `runtimeConfig` and `cni.dev/…` are left alone.

mod arguments;
mod case;
mod ipam;
mod keys;
mod network;
mod subnet_env;

pub use arguments::{Requests, parse_cni_args};
pub use ipam::{HostLocal, Ipam};
pub(crate) use keys::{is_zero, unsupported};
pub use network::{NetworkConfig, decode, name_of, previous_of, valid_of, version_of};
pub use subnet_env::{SubnetEnv, SubnetEnvError};

use crate::types::{CniError, ErrorCode};

/// Where flannel writes the node's subnet.
pub const SUBNET_FILE: &str = "/run/flannel/subnet.env";
/// Where host-local keeps its reservations.
pub const DATA_DIR: &str = "/var/lib/cni/networks";

/// An error about a key of the configuration (code 7).
pub(crate) fn invalid(key: &str, why: impl std::fmt::Display) -> CniError {
    CniError::new(
        ErrorCode::InvalidConfig,
        format!("the network configuration's key {key:?} is wrong: {why}"),
        format!("correct {key:?} in the network's file under /etc/cni/net.d"),
    )
}
