//! The files of a store, under its lock: see the picture in the module above.
//!
//! All changes go through here. A call holds the lock from [`Store::open`] to the drop, as the
//! original does, so at most one process changes a network's store. Nothing is synced to the disk:
//! what a power failure could lose belongs to containers that are gone after it, and those entries
//! are freed by the boot id.

use super::IpamError;
use super::index::{self, Names};
use crate::crash;
use crate::lock;
use rustix::fs::RenameFlags;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

const BOOT_ID: &str = ".weft-boot-id";
const TEMPORARY: &str = ".weft-new";

/// Who has an address: a container and one of its interfaces.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The container's id.
    pub container_id: String,
    /// The interface; empty in files of very old versions of the original.
    pub ifname: String,
}

impl Key {
    /// A key.
    pub fn new(container_id: &str, ifname: &str) -> Self {
        Key { container_id: container_id.to_string(), ifname: ifname.to_string() }
    }

    fn to_text(&self) -> String {
        format!("{}\r\n{}", self.container_id, self.ifname)
    }

    /// Reads a file's content; `None` if it is empty, which only half a reservation is.
    pub fn from_text(text: &str) -> Option<Self> {
        let text = text.trim();
        let (container_id, ifname) = text.split_once("\r\n").unwrap_or((text, ""));
        (!container_id.is_empty()).then(|| Key::new(container_id, ifname))
    }

    /// For the names of the index.
    pub(super) fn hash(&self) -> u64 {
        netstate::fnv1a(self.to_text().bytes())
    }

    /// Whether what a file says is this key; files without an interface match any of the container.
    fn matches(&self, stored: &Key) -> bool {
        self.container_id == stored.container_id && (self.ifname == stored.ifname || stored.ifname.is_empty())
    }
}

/// A network's reservations, locked.
#[derive(Debug)]
pub struct Store {
    pub(super) dir: PathBuf,
    pub(super) names: Names,
    _lock: OwnedFd,
}

impl Store {
    /// Opens and locks a store, making it if need be; frees what an earlier boot left.
    pub fn open(data_dir: &Path, network: &str) -> Result<Self, IpamError> {
        let dir = data_dir.join(network);
        std::fs::create_dir_all(&dir).map_err(io("make the directory", &dir))?;
        Store::lock(dir)
    }

    /// Opens a store only if it exists: freeing in one that doesn't has nothing to do.
    pub fn open_existing(data_dir: &Path, network: &str) -> Result<Option<Self>, IpamError> {
        let dir = data_dir.join(network);
        if dir.is_dir() { Store::lock(dir).map(Some) } else { Ok(None) }
    }

    fn lock(dir: PathBuf) -> Result<Self, IpamError> {
        let path = dir.join("lock");
        let lock = lock::exclusive(&path, 0o750).map_err(|(action, error)| io(action, &path)(error))?;
        let mut store = Store { dir, names: Names::default(), _lock: lock };
        // Its writer held this lock, so it is dead.
        store.remove_file(&store.dir.join(TEMPORARY))?;
        store.names = Names::read(&store)?;
        store.free_earlier_boot()?;
        store.index_the_rest()?;
        Ok(store)
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// How many addresses are taken.
    pub fn taken(&self) -> usize {
        self.names.taken.len()
    }

    /// Who has the address.
    pub fn owner(&self, ip: IpAddr) -> Result<Option<Key>, IpamError> {
        Ok(self.content(&self.dir.join(ip.to_string()))?.as_deref().and_then(Key::from_text))
    }

    /// The addresses of a key, found by the index and confirmed by the files.
    pub fn addresses_of(&self, key: &Key) -> Result<Vec<IpAddr>, IpamError> {
        self.confirmed(key, self.names.hinted(key))
    }

    /// Takes an address for a key. `false`: somebody has it.
    pub fn reserve(&mut self, key: &Key, ip: IpAddr, range_set: usize) -> Result<bool, IpamError> {
        if self.names.taken.contains(&ip) || !self.create(&ip.to_string(), &key.to_text(), true)? {
            return Ok(false);
        }
        self.names.taken.insert(ip);
        crash::point("ipam: the address is taken");
        index::add(self, key.hash(), ip)?;
        self.names.index.entry(ip).or_default().insert(key.hash());
        crash::point("ipam: the address is indexed");
        self.note_last(range_set, ip)?;
        crash::point("ipam: the last address is noted");
        Ok(true)
    }

    /// In place and not by rename: replacing a file makes ext4 write its data out at once (0.2 ms). Cut
    /// short first, so that dying in between leaves a shorter address; it is only where the round goes on.
    fn note_last(&self, range_set: usize, ip: IpAddr) -> Result<(), IpamError> {
        let path = self.dir.join(format!("last_reserved_ip.{range_set}"));
        let text = ip.to_string();
        let write = || -> std::io::Result<()> {
            let mut options = std::fs::OpenOptions::new();
            let mut file = options.write(true).create(true).truncate(false).open(&path)?;
            if file.metadata()?.len() > text.len() as u64 {
                file.set_len(text.len() as u64)?;
            }
            std::io::Write::write_all(&mut file, text.as_bytes())
        };
        write().map_err(io("write", &path))
    }

    /// The address that was given last out of a range set; nonsense in the file counts as none.
    pub fn last_reserved(&self, range_set: usize) -> Result<Option<IpAddr>, IpamError> {
        let content = self.content(&self.dir.join(format!("last_reserved_ip.{range_set}")))?;
        Ok(content.and_then(|text| text.trim().parse().ok()))
    }

    /// Frees every address of a key. Reads all files only if the index knows none.
    pub fn release(&mut self, key: &Key) -> Result<Vec<IpAddr>, IpamError> {
        let mut found = self.addresses_of(key)?;
        if found.is_empty() {
            found = self.confirmed(key, self.names.taken.iter().copied().collect())?;
        }
        for ip in &found {
            self.free(*ip)?;
        }
        Ok(found)
    }

    /// Frees every address whose key is not wanted; reads all files.
    pub fn retain(&mut self, wanted: impl Fn(&Key) -> bool) -> Result<Vec<IpAddr>, IpamError> {
        let mut freed = Vec::new();
        for ip in self.names.taken.clone() {
            if !self.owner(ip)?.is_some_and(|key| wanted(&key)) {
                self.free(ip)?;
                freed.push(ip);
            }
        }
        Ok(freed)
    }

    /// Removes one address: its index entries first, so that a crash leaves a file, never a lie.
    pub(crate) fn free(&mut self, ip: IpAddr) -> Result<(), IpamError> {
        for hash in self.names.index.remove(&ip).unwrap_or_default() {
            index::remove(self, hash, ip)?;
            crash::point("ipam: an index entry is gone");
        }
        self.remove_file(&self.dir.join(ip.to_string()))?;
        self.names.taken.remove(&ip);
        crash::point("ipam: the address is free");
        Ok(())
    }

    fn confirmed(&self, key: &Key, candidates: Vec<IpAddr>) -> Result<Vec<IpAddr>, IpamError> {
        let mut found = Vec::new();
        for ip in candidates {
            if self.owner(ip)?.is_some_and(|stored| key.matches(&stored)) {
                found.push(ip);
            }
        }
        Ok(found)
    }

    /// After a reboot no container of before is left. Entries that were indexed were seen in the boot
    /// that `.weft-boot-id` names; files without an entry may be the original's since then and stay.
    fn free_earlier_boot(&mut self) -> Result<(), IpamError> {
        let current_file = crash::boot_id_file();
        let current = std::fs::read_to_string(&current_file).map_err(io("read", &current_file))?;
        let noted = self.content(&self.dir.join(BOOT_ID))?;
        if noted.as_deref().map(str::trim) == Some(current.trim()) {
            return Ok(());
        }
        if noted.is_some() {
            for (ip, hashes) in self.names.index.clone() {
                match self.owner(ip)? {
                    Some(key) if hashes.contains(&key.hash()) => self.free(ip)?,
                    _ => self.remove_entries(ip)?,
                }
            }
        }
        self.create(BOOT_ID, &format!("{}\n", current.trim()), false)?;
        crash::point("ipam: the boot is noted");
        Ok(())
    }

    fn remove_entries(&mut self, ip: IpAddr) -> Result<(), IpamError> {
        for hash in self.names.index.remove(&ip).unwrap_or_default() {
            index::remove(self, hash, ip)?;
        }
        Ok(())
    }

    /// Indexes files that have no entry, and drops half reservations: the writer of an empty file held
    /// this lock, so it is dead. Drops entries whose file is gone.
    fn index_the_rest(&mut self) -> Result<(), IpamError> {
        for ip in self.names.unindexed() {
            match self.owner(ip)? {
                Some(key) => {
                    index::add(self, key.hash(), ip)?;
                    self.names.index.entry(ip).or_default().insert(key.hash());
                }
                None => self.free(ip)?,
            }
        }
        let dangling: Vec<IpAddr> =
            self.names.index.keys().filter(|ip| !self.names.taken.contains(ip)).copied().collect();
        dangling.into_iter().try_for_each(|ip| self.remove_entries(ip))
    }

    /// Writes a file whole or not at all. With `exclusive`, `false` if the name is taken.
    fn create(&self, name: &str, text: &str, exclusive: bool) -> Result<bool, IpamError> {
        let (temporary, path) = (self.dir.join(TEMPORARY), self.dir.join(name));
        std::fs::write(&temporary, text).map_err(io("write", &temporary))?;
        crash::point("ipam: a file is written, not yet named");
        let renamed =
            if exclusive { rename_exclusive(&temporary, &path) } else { std::fs::rename(&temporary, &path) };
        match renamed {
            Ok(()) => Ok(true),
            Err(e) if exclusive && e.kind() == ErrorKind::AlreadyExists => {
                self.remove_file(&temporary)?;
                Ok(false)
            }
            Err(source) => Err(io("name", &path)(source)),
        }
    }

    fn content(&self, path: &Path) -> Result<Option<String>, IpamError> {
        match std::fs::read(path) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(io("read", path)(source)),
        }
    }

    pub(super) fn remove_file(&self, path: &Path) -> Result<(), IpamError> {
        match std::fs::remove_file(path) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(io("remove", path)(e)),
            _ => Ok(()),
        }
    }

    /// Calls `each` with every name in a directory; one that doesn't exist is empty.
    pub(super) fn list(&self, dir: &Path, mut each: impl FnMut(&OsStr)) -> Result<(), IpamError> {
        let entries = match std::fs::read_dir(dir) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(io("list", dir))?,
        };
        for entry in entries {
            each(&entry.map_err(io("list", dir))?.file_name());
        }
        Ok(())
    }

    /// The taken addresses.
    pub fn taken_addresses(&self) -> &BTreeSet<IpAddr> {
        &self.names.taken
    }
}

/// Renames unless the target exists; by a hard link where the file system has no such rename.
fn rename_exclusive(from: &Path, to: &Path) -> std::io::Result<()> {
    let here = rustix::fs::CWD;
    match rustix::fs::renameat_with(here, from, here, to, RenameFlags::NOREPLACE) {
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            std::fs::hard_link(from, to).and_then(|()| std::fs::remove_file(from))
        }
        other => other.map_err(Into::into),
    }
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> IpamError {
    let path = path.to_path_buf();
    move |source| IpamError::Io { action, path, source }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
