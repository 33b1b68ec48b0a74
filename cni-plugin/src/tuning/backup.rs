//! What a link was like before, in the reference's form, so that either side's DEL undoes the other's ADD.
//!
//! ```text
//! <dataDir>/<container id>_<ifname>.json       the reference's: {\n "mac": "…",\n "promisc": false,\n "mtu": 1500\n}
//!           .weft/<network>/<same name>        ours: a link to it, because the name above tells no network and
//!                                              GC is told of one network's attachments only
//! ```
//!
//! Only what ADD changes is in it. A second ADD of the same interface (two `tuning` in one list) adds what is not
//! there yet; the reference overwrites, and DEL then restores what the first ADD had set.

use super::config::parse_mac;
use crate::crash;
use crate::plugin::Call;
use crate::record::{self, io_error};
use crate::tuning::config::Settings;
use crate::types::{Attachment, CniError};
use netstate::{Link, LinkChange};
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::path::PathBuf;

const INDEX: &str = ".weft";

/// `configToRestore` of the reference, in its order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Backup {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    mac: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    promisc: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mtu: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    allmulti: Option<bool>,
    #[serde(default, rename = "txQLen", skip_serializing_if = "Option::is_none")]
    txqlen: Option<i64>,
}

impl Backup {
    /// What `settings` will change of a link.
    pub fn of(link: &Link, settings: &Settings) -> Self {
        let mac = settings.mac.and(link.mac).map(|mac| mac.to_string());
        Backup {
            mac: mac.unwrap_or_default(),
            promisc: settings.promiscuous.then_some(link.promiscuous),
            mtu: settings.mtu.map(|_| link.mtu.into()),
            allmulti: settings.all_multicast.map(|_| link.all_multicast),
            txqlen: settings.txqlen.map(|_| link.txqlen.into()),
        }
    }

    /// Reads a file's text; `None` for what is no backup.
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    fn print(&self) -> String {
        let mut bytes = Vec::new();
        // Go's json.MarshalIndent(…, "", " ").
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b" ");
        let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
        // Writing into a vector cannot fail, and none of the fields can.
        let _ = self.serialize(&mut serializer);
        String::from_utf8(bytes).unwrap_or_default()
    }

    /// This one, with what only the other has.
    fn or(self, other: Backup) -> Self {
        Backup {
            mac: if self.mac.is_empty() { other.mac } else { self.mac },
            promisc: self.promisc.or(other.promisc),
            mtu: self.mtu.or(other.mtu),
            allmulti: self.allmulti.or(other.allmulti),
            txqlen: self.txqlen.or(other.txqlen),
        }
    }

    /// What restores a link, each attribute by itself: one that the kernel refuses must not keep the others.
    pub fn changes(&self, ifname: &str) -> Vec<LinkChange> {
        let change = || LinkChange::of(ifname);
        let number = |value: Option<i64>| value.and_then(|value| u32::try_from(value).ok());
        let mut changes = Vec::new();
        let mtu = number(self.mtu).filter(|mtu| *mtu != 0);
        changes.extend(mtu.map(|mtu| LinkChange { mtu: Some(mtu), ..change() }));
        changes.extend(parse_mac(&self.mac).ok().map(|mac| LinkChange { mac: Some(mac), ..change() }));
        changes.extend(self.promisc.map(|on| LinkChange { promiscuous: Some(on), ..change() }));
        changes.extend(self.allmulti.map(|on| LinkChange { all_multicast: Some(on), ..change() }));
        changes.extend(number(self.txqlen).map(|packets| LinkChange { txqlen: Some(packets), ..change() }));
        changes
    }
}

/// The backup of an attachment, as a file.
pub(super) struct BackupFile {
    path: PathBuf,
    index: PathBuf,
}

/// A backup's file name.
pub(super) fn name_of(attachment: &Attachment) -> String {
    format!("{}_{}.json", attachment.container_id, attachment.ifname)
}

impl BackupFile {
    /// Of the attachment of a call, in `data_dir`.
    pub fn of(call: &Call, data_dir: PathBuf) -> Self {
        let (container_id, ifname) = (call.invocation.container_id.clone(), call.invocation.ifname.clone());
        Self::named(call, data_dir, &name_of(&Attachment { container_id, ifname }))
    }

    fn named(call: &Call, data_dir: PathBuf, name: &str) -> Self {
        let index = data_dir.join(INDEX).join(&call.name).join(name);
        BackupFile { path: data_dir.join(name), index }
    }

    /// Keeps a backup, beside what is there; answers what was.
    pub fn keep(&self, backup: Backup) -> Result<Option<Backup>, CniError> {
        let earlier = self.read()?;
        let network = self.index.parent().unwrap_or(&self.index);
        record::make_dir(network)?;
        let target = PathBuf::from("../..").join(self.path.file_name().unwrap_or_default());
        match std::os::unix::fs::symlink(target, &self.index) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(io_error("make the link", &self.index, error));
            }
            _ => crash::point("tuning: the backup is indexed"),
        }
        let whole = earlier.clone().unwrap_or_default().or(backup);
        record::write(&self.path, &whole.print())?;
        crash::point("tuning: the backup is written");
        Ok(earlier)
    }

    /// What is kept. What is no backup restores nothing, as in the reference: DEL must get past it.
    pub fn read(&self) -> Result<Option<Backup>, CniError> {
        Ok(record::read(&self.path)?.and_then(|text| Backup::parse(&text)))
    }

    /// Forgets the backup, or goes back to an earlier one.
    pub fn restore(&self, earlier: Option<&Backup>) -> Result<(), CniError> {
        match earlier {
            Some(backup) => record::write(&self.path, &backup.print()),
            None => self.remove(),
        }
    }

    /// Forgets the backup.
    pub fn remove(&self) -> Result<(), CniError> {
        record::remove(&self.path)?;
        crash::point("tuning: the backup is removed");
        // The directory stays: an ADD of another container may be about to use it.
        record::remove(&self.index)
    }
}

/// The backups of the call's network that are of no valid attachment.
pub(super) fn stale(
    call: &Call,
    data_dir: PathBuf,
    valid: &[Attachment],
) -> Result<Vec<BackupFile>, CniError> {
    let valid: Vec<String> = valid.iter().map(name_of).collect();
    let names = record::names(&data_dir.join(INDEX).join(&call.name))?;
    let stale = names.into_iter().filter(|name| !valid.contains(name));
    Ok(stale.map(|name| BackupFile::named(call, data_dir.clone(), &name)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_the_references() {
        let backup = Backup {
            mac: "a2:46:c2:07:35:34".into(),
            promisc: Some(false),
            mtu: Some(1500),
            allmulti: Some(false),
            txqlen: None,
        };
        // Written by release 1.1.1.
        let text = "{\n \"mac\": \"a2:46:c2:07:35:34\",\n \"promisc\": false,\n \"mtu\": 1500,\n \"allmulti\": false\n}";
        assert_eq!(backup.print(), text);
        assert_eq!(Backup::parse(text), Some(backup));
        assert_eq!(Backup::default().print(), "{}");
    }

    #[test]
    fn what_was_kept_first_is_what_was_there() {
        let first = Backup { mtu: Some(1500), ..Backup::default() };
        let second = Backup { mtu: Some(1400), promisc: Some(false), ..Backup::default() };
        let whole = first.or(second);
        assert_eq!((whole.mtu, whole.promisc), (Some(1500), Some(false)));
        assert_eq!(whole.changes("eth0").len(), 2);
        let wrong = Backup { mac: "zz".into(), mtu: Some(-1), txqlen: Some(1 << 40), ..Backup::default() };
        assert!(wrong.changes("eth0").is_empty());
    }
}
