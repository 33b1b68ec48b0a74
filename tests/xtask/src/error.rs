//! The errors of `cargo xtask`: what failed, on what, and what to do next.

use std::fmt;
use std::path::PathBuf;

/// Why a command of `cargo xtask` stopped.
#[derive(Debug)]
pub enum Error {
    /// The command line is not one of ours.
    Usage(String),
    /// The machine has no dpkg: packages are known by Debian's names only.
    NotDebian,
    /// Not root, and nothing to become root with.
    NoSudo(String),
    /// A program could not be started.
    Start {
        /// The command line.
        command: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A program ended with an error of its own, already printed.
    Failed {
        /// The command line.
        command: String,
        /// What to do about it.
        advice: &'static str,
    },
    /// A file could not be read, written or copied.
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Nothing here compiles for the kernel.
    NoBpfToolchain,
    /// The committed object is not what its sources give.
    ObjectDiffers {
        /// The object.
        path: PathBuf,
    },
    /// `rustc -vV` named no host.
    NoHost,
    /// What was built is no 64-bit little-endian ELF program.
    NotElf(PathBuf),
    /// What was built has symbols, or `weft-cni` needs a dynamic linker.
    NotShippable {
        /// The program.
        path: PathBuf,
        /// It has symbols.
        symbols: bool,
    },
}

impl Error {
    /// 2 for a wrong command line, else 1, as is customary.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Usage(_) => 2,
            _ => 1,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Usage(what) => write!(f, "{what}; `cargo xtask help` lists the commands"),
            Error::NotDebian => f.write_str(
                "this machine has no /var/lib/dpkg/status, so packages cannot be checked or installed; run on \
                 Debian 12 or later, or in a container or VM of it",
            ),
            Error::NoSudo(command) => {
                write!(f, "`{command}` needs root and there is no sudo; run this command as root")
            }
            Error::Start { command, source } => {
                write!(f, "cannot start `{command}`: {source}; is the program installed and on PATH?")
            }
            Error::Failed { command, advice } => write!(f, "`{command}` failed; {advice}"),
            Error::File { path, source } => {
                write!(f, "{}: {source}; check the path and its permissions", path.display())
            }
            Error::NotElf(path) => {
                write!(f, "{} is no 64-bit ELF program; build on the kind of machine that it is for", path.display())
            }
            Error::NotShippable { path, symbols: true } => {
                write!(f, "{} is not stripped; check `strip` in the profile `dist`", path.display())
            }
            Error::NotShippable { path, .. } => {
                write!(f, "{} is not static; check RUSTFLAGS for a `crt-static` of yours", path.display())
            }
            Error::NoBpfToolchain => f.write_str(
                "no tool chain for the kernel programs: install Debian's rustc-web and libstd-rust-web-dev-bpf, or \
                 rustup's nightly with rust-src and a bpf-linker on PATH, or name a rustc in WEFT_BPF_RUSTC and a \
                 linker in WEFT_BPF_LINKER",
            ),
            Error::ObjectDiffers { path } => write!(
                f,
                "{} is not what its sources give with the same versions; run `cargo xtask bpf` and commit the result",
                path.display()
            ),
            Error::NoHost => f.write_str(
                "`rustc -vV` printed no `host:` line; check that rustc on PATH is a complete tool chain",
            ),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Start { source, .. } | Error::File { source, .. } => Some(source),
            _ => None,
        }
    }
}
