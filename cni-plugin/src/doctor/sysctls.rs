//! Switches of the kernel without which containers reach nobody.

use super::networks::Picked;
use super::{Places, Report};
use crate::config::SubnetEnv;
use netstate::sysctl;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const CHECK: &str = "sysctls";
const FORWARD_V4: &str = "net/ipv4/ip_forward";
const FORWARD_V6: &str = "net/ipv6/conf/all/forwarding";
const BRIDGE_V4: &str = "net/bridge/bridge-nf-call-iptables";
const PATIENCE: Duration = Duration::from_millis(300);

pub(super) fn examine(places: &Places, picked: Option<&Picked>, report: &mut Report) {
    if picked.is_none() {
        return; // nothing to forward for
    }
    let lost = "packets of containers do not leave the node";
    require(report, FORWARD_V4, lost);
    let subnets = SubnetEnv::read(&places.subnet_file).map(|env| env.subnets).unwrap_or_default();
    if subnets.iter().any(|subnet| subnet.is_ipv6()) {
        require(report, FORWARD_V6, lost);
    }
    // Only iptables' rules need bridged packets to be shown to them; ipvs, nftables and ours do not.
    if proxy_mode(places.proxy).as_deref() == Some("iptables") {
        let why = "kube-proxy's iptables rules do not see packets between pods of one bridge: a Service fails from \
                   the node of its own pod";
        require(report, BRIDGE_V4, why);
    }
}

fn require(report: &mut Report, key: &str, why: &str) {
    let name = key.replace('/', ".");
    match sysctl::read_if_there(key) {
        Ok(Some(value)) if value == "1" => {}
        Ok(Some(value)) => {
            let next = format!("`sysctl -w {name}=1`, and a line in /etc/sysctl.d for the next boot");
            report.find(CHECK, name, format!("it is {value}: {why}"), next);
        }
        Ok(None) if key == BRIDGE_V4 => {
            let next = format!("`modprobe br_netfilter && sysctl -w {name}=1`, and both for the next boot");
            report.find(CHECK, name, format!("br_netfilter is not loaded: {why}"), next);
        }
        Ok(None) => report.find(
            CHECK,
            name,
            format!("the kernel lacks it: {why}"),
            "boot a kernel with IPv6, or use IPv4 alone",
        ),
        Err(error) => report.find(CHECK, name, error, "run it as root on the node itself"),
    }
}

/// What kube-proxy says, if one answers on this node.
fn proxy_mode(address: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(b"GET /proxyMode HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = Vec::new();
    // A time limit may end it after the answer has come.
    let _ = stream.take(65_536).read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.starts_with("HTTP/1").then(|| body.trim().to_owned())
}
