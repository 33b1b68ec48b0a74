//! A store's reservations, read without its lock: for those who only look, such as the doctor and errors.
//!
//! What changes meanwhile is seen or not; half a file is no reservation.

use super::Key;
use std::fs::DirEntry;
use std::net::IpAddr;
use std::path::Path;
use std::time::SystemTime;

/// An address that is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// The address.
    pub ip: IpAddr,
    /// Who has it.
    pub key: Key,
    /// Since when.
    pub made: SystemTime,
}

/// All reservations in a network's directory, in the order of addresses.
pub fn reservations(dir: &Path) -> Vec<Reservation> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut found: Vec<Reservation> = entries.filter_map(|entry| reservation(&entry)).collect();
    found.sort_by_key(|reservation| reservation.ip);
    found
}

fn reservation(entry: &DirEntry) -> Option<Reservation> {
    let ip = entry.file_name().to_str()?.parse().ok()?;
    let made = entry.metadata().ok()?.modified().ok()?;
    let key = Key::from_text(&String::from_utf8_lossy(&std::fs::read(entry.path()).ok()?))?;
    Some(Reservation { ip, key, made })
}
