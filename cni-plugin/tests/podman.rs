//! podman puts a container on the network and publishes a port of it.

#![allow(clippy::unwrap_used)] // a test says by its panic what is wrong

#[path = "runtimes/mod.rs"]
mod runtimes;

#[test]
fn podman_runs_a_container_with_a_published_port() {
    for plugins in ["own", "names"] {
        let said = runtimes::run("podman.sh", plugins);
        assert!(said.contains("inet 10.88.7.2/24"), "{plugins}: {said}");
        for way in ["node: hello", "localhost: hello", "hairpin: hello", "outside: hello"] {
            assert!(said.contains(way), "{plugins}, {way}: {said}");
        }
        for way in ["node6: hello", "outside6: hello", "hairpin6: hello"] {
            assert!(plugins == "own" || said.contains(way), "{plugins}, {way}: {said}");
        }
    }
}
