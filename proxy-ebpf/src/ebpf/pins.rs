//! The folder of pins: what outlives the daemon, so that a restart or an upgrade loses no packet.
//!
//! ```text
//! /sys/fs/bpf/weft-proxy/          mode 0700
//!   maps/CONNECTIONS …             taken over when the layout is the same
//!   links/cgroup-connect4 …        programs are replaced in them, never taken off and put on again
//!   links/tcx-7-ingress …          by interface index
//! ```

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use aya::maps::{Array, Map, MapData, MapInfo};
use weft_proxy_abi as abi;

use super::error::EbpfError;
use super::row::Row;

/// Our folder below the bpffs.
const FOLDER: &str = "weft-proxy";
/// The magic number of a bpffs (include/uapi/linux/magic.h).
const BPF_FS_MAGIC: i64 = 0xcafe_4a11;
/// Maps that name one another's elements: all are taken over, or none.
const TABLE: [&str; 6] = ["SERVICES", "ENDPOINTS", "MAGLEV", "COUNTERS", "SOURCE_RANGES", "AFFINITY"];

/// The folder of pins.
#[derive(Clone, Debug)]
pub struct Pins {
    root: PathBuf,
}

/// What a map must be like to be taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Its name.
    pub name: String,
    /// `enum bpf_map_type`.
    pub kind: u32,
    /// Bytes of a key.
    pub key: u32,
    /// Bytes of a value.
    pub value: u32,
    /// How many entries it has.
    pub entries: u32,
}

impl Pins {
    /// The folder, made if it is not there, on a bpffs that is mounted if none is.
    pub fn open(bpf_root: &Path) -> Result<Pins, EbpfError> {
        let fail = |source| EbpfError::Bpffs { path: bpf_root.to_owned(), source };
        if !is_bpffs(bpf_root).map_err(fail)? {
            let none = rustix::mount::MountFlags::NOSUID
                | rustix::mount::MountFlags::NODEV
                | rustix::mount::MountFlags::NOEXEC;
            rustix::mount::mount("bpf", bpf_root, "bpf", none, c"mode=0700").map_err(|e| fail(e.into()))?;
            tracing::info!(path = %bpf_root.display(), "mounted a bpffs");
        }
        let pins = Pins { root: bpf_root.join(FOLDER) };
        for folder in [pins.root.clone(), pins.maps(), pins.links()] {
            match fs::DirBuilder::new().mode(0o700).create(&folder) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                    let _ = fs::set_permissions(&folder, fs::Permissions::from_mode(0o700));
                }
                Err(source) => return Err(EbpfError::Pin { what: "make", path: folder, source }),
                Ok(()) => {}
            }
        }
        Ok(pins)
    }

    /// The folder as an earlier process left it, if it is there.
    pub fn existing(bpf_root: &Path) -> Option<Pins> {
        let pins = Pins { root: bpf_root.join(FOLDER) };
        pins.maps().is_dir().then_some(pins)
    }

    /// Where maps are pinned.
    pub fn maps(&self) -> PathBuf {
        self.root.join("maps")
    }

    /// Where links are pinned.
    pub fn links(&self) -> PathBuf {
        self.root.join("links")
    }

    /// The pin of a map.
    pub fn map(&self, name: &str) -> PathBuf {
        self.maps().join(name)
    }

    /// The pin of a link.
    pub fn link(&self, name: &str) -> PathBuf {
        self.links().join(name)
    }

    /// Names of the links that are pinned.
    pub fn link_names(&self) -> BTreeSet<String> {
        names(&self.links())
    }

    /// Unpins what cannot be taken over, and tells why.
    pub fn discard_unlike(&self, wanted: &[Shape], maglev_slots: u32) -> Result<(), EbpfError> {
        let there = names(&self.maps());
        if there.is_empty() {
            return Ok(());
        }
        let mut discarded: BTreeSet<String> = BTreeSet::new();
        let config = self.config();
        match config.map(|config| config.layout) {
            Some(layout) if layout == abi::LAYOUT => {
                if config.is_some_and(|config| config.maglev_slots != maglev_slots) {
                    tracing::warn!("writing the service table anew: --maglev-table-size differs");
                    discarded.insert("MAGLEV".to_owned());
                }
                for shape in wanted.iter().filter(|shape| there.contains(&shape.name)) {
                    let found = self.shape(&shape.name)?;
                    if found != *shape {
                        tracing::warn!(map = shape.name, ?found, wanted = ?shape, "starting this map fresh: its shape differs");
                        discarded.insert(shape.name.clone());
                    }
                }
                if TABLE.iter().any(|name| discarded.contains(*name) || !there.contains(*name)) {
                    discarded.extend(TABLE.map(str::to_owned));
                }
            }
            layout => {
                tracing::warn!(
                    found = ?layout,
                    wanted = abi::LAYOUT,
                    "starting all maps fresh: another version wrote them; tracked connections are chosen anew"
                );
                discarded.clone_from(&there);
            }
        }
        discarded
            .extend(there.iter().filter(|name| wanted.iter().all(|shape| shape.name != **name)).cloned());
        for name in discarded.intersection(&there) {
            remove(&self.map(name))?;
        }
        Ok(())
    }

    /// What the programs of an earlier process know of the node.
    fn config(&self) -> Option<abi::Config> {
        let config = self.open_map("CONFIG").ok()?;
        let config = Array::<_, Row<abi::Config>>::try_from(config).ok()?;
        config.get(&0, 0).ok().map(|config| config.0)
    }

    /// Opens a pinned map.
    pub fn open_map(&self, name: &str) -> Result<Map, EbpfError> {
        let path = self.map(name);
        let fail = |e: aya::maps::MapError| EbpfError::Pin {
            what: "open",
            path: path.clone(),
            source: io::Error::other(e.to_string()),
        };
        let data = MapData::from_pin(&path).map_err(fail)?;
        Map::from_map_data(data).map_err(fail)
    }

    fn shape(&self, name: &str) -> Result<Shape, EbpfError> {
        let path = self.map(name);
        let info = MapInfo::from_pin(&path).map_err(|e| EbpfError::Pin {
            what: "look at",
            path,
            source: io::Error::other(e.to_string()),
        })?;
        Ok(Shape {
            name: name.to_owned(),
            kind: info.map_type().map_or(0, |kind| kind as u32),
            key: info.key_size(),
            value: info.value_size(),
            entries: info.max_entries(),
        })
    }

    /// Removes the folder and all in it: programs, links and maps go with their pins.
    pub fn remove_all(&self) -> Vec<EbpfError> {
        let mut errors = Vec::new();
        // Links first: a program never runs without its maps' pins.
        for folder in [self.links(), self.maps()] {
            for name in names(&folder) {
                errors.extend(remove(&folder.join(name)).err());
            }
        }
        for folder in [self.links(), self.maps(), self.root.clone()] {
            match fs::remove_dir(&folder) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(source) => errors.push(EbpfError::Pin { what: "remove", path: folder, source }),
                Ok(()) => {}
            }
        }
        errors
    }
}

/// Unpins.
pub fn remove(path: &Path) -> Result<(), EbpfError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(EbpfError::Pin { what: "remove", path: path.to_owned(), source }),
        Ok(()) => Ok(()),
    }
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn is_bpffs(path: &Path) -> io::Result<bool> {
    let folder = fs::File::open(path)?;
    let found = rustix::fs::fstatfs(folder.as_fd())?;
    Ok(found.f_type == BPF_FS_MAGIC)
}
