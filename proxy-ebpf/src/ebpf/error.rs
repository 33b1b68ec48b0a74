//! Why the eBPF back end cannot do what it is asked for.

use std::io;
use std::path::PathBuf;

/// An error of the eBPF back end.
#[derive(Debug, thiserror::Error)]
pub enum EbpfError {
    /// The folder for pins is on no bpffs, and none can be mounted.
    #[error(
        "cannot mount a bpffs at {path}: {source}; mount one there (`mount -t bpf bpf {path}`) or name another with --bpf-root"
    )]
    Bpffs {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The cgroup root is none.
    #[error(
        "--cgroup-root {path} is no cgroup v2 folder: {why}; name the mount point of cgroup2 (see /proc/mounts)"
    )]
    Cgroup {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A file of the pins cannot be used.
    #[error("{what} {path}: {source}; `weft proxy --cleanup` removes what an earlier version left")]
    Pin {
        /// What was tried.
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The kernel does not take the programs.
    #[error("the kernel does not take {program}: {why}; {next}")]
    Load {
        /// Which.
        program: String,
        /// What it said, in short.
        why: String,
        /// What to do.
        next: &'static str,
    },
    /// A program cannot be attached.
    #[error("cannot attach {program} to {target}: {source}; {next}")]
    Attach {
        /// Which program.
        program: &'static str,
        /// To what.
        target: String,
        /// What the kernel said.
        source: io::Error,
        /// What to do.
        next: &'static str,
    },
    /// A map cannot be read or written.
    #[error("{what} in map {map}: {why}")]
    Map {
        /// What was tried.
        what: &'static str,
        /// Which map.
        map: &'static str,
        /// What the kernel said.
        why: String,
    },
    /// A map is full.
    #[error("map {map} is full ({capacity} entries): {object} is not programmed; raise --{flag}")]
    Full {
        /// Which map.
        map: &'static str,
        /// How many entries it has.
        capacity: u32,
        /// What found no place.
        object: String,
        /// The flag that sizes it.
        flag: &'static str,
    },
    /// The node's links or addresses cannot be read.
    #[error("cannot read the node's interfaces: {0}")]
    Network(#[from] netstate::Error),
    /// A flag's value cannot be used.
    #[error("--{flag} {value}: {why}")]
    Flag {
        /// Which.
        flag: &'static str,
        /// What was given.
        value: String,
        /// What is wrong with it.
        why: String,
    },
}
