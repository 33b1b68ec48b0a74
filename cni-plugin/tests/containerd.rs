//! containerd puts containers on the network: by its own CNI caller and by the CRI, as under a kubelet.

#![allow(clippy::unwrap_used)] // a test says by its panic what is wrong

#[path = "runtimes/mod.rs"]
mod runtimes;

#[test]
fn ctr_runs_a_container_that_reaches_its_gateway() {
    for plugins in ["own", "names"] {
        let said = runtimes::run("containerd.sh", plugins);
        assert!(
            said.contains("inet 10.88.7.2/24") && said.contains("default via 10.88.7.1"),
            "{plugins}: {said}"
        );
        assert!(said.contains("1 packets received"), "{plugins}: {said}");
    }
}

#[test]
fn the_cri_runs_a_pod_and_removes_it() {
    for plugins in ["own", "names"] {
        let said = runtimes::run("cri.sh", plugins);
        for address in ["10.88.7.1", "127.0.0.1"] {
            assert!(said.contains(&format!("host port at {address}: hello")), "{plugins}: {said}");
        }
        assert!(
            said.contains("status has the address") && said.contains("bytes from 10.88.7.2"),
            "{plugins}: {said}"
        );
    }
}
