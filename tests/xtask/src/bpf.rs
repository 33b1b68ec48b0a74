//! `cargo xtask bpf`: builds the service proxy's kernel programs into the object that is committed.
//!
//! ```text
//! proxy-ebpf/ebpf ─ rustc, bpf-linker ─► object with BTF ─ llvm-objcopy --strip-debug ─► weft-proxy.o
//!                                                       versions of these three tools ─► weft-proxy.o.txt
//! ```
//!
//! The object is committed so that building the daemon needs no tool chain for the kernel side. Paths of the
//! checkout and of cargo's registry are taken out, so that the same tools give the same bytes in any folder:
//! `--check` builds again and compares them. With other tools the bytes say nothing, and the tests of the programs,
//! which run on the committed object, are what vouches for it.

use crate::bpf_toolchain::Toolchain;
use crate::build;
use crate::error::Error;
use crate::process;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const TARGET: &str = "bpfel-unknown-none";
/// The crate that may use features that are not stable: aya-ebpf, and no other.
const UNSTABLE: &str = "aya_ebpf";
const ADVICE: &str = "the message above says where";

/// The command, with `--check` or without arguments.
pub fn run(args: &[String]) -> Result<ExitCode, Error> {
    let check = match args {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => return Err(Error::Usage("`bpf` takes --check or nothing".into())),
    };
    let toolchain = Toolchain::find()?;
    let versions = toolchain.versions()?;
    let built = build(&toolchain)?;
    let object = folder().join("weft-proxy.o");
    let record = folder().join("weft-proxy.o.txt");
    if check {
        return compare(&built, &versions, &object, &record);
    }
    write(&object, &built)?;
    write(&record, versions.as_bytes())?;
    println!("bpf: {}, {} bytes", object.display(), built.len());
    Ok(ExitCode::SUCCESS)
}

fn folder() -> PathBuf {
    build::workspace().join("proxy-ebpf/ebpf")
}

/// Compares with what is committed.
fn compare(built: &[u8], versions: &str, object: &Path, record: &Path) -> Result<ExitCode, Error> {
    let committed = read(object)?;
    if read(record)? != versions.as_bytes() {
        println!(
            "bpf: {} was built by other versions than the ones here, so bytes are not compared; the tests of the \
             programs alone vouch for it. Here:\n{versions}",
            object.display()
        );
        return Ok(ExitCode::SUCCESS);
    }
    if committed != built {
        return Err(Error::ObjectDiffers { path: object.to_owned() });
    }
    println!("bpf: {} is what its sources give", object.display());
    Ok(ExitCode::SUCCESS)
}

/// Builds the object and gives its bytes, stripped.
fn build(toolchain: &Toolchain) -> Result<Vec<u8>, Error> {
    let target_dir = build::target_dir().join("bpf");
    let manifest = folder().join("Cargo.toml");
    // Fetched first: only then are the registry's folders there, whose paths are taken out.
    let mut fetch = toolchain.cargo();
    fetch.args(["fetch", "--locked", "--manifest-path"]).arg(&manifest);
    process::succeed(&mut fetch, "check the network and cargo's configuration")?;
    let mut command = toolchain.cargo();
    command.args(["build", "--release", "--locked", "--target", TARGET]).args(toolchain.cargo_flags());
    command.arg("--manifest-path").arg(&manifest).arg("--target-dir").arg(&target_dir);
    command.env("RUSTC_BOOTSTRAP", UNSTABLE);
    command.env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", &toolchain.linker);
    command.env("CARGO_ENCODED_RUSTFLAGS", flags(&build::workspace(), &registries()).join("\x1f"));
    process::succeed(&mut command, ADVICE)?;
    let linked = target_dir.join(TARGET).join("release/weft-proxy");
    let stripped = target_dir.join("weft-proxy.o");
    let mut strip = Command::new("llvm-objcopy");
    process::succeed(
        strip.arg("--strip-debug").arg(&linked).arg(&stripped),
        "install Debian's package llvm",
    )?;
    read(&stripped)
}

/// The compiler's flags. The architecture is that of kernel structures in probes, of which there are none.
fn flags(checkout: &Path, registries: &[PathBuf]) -> Vec<String> {
    let mut flags =
        vec!["--cfg=bpf_target_arch=\"x86_64\"".into(), "-Cdebuginfo=2".into(), "-Clink-arg=--btf".into()];
    flags.push(format!("--remap-path-prefix={}=/weft", checkout.display()));
    flags.extend(registries.iter().map(|dir| format!("--remap-path-prefix={}=/cargo", dir.display())));
    flags
}

/// Folders into which cargo unpacks sources, one for each registry or mirror.
fn registries() -> Vec<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")));
    let sources = home.map(|home| home.join("registry/src")).and_then(|dir| fs::read_dir(dir).ok());
    let mut dirs: Vec<PathBuf> = sources.into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    dirs.sort();
    dirs
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::File { path: path.to_owned(), source })
}

/// Beside and renamed: a build that is cut off leaves the old file.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let part = path.with_extension("part");
    let written = fs::write(&part, bytes).and_then(|()| fs::rename(&part, path));
    written.map_err(|source| Error::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_the_machine_are_taken_out() {
        let flags = flags(Path::new("/home/me/weft"), &[PathBuf::from("/home/me/.cargo/registry/src/x")]);
        assert!(flags.contains(&"--remap-path-prefix=/home/me/weft=/weft".to_owned()));
        assert!(flags.contains(&"--remap-path-prefix=/home/me/.cargo/registry/src/x=/cargo".to_owned()));
    }

    #[test]
    fn the_committed_object_names_no_folder_of_a_machine() {
        let object = String::from_utf8_lossy(&read(&folder().join("weft-proxy.o")).unwrap()).into_owned();
        assert!(object.contains("/weft/proxy-ebpf/ebpf/src/tc/"), "it has its sources' names");
        for folder in ["/.cargo/", "/home/", "/root/", "/work/"] {
            assert!(!object.contains(folder), "{folder}");
        }
    }

    #[test]
    fn bytes_are_compared_only_between_equal_versions() {
        let dir = std::env::temp_dir().join(format!("xtask-bpf-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let (object, record) = (dir.join("a.o"), dir.join("a.o.txt"));
        write(&object, b"old").unwrap();
        write(&record, b"rustc 1").unwrap();
        assert!(compare(b"old", "rustc 1", &object, &record).is_ok());
        assert!(compare(b"new", "rustc 2", &object, &record).is_ok());
        let error = compare(b"new", "rustc 1", &object, &record).unwrap_err();
        assert!(error.to_string().contains("a.o"), "{error}");
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn unknown_arguments_are_errors_of_usage() {
        assert_eq!(run(&["--chekc".to_owned()]).unwrap_err().exit_code(), 2);
    }
}
