//! The tool chain for the kernel side: a rustc that knows the target, bpf-linker with the same LLVM, llvm-objcopy.
//!
//! Looked for in this order:
//! 1. WEFT_BPF_RUSTC, with WEFT_BPF_LINKER or a bpf-linker in the tool chain's folder;
//! 2. Debian's rustc-web with libstd-rust-web-dev-bpf, a compiled `core` for the target, installed where missing;
//! 3. rustup's nightly with rust-src, which compiles `core` itself, and a bpf-linker on PATH.
//!
//! The folder is target/bpf-toolchain, or what WEFT_BPF_TOOLCHAIN names. For Debian's rustc, bpf-linker is compiled
//! into it once (two CPU-minutes), against the LLVM library that this rustc brought along.

use crate::build;
use crate::error::Error;
use crate::packages::Need;
use crate::{process, setup};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

const LINKER_VERSION: &str = "0.13.0";
/// bpf-linker's feature, and the library that it links: those of Debian's rustc-web.
const LLVM_FEATURE: &str = "llvm-22";
const LLVM_LIBRARY: &str = "libLLVM.so.22.1";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// What compiles and links the kernel programs.
pub struct Toolchain {
    /// Named for cargo; `None` for rustup's nightly, which brings its own cargo.
    rustc: Option<PathBuf>,
    /// The linker.
    pub linker: PathBuf,
}

impl Toolchain {
    /// Looks in the order above and installs what Debian has.
    pub fn find() -> Result<Toolchain, Error> {
        let named_linker = std::env::var_os("WEFT_BPF_LINKER").map(PathBuf::from);
        if let Some(rustc) = std::env::var_os("WEFT_BPF_RUSTC") {
            let linker = named_linker.unwrap_or_else(|| folder().join("bin/bpf-linker"));
            return Toolchain { rustc: Some(rustc.into()), linker }.whole();
        }
        let rustc = PathBuf::from(DEBIAN_RUSTC);
        if setup::ensure(Need::Bpf).is_ok() && has_core(&rustc) {
            let linker = match named_linker {
                Some(linker) => linker,
                None => installed_linker()?,
            };
            return Toolchain { rustc: Some(rustc), linker }.whole();
        }
        println!("bpf: Debian's rustc-web is not to be had; trying rustup's nightly with rust-src");
        let linker = named_linker.or_else(|| process::find_on_path("bpf-linker"));
        match linker {
            Some(linker) if nightly_has_sources() => Toolchain { rustc: None, linker }.whole(),
            _ => Err(Error::NoBpfToolchain),
        }
    }

    /// Refuses a linker that is not there, before cargo says so less clearly.
    fn whole(self) -> Result<Toolchain, Error> {
        if self.linker.is_file() { Ok(self) } else { Err(Error::NoBpfToolchain) }
    }

    /// cargo with this rustc.
    pub fn cargo(&self) -> Command {
        match &self.rustc {
            Some(rustc) => {
                let mut command = Command::new(cargo_program());
                command.env("RUSTC", rustc);
                command
            }
            None => nightly("cargo"),
        }
    }

    /// Further flags for `cargo build`.
    pub fn cargo_flags(&self) -> &'static [&'static str] {
        if self.rustc.is_some() { &[] } else { &["-Zbuild-std=core"] }
    }

    /// The versions of all three tools: equal texts give equal objects.
    pub fn versions(&self) -> Result<String, Error> {
        let mut rustc = match &self.rustc {
            Some(rustc) => Command::new(rustc),
            None => nightly("rustc"),
        };
        let rustc = process::output(rustc.arg("-vV"))?;
        let linker = process::output(Command::new(&self.linker).arg("--version"))?;
        let objcopy = process::output(Command::new("llvm-objcopy").arg("--version"))?;
        let objcopy = objcopy.lines().find(|line| line.contains("version")).unwrap_or_default().trim();
        Ok(format!("{}\n{}\nllvm-objcopy: {objcopy}\n", rustc.trim(), linker.trim()))
    }
}

fn cargo_program() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn folder() -> PathBuf {
    match std::env::var_os("WEFT_BPF_TOOLCHAIN") {
        Some(folder) => folder.into(),
        None => build::target_dir().join("bpf-toolchain"),
    }
}

/// Whether a rustc has a compiled `core` for the target.
fn has_core(rustc: &Path) -> bool {
    let mut command = Command::new(rustc);
    command.args(["--print", "target-libdir", "--target", "bpfel-unknown-none"]);
    process::output(&mut command).is_ok_and(|dir| Path::new(dir.trim()).is_dir())
}

fn nightly(program: &str) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", program]);
    // Those of the cargo that runs this would win over rustup's.
    command.env_remove("RUSTC").env_remove("CARGO");
    command
}

fn nightly_has_sources() -> bool {
    let sysroot = process::output(nightly("rustc").args(["--print", "sysroot"]));
    sysroot.is_ok_and(|dir| Path::new(dir.trim()).join("lib/rustlib/src/rust/library/core").is_dir())
}

/// bpf-linker in the folder, compiled now where it is not there yet.
fn installed_linker() -> Result<PathBuf, Error> {
    let linker = folder().join("bin/bpf-linker");
    if linker.is_file() {
        return Ok(linker);
    }
    println!("bpf: compiling bpf-linker {LINKER_VERSION}, once, for about two minutes");
    let prefix = folder().join("llvm");
    link_llvm(&prefix.join("lib"))?;
    let mut command = Command::new(cargo_program());
    command.args(["install", "bpf-linker", "--version", LINKER_VERSION, "--locked", "--no-default-features"]);
    command.args(["--features", LLVM_FEATURE, "--root"]).arg(folder());
    command.arg("--target-dir").arg(build::target_dir().join("bpf-linker"));
    command.env("LLVM_PREFIX", &prefix);
    // Its own speed matters little beside the time that a thorough compilation takes.
    for (name, value) in [("LTO", "off"), ("DEBUG", "0"), ("CODEGEN_UNITS", "16"), ("OPT_LEVEL", "1")] {
        command.env(format!("CARGO_PROFILE_RELEASE_{name}"), value);
    }
    process::succeed(&mut command, "the message above says why; bpf-linker comes from crates.io")?;
    Ok(linker)
}

/// A folder as LLVM's development package would have it, around the library that rustc-web brought along.
fn link_llvm(lib: &Path) -> Result<(), Error> {
    let library = llvm_library().ok_or(Error::NoBpfToolchain)?;
    std::fs::create_dir_all(lib).map_err(|source| Error::File { path: lib.to_owned(), source })?;
    for name in ["libLLVM.so", LLVM_LIBRARY] {
        let link = lib.join(name);
        match std::os::unix::fs::symlink(&library, &link) {
            Err(source) if source.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(Error::File { path: link, source });
            }
            _ => {}
        }
    }
    Ok(())
}

/// The LLVM library, in the folder of the machine's architecture.
fn llvm_library() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.flatten();
    folders.map(|folder| folder.path().join(LLVM_LIBRARY)).find(|library| library.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rustc_that_is_not_there_has_no_core() {
        assert!(!has_core(Path::new("/nonexistent/rustc")));
    }

    #[test]
    fn a_tool_chain_without_its_linker_is_refused() {
        let toolchain = Toolchain { rustc: None, linker: PathBuf::from("/nonexistent/bpf-linker") };
        let error = toolchain.whole().err().unwrap().to_string();
        assert!(error.contains("rustc-web"), "{error}");
    }
}
