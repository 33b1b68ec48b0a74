//! A disk in memory that does what disks do at their worst: it forgets what was not synced, tears what was being
//! written, is full, or refuses.
//!
//! After a power cut each write since the last sync has been done, not done, or done in part, in whole sectors and in
//! any order: what a drive may make of its queue.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use redb::{BackendError, StorageBackend};
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::{Arc, Mutex};
use weft_etcd::{Disk, StartError, storage};

const SECTOR: usize = 512;

/// How the disk takes writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// As it should.
    Well,
    /// No room for longer files.
    Full,
    /// Every write fails.
    Broken,
    /// The power is off.
    Off,
}

#[derive(Debug)]
struct State {
    mood: Mood,
    /// Operations until the power goes.
    left: Option<u64>,
}

#[derive(Clone, Debug, Default)]
struct Image {
    synced: Vec<u8>,
    now: Vec<u8>,
    pending: Vec<(usize, Vec<u8>)>,
}

#[derive(Clone, Debug)]
struct Piece {
    image: Arc<Mutex<Image>>,
    state: Arc<Mutex<State>>,
}

/// The disk: a data file and a log.
#[derive(Clone, Debug)]
pub struct SimulatedDisk {
    data: Piece,
    log: Piece,
    state: Arc<Mutex<State>>,
}

impl SimulatedDisk {
    /// An empty one.
    pub fn empty() -> SimulatedDisk {
        SimulatedDisk::with(Image::default(), Image::default())
    }

    fn with(data: Image, log: Image) -> SimulatedDisk {
        let state = Arc::new(Mutex::new(State { mood: Mood::Well, left: None }));
        let piece = |image| Piece { image: Arc::new(Mutex::new(image)), state: state.clone() };
        SimulatedDisk { data: piece(data), log: piece(log), state }
    }

    /// From now on.
    pub fn becomes(&self, mood: Mood) {
        self.state.lock().unwrap().mood = mood;
    }

    /// The power goes after so many writes and syncs.
    pub fn dies_after(&self, operations: u64) {
        self.state.lock().unwrap().left = Some(operations);
    }

    /// What is there when the power is back.
    pub fn after_power_cut(&self, seed: u64) -> SimulatedDisk {
        let mut random = StdRng::seed_from_u64(seed);
        let mut survive = |piece: &Piece| piece.image.lock().unwrap().survive(&mut random);
        let (data, log) = (survive(&self.data), survive(&self.log));
        SimulatedDisk::with(data, log)
    }
}

impl Image {
    fn survive(&self, random: &mut StdRng) -> Image {
        let mut bytes = self.synced.clone();
        // A file's length is a matter of its own: longer is seen with zeros.
        bytes.resize(bytes.len().max(self.now.len()), 0);
        for (offset, data) in &self.pending {
            for (at, sector) in data.chunks(SECTOR).enumerate() {
                if random.random_bool(0.5) {
                    let at = offset + at * SECTOR;
                    bytes[at..at + sector.len()].copy_from_slice(sector);
                }
            }
        }
        Image { synced: bytes.clone(), now: bytes, pending: Vec::new() }
    }
}

impl Piece {
    fn allowed(&self, grows: bool) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        if let Some(left) = &mut state.left {
            match left.checked_sub(1) {
                Some(less) => *left = less,
                None => state.mood = Mood::Off,
            }
        }
        match state.mood {
            Mood::Well => Ok(()),
            Mood::Full if !grows => Ok(()),
            Mood::Full => Err(io::ErrorKind::StorageFull.into()),
            Mood::Broken => Err(io::Error::other("the drive says no")),
            Mood::Off => Err(io::Error::other("the power is off")),
        }
    }
}

impl StorageBackend for Piece {
    fn len(&self) -> io::Result<u64> {
        Ok(self.image.lock().unwrap().now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let image = self.image.lock().unwrap();
        let from = image.now.get(offset as usize..offset as usize + out.len());
        out.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.allowed(len > self.len()?)?;
        let mut image = self.image.lock().unwrap();
        image.now.resize(len as usize, 0);
        image.synced.resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.allowed(false)?;
        let mut image = self.image.lock().unwrap();
        image.synced = image.now.clone();
        image.pending.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.allowed(false)?;
        let mut image = self.image.lock().unwrap();
        let offset = offset as usize;
        image.now[offset..offset + data.len()].copy_from_slice(data);
        image.pending.push((offset, data.to_vec()));
        Ok(())
    }

    fn try_lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
        Ok(true)
    }
}

impl Disk for SimulatedDisk {
    fn open(&self) -> Result<storage::Opened, StartError> {
        storage::open(self.data.clone(), self.path())
    }

    fn open_held(&self) -> Result<storage::Opened, StartError> {
        storage::open(storage::file::Held::over(self.data.clone()), self.path())
    }

    fn log(&self) -> Box<dyn StorageBackend> {
        storage::log::prepare(&self.log).unwrap();
        Box::new(self.log.clone())
    }

    fn path(&self) -> &Path {
        Path::new("simulated")
    }

    fn size(&self) -> u64 {
        self.data.len().unwrap()
    }
}
