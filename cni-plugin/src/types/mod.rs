//! The values that cross CNI's boundary: configurations in, results and errors out.
//!
//! Each is the form of the newest specification (1.1.0) in memory; older versions exist only while
//! reading and printing (`result` does the conversion). Source of every format:
//! <https://github.com/containernetworking/cni/blob/spec-v1.1.0/SPEC.md>.

mod error;
mod legacy;
mod netconf;
mod result;
mod version;

pub use error::{CniError, ErrorCode};
pub use netconf::{Attachment, NetConf, NetConfList, name_is_valid};
pub use result::{CniResult, Dns, Interface, IpConfig, ResultError, Route};
pub use version::{SpecVersion, VersionInfo};
