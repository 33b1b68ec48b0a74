//! A node with an outside, pods on its bridge, servers in them and questions to them.
//!
//! ```text
//!  client 192.0.2.2, 2001:db8::2 ──veth── 192.0.2.1, 2001:db8::1  node  cni0 10.99.0.1, fd99::1 ── pods
//! ```
//! A server answers with its name and with whom it saw asking.

#![allow(dead_code)] // each test binary uses a part

use super::common::{self, Call, Node, Pod, Whose};
use netstate::NetNs;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// Long enough for a loaded machine, short enough for the questions that must not be answered.
const PATIENCE: Duration = Duration::from_millis(1500);
const IMPATIENCE: Duration = Duration::from_millis(300);

pub struct Site {
    pub node: Node,
    pub client: NetNs,
    whose: Whose,
}

/// A pod that is attached to the bridge.
pub struct Member {
    pub pod: Pod,
    pub id: String,
    pub result: Value,
}

fn ip(arguments: &str) {
    let out = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    assert!(out.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&out.stderr));
}

pub fn nft(arguments: &str) -> String {
    let out = Command::new("nft").args(arguments.split(' ')).output().unwrap();
    assert!(out.status.success(), "nft {arguments}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

impl Site {
    pub fn new(whose: Whose) -> Self {
        let node = Node::new();
        let client = NetNs::anonymous().unwrap();
        ip("link set lo up");
        ip(&format!(
            "link add out type veth peer name eth0 netns /proc/{}/fd/{}",
            std::process::id(),
            fd(&client)
        ));
        // Until its link-local address has been checked, the node would not ask for the client's.
        std::fs::write("/proc/sys/net/ipv6/conf/out/accept_dad", "0").unwrap();
        for line in
            ["link set out up", "addr add 192.0.2.1/24 dev out", "addr add 2001:db8::1/64 dev out nodad"]
        {
            ip(line);
        }
        client
            .run(|| {
                for line in [
                    "link set lo up",
                    "link set eth0 up",
                    "addr add 192.0.2.2/24 dev eth0",
                    "addr add 2001:db8::2/64 dev eth0 nodad",
                ] {
                    ip(line);
                }
            })
            .unwrap();
        Site { node, client, whose }
    }

    fn network(&self, keys: Value) -> Value {
        let ipam = json!({"type": "host-local", "dataDir": self.node.data_dir(),
            "ranges": [[{"subnet": "10.99.0.0/24"}], [{"subnet": "fd99::/64"}]],
            "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]});
        let mut config =
            self.node.config(self.whose, json!({"isGateway": true, "hairpinMode": true, "ipam": ipam}));
        for (key, value) in keys.as_object().unwrap() {
            config[key] = value.clone();
        }
        config
    }

    /// Attaches a pod to the bridge.
    pub fn member(&self, id: &str) -> Member {
        self.member_of(id, json!({}))
    }

    /// Attaches a pod to a network with the given keys over the usual ones.
    pub fn member_of(&self, id: &str, keys: Value) -> Member {
        let pod = Pod::new();
        let result = common::add(self.whose, &self.network(keys), id, &pod).unwrap();
        Member { pod, id: id.to_owned(), result }
    }

    /// Attaches a pod by the ptp plugin.
    pub fn routed(&self, id: &str) -> Member {
        let pod = Pod::new();
        let config = json!({"cniVersion": "1.0.0", "name": "testnet", "type": "ptp",
            "ipam": {"type": "host-local", "dataDir": self.node.data_dir(), "subnet": "10.97.0.0/24",
                "routes": [{"dst": "0.0.0.0/0"}]}});
        let path = pod.path();
        let call = Call { binary: self.binary("ptp"), ..Call::new(self.whose, "ADD", id, &path) };
        let result = call.run(&config).unwrap();
        Member { pod, id: id.to_owned(), result }
    }

    /// The binary of a plugin by its name.
    pub fn binary(&self, name: &str) -> PathBuf {
        match self.whose {
            Whose::Reference => common::reference(name),
            Whose::Ours => ours(&self.node, name),
        }
    }

    /// A configuration of a plugin behind the bridge, with the given keys over the usual ones.
    pub fn config(&self, name: &str, keys: Value) -> Value {
        let mut config = json!({"cniVersion": "1.0.0", "name": "testnet", "type": name,
            "dataDir": self.node.dir.path().join(name)});
        for (key, value) in keys.as_object().unwrap() {
            config[key] = value.clone();
        }
        config
    }

    pub fn records(&self, name: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.node.dir.path().join(name)) else { return Vec::new() };
        let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name.ends_with(".json")).collect();
        names.sort();
        names
    }

    pub fn call(&self, name: &str, command: &str, member: &Member, config: &Value) -> Result<Value, Value> {
        let mut config = config.clone();
        if command != "GC" && command != "STATUS" {
            config["prevResult"] = member.result.clone();
        }
        let path = member.pod.path();
        let call = Call { binary: self.binary(name), ..Call::new(self.whose, command, &member.id, &path) };
        call.run(&config)
    }
}

/// Our binary under a reference plugin's name.
pub fn ours(node: &Node, name: &str) -> PathBuf {
    let path = node.dir.path().join("bin").join(name);
    if !path.exists() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let _ = std::os::unix::fs::symlink(Whose::Ours.binary(), &path);
    }
    path
}

pub fn fd(netns: &NetNs) -> i32 {
    use std::os::fd::{AsFd, AsRawFd};
    netns.as_fd().as_raw_fd()
}

impl Member {
    pub fn address(&self, ipv6: bool) -> String {
        let ips = self.result["ips"].as_array().unwrap();
        let texts =
            ips.iter().map(|ip| ip["address"].as_str().unwrap().split('/').next().unwrap().to_owned());
        texts.into_iter().find(|text| text.contains(':') == ipv6).unwrap()
    }

    /// Serves TCP and UDP on a port of both families.
    pub fn serve(&self, port: u16) {
        let name = self.id.clone();
        let (tcp, udp) = self
            .pod
            .netns
            .run(|| (TcpListener::bind(("::", port)).unwrap(), UdpSocket::bind(("::", port)).unwrap()))
            .unwrap();
        let tcp_name = name.clone();
        std::thread::spawn(move || {
            for stream in tcp.incoming() {
                let Ok(mut stream) = stream else { return };
                let peer = stream.peer_addr().unwrap().ip().to_canonical();
                let _ = write!(stream, "{tcp_name} {peer}");
            }
        });
        std::thread::spawn(move || {
            let mut bytes = [0; 64];
            while let Ok((_, peer)) = udp.recv_from(&mut bytes) {
                let _ = udp.send_to(format!("{name} {}", peer.ip().to_canonical()).as_bytes(), peer);
            }
        });
    }
}

/// Who answers at an address that is asked from a namespace, and whom it saw.
pub fn ask(from: &NetNs, protocol: &str, to: &str, expected: bool) -> Option<String> {
    let to: SocketAddr = to.parse().unwrap();
    let (patience, tries) = if expected { (PATIENCE, 3) } else { (IMPATIENCE, 1) };
    // New IPv6 addresses are tested for duplicates first, and nobody answers under one meanwhile.
    (0..tries).find_map(|_| ask_once(from, protocol, to, patience))
}

fn ask_once(from: &NetNs, protocol: &str, to: SocketAddr, patience: Duration) -> Option<String> {
    from.run(|| match protocol {
        "tcp" => {
            let mut stream = TcpStream::connect_timeout(&to, patience).ok()?;
            stream.set_read_timeout(Some(patience)).unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).ok()?;
            Some(text).filter(|text| !text.is_empty())
        }
        _ => {
            let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            question(&UdpSocket::bind(any).unwrap(), to, patience)
        }
    })
    .unwrap()
}

/// One UDP question by a socket that may have asked before.
pub fn question(socket: &UdpSocket, to: SocketAddr, patience: Duration) -> Option<String> {
    socket.set_read_timeout(Some(patience)).unwrap();
    socket.send_to(b"who?", to).ok()?;
    let mut bytes = [0; 128];
    let (size, _) = socket.recv_from(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes[..size]).into_owned())
}
