//! Records of what containers claim: one file each, in one directory, under one lock.
//!
//! ```text
//! <dir>/.lock                              flock, held for a whole call
//!       .boot-id                           the boot in which the records were written
//!       cbr0:3f1c…:eth0.json               mode 0600, replaced by rename
//! ```
//!
//! A record is written before the kernel is changed and removed after: what a killed call leaves is known
//! to the next DEL or GC. After a reboot no container of before is left, and neither is the kernel's
//! table: the first call removes all records of another boot.

use crate::config::folder;
use crate::crash;
use crate::lock;
use crate::plugin::{Call, Invocation};
use crate::record;
use crate::types::{Attachment, CniError, ErrorCode};
use netstate::NetNs;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

const BOOT_ID: &str = ".boot-id";
/// A record has a hundred bytes per mapping: what is longer than this was not written here.
const LARGEST_RECORD_BYTES: u64 = 16 * 1024 * 1024;

/// Who claims: an attachment of a network.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Owner {
    /// The network's name.
    pub network: String,
    /// CNI_CONTAINERID.
    pub container: String,
    /// CNI_IFNAME.
    pub ifname: String,
}

impl Owner {
    /// The attachment of a call.
    pub fn of(call: &Call) -> Self {
        let Invocation { container_id, ifname, .. } = &call.invocation;
        Owner { network: call.name.clone(), container: container_id.clone(), ifname: ifname.clone() }
    }

    /// The owner that a comment names; one that was shortened names nobody.
    pub fn of_comment(comment: &str) -> Option<Self> {
        Self::of_parts(comment.splitn(3, '/'))
    }

    fn of_parts<'a>(mut parts: impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut next = || parts.next().map(str::to_owned);
        Some(Owner { network: next()?, container: next()?, ifname: next()? })
    }

    /// Whether it is one of these, of whatever network.
    pub fn is_in(&self, attachments: &[Attachment]) -> bool {
        attachments.iter().any(|a| a.container_id == self.container && a.ifname == self.ifname)
    }

    /// The comment of its elements. What does not fit the kernel's comment is shortened, and told apart
    /// by a hash of the whole.
    pub fn comment(&self) -> String {
        let Owner { network, container, ifname } = self;
        let whole = format!("{network}/{container}/{ifname}");
        if whole.len() <= netstate::nft::COMMENT_BYTES {
            return whole;
        }
        let hash = netstate::fnv1a(whole.bytes());
        let short: String = network.chars().take(40).collect();
        let id: String = container.chars().take(40).collect();
        format!("{short}/{id}~{hash:016x}/{ifname}")
    }
}

/// The name of the file that a comment's owner has its record in.
fn file_name(comment: &str) -> String {
    format!("{}.json", comment.replace('/', ":"))
}

/// The key `dataDir`: where a component's records are.
pub(crate) fn data_dir(raw: &Map<String, Value>, default: &str) -> Result<PathBuf, CniError> {
    folder(raw.get("dataDir"), "dataDir", default)
}

/// What is claimed, as a component keeps it.
pub(crate) trait Body: Serialize + DeserializeOwned + Clone {
    /// A key belongs to its owner while that lives. Otherwise the last one to claim it has it.
    const EXCLUSIVE: bool;

    /// The elements that follow from it.
    fn claims(&self, owner: &Owner) -> Vec<super::Claim>;

    /// The kernel has the elements of all of these again, after it lacked some: what it remembers of the time
    /// between may be wrong.
    fn restored(_all: &[Record<Self>]) {}
}

/// One attachment's claims on disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record<B> {
    /// The form of this file.
    pub version: u32,
    /// Whose it is.
    #[serde(flatten)]
    pub owner: Owner,
    /// CNI_NETNS of the ADD.
    pub netns: String,
    /// That namespace's inode: its path may be another's by now.
    pub netns_inode: u64,
    /// What is claimed.
    pub claims: B,
}

impl<B: Body> Record<B> {
    /// A record of a container whose namespace is there.
    pub fn new(owner: Owner, netns: &str, claims: B) -> Self {
        let netns_inode = inode(netns).unwrap_or(0);
        Record { version: 1, owner, netns: netns.to_owned(), netns_inode, claims }
    }

    /// Whether the container's namespace is still there.
    pub fn is_alive(&self) -> bool {
        inode(&self.netns) == Some(self.netns_inode)
    }

    /// Its elements.
    pub fn elements(&self) -> Vec<super::Claim> {
        self.claims.claims(&self.owner)
    }
}

fn inode(netns: &str) -> Option<u64> {
    NetNs::open(Path::new(netns)).ok()?.inode().ok()
}

/// The records of one component, locked.
#[derive(Debug)]
pub(crate) struct Records {
    dir: PathBuf,
    _lock: OwnedFd,
}

impl Records {
    /// Opens and locks them, making the directory if need be.
    pub fn open(dir: &Path) -> Result<Self, CniError> {
        record::make_dir(dir)?;
        Self::lock(dir)
    }

    /// Opens them only if there ever were any.
    pub fn open_existing(dir: &Path) -> Result<Option<Self>, CniError> {
        if dir.is_dir() { Self::lock(dir).map(Some) } else { Ok(None) }
    }

    fn lock(dir: &Path) -> Result<Self, CniError> {
        let path = dir.join(".lock");
        let lock = lock::exclusive(&path, 0o600).map_err(|(action, error)| io(action, &path)(error))?;
        let records = Records { dir: dir.to_owned(), _lock: lock };
        records.forget_earlier_boot()?;
        Ok(records)
    }

    fn forget_earlier_boot(&self) -> Result<(), CniError> {
        let file = crash::boot_id_file();
        let now = std::fs::read_to_string(&file).map_err(io("read", &file))?;
        let path = self.dir.join(BOOT_ID);
        let noted = match std::fs::read_to_string(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => None,
            noted => Some(noted.map_err(io("read", &path))?),
        };
        if noted.as_deref().map(str::trim) == Some(now.trim()) {
            return Ok(());
        }
        if noted.is_some() {
            for path in self.paths()?.into_iter().chain(self.unfinished()?) {
                record::remove(&path)?;
            }
        }
        record::write(&path, now.trim())?;
        crash::point("records: the boot is noted");
        Ok(())
    }

    /// The record of an element's owner. One that cannot be read is an error that names it.
    pub fn of_comment<B: Body>(&self, comment: &str) -> Result<Option<Record<B>>, CniError> {
        // Comments come from the kernel, where anybody may have put them.
        match comment.contains("..") || comment.is_empty() {
            true => Ok(None),
            false => read(&self.dir.join(file_name(comment))),
        }
    }

    /// The record of an attachment.
    pub fn of<B: Body>(&self, owner: &Owner) -> Result<Option<Record<B>>, CniError> {
        self.of_comment(&owner.comment())
    }

    /// All records, the oldest first. One that is not of this plugin's form claims nothing: that its
    /// container has to be looked at must not keep the others' table from being made whole.
    pub fn all<B: Body>(&self) -> Result<Vec<Record<B>>, CniError> {
        let mut found = Vec::new();
        for path in self.paths()? {
            let written =
                std::fs::metadata(&path).and_then(|m| m.modified()).map_err(io("look at", &path))?;
            match read(&path) {
                Err(error) if is_malformed(&error) => {}
                record => found.extend(record?.map(|record| (written, path, record))),
            }
        }
        found.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        Ok(found.into_iter().map(|(_, _, record)| record).collect())
    }

    /// Removes records of a network that cannot be read or are not whole, by their files' names, but for those that are
    /// `wanted`.
    pub fn remove_malformed<B: Body>(
        &self,
        network: &str,
        wanted: impl Fn(&Owner) -> bool,
    ) -> Result<(), CniError> {
        for path in self.paths()?.into_iter().chain(self.unfinished()?) {
            let malformed = read::<B>(&path).is_err_and(|error| is_malformed(&error));
            let owner =
                path.file_stem().and_then(|stem| Owner::of_parts(stem.to_string_lossy().splitn(3, ':')));
            let unreadable = malformed || !path.exists();
            if unreadable && owner.is_some_and(|owner| owner.network == network && !wanted(&owner)) {
                record::remove(&path)?;
                crash::point("gc: a record that could not be read is gone");
            }
        }
        Ok(())
    }

    /// Whether anybody but `owner` has a record; reads no more names than it must.
    pub fn has_others(&self, owner: &Owner) -> Result<bool, CniError> {
        let own = file_name(&owner.comment());
        let mut names = std::fs::read_dir(&self.dir).map_err(io("list", &self.dir))?;
        Ok(names.any(|entry| {
            entry.is_ok_and(|e| is_record(&e.file_name().to_string_lossy()) && *e.file_name() != *own)
        }))
    }

    /// Whether nobody has a record.
    pub fn is_empty(&self) -> Result<bool, CniError> {
        Ok(self.paths()?.is_empty())
    }

    /// Writes a record whole, or not at all.
    pub fn put<B: Body>(&self, record: &Record<B>) -> Result<(), CniError> {
        let path = self.dir.join(file_name(&record.owner.comment()));
        let text = serde_json::to_string(record).map_err(|e| io("encode", &path)(e.into()))?;
        record::write(&path, &format!("{text}\n"))
    }

    /// Removes an attachment's record; one that is gone is fine.
    pub fn remove(&self, owner: &Owner) -> Result<(), CniError> {
        record::remove(&self.dir.join(file_name(&owner.comment())))
    }

    /// Records whose writer was killed before they were whole: it held the lock, so it is gone.
    fn unfinished(&self) -> Result<Vec<PathBuf>, CniError> {
        let names = record::names(&self.dir)?.into_iter().filter(|name| is_record(name));
        Ok(names.map(|name| self.dir.join(name)).filter(|path| !path.exists()).collect())
    }

    fn paths(&self) -> Result<Vec<PathBuf>, CniError> {
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(&self.dir).map_err(io("list", &self.dir))? {
            let name = entry.map_err(io("list", &self.dir))?.file_name();
            if is_record(&name.to_string_lossy()) {
                paths.push(self.dir.join(name));
            }
        }
        Ok(paths)
    }
}

/// Whether an error is about a record's form.
pub(crate) fn is_malformed(error: &CniError) -> bool {
    error.error_code() == ErrorCode::Decode
}

fn is_record(name: &str) -> bool {
    name.ends_with(".json") && !name.starts_with('.')
}

fn read<B: Body>(path: &Path) -> Result<Option<Record<B>>, CniError> {
    let bytes = match std::fs::metadata(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Ok(data) if data.len() > LARGEST_RECORD_BYTES => Err(std::io::Error::other("it is too long")),
        Ok(_) => std::fs::read(path),
        Err(e) => Err(e),
    };
    let bytes = bytes.map_err(io("read", path))?;
    parse(&bytes).map(Some).map_err(|why| {
        let msg = format!("the record {} is not one of this plugin's: {why}", path.display());
        let details =
            "delete the file and the container that it is named after; GC removes what is left of it";
        CniError::new(ErrorCode::Decode, msg, details)
    })
}

/// Reads a record's text.
pub(crate) fn parse<B: Body>(bytes: &[u8]) -> Result<Record<B>, String> {
    let record: Record<B> = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    match record.version {
        1 => Ok(record),
        other => Err(format!("it is of version {other}, and this plugin knows 1")),
    }
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> CniError {
    move |error| record::io_error(action, path, error)
}

#[cfg(test)]
#[path = "records_tests.rs"]
mod tests;
