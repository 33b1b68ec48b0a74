//! The lab itself: up, matrix, status, exec, down; and that nothing of it stays, however it ended.

use std::thread;
use std::time::Duration;
use weft_tests::apiserver::peer;
use weft_tests::{Lab, Machine, weft_command};

const NOTHING: [String; 0] = [];

#[test]
fn every_pod_reaches_every_pod_and_nothing_stays_after_down() {
    let name = "t-matrix";
    drop(Lab::unmade(name));
    let before = Machine::look(name);
    let lab = Lab::up(name, &[]);
    let touched = before.network_changes(&Machine::look(name));
    assert_eq!(touched, NOTHING, "the machine's own network is touched");
    let matrix = lab.run("matrix", &["--megabytes", "5"]);
    assert!(matrix.contains("300 of 300 checks passed"), "{matrix}");
    lab.down();
    assert_eq!(before.changes(&Machine::look(name)), NOTHING);
    assert_eq!(Machine::processes(name), NOTHING);
}

#[test]
fn status_and_exec_speak_to_programs() {
    let lab = Lab::up("t-status", &["--nodes", "2", "--pods-per-node", "1"]);
    let status = lab.status();
    assert_eq!(status["step"], "up");
    let names = |key: &str| -> Vec<String> {
        let all = status[key].as_array().unwrap().iter();
        all.map(|x| x["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("nodes"), ["k8s-node1", "k8s-node2"]);
    assert_eq!(names("pods"), ["pod1", "pod2"]);
    for (i, pod) in status["pods"].as_array().unwrap().iter().enumerate() {
        assert_eq!(pod["node"], format!("k8s-node{}", i + 1));
        assert_eq!(pod["addresses"].as_array().unwrap().len(), 2);
    }
    assert_eq!(status["nodes"][0]["lease"]["public_ip"], "10.0.2.15");
    assert_eq!(lab.exec("pod2", &["sh", "-c", "exit 7"]).status.code(), Some(7));
    assert_eq!(lab.exec("pod2", &["hostname"]).stdout, b"pod2\n");
    // Relative to the root of the cgroup namespace, which is the node's own cgroup; a pod's is its own.
    for place in ["k8s-node2", "pod2"] {
        assert_eq!(cgroup_of(&lab, place, "self"), "/", "{place}");
    }
    let pod = status["pods"][1]["pid"].to_string();
    assert_eq!(cgroup_of(&lab, "k8s-node2", &pod), "/pods/pod2", "the pod as its node sees it");
    let overlay = lab.pid("k8s-node2", "flannel");
    assert_eq!(cgroup_of(&lab, "k8s-node2", &overlay), "/");
    let stranger = std::process::id().to_string();
    assert!(cgroup_of(&lab, "k8s-node2", &stranger).starts_with("/.."), "outside of the node's cgroup");
    let missing = weft_command(&["exec", "--name", "t-status", "pod9", "--", "true"]).output().unwrap();
    assert!(String::from_utf8_lossy(&missing.stderr).contains("pod1, pod2"), "{missing:?}");
    let again = lab.up_command(&[]).output().unwrap();
    assert!(String::from_utf8_lossy(&again.stderr).contains("weft lab down --name t-status"), "{again:?}");
}

/// The cgroup v2 of a process as a place sees it.
fn cgroup_of(lab: &Lab, place: &str, pid: &str) -> String {
    let read = lab.exec(place, &["cat", &format!("/proc/{pid}/cgroup")]);
    let text = String::from_utf8_lossy(&read.stdout).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("0::"));
    line.unwrap_or_else(|| panic!("{place} has no cgroup v2: {read:?}")).to_owned()
}

/// What kubectl says on the first node of a lab.
fn kubectl(lab: &Lab, words: &[&str]) -> String {
    let program = peer("kubectl-1.37", "kubectl").display().to_string();
    let own = [program.as_str(), "--cache-dir", "/run/kubectl-cache"];
    let output = lab.exec("k8s-node1", &[&own[..], words].concat());
    [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat()
}

#[test]
fn pods_come_and_go() {
    let lab = Lab::up("t-pods", &["--nodes", "2", "--pods-per-node", "1"]);
    let [admin, proxy] = ["/run/weft/admin.kubeconfig", "/run/weft/proxy.kubeconfig"];
    let slice = ["--kubeconfig", admin, "get", "endpointslice", "web-ipv4", "-o", "yaml"];
    assert!(
        weft_command(&["pod", "add", "--name", "t-pods", "web", "--node", "k8s-node2"])
            .status()
            .unwrap()
            .success()
    );
    let web = lab.address("web", false);
    assert!(lab.exec("pod1", &["ping", "-c1", "-W2", &web]).status.success());
    let told = kubectl(&lab, &slice);
    assert!(told.contains(&web), "the API server knows the pod: {told}");
    assert!(weft_command(&["pod", "del", "--name", "t-pods", "web"]).status().unwrap().success());
    let told = kubectl(&lab, &slice);
    assert!(told.contains("pod1") && !told.contains(&web), "and that it is gone: {told}");
    // The proxies may watch what they need, and nothing else.
    let may = |verb: &str, what: &str| kubectl(&lab, &["--kubeconfig", proxy, "auth", "can-i", verb, what]);
    let answers = [
        may("watch", "services"),
        may("watch", "endpointslices"),
        may("get", "secrets"),
        may("create", "pods"),
    ];
    assert_eq!(answers.map(|said| said.trim().to_owned()), ["yes", "yes", "no", "no"]);
    let modes = lab.exec("k8s-node1", &["stat", "-c", "%a", admin, proxy, "/run/weft/tokens.csv"]);
    assert_eq!(String::from_utf8_lossy(&modes.stdout), "600\n600\n600\n");
    assert!(!lab.exec("pod1", &["ping", "-c1", "-W1", &web]).status.success());
    let left = lab.exec("k8s-node2", &["ls", "/run/netns", "/var/lib/cni/networks/weft"]);
    assert!(!String::from_utf8_lossy(&left.stdout).contains(&web), "{left:?}");
}

#[test]
fn down_removes_what_a_killed_up_left_at_any_point() {
    let name = "t-killed";
    let lab = Lab::unmade(name);
    let before = Machine::look(name);
    for milliseconds in [5, 20, 45, 80, 150, 400, 650, 750, 850, 950, 1_100] {
        let mut up = lab.up_command(&["--nodes", "2"]).spawn().unwrap();
        thread::sleep(Duration::from_millis(milliseconds));
        up.kill().unwrap();
        up.wait().unwrap();
        lab.down();
        assert_eq!(before.changes(&Machine::look(name)), NOTHING, "killed after {milliseconds} ms");
        assert_eq!(Machine::processes(name), NOTHING, "killed after {milliseconds} ms");
    }
}

#[test]
fn clones_with_one_nat_address_come_up_without_a_flag() {
    let lab = Lab::up("t-clones", &["--nat-clones"]);
    for node in ["k8s-node1", "k8s-node2", "k8s-node3"] {
        let eth0 = lab.exec(node, &["ip", "-4", "-o", "address", "show", "eth0"]);
        assert!(String::from_utf8_lossy(&eth0.stdout).contains("10.0.2.15/24"), "{eth0:?}");
    }
    let matrix = lab.run("matrix", &["--megabytes", "1"]);
    assert!(matrix.contains("300 of 300 checks passed"), "{matrix}");
}

#[test]
fn the_reference_plugins_and_debians_etcd_pass_the_same_checks() {
    let lab = Lab::up("t-reference", &["--plugin", "reference", "--etcd-bin", "/usr/bin/etcd"]);
    let matrix = lab.run("matrix", &["--megabytes", "1"]);
    assert!(matrix.contains("300 of 300 checks passed"), "{matrix}");
}

#[test]
fn a_short_bench_tells_ratios() {
    let lab = Lab::up("t-bench", &["--nodes", "2"]);
    let json = std::env::temp_dir().join(format!("t-bench-{}.json", std::process::id()));
    let args = ["--repeats", "1", "--seconds", "0.05", "--json", &json.display().to_string()];
    let table = lab.run("bench", &args);
    assert!(table.contains("baseline") && table.contains("two nodes"), "{table}");
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    std::fs::remove_file(&json).unwrap();
    assert_eq!(report["figures"].as_array().unwrap().len(), 15);
}
