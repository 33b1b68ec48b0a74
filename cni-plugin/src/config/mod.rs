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
use serde_json::Value;
use std::path::PathBuf;

/// Where flannel writes the node's subnet.
pub const SUBNET_FILE: &str = "/run/flannel/subnet.env";
/// Where host-local keeps its reservations.
pub const DATA_DIR: &str = "/var/lib/cni/networks";

/// The folder that a key names; without it, the default.
pub(crate) fn folder(value: Option<&Value>, key: &str, default: &str) -> Result<PathBuf, CniError> {
    match value {
        None | Some(Value::Null) => Ok(default.into()),
        Some(Value::String(dir)) if dir.starts_with('/') => Ok(dir.into()),
        Some(other) => Err(invalid(key, format!("{other} is not an absolute path"))),
    }
}

/// An error about a key of the configuration (code 7).
pub(crate) fn invalid(key: &str, why: impl std::fmt::Display) -> CniError {
    CniError::new(
        ErrorCode::InvalidConfig,
        format!("the network configuration's key {key:?} is wrong: {why}"),
        format!("correct {key:?} in the network's file under /etc/cni/net.d"),
    )
}
