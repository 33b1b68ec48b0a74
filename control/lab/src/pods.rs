//! Pods: sandboxes wired by CNI plugins exactly as a container runtime would.
//!
//! ```text
//! up ─ enters the node ─► weft lab agent add POD        the "runtime" of the node
//!                            ├─ weft lab hold --pod     the sandbox: namespaces, serves load
//!                            ├─ /run/netns/POD          its network namespace by path: CNI_NETNS
//!                            └─ caller: /etc/cni/net.d, the CNI environment, chain, cache
//!    ◄─ JSON: process id, addresses ─
//! ```
//!
//! The agent is a process because the caller finds configuration, cache and plugins by the node's paths. Costs two
//! processes per pod, one of which stays.

use crate::cgroup::{self, Cgroup};
use crate::error::{LabError, Result, Tried};
use crate::holder::{Hold, Holder};
use crate::state::{Home, Plugin, PodState, Spec};
use cni_plugin::caller::{Attachment, Caller};
use netstate::NetNs;
use rustix::mount::{UnmountFlags, unmount};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::HashMap;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// The network's name: one store of addresses, whichever plugin gives them out.
const NETWORK: &str = "weft";
const IFNAME: &str = "eth0";
const CNI_STATE: &str = "/var/lib/cni";

/// Where the configuration for each plugin is, in the node's view.
pub fn conf_dir(plugin: Plugin, spec: &Spec) -> &'static str {
    // The one that the lab was put up with is where every runtime looks.
    if plugin == spec.plugin { "/etc/cni/net.d" } else { "/etc/cni/beside.d" }
}

/// The configuration list for a plugin on a node with this subnet.env.
pub fn conflist(plugin: Plugin, subnet_env: &str) -> String {
    let list = match plugin {
        Plugin::Weft => json!({
            "cniVersion": "1.1.0",
            "name": NETWORK,
            "plugins": [{"type": "weft-cni", "bridge": "cni0", "isDefaultGateway": true, "hairpinMode": true}],
        }),
        Plugin::Reference => {
            let values: HashMap<_, _> = subnet_env.lines().filter_map(|line| line.split_once('=')).collect();
            let subnets = ["FLANNEL_SUBNET", "FLANNEL_IPV6_SUBNET"].iter().filter_map(|key| values.get(key));
            let ranges: Vec<_> = subnets.map(|s| json!([{"subnet": network_of(s)}])).collect();
            let mtu: Option<u32> = values.get("FLANNEL_MTU").and_then(|mtu| mtu.parse().ok());
            json!({
                "cniVersion": "1.0.0",
                "name": NETWORK,
                "plugins": [{
                    "type": "bridge", "bridge": "cni0", "isDefaultGateway": true, "hairpinMode": true, "mtu": mtu,
                    "ipam": {"type": "host-local", "ranges": ranges},
                }],
            })
        }
    };
    format!("{list:#}\n")
}

/// 10.244.7.1/24 → 10.244.7.0/24
fn network_of(subnet: &str) -> String {
    match subnet.parse::<ipnetwork::IpNetwork>() {
        Ok(net) => format!("{}/{}", net.network(), net.prefix()),
        Err(_) => subnet.to_owned(),
    }
}

/// What the agent answers.
#[derive(Debug, Serialize, Deserialize)]
struct Wired {
    pid: u32,
    addresses: Vec<IpAddr>,
}

/// What the agent is asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    /// The pod's name.
    pub pod: String,
    /// Its container id.
    pub container: String,
    /// Where the network's configuration is.
    pub conf_dir: PathBuf,
    /// Where plugins are.
    pub bin_dirs: Vec<PathBuf>,
    /// This program.
    pub weft: PathBuf,
}

impl Order {
    /// For a pod of the lab.
    pub fn of(spec: &Spec, pod: &PodState, plugin: Plugin) -> Order {
        Order {
            pod: pod.name.clone(),
            container: pod.container.clone(),
            conf_dir: conf_dir(plugin, spec).into(),
            bin_dirs: spec.cni_bin_dirs.clone(),
            weft: spec.weft.clone(),
        }
    }

    fn attachment(&self) -> Attachment {
        Attachment {
            container_id: self.container.clone(),
            netns: netns_path(&self.pod).display().to_string(),
            ifname: IFNAME.into(),
            ..Attachment::default()
        }
    }

    fn caller(&self) -> Caller {
        Caller::new(&self.conf_dir, &self.bin_dirs, CNI_STATE)
    }

    fn failed(&self, source: cni_plugin::caller::CallerError) -> LabError {
        LabError::Cni { place: self.pod.clone(), source: Box::new(source) }
    }
}

fn netns_path(pod: &str) -> PathBuf {
    Path::new("/run/netns").join(pod)
}

fn pod_cgroup(pod: &str) -> Result<Cgroup> {
    Ok(Cgroup::at(cgroup::mount_point()?).child("pods").child(pod))
}

/// Makes a pod and wires it; it is pinned in the lab's folder.
pub fn add(home: &Home, spec: &Spec, pod: &mut PodState, plugin: Plugin) -> Result<()> {
    let answer = agent(home, spec, pod, plugin, "add")?;
    let form = |source| LabError::Form { what: format!("the answer of {}'s agent", pod.node), source };
    let wired: Wired = serde_json::from_slice(&answer).map_err(form)?;
    pod.pid = wired.pid;
    pod.addresses = wired.addresses;
    home.pod(&pod.node, &pod.name)?.pin(pod.pid)
}

/// Unwires a pod and removes it.
pub fn delete(home: &Home, spec: &Spec, pod: &PodState, plugin: Plugin) -> Result<()> {
    agent(home, spec, pod, plugin, "del")?;
    home.pod(&pod.node, &pod.name)?.unpin()
}

/// Runs the agent in the pod's node.
fn agent(home: &Home, spec: &Spec, pod: &PodState, plugin: Plugin, verb: &str) -> Result<Vec<u8>> {
    let order = serde_json::to_string(&Order::of(spec, pod, plugin))
        .map_err(|source| LabError::Form { what: "an order".into(), source })?;
    let mut command = home.place(&pod.node)?.command(&spec.weft)?;
    command.args(["lab", "agent", verb, &order]).stdin(Stdio::null());
    let output = command.output().tried(|| format!("start the agent of {}", pod.node))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let what = format!("{verb} of {}", pod.name);
    Err(LabError::Program { what, place: pod.node.clone(), said, log: None })
}

/// `weft lab agent add`: in the node, makes the sandbox and calls the plugins; prints what came of it.
pub fn agent_add(order: &Order) -> Result<()> {
    let sandbox = Holder::start(&order.weft, &order.pod, Hold::Pod, &pod_cgroup(&order.pod)?)?;
    let path = netns_path(&order.pod);
    let pinned = NetNs::of_pid(sandbox.pid()).and_then(|ns| ns.pin(&path));
    pinned.map_err(|source| LabError::Network { place: order.pod.clone(), source })?;
    let caller = order.caller();
    let added = caller.default_network().and_then(|network| caller.add(&network, &order.attachment()));
    let result = match added {
        Ok(result) => result,
        Err(e) => {
            // What was made before the failure goes; the failure itself is what is told.
            drop(agent_del(order));
            return Err(order.failed(e));
        }
    };
    let addresses = result.ips.iter().map(|ip| ip.address.ip()).collect();
    let wired = Wired { pid: sandbox.serve()?, addresses };
    let text = serde_json::to_string(&wired);
    println!("{}", text.map_err(|source| LabError::Form { what: "the answer".into(), source })?);
    Ok(())
}

/// `weft lab agent del`: in the node, calls the plugins and removes the sandbox.
pub fn agent_del(order: &Order) -> Result<()> {
    let caller = order.caller();
    let unwired = caller
        .default_network()
        .and_then(|network| caller.del(&network, &order.attachment()))
        .map_err(|e| order.failed(e));
    let path = netns_path(&order.pod);
    if path.exists() {
        // Not mounted any more: a DEL before this one got so far.
        let _ = unmount(&path, UnmountFlags::DETACH);
        fs::remove_file(&path).tried(|| format!("remove {}", path.display()))?;
    }
    pod_cgroup(&order.pod)?.remove()?;
    unwired
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENV: &str = "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.7.1/24\nFLANNEL_MTU=1450\n\
        FLANNEL_IPV6_SUBNET=fd00:10:244:7::1/64\n";

    #[test]
    fn the_reference_plugins_get_the_nodes_subnets() {
        let list: serde_json::Value = serde_json::from_str(&conflist(Plugin::Reference, ENV)).unwrap();
        let plugin = &list["plugins"][0];
        assert_eq!(plugin["ipam"]["ranges"][0][0]["subnet"], "10.244.7.0/24");
        assert_eq!(plugin["ipam"]["ranges"][1][0]["subnet"], "fd00:10:244:7::/64");
        assert_eq!(plugin["mtu"], 1450);
    }

    #[test]
    fn both_use_one_network() {
        let ours: serde_json::Value = serde_json::from_str(&conflist(Plugin::Weft, ENV)).unwrap();
        let theirs: serde_json::Value = serde_json::from_str(&conflist(Plugin::Reference, ENV)).unwrap();
        assert_eq!(ours["name"], theirs["name"]);
    }
}
