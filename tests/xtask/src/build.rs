//! Building: which cargo commands make which programs, and where they land.
//!
//! Everything is compiled once, in the dev profile (which is optimized). The exception is `weft-cni`: what the
//! lab and the benches run is the static program that is shipped, because that is the one to be measured; it
//! has few dependencies, so the second compilation is short.

use crate::error::Error;
use crate::process;
use std::path::{Path, PathBuf};
use std::process::Command;

const ADVICE: &str = "the compiler's message above says where";

/// The workspace's root: two folders above this package's.
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// The folder that cargo builds into: the one this program was built into.
pub fn target_dir() -> PathBuf {
    let exe = std::env::current_exe().unwrap_or_default();
    match exe.ancestors().nth(2) {
        Some(dir) if dir.is_dir() && exe.ends_with("debug/xtask") => dir.to_owned(),
        _ => workspace().join("target"),
    }
}

/// cargo, in the workspace, as the user who typed the command.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace()).env("CARGO_TARGET_DIR", target_dir());
    command
}

/// Builds `weft` in the dev profile and says where it is.
pub fn weft() -> Result<PathBuf, Error> {
    process::succeed(cargo().args(["build", "--package", "weft"]), ADVICE)?;
    Ok(target_dir().join("debug/weft"))
}

/// Builds the static `weft-cni` and says in which folder it is.
pub fn static_cni() -> Result<PathBuf, Error> {
    let host = host()?;
    let mut command = cargo();
    command.args(["build", "--package", "cni-plugin", "--bin", "weft-cni", "--profile", "dist"]);
    // Naming the target keeps +crt-static away from procedural macros, which are shared objects.
    command.args(["--target", &host]);
    let flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    command.env("RUSTFLAGS", format!("{flags} -C target-feature=+crt-static").trim());
    process::succeed(&mut command, ADVICE)?;
    Ok(target_dir().join(host).join("dist"))
}

/// Builds an example of a package in the dev profile and says where it is.
pub fn example(package: &str, name: &str) -> Result<PathBuf, Error> {
    process::succeed(cargo().args(["build", "--package", package, "--example", name]), ADVICE)?;
    Ok(target_dir().join("debug/examples").join(name))
}

/// The machine's target triple, from `rustc -vV`.
pub fn host() -> Result<String, Error> {
    let mut command = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    let text = process::output(command.arg("-vV"))?;
    text.lines().find_map(|line| line.strip_prefix("host: ")).map(str::to_owned).ok_or(Error::NoHost)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_where_its_manifest_is() {
        assert!(workspace().join("tests/xtask/Cargo.toml").is_file());
    }

    #[test]
    fn rustc_names_the_host() {
        assert!(host().unwrap().contains("linux"));
    }
}
