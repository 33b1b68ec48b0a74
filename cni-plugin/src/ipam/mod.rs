//! Addresses for containers out of host-local's on-disk store, byte for byte the original's form.
//!
//! ```text
//! <dataDir>/<network>/lock                 flock, held for a whole call
//!                     10.244.1.5           "<container id>\r\n<ifname>": this address is taken
//!                     last_reserved_ip.0   "10.244.1.5": round robin goes on after it; one per range set
//!                     .weft-boot-id        ours: the boot in which the entries below were seen
//!                     .weft-index/<hash>-10.244.1.5 -> ../10.244.1.5     ours: found without reading files
//! ```
//!
//! The original walks the whole tree, reads every file and removes those that hold the container's
//! key: `.weft-boot-id` never matches, and an index entry, being a link, goes together with its
//! address. So both programs may take turns on one store. An address is taken by a rename that fails
//! if the name exists: at no moment is there half a file.
//! Source of the format: `plugins/ipam/host-local/backend/disk/backend.go` of containernetworking/plugins.

mod allocate;
mod index;
mod list;
mod range;
mod store;

pub use allocate::{Allocation, allocate, release};
pub use list::{Reservation, reservations};
pub(crate) use range::next;
pub use range::{Range, RangeSet};
pub use store::{Key, Store};

use std::net::IpAddr;
use std::path::PathBuf;

/// Why an address could not be given or freed.
#[derive(Debug, thiserror::Error)]
pub enum IpamError {
    /// A file of the store could not be used.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// Every address of a range set is taken.
    #[error("no free address in {ranges} (range set {number}): all {taken} reservations in {dir} are in use")]
    Exhausted {
        /// The ranges as text.
        ranges: String,
        /// Which of the sets.
        number: usize,
        /// How many address files there are.
        taken: usize,
        /// The store's directory.
        dir: PathBuf,
    },
    /// A requested address is taken by another container.
    #[error("the requested address {address} is taken by {owner}")]
    Taken {
        /// The address.
        address: IpAddr,
        /// Who has it.
        owner: String,
    },
    /// Requested addresses that no range contains, or that are a gateway.
    #[error("the requested addresses {0:?} are in no range of the configuration, or are a gateway")]
    NotInRange(Vec<IpAddr>),
}
