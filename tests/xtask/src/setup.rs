//! `cargo xtask setup`: the Debian packages that are missing, for tests etcd 3.5 as well, and nothing else.
//!
//! Idempotent and quick: when dpkg's status file lists everything, nothing is started. The package index is
//! fetched only when an installation fails without it or when there is none.

use crate::error::Error;
use crate::packages::{self, Need, Package, STATUS_FILE};
use crate::peers;
use crate::process;
use std::path::Path;
use std::process::Command;

/// Wait this long for another apt to finish.
const LOCK_TIMEOUT_S: u32 = 300;

/// Installs what is missing for `need`, saying what and why.
pub fn ensure(need: Need) -> Result<(), Error> {
    ensure_packages(need)?;
    if need == Need::Test { peers::ensure() } else { Ok(()) }
}

fn ensure_packages(need: Need) -> Result<(), Error> {
    let missing = packages::missing(need, Path::new(STATUS_FILE))?;
    if missing.is_empty() {
        println!("setup: all {} packages are there", wanted(need));
        return Ok(());
    }
    println!("setup: installing {} of {} packages:", missing.len(), wanted(need));
    for package in &missing {
        println!("  {:<28} {}", package.name, package.why);
    }
    if index_is_empty() {
        update_index()?;
    }
    if install(&missing).is_err() {
        // A stale index names package files that the mirror no longer has.
        update_index()?;
        install(&missing)?;
    }
    Ok(())
}

fn wanted(need: Need) -> usize {
    packages::PACKAGES.iter().filter(|p| need.includes(p.need)).count()
}

/// Whether apt has no package index yet, as in a fresh container.
fn index_is_empty() -> bool {
    let lists = std::fs::read_dir("/var/lib/apt/lists").into_iter().flatten().flatten();
    !lists.into_iter().any(|entry| entry.file_name().to_string_lossy().contains("_Packages"))
}

fn apt_get() -> Result<Command, Error> {
    let mut command = process::as_root(Path::new("/usr/bin/env"))?;
    command.arg("DEBIAN_FRONTEND=noninteractive").arg("apt-get").arg("-q");
    command.arg("-o").arg(format!("DPkg::Lock::Timeout={LOCK_TIMEOUT_S}"));
    Ok(command)
}

fn update_index() -> Result<(), Error> {
    println!("setup: fetching the package index");
    process::succeed(apt_get()?.arg("update"), "check the network and /etc/apt/sources.list")
}

fn install(missing: &[Package]) -> Result<(), Error> {
    let mut command = apt_get()?;
    command.args(["install", "--yes", "--no-install-recommends"]);
    command.args(missing.iter().map(|p| p.name));
    process::succeed(&mut command, "apt's message above says why; `dpkg --configure -a` ends a broken one")
}
