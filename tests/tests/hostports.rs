//! Host ports on the nodes of a lab with the overlay: from everywhere, while tables come and go, and by the hundred.
//!
//! ```text
//! outside ── gateway ──┬── k8s-node1   web (weft-cni alone), pod1
//!                      ├── k8s-node2   links (flannel, portmap, bandwidth, tuning, firewall), pod2
//!                      └── k8s-node3   pod3
//! ```

#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

use netstate::NetNs;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use weft_tests::sandbox::{Answering, Ask, Place, Runtime, Sandbox, Seen, Talk, ask};
use weft_tests::{Lab, weft};

const HEALED: Duration = Duration::from_secs(30);
const NODES: [&str; 3] = ["k8s-node1", "k8s-node2", "k8s-node3"];
const NODE_ADDRESSES: [[&str; 2]; 3] =
    [["10.0.2.15", "fd00:10:0:2::15"], ["10.0.2.24", "fd00:10:0:2::24"], ["10.0.2.25", "fd00:10:0:2::25"]];
const GATEWAY: [&str; 2] = ["10.0.2.1", "fd00:10:0:2::1"];
const OUTSIDE: [&str; 2] = ["203.0.113.2", "2001:db8:203::2"];
const WAYS: [Ask; 2] = [Ask::Tcp, Ask::Udp];
/// How long a busy connection is used.
const BUSY: Duration = Duration::from_secs(1);
const HOST_PORT: u16 = 8080;
const OUTSIDE_PORT: u16 = 8053;

/// weft-cni alone does all of it.
fn chain() -> Value {
    json!({"cniVersion": "1.1.0", "name": "weft", "plugins": [
        {"type": "weft-cni", "bridge": "cni0", "isDefaultGateway": true, "hairpinMode": true,
         "capabilities": {"portMappings": true}}]})
}

/// The same by the reference plugins' names.
fn links() -> Value {
    json!({"cniVersion": "1.1.0", "name": "weft", "plugins": [
        {"type": "flannel", "delegate": {"bridge": "cni0", "isDefaultGateway": true, "hairpinMode": true}},
        {"type": "portmap", "capabilities": {"portMappings": true}},
        {"type": "bandwidth", "ingressRate": 1_000_000_000, "ingressBurst": 10_000_000,
         "egressRate": 1_000_000_000, "egressBurst": 10_000_000},
        {"type": "tuning", "sysctl": {"net.core.somaxconn": "500"}},
        {"type": "firewall"}]})
}

/// Where the plugin is that the lab uses.
fn bin_dir() -> PathBuf {
    let beside = || weft().parent().map(PathBuf::from);
    std::env::var_os("WEFT_CNI_BIN_DIR").map(PathBuf::from).or_else(beside).unwrap()
}

/// A folder with the plugin under the reference plugins' names, and nothing else.
fn linked() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in ["flannel", "portmap", "bandwidth", "tuning", "firewall"] {
        std::os::unix::fs::symlink(bin_dir().join("weft-cni"), dir.path().join(name)).unwrap();
    }
    dir
}

/// A lab whose outside knows the way to the nodes' network.
fn lab(name: &str, nodes: &str) -> Lab {
    let lab = Lab::up(name, &["--nodes", nodes, "--pods-per-node", "1"]);
    for (family, to, via) in
        [("-4", "10.0.2.0/24", "203.0.113.1"), ("-6", "fd00:10:0:2::/64", "2001:db8:203::1")]
    {
        let added = lab.exec("outside", &["ip", family, "route", "add", to, "via", via]);
        assert!(added.status.success(), "{added:?}");
    }
    lab
}

fn at(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(address.parse().unwrap(), port)
}

fn pod_network(lab: &Lab, pod: &str) -> NetNs {
    NetNs::of_pid(lab.pod_pid(pod).parse().unwrap()).unwrap()
}

/// The text that a command in a place says, which must succeed.
fn said(lab: &Lab, place: &str, words: &[&str]) -> String {
    let output = lab.exec(place, words);
    assert!(output.status.success(), "{words:?} in {place}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Everything that must answer as a pod, who asks, and what the pod must see of the client; all that is wrong.
struct Cells {
    pod: String,
    wrong: Vec<String>,
    asked: usize,
}

impl Cells {
    fn of(pod: &Sandbox) -> Cells {
        Cells { pod: pod.name().to_owned(), wrong: Vec::new(), asked: 0 }
    }

    fn ask(&mut self, who: &str, from: &NetNs, to: SocketAddr, client: Option<IpAddr>) {
        for way in WAYS {
            self.asked += 1;
            let cell = format!("{} from {who} at {to} by {way:?}", self.pod);
            match ask(from, way, to) {
                Err(e) => self.wrong.push(format!("{cell}: {e}")),
                Ok(Seen { who, .. }) if who != self.pod => self.wrong.push(format!("{cell}: {who} answers")),
                Ok(Seen { client: seen, .. }) if client.is_some_and(|client| client != seen) => {
                    self.wrong.push(format!("{cell}: the client is {seen}, not {client:?}"));
                }
                Ok(_) => {}
            }
        }
    }

    fn end(self) {
        assert!(
            self.wrong.is_empty(),
            "{} of {} wrong:\n{}",
            self.wrong.len(),
            self.asked,
            self.wrong.join("\n")
        );
        println!("{}: {} questions answered", self.pod, self.asked);
    }
}

/// The bridge's address, which a masqueraded client has.
fn bridge_address(pod: &Sandbox, ipv6: bool) -> IpAddr {
    match pod.address(ipv6) {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            IpAddr::from([a, b, c, 1])
        }
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 1])
        }
    }
}

/// Asks for a pod's host port on node `on` (counted from 0) from everywhere.
fn from_everywhere(lab: &Lab, pod: &Sandbox, on: usize) {
    let mut cells = Cells::of(pod);
    let place = |name: &str| Place::of(lab.name(), name).network();
    let other = (on + 1) % NODES.len();
    for (family, address) in NODE_ADDRESSES[on].into_iter().enumerate() {
        let to = at(address, HOST_PORT);
        let bridge = Some(bridge_address(pod, family == 1));
        let own = |addresses: [&str; 2]| Some(addresses[family].parse().unwrap());
        cells.ask("outside", &place("outside"), to, own(OUTSIDE));
        cells.ask("the gateway", &place("gateway"), to, own(GATEWAY));
        cells.ask("another node", &place(NODES[other]), to, own(NODE_ADDRESSES[other]));
        let elsewhere = pod_network(lab, &format!("pod{}", other + 1));
        cells.ask("a pod of another node", &elsewhere, to, own(NODE_ADDRESSES[other]));
        cells.ask("its node", &place(NODES[on]), to, own(NODE_ADDRESSES[on]));
        cells.ask("its neighbour", &pod_network(lab, &format!("pod{}", on + 1)), to, bridge);
        cells.ask("itself", pod.network(), to, bridge);
        // The bridge is an address of the node, too.
        let gateway = SocketAddr::new(bridge_address(pod, family == 1), HOST_PORT);
        cells.ask(
            "its neighbour, at the bridge",
            &pod_network(lab, &format!("pod{}", on + 1)),
            gateway,
            bridge,
        );
    }
    let loopback = Some(bridge_address(pod, false));
    cells.ask("its node, at 127.0.0.1", &place(NODES[on]), at("127.0.0.1", HOST_PORT), loopback);
    cells.end();
}

/// Whether pod-to-pod traffic of a node is exempt from connection tracking.
fn untracked(lab: &Lab, node: &str) -> bool {
    said(lab, node, &["nft", "list", "table", "inet", "weft-flannel"]).contains("notrack")
}

/// What the overlay of a node has said.
fn overlay_log(lab: &Lab, node: &str) -> String {
    let status = lab.status();
    let found = status["nodes"].as_array().unwrap().iter().find(|n| n["name"] == node).unwrap();
    let daemons = found["daemons"].as_array().unwrap();
    let overlay = daemons.iter().find(|daemon| daemon["name"] == "flannel").unwrap();
    fs::read_to_string(overlay["log"].as_str().unwrap()).unwrap()
}

#[test]
fn a_host_port_answers_everywhere_while_pods_reach_each_other() {
    let lab = lab("t-hostports", "3");
    let linked = linked();
    let runtimes = [
        Runtime::of(&Place::of(lab.name(), NODES[0]), "chain.d", &chain(), &[bin_dir()]),
        Runtime::of(&Place::of(lab.name(), NODES[1]), "links.d", &links(), &[linked.path().into()]),
    ];
    let before: Vec<bool> = NODES.iter().map(|node| untracked(&lab, node)).collect();
    let there: Vec<_> = NODES.iter().map(|node| left(&lab, node)).collect();
    let pings =
        [lab.ping("pod1", &lab.address("pod2", false), 20), lab.ping("pod2", &lab.address("pod1", true), 20)];
    let pods = [runtimes[0].add("web", &[HOST_PORT]), runtimes[1].add("links", &[HOST_PORT])];
    for (on, pod) in pods.iter().enumerate() {
        from_everywhere(&lab, pod, on);
        runtimes[on].check(pod).unwrap();
    }
    let start = Instant::now();
    for node in &NODES[..2] {
        lab.wait("pods are tracked", HEALED, || !untracked(&lab, node));
    }
    println!("untracked before: {before:?}; tracked {:?} after the cells", start.elapsed());
    for (on, pod) in pods.iter().enumerate() {
        from_everywhere(&lab, pod, on);
    }
    let [web, links] = pods;
    runtimes[0].del(web);
    // Of this one only GC of each plugin hears.
    runtimes[1].lose(links);
    runtimes[1].gc(&[&format!("{}-pod2", lab.name())]);
    for ((node, before), there) in NODES.iter().zip(before).zip(there) {
        assert_eq!(left(&lab, node), there, "what is on {node}");
        let start = Instant::now();
        lab.wait("tracking is as before", HEALED, || untracked(&lab, node) == before);
        println!("{node}: tracking as before after {:?}", start.elapsed());
    }
    for node in &NODES[..2] {
        let log = overlay_log(&lab, node);
        for line in ["pod traffic is tracked, because nftables table", "pod traffic is no longer tracked"] {
            assert!(log.contains(line), "{node}, no {line:?}: {log}");
        }
    }
    for ping in pings {
        let (sent, received) = ping.end();
        assert_eq!(sent, received, "packets between pods were lost");
    }
}

/// Asks again and again, on new sockets, until somebody answers.
fn until_answered(from: &NetNs, way: Ask, to: SocketAddr) -> Duration {
    let start = Instant::now();
    while Talk::start(from, way, to).and_then(|mut talk| talk.ask()).is_err() {
        assert!(start.elapsed() < HEALED, "{way:?} to {to}: no answer within {HEALED:?}");
        thread::sleep(Duration::from_millis(5));
    }
    start.elapsed()
}

/// Asks over one connection for a while.
fn keeps_asking(mut talk: Talk) -> JoinHandle<io::Result<()>> {
    thread::spawn(move || {
        let start = Instant::now();
        while start.elapsed() < BUSY {
            talk.ask()?;
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    })
}

/// Asks again and again on one socket.
fn until_it_answers(talk: &mut Talk) -> Duration {
    let start = Instant::now();
    while talk.ask().is_err() {
        assert!(start.elapsed() < HEALED, "{talk:?}: no answer within {HEALED:?}");
        thread::sleep(Duration::from_millis(5));
    }
    start.elapsed()
}

#[test]
fn a_flushed_ruleset_heals_and_so_does_who_asks_meanwhile() {
    let lab = lab("t-hostflush", "2");
    let node = Place::of(lab.name(), NODES[0]);
    let runtime = Runtime::of(&node, "chain.d", &chain(), &[bin_dir()]);
    let pod = runtime.add("web", &[HOST_PORT]);
    let gateway = Place::of(lab.name(), "gateway").network();
    let targets: Vec<SocketAddr> = NODE_ADDRESSES[0].iter().map(|ip| at(ip, HOST_PORT)).collect();
    let outside = Place::of(lab.name(), "outside").network();
    let _abroad = Answering::start("outside", &outside, OUTSIDE_PORT);
    let (inside, abroad) = (pod_network(&lab, "pod1"), OUTSIDE.map(|ip| at(ip, OUTSIDE_PORT)));
    let flushes: [&[&str]; 4] = [
        &["nft", "flush", "ruleset"],
        &["nft", "delete", "table", "inet", "weft-cni"],
        &["nft", "flush", "table", "inet", "weft-cni"],
        &["nft", "delete", "table", "inet", "weft-flannel"],
    ];
    for flush in flushes {
        let each = WAYS.into_iter().flat_map(|way| targets.iter().map(move |to| (way, *to)));
        let mut idle: Vec<Talk> = each.map(|(way, to)| Talk::start(&gateway, way, to).unwrap()).collect();
        idle.iter_mut().for_each(|talk| drop(talk.ask().unwrap()));
        let busy = targets.iter().map(|to| keeps_asking(Talk::start(&gateway, Ask::Tcp, *to).unwrap()));
        let busy: Vec<_> = busy.collect();
        said(&lab, NODES[0], flush);
        let start = Instant::now();
        // Sockets that ask all the time: connection tracking has them as they were without the tables.
        let restless = targets.iter().map(|to| (&gateway, *to)).chain(abroad.iter().map(|to| (&inside, *to)));
        let restless: Vec<Duration> = thread::scope(|scope| {
            let asking = restless.map(|(from, to)| {
                let mut talk = Talk::start(from, Ask::Udp, to).unwrap();
                scope.spawn(move || until_it_answers(&mut talk))
            });
            asking.collect::<Vec<_>>().into_iter().map(|asked| asked.join().unwrap()).collect()
        });
        let fresh: Vec<_> = targets.iter().map(|to| until_answered(&gateway, Ask::Tcp, *to)).collect();
        lab.wait("pods reach the outside", HEALED, || {
            OUTSIDE.iter().all(|to| lab.exec("pod1", &["ping", "-c1", "-W1", to]).status.success())
        });
        println!("{flush:?}: UDP after {restless:?}, TCP {fresh:?} later, masquerade {:?}", start.elapsed());
        for talk in &mut idle {
            let seen = talk.ask().unwrap_or_else(|e| panic!("after {flush:?}, {talk:?}: {e}"));
            assert_eq!(seen.who, "web");
        }
        // A segment that meets no translation meets no listener either: the node resets that connection.
        let busy: Vec<_> = busy.into_iter().map(|asking| asking.join().unwrap()).collect();
        println!("{flush:?}: connections that were asked over meanwhile: {busy:?}");
        // Where one table is left, so is the kernel's translation of what is tracked.
        let all_tables_went = flush.ends_with(&["ruleset"]);
        assert!(all_tables_went || busy.iter().all(Result::is_ok), "after {flush:?}: {busy:?}");
        runtime.check(&pod).unwrap();
    }
    runtime.del(pod);
}

/// What there is of pods on a node: the plugin's tables, links, files of state but for locks and the boot's mark.
fn left(lab: &Lab, node: &str) -> BTreeSet<String> {
    let tables = said(lab, node, &["nft", "list", "tables"]);
    let mut left: BTreeSet<String> =
        tables.lines().filter(|line| line.contains("weft-cni")).map(str::to_owned).collect();
    let links = said(lab, node, &["ip", "-o", "link"]);
    // Without the interface's number and what is counted.
    left.extend(links.lines().filter_map(|line| line.split(": ").nth(1)).map(str::to_owned));
    let files = said(lab, node, &["find", "/var/lib/cni", "/run/netns", "-type", "f", "-not", "-name", ".*"]);
    left.extend(files.lines().map(str::to_owned));
    left
}

fn elements(lab: &Lab, map: &str) -> usize {
    let output = lab.exec(NODES[0], &["nft", "-j", "list", "map", "inet", "weft-cni", map]);
    let all: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let items = all["nftables"].as_array().into_iter().flatten();
    items.filter_map(|item| item["map"]["elem"].as_array().map(Vec::len)).sum()
}

#[test]
fn a_node_full_of_pods_with_host_ports_comes_and_goes() {
    const PODS: u16 = 250;
    const FIRST: u16 = 20_000;
    let lab = lab("t-hostfull", "1");
    let node = Place::of(lab.name(), NODES[0]);
    let runtime = Runtime::of(&node, "chain.d", &chain(), &[bin_dir()]);
    let outside = Place::of(lab.name(), "outside").network();
    let before = left(&lab, NODES[0]);
    let start = Instant::now();
    let mut pods: Vec<Sandbox> = (0..PODS).map(|i| runtime.add(&format!("full{i}"), &[FIRST + i])).collect();
    println!("{PODS} ADDs in {:?}", start.elapsed());
    assert_eq!([elements(&lab, "ports4"), elements(&lab, "ports6")], [500, 500]);
    let all_answer = |pods: &[Sandbox]| {
        let mut wrong = Vec::new();
        for pod in pods {
            let port = FIRST + pod.name()["full".len()..].parse::<u16>().unwrap();
            for (to, way) in NODE_ADDRESSES[0].into_iter().flat_map(|to| WAYS.map(|way| (at(to, port), way)))
            {
                match ask(&outside, way, to) {
                    Ok(seen) if seen.who == pod.name() => {}
                    other => wrong.push(format!("{to} by {way:?}: {other:?}, not {}", pod.name())),
                }
            }
        }
        assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    };
    let start = Instant::now();
    all_answer(&pods);
    println!("{} questions from outside in {:?}", 4 * pods.len(), start.elapsed());
    let mut lost = Vec::new();
    let mut kept = Vec::new();
    for (i, pod) in pods.drain(..).enumerate() {
        if i % 2 == 0 { kept.push(pod) } else { lost.push(pod) }
    }
    lost.into_iter().for_each(|pod| runtime.lose(pod));
    let lab_pod = format!("{}-pod1", lab.name());
    let valid: Vec<&str> = kept.iter().map(Sandbox::name).chain([lab_pod.as_str()]).collect();
    let start = Instant::now();
    runtime.gc(&valid);
    println!("GC of half of them in {:?}", start.elapsed());
    assert_eq!([elements(&lab, "ports4"), elements(&lab, "ports6")], [250, 250]);
    all_answer(&kept);
    let start = Instant::now();
    kept.into_iter().for_each(|pod| runtime.del(pod));
    println!("{} DELs in {:?}", PODS / 2, start.elapsed());
    assert_eq!(left(&lab, NODES[0]), before);
    let gone = Talk::start(&node.network(), Ask::Tcp, at("127.0.0.1", FIRST));
    assert!(gone.is_err(), "{gone:?}");
    assert!(lab.exec("pod1", &["ping", "-c1", "-W2", OUTSIDE[0]]).status.success());
}
