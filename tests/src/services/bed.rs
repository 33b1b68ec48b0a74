//! The lab that cases are put in, with the back end under test.

use super::case::{Dial, Dialled};
use crate::{Lab, weft};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// The nodes of the lab.
pub const NODES: [&str; 3] = ["k8s-node1", "k8s-node2", "k8s-node3"];
/// Its pods, two on each node.
pub const PODS: [&str; 6] = ["pod1", "pod2", "pod3", "pod4", "pod5", "pod6"];
/// Where the proxies read their services.
pub const MANIFESTS: &str = "/run/weft/services";
/// How long a change may take to be in every node's datapath.
const SETTLED: Duration = Duration::from_secs(60);

/// How services are written into the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// `weft proxy`, as the lab starts it.
    Ebpf,
}

/// A lab with a proxy on each node.
pub struct Bed {
    /// The lab.
    pub lab: Lab,
    backend: Backend,
    pods: BTreeMap<String, (String, Vec<IpAddr>)>,
    nodes: BTreeMap<String, Vec<IpAddr>>,
    subnets: BTreeMap<String, Vec<IpAddr>>,
}

impl Backend {
    /// Starts it on all nodes of a lab that is up.
    fn start(self, lab: &Lab) {
        match self {
            // The lab has started it with its pods.
            Backend::Ebpf => {
                for node in NODES {
                    let mode = lab.exec(node, &["curl", "-s", "http://127.0.0.1:10249/proxyMode"]);
                    assert_eq!(String::from_utf8_lossy(&mode.stdout), "ebpf", "the proxy of {node}");
                }
            }
        }
    }

    /// An error that tells what, unless what a node's proxy should have of these services is in the datapath.
    fn settled(self, lab: &Lab, node: &str, services: &[String]) -> Result<(), String> {
        match self {
            Backend::Ebpf => {
                let weft = weft().display().to_string();
                // What the back end says itself that it lacks is a difference, but no delay.
                let each = "for s in \"$@\"; do t=$(\"$W\" proxy explain \"$s\" --manifests /run/weft/services 2>&1) || \
                            case \"$t\" in *\"does not translate\"*) ;; *) echo \"$t\"; exit 1;; esac; done";
                let set = format!("W={weft}; {each}");
                let mut words = vec!["sh", "-c", &set, "sh"];
                words.extend(services.iter().map(String::as_str));
                let output = lab.exec(node, &words);
                let text = String::from_utf8_lossy(&output.stdout).into_owned();
                output.status.success().then_some(()).ok_or(text)
            }
        }
    }
}

impl Bed {
    /// Puts up a lab of three nodes and six pods, with a way from outside to all services' addresses by the first node.
    ///
    /// # Panics
    /// When that fails.
    pub fn up(name: &str, backend: Backend) -> Bed {
        let lab = Lab::up(name, &["--services-from", "manifests"]);
        backend.start(&lab);
        let status = lab.status();
        let ips = |of: &Value| -> Vec<IpAddr> { serde_json::from_value(of.clone()).expect("addresses") };
        let text = |of: &Value| of.as_str().expect("a name").to_owned();
        let array = |of: &Value| of.as_array().expect("a list").clone();
        let listed: Vec<Value> = array(&status["pods"]);
        let pods = listed.iter().map(|p| (text(&p["name"]), (text(&p["node"]), ips(&p["addresses"]))));
        let nodes: Vec<Value> = array(&status["nodes"]);
        let subnet = |text: &str| -> IpAddr {
            text.split('/').next().and_then(|ip| ip.parse().ok()).expect("a subnet")
        };
        let of_node = |node: &Value| {
            let subnets = array(&node["lease"]["subnets"]);
            (text(&node["name"]), subnets.iter().filter_map(Value::as_str).map(subnet).collect())
        };
        let bed = Bed {
            backend,
            pods: pods.collect(),
            nodes: nodes.iter().map(|n| (text(&n["name"]), ips(&n["addresses"]))).collect(),
            subnets: nodes.iter().map(of_node).collect(),
            lab,
        };
        bed.route_from_outside();
        bed.tell_every_refusal();
        bed
    }

    fn route_from_outside(&self) {
        for (net, v4) in [
            ("192.0.2.0/24", true),
            ("10.96.0.0/16", true),
            ("2001:db8:2::/64", false),
            ("fd00:10:96::/48", false),
        ] {
            let via = self.node("k8s-node1", v4).to_string();
            let output = self.lab.exec("gateway", &["ip", "route", "add", net, "via", &via]);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }

    /// Takes away the limits of ICMP errors: a case in which UDP is refused does not depend on those before it.
    fn tell_every_refusal(&self) {
        for node in NODES {
            let limits = ["net.ipv4.icmp_ratelimit=0", "net.ipv6.icmp.ratelimit=0"];
            let output = self.lab.exec(node, &[&["sysctl", "-qw"], &limits[..]].concat());
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }

    /// A pod's address.
    ///
    /// # Panics
    /// When there is no such pod.
    pub fn pod(&self, name: &str, v4: bool) -> IpAddr {
        let of = self.pods.get(name).and_then(|(_, ips)| ips.iter().find(|ip| ip.is_ipv4() == v4));
        *of.unwrap_or_else(|| panic!("{name} has an address"))
    }

    /// The node that a pod is on.
    ///
    /// # Panics
    /// When there is no such pod.
    pub fn node_of(&self, pod: &str) -> &str {
        &self.pods.get(pod).expect("the pod is there").0
    }

    /// A node's address.
    ///
    /// # Panics
    /// When there is no such node.
    pub fn node(&self, name: &str, v4: bool) -> IpAddr {
        let of = self.nodes.get(name).and_then(|ips| ips.iter().find(|ip| ip.is_ipv4() == v4));
        *of.unwrap_or_else(|| panic!("{name} has an address"))
    }

    /// The address of a node's bridge, its pods' gateway.
    ///
    /// # Panics
    /// When the node has no subnet.
    pub fn bridge(&self, node: &str) -> IpAddr {
        let nets = self.subnets.get(node).into_iter().flatten();
        let first = nets.copied().find_map(|net| match net {
            IpAddr::V4(net) => Some(IpAddr::V4(Ipv4Addr::from_bits(net.to_bits() + 1))),
            IpAddr::V6(_) => None,
        });
        first.unwrap_or_else(|| panic!("{node} has a subnet"))
    }

    /// Whether an address is a node's own: on its network, of its overlay, or of its bridge.
    pub fn is_nodes(&self, node: &str, ip: IpAddr) -> bool {
        let own = self.nodes.get(node).is_some_and(|ips| ips.contains(&ip));
        let bridge = |net: &IpAddr| match (net, ip) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => ip.to_bits() & !1 == net.to_bits(),
            (IpAddr::V6(net), IpAddr::V6(ip)) => ip.to_bits() & !1 == net.to_bits(),
            _ => false,
        };
        own || self.subnets.get(node).is_some_and(|nets| nets.iter().any(bridge))
    }

    /// Writes objects to a file that each node's proxy reads, and waits until these services are in the datapath.
    ///
    /// # Panics
    /// When they are not in time.
    pub fn apply(&self, file: &str, objects: &[Value], services: &[String]) {
        self.write(file, objects);
        for node in NODES {
            let start = Instant::now();
            while let Err(text) = self.backend.settled(&self.lab, node, services) {
                assert!(start.elapsed() < SETTLED, "{file} is not in the datapath of {node}:\n{text}");
            }
        }
    }

    /// Writes objects to a file that each node's proxy reads.
    ///
    /// # Panics
    /// When that fails.
    pub fn write(&self, file: &str, objects: &[Value]) {
        let text = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
        NODES.iter().for_each(|node| self.replace(node, file, &text));
    }

    /// Puts a file in the place of one that a node's proxy reads.
    ///
    /// # Panics
    /// When that fails.
    pub fn replace(&self, node: &str, file: &str, text: &str) {
        let script = format!("cat > {MANIFESTS}/.{file} && mv -f {MANIFESTS}/.{file} {MANIFESTS}/{file}");
        self.feed(node, &["sh", "-c", &script], text.as_bytes());
    }

    /// Dials from a place or pod.
    ///
    /// # Panics
    /// When the load tool does not run.
    pub fn dial(&self, from: &str, plan: &[Dial]) -> Vec<Vec<Dialled>> {
        let order = serde_json::to_vec(plan).expect("a plan is JSON");
        let weft = weft().display().to_string();
        let said = self.feed(from, &[&weft, "lab", "load", "dial"], &order);
        serde_json::from_slice(&said).unwrap_or_else(|e| panic!("what {from} dialled: {e}"))
    }

    /// Runs a command with an input; its output.
    fn feed(&self, place: &str, words: &[&str], input: &[u8]) -> Vec<u8> {
        let mut command = self.lab.exec_command(place, words);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("weft starts");
        child.stdin.take().expect("an input").write_all(input).expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{words:?} in {place}");
        output.stdout
    }
}
