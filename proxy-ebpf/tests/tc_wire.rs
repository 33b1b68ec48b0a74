//! The packet path on real interfaces: sockets of a client and of an endpoint, and a node that routes between them.
//!
//! ```text
//! client c0 ─ veth ─ up0 node in0 ─ veth ─ e0 endpoint          each in a network namespace of the test's own
//! ```
//!
//! pods c0, e0 ─ veth ─ bridge cni0 on the node                   the same, where both are pods of the node
//!
//! What test runs cannot show: that the kernel routes what was rewritten, that segmentation offload and checksums
//! left to the network card come through, that the node refuses by itself, and that its ICMP errors find back.
#![allow(clippy::unwrap_used, reason = "the file is a test")]

mod packets;

use aya::programs::TcAttachType;
use netstate::NetNs;
use packets::bed::Bed;
use packets::node::{Names, SERVICE, V4, V6, address, endpoint, service, set_service};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};
use weft_proxy_abi::{DROPPED_NO_ENDPOINT, INSIDE};

const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes in each direction: many segments at once, and more than the socket buffers hold.
const BULK: usize = 8 << 20;
const INSIDE_V4: &str = "10.42.2.1";
const INSIDE_V6: &str = "fd00:42:2::1";

struct Wire {
    bed: Bed,
    client: NetNs,
    node: NetNs,
    endpoint: NetNs,
}

fn ip(line: &str) {
    let output = Command::new("ip").args(line.split_whitespace()).output().unwrap();
    assert!(output.status.success(), "ip {line}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A veth pair whose far end is in another namespace, whose thread's path is given.
fn veth(near: &str, far: &str, far_namespace: &str) {
    ip(&format!("link add {near} type veth peer name {far} netns {far_namespace}"));
}

/// The namespace of the calling thread, as a path.
fn here() -> String {
    // SAFETY: no arguments, no memory.
    format!("/proc/{}/task/{}/ns/net", std::process::id(), unsafe { libc::gettid() })
}

/// Gives an interface its addresses and sets it up. None of them is checked for a duplicate first: a node whose
/// link-local address is not yet its own does not ask for the neighbours of what it forwards, for two seconds and,
/// on a busy machine, beyond the three after which a client is told that the host is unreachable.
fn addresses(interface: &str, addresses: [&str; 2]) {
    std::fs::write(format!("/proc/sys/net/ipv6/conf/{interface}/accept_dad"), "0").unwrap();
    for address in addresses {
        let nodad = if address.contains(':') { "nodad" } else { "" };
        ip(&format!("address add {address} dev {interface} {nodad}"));
    }
    ip(&format!("link set {interface} up"));
    ip("link set lo up");
}

fn route(by: [&str; 2]) {
    for gateway in by {
        ip(&format!("route add default via {gateway}"));
    }
}

/// Binds a socket where one was closed a moment ago. Another test may just be starting a program: until it is that
/// program, the new process holds this one's sockets too.
fn bound<T>(bind: impl Fn() -> std::io::Result<T>) -> T {
    let start = Instant::now();
    loop {
        match bind() {
            Err(error) if error.kind() == ErrorKind::AddrInUse && start.elapsed() < TIMEOUT => {
                std::thread::sleep(Duration::from_millis(1));
            }
            done => return done.unwrap(),
        }
    }
}

/// Makes the calling thread's namespace a router.
fn forward() {
    for switch in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
        std::fs::write(format!("/proc/sys/net/{switch}"), "1").unwrap();
    }
}

fn attach(bed: &mut Bed, interface: &str, [v4, v6]: [&str; 2], flags: u32) {
    bed.program("ingress").attach(interface, TcAttachType::Ingress).unwrap();
    bed.program("egress").attach(interface, TcAttachType::Egress).unwrap();
    bed.set_interface_at(interface, address(v4), address(v6), flags);
}

impl Wire {
    /// The client is refused at once, by TCP and by UDP.
    fn assert_refused(&self, at: SocketAddr) {
        let error = self.client.run(|| TcpStream::connect_timeout(&at, TIMEOUT)).unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "TCP {at}: {error}");
        let any = if at.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
        let socket = self.client.run(|| UdpSocket::bind(any)).unwrap().unwrap();
        socket.connect(at).unwrap();
        socket.set_read_timeout(Some(TIMEOUT)).unwrap();
        socket.send(b"weft").unwrap();
        let error = socket.recv(&mut [0; 16]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "UDP {at}: {error}");
    }

    /// The three namespaces, with the programs on the node's interfaces and no endpoint yet.
    fn new() -> Wire {
        let [client, node, endpoint] = [(); 3].map(|()| NetNs::anonymous().unwrap());
        let mut bed = Bed::new();
        node.run(|| {
            let node = here();
            client.run(|| veth("c0", "up0", &node)).unwrap();
            endpoint.run(|| veth("e0", "in0", &node)).unwrap();
            addresses("up0", ["192.0.2.1/24", "2001:db8::1/64"]);
            addresses("in0", [&format!("{INSIDE_V4}/24"), &format!("{INSIDE_V6}/64")]);
            forward();
            attach(&mut bed, "up0", ["192.0.2.1", "2001:db8::1"], 0);
            attach(&mut bed, "in0", [INSIDE_V4, INSIDE_V6], 0);
        })
        .unwrap();
        client
            .run(|| {
                addresses("c0", ["192.0.2.9/24", "2001:db8::9/64"]);
                route(["192.0.2.1", "2001:db8::1"]);
            })
            .unwrap();
        endpoint
            .run(|| {
                addresses("e0", ["10.42.2.5/24", "fd00:42:2::5/64"]);
                route([INSIDE_V4, INSIDE_V6]);
            })
            .unwrap();
        for names in [V4, V6] {
            bed.add_node_address(address(names.node_address), false);
        }
        Wire { bed, client, node, endpoint }
    }

    /// A node whose pods, client and endpoint, are on one bridge.
    fn bridged() -> Wire {
        let [client, node, endpoint] = [(); 3].map(|()| NetNs::anonymous().unwrap());
        let mut bed = Bed::new();
        node.run(|| {
            let node = here();
            client.run(|| veth("c0", "p0", &node)).unwrap();
            endpoint.run(|| veth("e0", "p1", &node)).unwrap();
            ip("link add cni0 type bridge");
            for port in ["p0", "p1"] {
                ip(&format!("link set {port} master cni0 up"));
            }
            addresses("cni0", [&format!("{INSIDE_V4}/24"), &format!("{INSIDE_V6}/64")]);
            forward();
            attach(&mut bed, "cni0", [INSIDE_V4, INSIDE_V6], INSIDE);
        })
        .unwrap();
        for (pod, interface, v4, v6) in [
            (&client, "c0", "10.42.2.9/24", "fd00:42:2::9/64"),
            (&endpoint, "e0", "10.42.2.5/24", "fd00:42:2::5/64"),
        ] {
            pod.run(|| {
                addresses(interface, [v4, v6]);
                route([INSIDE_V4, INSIDE_V6]);
            })
            .unwrap();
        }
        Wire { bed, client, node, endpoint }
    }

    /// Gives the services of both families one endpoint each, or none.
    fn set_endpoints(&mut self, local: bool, count: u32) {
        for (base, names) in [(0, V4), (1, V6)] {
            self.bed.set_endpoints(base, &[endpoint(names.endpoint, local)]);
            set_service(&mut self.bed, &names, service(base, count));
        }
    }

    /// Sends both ways over TCP, at once; gives the source that the endpoint saw.
    fn exchange(&self, client: &NetNs, names: &Names, frontend: &str) -> IpAddr {
        let listener = self.endpoint.run(|| bound(|| TcpListener::bind(names.endpoint))).unwrap();
        let server = std::thread::spawn(move || {
            let (stream, peer) = listener.accept().unwrap();
            both_ways(stream);
            peer.ip()
        });
        let at = packets::build::socket(frontend);
        let stream = client.run(|| TcpStream::connect_timeout(&at, TIMEOUT)).unwrap();
        both_ways(stream.unwrap_or_else(|error| panic!("{frontend}: {error}")));
        server.join().unwrap()
    }
}

/// Writes and reads [`BULK`] bytes, checked.
fn both_ways(mut stream: TcpStream) {
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream.set_write_timeout(Some(TIMEOUT)).unwrap();
    let sent: Vec<u8> = (0..BULK).map(|n| ((n * 31) >> 3) as u8).collect();
    let mut writer = stream.try_clone().unwrap();
    let mut received = vec![0; BULK];
    std::thread::scope(|scope| {
        scope.spawn(|| writer.write_all(&sent).unwrap());
        stream.read_exact(&mut received).unwrap();
    });
    assert!(received == sent, "bytes came through changed");
}

#[test]
fn tcp_comes_through_with_and_without_another_source() {
    let mut wire = Wire::new();
    for local in [true, false] {
        wire.set_endpoints(local, 1);
        for (names, inside) in [(V4, INSIDE_V4), (V6, INSIDE_V6)] {
            for frontend in [names.frontend, names.node_port] {
                let seen = wire.exchange(&wire.client, &names, frontend);
                let expected = if local { names.client_address } else { inside };
                assert_eq!(seen, expected.parse::<IpAddr>().unwrap(), "{frontend}");
            }
        }
    }
    let counters = wire.bed.counters(SERVICE);
    assert_eq!(counters.packet_connections, 8);
    assert!(counters.bytes_in > 8 * BULK as u64 && counters.bytes_out > 8 * BULK as u64);
    assert_eq!(counters.dropped, [0; 8]);
}

/// Replies on one bridge would not pass the node, but for the source that it gives: so does a pod's own frontend.
#[test]
fn pods_of_one_bridge_reach_each_other_and_themselves() {
    let mut wire = Wire::bridged();
    wire.set_endpoints(true, 1);
    for (names, node) in [(V4, INSIDE_V4), (V6, INSIDE_V6)] {
        for pod in [&wire.client, &wire.endpoint] {
            let seen = wire.exchange(pod, &names, names.frontend);
            assert_eq!(seen, node.parse::<IpAddr>().unwrap());
        }
    }
    assert_eq!(wire.bed.counters(SERVICE).dropped, [0; 8]);
}

/// UDP with packets that are sent as fragments.
#[test]
fn udp_comes_through_in_fragments_too() {
    let mut wire = Wire::new();
    for local in [true, false] {
        wire.set_endpoints(local, 1);
        for names in [V4, V6] {
            let server = wire.endpoint.run(|| bound(|| UdpSocket::bind(names.endpoint))).unwrap();
            let any = if names.client.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
            let client = wire.client.run(|| UdpSocket::bind(any)).unwrap().unwrap();
            client.connect(names.frontend).unwrap();
            for socket in [&server, &client] {
                socket.set_read_timeout(Some(TIMEOUT)).unwrap();
            }
            let mut buffer = vec![0; 65_536];
            for length in [0, 1, 1_400, 1_600, 5_000, 40_000] {
                let data: Vec<u8> = (0..length).map(|n: u32| (n * 7) as u8).collect();
                client.send(&data).unwrap();
                let (bytes, peer) = server.recv_from(&mut buffer).unwrap();
                assert_eq!(buffer[..bytes], data[..], "to the endpoint");
                server.send_to(&data, peer).unwrap();
                let bytes = client.recv(&mut buffer).unwrap();
                assert_eq!(buffer[..bytes], data[..], "to the client");
            }
        }
    }
}

#[test]
fn a_service_without_endpoints_refuses_at_once() {
    let mut wire = Wire::new();
    wire.set_endpoints(true, 0);
    for names in [V4, V6] {
        for frontend in [names.frontend, names.node_port] {
            wire.assert_refused(packets::build::socket(frontend));
        }
    }
    assert_eq!(wire.bed.counters(SERVICE).dropped[DROPPED_NO_ENDPOINT], 8);
}

/// The node's "fragmentation needed" and "packet too big" reach both ends, which then send less at once.
#[test]
fn a_smaller_mtu_behind_the_node_is_told_to_the_client() {
    let mut wire = Wire::new();
    wire.node.run(|| ip("link set in0 mtu 1300")).unwrap();
    for local in [true, false] {
        wire.set_endpoints(local, 1);
        for names in [V4, V6] {
            wire.exchange(&wire.client, &names, names.frontend);
        }
    }
}

#[test]
fn a_port_where_no_process_listens_refuses_in_the_frontends_name() {
    let mut wire = Wire::new();
    for local in [true, false] {
        wire.set_endpoints(local, 1);
        for names in [V4, V6] {
            wire.assert_refused(packets::build::socket(names.frontend));
        }
    }
}
