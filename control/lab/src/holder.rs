//! The process that makes the namespaces of a place and holds them until they are pinned.
//!
//! ```text
//! up ─spawn, in the place's cgroup─► weft lab hold NAME     unshare, mounts, host name, lo up
//!    ◄──────────── "ready" ─────────
//!    pins /proc/PID/ns/*
//!    ─────── closes its input ─────► ends                   (a pod's serves load instead, for ever)
//! ```
//!
//! A process of its own, because a cgroup namespace's root is the cgroup of the process that unshares it, and
//! because it dies with its input: whatever kills `up`, no half-made place stays.

use crate::enter;
use crate::error::{At, LabError, Result, Tried};
use crate::load::{PORT, PORTS, Server};
use crate::view;
use crate::{cgroup::Cgroup, enter::Entrance};
use rustix::thread::UnshareFlags;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const READY: &str = "ready";

/// What the process becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// A node or a part of the network: ends when it is pinned.
    Place,
    /// A pod: stays, and serves load.
    Pod,
}

/// `weft lab hold`: makes the namespaces around itself.
pub fn hold(name: &str, what: Hold) -> Result<()> {
    let all = UnshareFlags::NEWNET | UnshareFlags::NEWNS | UnshareFlags::NEWUTS | UnshareFlags::NEWCGROUP;
    // SAFETY: the process is single-threaded and unshares neither memory nor file descriptors.
    unsafe { rustix::thread::unshare_unsafe(all) }.tried(|| format!("make the namespaces of {name}"))?;
    rustix::system::sethostname(name.as_bytes()).tried(|| format!("name the host {name}"))?;
    match what {
        Hold::Place => view::become_node()?,
        Hold::Pod => view::become_pod()?,
    }
    loopback_up().at(name)?;
    let server = match what {
        Hold::Place => None,
        Hold::Pod => Some(Server::bind(PORT, PORTS).tried(|| format!("bind the load server of {name}"))?),
    };
    println!("{READY}");
    io::stdout().flush().tried(|| "say that the place is ready".into())?;
    // The end of the input says that the namespaces are pinned, or that nobody is there to do so.
    let mut word = String::new();
    io::stdin().read_to_string(&mut word).tried(|| "wait for the pins".into())?;
    match server {
        Some(server) if word == "serve" => server.run(),
        _ => Ok(()),
    }
}

fn loopback_up() -> netstate::Result<()> {
    let mut up = netstate::LinkChange::of("lo");
    up.up = Some(true);
    netstate::Kernel::open()?.apply_all(&[netstate::Op::ChangeLink(up)])
}

/// A process that holds the namespaces of a place; killed when dropped before it is released.
pub struct Holder {
    child: Child,
}

impl Holder {
    /// Starts one in a cgroup and waits until its namespaces are made.
    pub fn start(weft: &Path, name: &str, what: Hold, cgroup: &Cgroup) -> Result<Holder> {
        cgroup.create()?;
        let mut command = Command::new(weft);
        command
            .args(["lab", "hold", name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if what == Hold::Pod {
            command.arg("--pod");
        }
        enter::in_cgroup(&mut command, cgroup)?;
        enter::detached(&mut command);
        let child = command.spawn().tried(|| format!("start {}", weft.display()))?;
        let mut holder = Holder { child };
        holder.wait_until_ready(name)?;
        Ok(holder)
    }

    fn wait_until_ready(&mut self, name: &str) -> Result<()> {
        let mut line = String::new();
        if let Some(out) = self.child.stdout.take() {
            BufReader::new(out).read_line(&mut line).tried(|| format!("hear from {name}"))?;
        }
        if line.trim() == READY {
            return Ok(());
        }
        let mut said = String::new();
        if let Some(mut err) = self.child.stderr.take() {
            err.read_to_string(&mut said).tried(|| format!("hear from {name}"))?;
        }
        Err(LabError::Program {
            what: "making the namespaces".into(),
            place: name.into(),
            said: said.trim().to_owned(),
            log: None,
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Pins what it holds and lets it end.
    pub fn pin_to(mut self, entrance: &Entrance) -> Result<()> {
        entrance.pin(self.child.id())?;
        drop(self.child.stdin.take());
        self.child.wait().tried(|| "wait for a holder".into()).map(drop)
    }

    /// Lets it serve load for ever, on its own, and gives its process id.
    pub fn serve(mut self) -> Result<u32> {
        if let Some(mut input) = self.child.stdin.take() {
            input.write_all(b"serve").tried(|| "release a pod".into())?;
        }
        let pid = self.child.id();
        // Not to be killed by the drop below.
        std::mem::forget(self);
        Ok(pid)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // An error means that it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
