//! A network of nodes for the tests: namespaces on one bridge, a real etcd or ours behind it, and daemons on
//! threads of this process. Everything ends with the value, also when a test panics.
//!
//! ```text
//! hub: br0 10.0.2.1/24, fd00:10:0:2::1/64, etcd :2379
//!  ├─ veth ─ node 0: eth0 10.0.2.15
//!  └─ veth ─ node 1: eth0 10.0.2.16 …
//! ```

#![allow(clippy::unwrap_used, dead_code, reason = "shared by several tests, each of which uses a part")]

use std::{
    net::IpAddr,
    os::fd::{AsFd, AsRawFd},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use etcd_client::Client;
use flannel_vxlan::{Error, Health, Metrics, Options};
use netstate::{
    Address, Bridge, Kernel, LinkChange, NetNs, NetNsTarget, NewLink, NewLinkKind, Observe, Op, Route, State,
    VethPeer, sysctl,
};
use tokio::sync::oneshot;

pub const CONFIG: &str = r#"{"Network":"10.244.0.0/16","Backend":{"Type":"vxlan"}}"#;
pub const DUAL: &str = r#"{"Network":"10.244.0.0/16","EnableIPv6":true,"IPv6Network":"fd00:10:244::/48","Backend":{"Type":"vxlan"}}"#;
const ENDPOINT: &str = "http://10.0.2.1:2379";

pub struct Network {
    pub hub: NetNs,
    pub nodes: Vec<Node>,
    etcd: Child,
    _folder: tempfile::TempDir,
}

pub struct Node {
    pub ns: NetNs,
    pub options: Options,
}

/// A daemon on a thread; dropping it is a `kill -9`: nothing is told to anybody.
pub struct Daemon {
    stop: Option<oneshot::Sender<bool>>,
    thread: Option<JoinHandle<Option<Result<(), Error>>>>,
    pub metrics: Metrics,
    pub health: Health,
}

/// Waits for something that must come true; the panic says what did not.
pub fn eventually<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(Instant::now() < until, "never came true: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The same for a look at a node: the panic shows what its routes are instead.
pub fn eventually_on(node: &Node, what: &str, mut check: impl FnMut(&State) -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let state = node.kernel_state();
        if check(&state) {
            return;
        }
        if Instant::now() >= until {
            let routes: String = state.routes.iter().map(|route| format!("\n  {route}")).collect();
            let fdb: String = state.fdb.iter().map(|entry| format!("\n  {entry}")).collect();
            panic!("never came true on {}: {what}; routes:{routes}\nfdb:{fdb}", node.options.node_name);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

impl Network {
    pub fn of(nodes: usize, config: &str) -> Self {
        let _ = tracing_subscriber::fmt()
            .with_test_writer()
            .with_max_level(tracing_subscriber::filter::LevelFilter::INFO)
            .try_init();
        let hub = NetNs::anonymous().expect("run the tests as root: `cargo xtask test`");
        let folder = tempfile::tempdir().unwrap();
        hub.run(make_hub).unwrap();
        let nodes = (0..nodes).map(|at| Node::make(at, &hub, &folder)).collect();
        let etcd = hub.run(|| start_etcd(&folder)).unwrap();
        let network = Self { hub, nodes, etcd, _folder: folder };
        network.state(async |client| {
            client.put("/coreos.com/network/config", config, None).await.unwrap();
        });
        network
    }

    /// Talks with the state, from the hub; waits until it serves.
    pub fn state<T: Send>(&self, talk: impl AsyncFnOnce(&mut Client) -> T + Send) -> T {
        self.hub
            .run(|| {
                runtime().block_on(async {
                    let mut client = Client::connect([ENDPOINT], None).await.unwrap();
                    let until = Instant::now() + Duration::from_secs(20);
                    while client.status().await.is_err() {
                        assert!(
                            Instant::now() < until,
                            "etcd does not serve: is etcd-server installed? `cargo xtask setup`"
                        );
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    talk(&mut client).await
                })
            })
            .unwrap()
    }

    /// Keys and values below a prefix, with their etcd leases.
    pub fn keys(&self, prefix: &str) -> Vec<(String, String, i64)> {
        let prefix = prefix.to_owned();
        self.state(async move |client| {
            let options = etcd_client::GetOptions::new().with_prefix();
            let response = client.get(prefix, Some(options)).await.unwrap();
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            response.kvs().iter().map(|kv| (text(kv.key()), text(kv.value()), kv.lease())).collect()
        })
    }

    pub fn leases(&self) -> Vec<(String, String, i64)> {
        let prefix = "/coreos.com/network/subnets/";
        self.keys(prefix)
            .into_iter()
            .map(|(key, value, id)| (key.trim_start_matches(prefix).to_owned(), value, id))
            .collect()
    }

    /// A lease of a peer that is not here, as flanneld writes it.
    pub fn put_peer(&self, subnet: &str, ip: &str, mac: &str) {
        let (key, value) = (format!("/coreos.com/network/subnets/{subnet}"), peer_value(ip, mac));
        self.state(async move |client| {
            client.put(key, value, None).await.unwrap();
        });
    }

    pub fn put(&self, key: &str, value: &str) {
        let (key, value) = (key.to_owned(), value.to_owned());
        self.state(async move |client| {
            client.put(key, value, None).await.unwrap();
        });
    }

    pub fn delete(&self, key: &str) {
        let key = key.to_owned();
        self.state(async move |client| {
            client.delete(key, None).await.unwrap();
        });
    }

    /// Stops (`SIGSTOP`) or continues etcd: a state that does not answer.
    pub fn pause_etcd(&self, pause: bool) {
        let pid = rustix::process::Pid::from_child(&self.etcd);
        let signal = if pause { rustix::process::Signal::STOP } else { rustix::process::Signal::CONT };
        rustix::process::kill_process(pid, signal).unwrap();
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = self.etcd.kill();
        let _ = self.etcd.wait();
    }
}

pub fn peer_value(ip: &str, mac: &str) -> String {
    format!(
        r#"{{"PublicIP":"{ip}","PublicIPv6":null,"BackendType":"vxlan","BackendData":{{"VNI":1,"VtepMAC":"{mac}"}}}}"#
    )
}

impl Node {
    fn make(at: usize, hub: &NetNs, folder: &tempfile::TempDir) -> Self {
        let ns = NetNs::anonymous().unwrap();
        let last = 15 + at;
        hub.run(|| {
            let target = NetNsTarget::Fd(ns.as_fd().as_raw_fd());
            let peer = VethPeer { name: "eth0".into(), mac: None, mtu: None, netns: Some(target) };
            let link = NewLink {
                up: true,
                master: Some("br0".into()),
                ..NewLink::of(format!("v{at}"), NewLinkKind::Veth(peer))
            };
            Kernel::open().unwrap().apply_all(&[Op::AddLink(link)]).unwrap();
        })
        .unwrap();
        ns.run(|| {
            Kernel::open()
                .unwrap()
                .apply_all(&[
                    up("lo"),
                    up("eth0"),
                    Op::AddAddress(Address {
                        broadcast: true,
                        ..Address::of("eth0", format!("10.0.2.{last}/24").parse().unwrap())
                    }),
                    Op::AddAddress(Address::of("eth0", format!("fd00:10:0:2::{last}/64").parse().unwrap())),
                    Op::ReplaceRoute(
                        Route::of("0.0.0.0/0".parse().unwrap(), "eth0").via("10.0.2.1".parse().unwrap()),
                    ),
                ])
                .unwrap();
            sysctl::write("net/ipv4/ip_forward", "1").unwrap();
        })
        .unwrap();
        let options = Options {
            etcd_prefix: "/coreos.com/network".into(),
            endpoints: vec!["10.0.2.1".parse().unwrap()],
            iface: vec![],
            iface_regex: vec![],
            iface_can_reach: None,
            public_ip: None,
            public_ipv6: None,
            ip_masq: true,
            subnet_file: folder.path().join(format!("node{at}/subnet.env")),
            renew_margin: Duration::from_secs(3600),
            take_over: false,
            node_name: format!("node{at}"),
            boot_id: format!("boot{at}"),
            machine_id: "one image".into(),
        };
        Self { ns, options }
    }

    pub fn start(&self) -> Daemon {
        self.start_with(self.options.clone())
    }

    pub fn start_with(&self, options: Options) -> Daemon {
        let (metrics, health) = (Metrics::default(), Health::starting());
        let (stop, stopped) = oneshot::channel();
        let (sender, entered) = mpsc::channel();
        let ns = NetNs::open(std::path::Path::new(&format!("/proc/self/fd/{}", self.ns.as_fd().as_raw_fd())))
            .unwrap();
        let (m, h) = (metrics.clone(), health.clone());
        let thread = std::thread::spawn(move || {
            let _entered = ns.enter().unwrap();
            sender.send(()).unwrap();
            let runtime = runtime();
            let done = runtime.block_on(async move {
                let options_of = etcd_client::ConnectOptions::new()
                    .with_connect_timeout(Duration::from_secs(1))
                    .with_keep_alive(Duration::from_secs(10), Duration::from_secs(5));
                let client = Client::connect([ENDPOINT], Some(options_of)).await.unwrap();
                let (quit, quitting) = oneshot::channel::<()>();
                let run = flannel_vxlan::run(options, client, m, h, || (), async {
                    let _ = quitting.await;
                });
                tokio::pin!(run);
                tokio::select! {
                    done = &mut run => Some(done),
                    killed = stopped => match killed {
                        // A request to stop; the daemon ends by itself.
                        Ok(true) => { let _ = quit.send(()); Some(run.await) }
                        _ => None,
                    },
                }
            });
            runtime.shutdown_background();
            done
        });
        entered.recv().unwrap();
        Daemon { stop: Some(stop), thread: Some(thread), metrics, health }
    }

    /// What the node's kernel has.
    pub fn kernel_state(&self) -> State {
        let all =
            Observe { addresses: true, routes: true, neighbours: true, fdb: true, ..Observe::default() };
        Kernel::open_in(&self.ns).unwrap().observe(&all).unwrap()
    }

    pub fn apply(&self, op: Op) {
        self.ns.run(|| Kernel::open().unwrap().apply_all(&[op]).unwrap()).unwrap();
    }

    /// Whether route, neighbour and FDB entry of a peer's subnet are all there.
    pub fn has_peer(&self, subnet: &str) -> bool {
        peer_entries(&self.kernel_state(), subnet) == 3
    }

    /// Peers' routes by the overlay.
    pub fn peer_routes(&self) -> usize {
        self.kernel_state()
            .routes
            .iter()
            .filter(|r| r.onlink && r.dev.as_deref() == Some("flannel.1"))
            .count()
    }
}

/// How many of a peer's three entries are there.
pub fn peer_entries(state: &State, subnet: &str) -> usize {
    let net: ipnetwork::IpNetwork = subnet.parse().unwrap();
    let route = state.routes.iter().any(|r| r.dest == net && r.onlink);
    let neighbour = state.neighbours.iter().find(|n| n.ip == net.network() && n.permanent);
    let fdb = neighbour.is_some_and(|n| state.fdb.iter().any(|e| Some(e.mac) == n.mac && e.dev == n.dev));
    usize::from(route) + usize::from(neighbour.is_some()) + usize::from(fdb)
}

impl Daemon {
    pub fn wait_ready(&self) {
        eventually("the daemon is ready", || self.health.waiting().is_none().then_some(()));
    }

    /// `SIGTERM`.
    pub fn stop(mut self) -> Result<(), Error> {
        let _ = self.stop.take().unwrap().send(true);
        self.thread.take().unwrap().join().unwrap().unwrap()
    }

    /// Waits for the daemon to end by itself.
    pub fn end(mut self) -> Result<(), Error> {
        self.thread.take().unwrap().join().unwrap().unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

pub fn up(dev: &str) -> Op {
    Op::ChangeLink(LinkChange { up: Some(true), ..LinkChange::of(dev) })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn make_hub() {
    let bridge = NewLink { up: true, ..NewLink::of("br0", NewLinkKind::Bridge(Bridge::default())) };
    let ops = [
        up("lo"),
        Op::AddLink(bridge),
        Op::AddAddress(Address { broadcast: true, ..Address::of("br0", "10.0.2.1/24".parse().unwrap()) }),
        Op::AddAddress(Address::of("br0", "fd00:10:0:2::1/64".parse().unwrap())),
    ];
    Kernel::open().unwrap().apply_all(&ops).unwrap();
}

/// The state: Debian's etcd, or the `weft` whose path is in WEFT_STATE_BIN. `cargo xtask test` tries both.
fn start_etcd(folder: &tempfile::TempDir) -> Child {
    let mut command = match std::env::var_os("WEFT_STATE_BIN") {
        Some(weft) => {
            let mut command = Command::new(weft);
            command.arg("etcd");
            command
        }
        None => {
            let mut command = Command::new("etcd");
            command.args(["--listen-peer-urls", "http://127.0.0.1:2380"]);
            command
        }
    };
    command
        .arg("--data-dir")
        .arg(folder.path().join("etcd"))
        .args(["--listen-client-urls", ENDPOINT, "--advertise-client-urls", ENDPOINT])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().expect(
        "the state does not start: `cargo xtask setup` installs Debian's etcd-server, WEFT_STATE_BIN names a weft",
    )
}

/// The address of a node.
pub fn address(at: usize) -> IpAddr {
    IpAddr::from([10, 0, 2, 15 + at as u8])
}
