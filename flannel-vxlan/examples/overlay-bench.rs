//! Measures `weft flannel`: start with many leases, many nodes at once, idle.
//!
//! `overlay-bench WEFT [--json FILE] [--idle SECONDS]`, as root. Each start is beside the floor of the
//! same run: the same entries put into a fresh namespace by one batch of netlink messages.

#![allow(
    clippy::unwrap_used,
    reason = "a measurement that fails has nothing to clean up that its namespaces do not"
)]

#[path = "../tests/network/mod.rs"]
mod network;

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use netstate::{FdbEntry, Kernel, Mac, Neighbour, NetNs, NewLink, NewLinkKind, Op, Route, Vxlan};
use network::{CONFIG, Network};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let weft = args
        .get(1)
        .filter(|a| !a.starts_with('-'))
        .expect("usage: overlay-bench WEFT [--json FILE] [--idle SECONDS]");
    let option = |name: &str| args.iter().position(|a| a == name).and_then(|at| args.get(at + 1));
    let idle = option("--idle").map_or(60, |text| text.parse().unwrap());
    let mut rows = Vec::new();
    for leases in [3, 1_000, 10_000] {
        rows.push(start(weft, leases));
    }
    rows.push(together(weft, 20));
    rows.push(idle_cost(weft, Duration::from_secs(idle)));
    let rows: Vec<serde_json::Value> = rows.into_iter().collect();
    if let Some(file) = option("--json") {
        std::fs::write(file, serde_json::to_string_pretty(&rows).unwrap()).unwrap();
    }
}

/// A daemon as a process of its own, ended with the value.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    fn start(weft: &str, node: &network::Node) -> Self {
        let spawn = || {
            Command::new(weft)
                .args([
                    "flannel",
                    "--etcd-endpoints=http://10.0.2.1:2379",
                    "--ip-masq",
                    "--node-name",
                    &node.options.node_name,
                ])
                .arg("--subnet-file")
                .arg(&node.options.subnet_file)
                .env("RUST_LOG", "error")
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        };
        Self(node.ns.run(spawn).unwrap())
    }

    /// User and system time, milliseconds.
    fn cpu_ms(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/schedstat", self.0.id())).unwrap();
        stat.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e6
    }

    /// The most memory that was resident, MB.
    fn peak_mb(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find(|l| l.starts_with("VmHWM")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }
}

fn mac(n: usize) -> Mac {
    let [.., a, b, c] = n.to_be_bytes();
    Mac([2, 0, 0, a, b, c])
}

fn put_leases(network: &Network, count: usize) {
    network.state(async |client| {
        for chunk in (0..count).collect::<Vec<_>>().chunks(100) {
            let puts = chunk.iter().map(|n| {
                let key = format!("/coreos.com/network/subnets/11.{}.{}.0-24", n / 250, n % 250);
                let value =
                    network::peer_value(&format!("172.16.{}.{}", n / 250, n % 250 + 1), &mac(*n).to_string());
                etcd_client::TxnOp::put(key, value, None)
            });
            client.txn(etcd_client::Txn::new().and_then(puts.collect::<Vec<_>>())).await.unwrap();
        }
    });
}

/// The kernel's own cost of the same entries.
fn floor(count: usize) -> Duration {
    let ns = NetNs::anonymous().unwrap();
    ns.run(|| {
        let mut kernel = Kernel::open().unwrap();
        let vxlan = Vxlan { vni: 1, port: 8472, local: None, parent: None, learning: false, gbp: false };
        let device = NewLink { up: true, ..NewLink::of("flannel.1", NewLinkKind::Vxlan(vxlan)) };
        let address = netstate::Address::of("flannel.1", "11.255.0.0/32".parse().unwrap());
        kernel.apply_all(&[Op::AddLink(device), network::up("lo"), Op::AddAddress(address)]).unwrap();
        let mut ops = Vec::new();
        for n in 0..count {
            let subnet: ipnetwork::IpNetwork = format!("11.{}.{}.0/24", n / 250, n % 250).parse().unwrap();
            let dev = || "flannel.1".into();
            ops.push(Op::ReplaceNeighbour(Neighbour {
                dev: dev(),
                ip: subnet.network(),
                mac: Some(mac(n)),
                permanent: true,
            }));
            ops.push(Op::ReplaceFdb(FdbEntry {
                dev: dev(),
                mac: mac(n),
                dst: Some([172, 16, 0, 1].into()),
                permanent: true,
            }));
            ops.push(Op::ReplaceRoute(Route::of(subnet, "flannel.1").via(subnet.network()).onlink()));
        }
        let started = Instant::now();
        kernel.apply_all(&ops).unwrap();
        started.elapsed()
    })
    .unwrap()
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn start(weft: &str, leases: usize) -> serde_json::Value {
    let config = CONFIG
        .replace("10.244.0.0/16", "11.0.0.0/8")
        .replace(r#""Backend""#, r#""SubnetMin":"11.200.0.0","Backend""#);
    let network = Network::of(1, &config);
    put_leases(&network, leases);
    let mut times = Vec::new();
    let (mut cpu, mut memory) = (0.0, 0.0f64);
    for _ in 0..5 {
        let node = &network.nodes[0];
        let _ = std::fs::remove_file(&node.options.subnet_file);
        node.apply(Op::DeleteLink("flannel.1".into()));
        let started = Instant::now();
        let process = Process::start(weft, node);
        // The file is written once all entries stand.
        while !node.options.subnet_file.exists() {
            std::thread::sleep(Duration::from_micros(200));
        }
        times.push(started.elapsed());
        cpu = process.cpu_ms();
        memory = memory.max(process.peak_mb());
        assert_eq!(node.peer_routes(), leases, "the file was written before all routes stood");
    }
    times.sort();
    let (median, floor) = (times[times.len() / 2], floor(leases));
    println!(
        "start, {leases} leases: {:.0} ms ({:.0}–{:.0}) to all routes, {cpu:.0} ms CPU, {memory:.1} MB; netlink alone {:.0} ms, ratio {:.1}",
        ms(median),
        ms(times[0]),
        ms(times[times.len() - 1]),
        ms(floor),
        median.as_secs_f64() / floor.as_secs_f64()
    );
    serde_json::json!({"what": "start", "leases": leases, "median_ms": ms(median), "min_ms": ms(times[0]), "max_ms": ms(times[4]), "cpu_ms": cpu, "peak_mb": memory, "floor_ms": ms(floor)})
}

fn together(weft: &str, count: usize) -> serde_json::Value {
    let mut times = Vec::new();
    for _ in 0..3 {
        let network = Network::of(count, CONFIG);
        let started = Instant::now();
        let mut processes: Vec<_> = network.nodes.iter().map(|node| Process::start(weft, node)).collect();
        for node in &network.nodes {
            while node.peer_routes() < count - 1 {
                assert!(started.elapsed() < Duration::from_secs(30), "the routes never stood");
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        times.push(started.elapsed());
        let ended = processes.iter_mut().map(|p| p.0.try_wait().unwrap()).filter(Option::is_some).count();
        assert_eq!(ended, 0, "a daemon died");
    }
    times.sort();
    let routes = count * (count - 1);
    println!(
        "{count} nodes at once: {:.0} ms ({:.0}–{:.0}) to all {routes} routes, none died",
        ms(times[1]),
        ms(times[0]),
        ms(times[2])
    );
    serde_json::json!({"what": "together", "nodes": count, "median_ms": ms(times[1]), "min_ms": ms(times[0]), "max_ms": ms(times[2])})
}

fn idle_cost(weft: &str, time: Duration) -> serde_json::Value {
    let network = Network::of(1, CONFIG);
    network.put_peer("10.244.33.0-24", "10.0.2.77", "1a:6a:3f:7a:7d:c5");
    let process = Process::start(weft, &network.nodes[0]);
    std::thread::sleep(Duration::from_secs(2));
    let before = process.cpu_ms();
    std::thread::sleep(time);
    let used = process.cpu_ms() - before;
    let percent = used / ms(time) * 100.0;
    println!("idle for {} s: {used:.1} ms CPU, {percent:.3} % of a core", time.as_secs());
    serde_json::json!({"what": "idle", "seconds": time.as_secs(), "cpu_ms": used, "percent_of_a_core": percent})
}
