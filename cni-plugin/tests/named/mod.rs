//! A plugin called by the name of its file, ours or the reference's, behind a veth pair that the test makes.
//!
//! ```text
//!  host: vethpod ◄──► eth0 :container        10.9.0.1/24 ◄──► 10.9.0.2/24
//! ```

#![allow(dead_code)] // each test binary uses a part

use super::common::{Call, Node, Pod, Whose};
use netstate::{Address, LinkChange, NetNsTarget, NewLink, NewLinkKind, Op, VethPeer};
use serde_json::{Value, json};
use std::os::fd::{AsFd, AsRawFd};
use std::process::Command;

pub mod shaped;

pub const HOST_END: &str = "vethpod";

/// A pair between the host and the container, up, with addresses.
pub fn wire(node: &Node, pod: &Pod) {
    let peer = VethPeer {
        name: "eth0".into(),
        mac: Some("0a:58:0a:09:00:02".parse().unwrap()),
        mtu: None,
        netns: Some(NetNsTarget::Fd(pod.netns.as_fd().as_raw_fd())),
    };
    let link = NewLink { up: true, ..NewLink::of(HOST_END, NewLinkKind::Veth(peer)) };
    let address = |dev: &str, net: &str| Op::AddAddress(Address::of(dev, net.parse().unwrap()));
    let up = |dev: &str| Op::ChangeLink(LinkChange { up: Some(true), ..LinkChange::of(dev) });
    node.kernel().apply_all(&[Op::AddLink(link), address(HOST_END, "10.9.0.1/24"), up("lo")]).unwrap();
    pod.kernel().apply_all(&[up("eth0"), address("eth0", "10.9.0.2/24")]).unwrap();
}

/// What the plugin before says that it made.
pub fn previous(pod: &Pod) -> Value {
    json!({"cniVersion": "1.0.0", "ips": [{"address": "10.9.0.2/24", "interface": 1}], "dns": {},
        "interfaces": [{"name": HOST_END}, {"name": "eth0", "sandbox": pod.path(), "mac": "0a:58:0a:09:00:02"}]})
}

/// One call. ADD and CHECK have a prevResult if `config` has none.
pub fn call(whose: Whose, name: &str, command: &str, config: &Value, pod: &Pod) -> Result<Value, Value> {
    let mut config = config.clone();
    if matches!(command, "ADD" | "CHECK") && config.get("prevResult").is_none() {
        config["prevResult"] = previous(pod);
    }
    let path = pod.path();
    Call::new(whose, command, "c1", &path).of(whose, name).run(&config)
}

/// GC of ours with these containers valid.
pub fn gc(name: &str, config: &Value, valid: &[&str]) -> Result<Value, Value> {
    let mut config = config.clone();
    config["cniVersion"] = json!("1.1.0");
    let attachment = |id: &&str| json!({"containerID": id, "ifname": "eth0"});
    config["cni.dev/valid-attachments"] = valid.iter().map(attachment).collect();
    Call::new(Whose::Ours, "GC", "", "").of(Whose::Ours, name).run(&config)
}

/// Runs a command in the calling thread's namespace, for its output.
pub fn output(program: &str, arguments: &str) -> String {
    let output = Command::new(program).args(arguments.split_whitespace()).output().unwrap();
    String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr)
}
