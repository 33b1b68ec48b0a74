//! Flags that say what this node is.

use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use proxy_ebpf::{NodeOptions, NodePortAddresses};

/// The node.
#[derive(Debug, Args)]
pub struct NodeFlags {
    /// This node's name [default: the host's name]
    #[arg(long)]
    pub(super) hostname_override: Option<String>,
    /// This node's addresses, while no Node manifest names them [default: those of the default routes' interfaces]
    #[arg(long, value_delimiter = ',')]
    pub(super) node_ip: Vec<IpAddr>,
    /// Which addresses answer NodePorts: primary, or networks
    #[arg(long, default_value = "primary")]
    pub(super) nodeport_addresses: NodePortAddresses,
    /// Serve spec.externalIPs, which whoever may write a Service chooses freely
    #[arg(long)]
    enable_external_ips: bool,
}

impl NodeFlags {
    /// The node.
    pub fn options(&self) -> anyhow::Result<NodeOptions> {
        let name = match &self.hostname_override {
            Some(name) => name.clone(),
            None => std::fs::read_to_string("/proc/sys/kernel/hostname")
                .context("no host name: give --hostname-override")?,
        };
        // As a kubelet names its Node.
        let name = name.trim().to_lowercase();
        let addresses = if self.node_ip.is_empty() { default_addresses()? } else { self.node_ip.clone() };
        Ok(NodeOptions {
            name,
            zone: None,
            addresses,
            node_port_addresses: self.nodeport_addresses.clone(),
            external_ips_enabled: self.enable_external_ips,
        })
    }
}

/// By family, the first address of the interface that the default route leaves by.
fn default_addresses() -> anyhow::Result<Vec<IpAddr>> {
    let mut kernel = netstate::Kernel::open()?;
    let state = kernel.observe(&netstate::Observe {
        addresses: true,
        routes: true,
        ..netstate::Observe::default()
    })?;
    let of = |v4: bool| {
        let mut routes = state.routes.iter().filter(|r| r.dest.prefix() == 0 && r.dest.is_ipv4() == v4);
        let dev = routes.find_map(|route| route.dev.clone())?;
        let mut here = state.addresses.iter().filter(|a| a.dev == dev && !a.link_scope).map(|a| a.net.ip());
        here.find(|ip| ip.is_ipv4() == v4)
    };
    Ok([of(true), of(false)].into_iter().flatten().collect())
}

/// Where cgroup v2 is mounted: alone, or beside version 1.
pub fn cgroup2_mount() -> Option<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>()).find_map(|fields| match fields[..] {
        [_, at, "cgroup2", ..] => Some(PathBuf::from(at)),
        _ => None,
    })
}

/// FIRST-LAST, outside of the ports that the kernel gives to sockets.
pub fn ports(range: &str) -> anyhow::Result<(u16, u16)> {
    let of = |text: &str, between: char| -> Option<(u16, u16)> {
        let (first, last) = text.trim().split_once(between)?;
        Some((first.trim().parse().ok()?, last.trim().parse().ok()?))
    };
    let Some((first, last)) = of(range, '-') else {
        bail!("--snat-port-range {range}: it is FIRST-LAST, such as 1024-29999");
    };
    let kernel = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    if let Some((low, high)) = of(&kernel, '\t').filter(|(low, high)| first <= *high && *low <= last) {
        bail!(
            "--snat-port-range {range} overlaps ip_local_port_range ({low}-{high}), where sockets of this node get \
             their ports: choose another, or change the sysctl"
        );
    }
    Ok((first, last))
}
