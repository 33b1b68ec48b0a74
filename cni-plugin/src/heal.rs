//! For daemons: tables of the plugins that somebody flushed or deleted are put back.
//!
//! The plugins are processes of a moment; who deletes their tables in between (`nft flush ruleset`, a
//! firewall's restart) would cut the mapped ports off until the next call. A daemon of the node that lends
//! a thread to [`keep`] has them back within a second.

use crate::types::CniError;
use crate::{claims, firewall, portmap};
use std::convert::Infallible;
use std::path::PathBuf;

/// Where the plugins' records are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directories {
    /// portmap's `dataDir`.
    pub portmap: PathBuf,
    /// firewall's `dataDir`.
    pub firewall: PathBuf,
}

impl Default for Directories {
    fn default() -> Self {
        Directories { portmap: portmap::DATA_DIR.into(), firewall: firewall::DATA_DIR.into() }
    }
}

/// Puts back what the records say and the kernel lacks; what that was, and what went wrong.
pub fn restore(directories: &Directories) -> Vec<Result<String, CniError>> {
    let outcomes = [portmap::restore(&directories.portmap), firewall::restore(&directories.firewall)];
    outcomes.into_iter().filter_map(Result::transpose).collect()
}

/// [`restore`] now and after every change of nftables, for ever. `tell` hears of what was put back, and of
/// errors. It returns only if the kernel's events cannot be had.
pub fn keep(
    directories: &Directories,
    mut tell: impl FnMut(Result<String, CniError>),
) -> Result<Infallible, CniError> {
    claims::keep(|| restore(directories).into_iter().for_each(&mut tell))
}
