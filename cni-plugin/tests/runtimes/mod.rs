//! Runs a script that drives a real container runtime, in namespaces of its own.
//!
//! Mounts, links and processes are the script's: they end with its PID namespace, whatever happens.
//! A package that is missing fails the test with the command that installs it.

use std::path::Path;
use std::process::Command;

/// What the script printed with our own type (`own`), or with ours under the reference plugins' names (`names`); it ends with `nothing-left` when no link and no reservation stayed.
pub fn run(script: &str, plugins: &str) -> String {
    assert!(rustix::process::geteuid().is_root(), "this test starts containers: run it as root (sudo)");
    let dir = tempfile::tempdir().unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/runtimes").join(script);
    let output = Command::new("timeout")
        .args(["120", "unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"])
        .args(["--propagation", "private"])
        .arg(path)
        .arg(dir.path())
        .arg(env!("CARGO_BIN_EXE_weft-cni"))
        .arg(plugins)
        .output()
        .unwrap();
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if let Some(next) = errors.lines().find_map(|line| line.strip_prefix("NEEDS: ")) {
        panic!("a package is missing: {next}");
    }
    assert!(output.status.success(), "{script} {plugins}: {}\n{said}\n{errors}", output.status);
    assert!(said.ends_with("nothing-left\n"), "{script}:\n{said}\n{errors}");
    said.into_owned()
}
