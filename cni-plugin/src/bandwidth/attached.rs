//! Where an attachment is shaped: its host end, its ifb, and the record that says which they were.
//!
//! ```text
//! <dataDir>/<network>/<container id>_<ifname>.json
//!   {"containerId": "…", "ifname": "eth0", "ifb": "bwp9b00b9b7c279", "host": "vethabc…", "hostIndex": 12, "root": true}
//! ```
//!
//! Written before the kernel is changed: DEL needs neither prevResult nor the container's namespace, and GC
//! finds what a killed ADD left. The reference keeps no record; of what it made, DEL removes the ifb by its name.

use super::config;
use crate::attach::{kernel_error, pod};
use crate::plugin::Call;
use crate::record;
use crate::types::{Attachment, CniError, CniResult, ErrorCode};
use netstate::{Kernel, Link, LinkKind};
use ring::digest::{SHA512, digest};
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// The reference's name of an attachment's ifb: 15 characters, out of the network's name and the container's id.
pub(super) fn ifb_name(network: &str, container_id: &str) -> String {
    let hash = digest(&SHA512, format!("{network}{container_id}").as_bytes());
    let mut name = String::from("bwp");
    for byte in &hash.as_ref()[..6] {
        // Writing to a String cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    name
}

/// What ADD is about to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Record {
    /// Whose it is.
    pub container_id: String,
    /// Its interface.
    pub ifname: String,
    /// The ifb, where what the container sends is limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ifb: Option<String>,
    /// The host's end of the container's link.
    pub host: String,
    /// Its index: another link of that name is not it.
    pub host_index: u32,
    /// Its root qdisc is ours.
    pub root: bool,
}

/// The attachment of ADD, DEL and CHECK.
pub(super) fn attachment(call: &Call) -> Attachment {
    let (container_id, ifname) = (call.invocation.container_id.clone(), call.invocation.ifname.clone());
    Attachment { container_id, ifname }
}

/// The record of a call's attachment, as a file.
pub(super) struct RecordFile(PathBuf);

impl RecordFile {
    /// Of an attachment of the call's network.
    pub fn of(call: &Call, attachment: &Attachment) -> Result<Self, CniError> {
        Ok(RecordFile(directory(call)?.join(file_name(attachment))))
    }

    pub fn write(&self, record: &Record) -> Result<(), CniError> {
        let text = serde_json::to_string(record).unwrap_or_default();
        record::write(&self.0, &text)
    }

    /// What it says; one that cannot be read says nothing, because DEL must get past it.
    pub fn read(&self) -> Result<Option<Record>, CniError> {
        Ok(record::read(&self.0)?.and_then(|text| serde_json::from_str(&text).ok()))
    }

    pub fn remove(&self) -> Result<(), CniError> {
        record::remove(&self.0)
    }
}

fn file_name(attachment: &Attachment) -> String {
    format!("{}_{}.json", attachment.container_id, attachment.ifname)
}

fn directory(call: &Call) -> Result<PathBuf, CniError> {
    Ok(config::data_dir(&call.raw)?.join(&call.name))
}

/// All attachments of the call's network that have a record. One that cannot be read, because its writer was
/// killed or somebody edited it, has only its name: both parts may hold '_', but an id seldom does.
pub(super) fn recorded(call: &Call) -> Result<Vec<Attachment>, CniError> {
    let directory = directory(call)?;
    let attachment = |name: String| {
        let written: Option<Record> = record::read(&directory.join(&name))
            .ok()
            .flatten()
            .and_then(|text| serde_json::from_str(&text).ok());
        // What is in it counts only where it is what the name says: the name is what is removed.
        let told = written.map(|r| Attachment { container_id: r.container_id, ifname: r.ifname });
        if let Some(told) = told.filter(|told| file_name(told) == name) {
            return Some(told);
        }
        let (container_id, ifname) = name.strip_suffix(".json")?.split_once('_')?;
        Some(Attachment { container_id: container_id.to_owned(), ifname: ifname.to_owned() })
    };
    Ok(record::names(&directory)?.into_iter().filter_map(attachment).collect())
}

/// Whether records can be written.
pub(super) fn can_record(call: &Call) -> Result<(), CniError> {
    let directory = config::data_dir(&call.raw)?;
    record::make_dir(&directory)?;
    writable(&directory)
}

fn writable(directory: &Path) -> Result<(), CniError> {
    rustix::fs::access(directory, rustix::fs::Access::WRITE_OK)
        .map_err(|error| record::io_error("write into", directory, error.into()))
}

/// The host's end of the container's link, by the reference's rule: the container's link is a veth, its peer is
/// in this namespace, and prevResult tells of it.
pub(super) fn host_link(kernel: &mut Kernel, call: &Call, previous: &CniResult) -> Result<Link, CniError> {
    let ifname = &call.invocation.ifname;
    let object = format!("{ifname} in the container");
    let inside = {
        let netns = pod::open(&call.invocation.netns)?;
        let mut inside = Kernel::open_in(&netns).map_err(kernel_error(&object))?;
        inside.route.link(ifname).map_err(kernel_error(&object))?
    };
    let refuse = |why: String| {
        let details = "bandwidth limits a veth: put it behind a plugin that makes one, such as bridge or ptp";
        CniError::new(ErrorCode::InvalidConfig, format!("{object} cannot be limited: {why}"), details)
    };
    let inside = inside.ok_or_else(|| refuse("it does not exist".into()))?;
    let peer = inside.parent.filter(|_| inside.kind == LinkKind::Veth);
    let peer = peer.ok_or_else(|| refuse("it is no veth, so it has no end on the host".into()))?;
    let host = kernel.route.link_at(peer).map_err(kernel_error(&object))?;
    let host = host.filter(|host| host.parent == Some(inside.index));
    let host =
        host.ok_or_else(|| refuse(format!("its other end, number {peer}, is not in this namespace")))?;
    match previous.interfaces.iter().any(|i| i.sandbox.is_empty() && *i.name == *host.name) {
        true => Ok(host),
        false => Err(refuse(format!("prevResult does not tell of its other end, {}", host.name))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_ifb_is_called_as_the_reference_calls_it() {
        // Made by release 1.1.1 for network "n" and container "c1".
        assert_eq!(ifb_name("n", "c1"), "bwp9b00b9b7c279");
    }

    proptest! {
        #[test]
        fn no_record_panics(text in "\\PC{0,80}") {
            let _ = serde_json::from_str::<Record>(&text);
        }
    }
}
