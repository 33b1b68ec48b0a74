//! The lab of the bench, and the services in it.

use serde_json::{Value, json};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use weft_tests::Lab;

/// The first port of a pod's load server.
const PORT: u16 = 5201;
/// Paths with a port of their own.
const PATHS: u16 = 8;
/// The nodes: with the proxy, with nftables rules, and the client's.
pub const NODES: [&str; 3] = ["k8s-node1", "k8s-node2", "k8s-node3"];
/// Where nodes read manifests.
pub const FOLDER: &str = "/run/weft/services";

/// A service with one real endpoint.
pub struct Real {
    pub name: &'static str,
    pub cluster_ip: &'static str,
    pub node_port: Option<u16>,
    /// The pod, and which of its ports this path has to itself.
    pub pod: &'static str,
    pub path: u16,
}

/// In the order of the manifests: "first" come before all others, "last" after.
pub const FIRST: [Real; 2] = [
    Real { name: "first-here", cluster_ip: "10.96.0.1", node_port: Some(30100), pod: "pod2", path: 1 },
    Real { name: "first-there", cluster_ip: "10.96.0.2", node_port: Some(30101), pod: "pod3", path: 1 },
];
/// See [`FIRST`].
pub const LAST: [Real; 2] = [
    Real { name: "last-here", cluster_ip: "10.96.255.1", node_port: Some(30102), pod: "pod2", path: 2 },
    Real { name: "last-there", cluster_ip: "10.96.255.2", node_port: Some(30103), pod: "pod3", path: 2 },
];

/// A lab, and its addresses.
pub struct World {
    pub lab: Lab,
    /// Which of the tables is measured: each has ports of its own, as connections in TIME_WAIT outlive a table.
    pub phase: u16,
}

impl World {
    /// Puts it up; the second node has no proxy.
    pub fn up() -> World {
        let lab = Lab::up("services-bench", &["--services-from", "manifests"]);
        let world = World { lab, phase: 0 };
        world.stop(NODES[1]);
        world.weft(NODES[1], &["proxy", "--cleanup"]);
        world.without_time_wait();
        world
    }

    /// Closed connections leave nothing behind at the endpoints. Else a random masquerading, as nftables has it, meets
    /// ports that are still in TIME-WAIT, whose SYNs are dropped (PAWS) and sent again a second later: after some ten
    /// thousand connections most of what is measured is waiting.
    fn without_time_wait(&self) {
        for pod in ["pod1", "pod2", "pod3"] {
            let output = self.lab.exec(pod, &["sysctl", "-qw", "net.ipv4.tcp_max_tw_buckets=0"]);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }

    /// Runs weft in a place and gives what it prints.
    pub fn weft(&self, place: &str, words: &[&str]) -> String {
        let weft = weft_tests::weft();
        let words: Vec<&str> = std::iter::once(weft.to_str().unwrap()).chain(words.iter().copied()).collect();
        let output = self.lab.exec(place, &words);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{words:?} in {place}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The port of a path in this phase.
    pub fn port(&self, path: u16) -> u16 {
        PORT + self.phase * PATHS + path
    }

    /// Ends a node's proxy; its services stay.
    pub fn stop(&self, node: &str) {
        let pid = self.lab.pid(node, "proxy");
        let process = rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
        if rustix::process::kill_process(process, rustix::process::Signal::TERM).is_ok() {
            while std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z"))
            {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        }
    }

    /// A path of a node's view, from here: by a process in it.
    pub fn path(&self, node: &str, path: &str) -> PathBuf {
        let pid = self.lab.pid(node, "load");
        PathBuf::from(format!("/proc/{pid}/root{path}"))
    }

    /// The log of a node's proxy.
    pub fn log(&self, node: &str) -> PathBuf {
        PathBuf::from(format!("/run/weft-lab/services-bench/logs/{node}-proxy.log"))
    }

    /// An address of a pod.
    pub fn pod(&self, pod: &str) -> String {
        self.lab.address(pod, false)
    }

    /// The IPv4 address of a node.
    pub fn node(&self, at: usize) -> &'static str {
        ["10.0.2.15", "10.0.2.24", "10.0.2.25"][at]
    }

    /// Writes the manifests of so many services on a node.
    pub fn write(&self, node: &str, count: usize) {
        let mut items: Vec<Value> = Vec::new();
        FIRST.iter().for_each(|real| items.extend(self.real(real)));
        (0..count.saturating_sub(FIRST.len() + LAST.len() + 1))
            .for_each(|number| items.extend(crowd(number)));
        LAST.iter().for_each(|real| items.extend(self.real(real)));
        replace(
            &self.path(node, FOLDER),
            "lab.json",
            &json!({"apiVersion": "v1", "kind": "List", "items": items}),
        );
    }

    fn real(&self, real: &Real) -> [Value; 2] {
        let endpoint = json!({"addresses": [self.pod(real.pod)], "conditions": {"ready": true},
            "nodeName": if real.pod == "pod3" { NODES[1] } else { NODES[0] }});
        objects(real.name, real.cluster_ip, real.node_port, self.port(real.path), vec![endpoint])
    }
}

/// Replaces a manifest of a folder.
pub fn replace(folder: &Path, name: &str, object: &Value) {
    let part = folder.join(format!(".{name}"));
    std::fs::write(&part, serde_json::to_string(object).unwrap()).unwrap();
    std::fs::rename(part, folder.join(name)).unwrap();
}

/// Its cluster IP, of the upper half of the range.
pub fn crowd_ip(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 96, (128 + number / 250) as u8, (number % 250 + 1) as u8)
}

/// A service that nobody dials, with ten endpoints that are not there.
pub fn crowd(number: usize) -> [Value; 2] {
    let ip = crowd_ip(number).to_string();
    let endpoint = |at: usize| {
        let pod = number * 10 + at;
        let ip = format!("10.{}.{}.{}", 100 + pod / 62_500, pod / 250 % 250, pod % 250 + 1);
        json!({"addresses": [ip], "conditions": {"ready": true}, "nodeName": format!("n{}", pod % 500)})
    };
    objects(&format!("crowd-{number}"), &ip, None, 8080, (0..10).map(endpoint).collect())
}

/// A service and its slice.
pub fn objects(name: &str, ip: &str, node_port: Option<u16>, port: u16, endpoints: Vec<Value>) -> [Value; 2] {
    let mut service_port = json!({"name": "http", "protocol": "TCP", "port": 80, "targetPort": port});
    if let Some(number) = node_port {
        service_port["nodePort"] = number.into();
    }
    let kind = if node_port.is_some() { "NodePort" } else { "ClusterIP" };
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"},
        "spec": {"type": kind, "clusterIP": ip, "clusterIPs": [ip], "ipFamilies": ["IPv4"], "ports": [service_port]},
    });
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": name, "namespace": "default", "labels": {"kubernetes.io/service-name": name}},
        "ports": [{"name": "http", "protocol": "TCP", "port": port}], "endpoints": endpoints,
    });
    [service, slice]
}
