//! The Python client, Debian's `python3-kubernetes`: the calls are in `tests/data/python_client.py`.

#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

use std::path::Path;
use std::process::Command;
use weft_tests::apiserver::{Apiserver, State, run};

/// Debian's own: the package's modules are there for no other.
const PYTHON: &str = "/usr/bin/python3";

fn calls(state: State) {
    let modules = Path::new("/usr/lib/python3/dist-packages/kubernetes");
    assert!(modules.is_dir(), "{} is not there; run `cargo xtask setup`", modules.display());
    let mut server = Apiserver::start(state, &[]);
    // So that there are revisions which the server does not remember.
    server.kill();
    server.restart();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/python_client.py");
    let mut python = Command::new("timeout");
    python.args(["300", PYTHON, "-B"]).arg(script).arg(server.kubeconfig()).arg("python");
    let output = run(python, "");
    let (said, failed) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}: {said}\n{failed}", output.status);
    assert_eq!(said.trim(), "all calls are as they should be");
}

#[test]
fn the_python_client_has_its_calls_with_state_within() {
    calls(State::Within);
}

#[test]
fn the_python_client_has_its_calls_with_debians_etcd() {
    calls(State::Debian);
}
