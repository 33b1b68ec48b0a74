//! `weft lab status`: nodes with their leases and peers, and pods, as tables or as JSON.

use crate::daemons;
use crate::error::{LabError, Result};
use crate::etcd::{Etcd, Lease};
use crate::network::{self, Overlay};
use crate::services;
use crate::state::{Home, PlaceState, State};
use comfy_table::Table;
use serde::Serialize;
use std::net::IpAddr;

/// What `--json` prints.
#[derive(Debug, Serialize)]
pub struct Status {
    /// The lab's name.
    pub name: String,
    /// The step that `up` is at, or "up".
    pub step: String,
    /// etcd's endpoints as the nodes see them.
    pub etcd_endpoints: Vec<String>,
    /// Why the leases are not known, if etcd did not answer.
    pub etcd_error: Option<String>,
    /// The machines of the cluster.
    pub nodes: Vec<Node>,
    /// The pods.
    pub pods: Vec<Pod>,
    /// The services and their endpoints.
    pub services: Vec<Service>,
}

/// A service port.
#[derive(Debug, Serialize)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Where it is reached.
    pub frontends: Vec<String>,
    /// Pods that are its endpoints.
    pub endpoints: Vec<String>,
}

/// A node.
#[derive(Debug, Serialize)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its own addresses.
    pub addresses: Vec<IpAddr>,
    /// Its lease in etcd.
    pub lease: Option<Lease>,
    /// What its kernel has of the overlay.
    pub overlay: Overlay,
    /// What runs on it for the lab.
    pub daemons: Vec<Daemon>,
}

/// A program on a node.
#[derive(Debug, Serialize)]
pub struct Daemon {
    /// etcd, flannel, load.
    pub name: String,
    /// Its process id.
    pub pid: u32,
    /// Whether it runs.
    pub running: bool,
    /// Its log.
    pub log: String,
}

/// A pod.
#[derive(Debug, Serialize)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Its node.
    pub node: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// The process in it.
    pub pid: u32,
    /// Whether that runs.
    pub running: bool,
}

/// Looks at a lab, however far it has come.
pub fn status(home: &Home) -> Result<Status> {
    let state = home.load()?;
    let (leases, etcd_error) = match leases(home, &state) {
        Ok(leases) => (leases, None),
        Err(e) => (Vec::new(), Some(e.to_string())),
    };
    let nodes = state.nodes().map(|node| look(home, node, &leases)).collect();
    let pods = state.pods.iter().map(|pod| Pod {
        name: pod.name.clone(),
        node: pod.node.clone(),
        addresses: pod.addresses.clone(),
        pid: pod.pid,
        running: daemons::runs(pod.pid),
    });
    let pods = pods.collect();
    let services = services::shown(&state);
    Ok(Status {
        services,
        name: state.spec.name,
        step: state.step,
        etcd_endpoints: state.endpoints,
        etcd_error,
        nodes,
        pods,
    })
}

fn leases(home: &Home, state: &State) -> Result<Vec<Lease>> {
    match state.nodes().next() {
        Some(node) if !state.endpoints.is_empty() => {
            Etcd { namespace: &home.place(&node.name)?.net(), endpoints: &state.endpoints }.leases()
        }
        _ => Ok(Vec::new()),
    }
}

fn look(home: &Home, node: &PlaceState, leases: &[Lease]) -> Node {
    let own = |lease: &&Lease| node.addresses.iter().any(|ip| ip.to_string() == lease.public_ip);
    let daemon = |d: &crate::state::Daemon| Daemon {
        name: d.name.clone(),
        pid: d.pid,
        running: daemons::runs(d.pid),
        log: home.log(&node.name, &d.name).display().to_string(),
    };
    Node {
        name: node.name.clone(),
        addresses: node.addresses.clone(),
        lease: leases.iter().find(own).cloned(),
        // A node of a half-made lab has no namespace to look into yet.
        overlay: network::overlay(home, &node.name).unwrap_or_default(),
        daemons: node.daemons.iter().map(daemon).collect(),
    }
}

impl Status {
    /// As JSON.
    pub fn json(&self) -> Result<String> {
        serde_json::to_string_pretty(self)
            .map_err(|source| LabError::Form { what: "the status".into(), source })
    }

    /// As tables.
    pub fn tables(&self) -> String {
        let mut nodes = table(["node", "addresses", "lease", "peers", "daemons"]);
        for node in &self.nodes {
            let lease = node.lease.as_ref().map_or("none".to_owned(), |lease| lease.subnets.join("\n"));
            let daemons = node.daemons.iter().map(|d| {
                if d.running { format!("{} {}", d.name, d.pid) } else { format!("{} has ended", d.name) }
            });
            nodes.add_row([
                node.name.clone(),
                lines(&node.addresses),
                lease,
                lines(&node.overlay.peers),
                daemons.collect::<Vec<_>>().join("\n"),
            ]);
        }
        let mut pods = table(["pod", "node", "addresses", "process"]);
        for pod in &self.pods {
            let process = if pod.running { pod.pid.to_string() } else { "has ended".to_owned() };
            pods.add_row([pod.name.clone(), pod.node.clone(), lines(&pod.addresses), process]);
        }
        let etcd = match &self.etcd_error {
            Some(why) => why.clone(),
            None => self.etcd_endpoints.join(", "),
        };
        let mut services = table(["service", "reached at", "endpoints"]);
        for service in &self.services {
            services.add_row([service.name.clone(), lines(&service.frontends), lines(&service.endpoints)]);
        }
        format!("lab {}: {}; etcd {etcd}\n{nodes}\n{pods}\n{services}", self.name, self.step)
    }
}

/// A table in the lab's style.
pub fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::UTF8_FULL_CONDENSED).set_header(header);
    table
}

fn lines<T: ToString>(values: &[T]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
