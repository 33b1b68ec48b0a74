//! The lab's services, and whether they spread over all pods: web (ClusterIP) and web-nodeport (NodePort) over all
//! pods, TCP and UDP, both families.
//!
//! ```text
//! --services-from api           put into the API server of the first node, for `weft proxy --kubeconfig`
//! --services-from manifests     /run/weft/services/lab.json in each node's view, for `weft proxy --manifests`
//! ```
//!
//! Told anew whenever pods come or go; the file by rename: a proxy never reads half of it.

use crate::api;
use crate::daemons;
use crate::error::{LabError, Result, Tried};
use crate::load::{Dial, Dialled, PORT, Way};
use crate::state::{Home, ServicesFrom, State};
use crate::status::{Service, table};
use crate::topology::Role;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::process::Stdio;

/// Where the manifests are, in a node's view.
pub const MANIFESTS: &str = "/run/weft/services";
/// Cluster IPs of the service `web`.
pub const CLUSTER_IPS: [&str; 2] = ["10.96.0.80", "fd00:10:96::50"];
/// Cluster IPs of the service `web-nodeport`.
const NODE_PORT_IPS: [&str; 2] = ["10.96.0.81", "fd00:10:96::51"];
/// Its NodePort, for TCP and for UDP.
pub const NODE_PORT: u16 = 30080;
/// The port of the cluster IPs.
pub const SERVICE_PORT: u16 = 80;
/// Connections for each way: with six pods, one of them is missed by chance once in 10^7 tries.
const DIALS: u32 = 96;

/// The objects of the lab: its services, their endpoints, its nodes.
fn objects(state: &State) -> Vec<Value> {
    let ports = |node_port: Option<u16>| -> Vec<Value> {
        let port = |name: &str, protocol: &str| {
            let mut port =
                json!({"name": name, "protocol": protocol, "port": SERVICE_PORT, "targetPort": PORT});
            if let Some(number) = node_port {
                port["nodePort"] = number.into();
            }
            port
        };
        vec![port("http", "TCP"), port("echo", "UDP")]
    };
    let service = |name: &str, kind: &str, ips: [&str; 2], node_port| {
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"},
            "spec": {
                "type": kind, "clusterIP": ips[0], "clusterIPs": ips, "ipFamilies": ["IPv4", "IPv6"],
                "ipFamilyPolicy": "RequireDualStack", "ports": ports(node_port),
            },
        })
    };
    let mut items = vec![
        service("web", "ClusterIP", CLUSTER_IPS, None),
        service("web-nodeport", "NodePort", NODE_PORT_IPS, Some(NODE_PORT)),
    ];
    for name in ["web", "web-nodeport"] {
        items.extend([true, false].map(|v4| slice(state, name, v4)));
    }
    items.extend(state.nodes().map(|node| {
        let addresses: Vec<Value> =
            node.addresses.iter().map(|ip| json!({"type": "InternalIP", "address": ip})).collect();
        let metadata = json!({"name": node.name, "labels": {"kubernetes.io/hostname": node.name}});
        json!({"apiVersion": "v1", "kind": "Node", "metadata": metadata, "status": {"addresses": addresses}})
    }));
    items
}

/// The endpoints of one family: all pods.
fn slice(state: &State, service: &str, v4: bool) -> Value {
    let family = if v4 { "IPv4" } else { "IPv6" };
    let endpoint = |pod: &crate::state::PodState| {
        let ip = pod.addresses.iter().find(|ip| ip.is_ipv4() == v4)?;
        Some(json!({
            "addresses": [ip], "conditions": {"ready": true}, "nodeName": pod.node,
            "targetRef": {"kind": "Pod", "name": pod.name, "namespace": "default"},
        }))
    };
    let endpoints: Vec<Value> = state.pods.iter().filter_map(endpoint).collect();
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": family,
        "metadata": {
            "name": format!("{service}-{}", family.to_lowercase()), "namespace": "default",
            "labels": {"kubernetes.io/service-name": service},
        },
        "ports": [
            {"name": "http", "protocol": "TCP", "port": PORT},
            {"name": "echo", "protocol": "UDP", "port": PORT},
        ],
        "endpoints": endpoints,
    })
}

/// The services as `status` shows them.
pub fn shown(state: &State) -> Vec<Service> {
    let at = |ips: [&str; 2]| -> Vec<String> {
        let ips = ips.iter().filter_map(|ip| ip.parse::<IpAddr>().ok());
        ips.map(|ip| SocketAddr::new(ip, SERVICE_PORT).to_string()).collect()
    };
    let endpoints: Vec<String> = state.pods.iter().map(|pod| format!("{}:{PORT}", pod.name)).collect();
    let service =
        |name: &str, frontends| Service { name: name.to_owned(), frontends, endpoints: endpoints.clone() };
    let mut with_node_port = at(NODE_PORT_IPS);
    with_node_port.push(format!("every node:{NODE_PORT}"));
    vec![
        service("default/web, TCP and UDP", at(CLUSTER_IPS)),
        service("default/web-nodeport, TCP and UDP", with_node_port),
    ]
}

/// Tells the proxies, as this lab does it.
pub fn tell(home: &Home, state: &State) -> Result<()> {
    match state.spec.services_from {
        ServicesFrom::Api => api::put(home, state, objects(state)),
        ServicesFrom::Manifests => write(home, state),
    }
}

/// Writes the manifests where each node's proxy reads them.
fn write(home: &Home, state: &State) -> Result<()> {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects(state)});
    let text = serde_json::to_string_pretty(&list)
        .map_err(|source| LabError::Form { what: "the manifests".into(), source })?;
    for node in state.nodes() {
        daemons::make_dir_in(home, &node.name, MANIFESTS)?;
        daemons::replace_in(home, &node.name, &format!("{MANIFESTS}/lab.json"), &text)?;
    }
    Ok(())
}

/// One way of reaching a service.
#[derive(Debug, Serialize)]
pub struct Reached {
    /// Who dialled.
    pub from: String,
    /// What is dialled: ClusterIP, or whose NodePort.
    pub what: String,
    /// The address.
    pub to: SocketAddr,
    /// How.
    pub way: Way,
    /// Pods that answered.
    pub answered: BTreeSet<String>,
    /// Pods that did not.
    pub missing: BTreeSet<String>,
    /// What went wrong, each once.
    pub errors: BTreeSet<String>,
}

/// What came of dialling the services from everywhere.
#[derive(Debug)]
pub struct Spread {
    /// All ways.
    pub reached: Vec<Reached>,
    /// Connections in all.
    pub connections: usize,
}

/// Dials the services from pods, nodes and outside; each connection must be answered, and all pods must have answered.
pub fn spread(home: &Home) -> Result<Spread> {
    let state = home.load()?;
    let all: BTreeSet<String> = state.pods.iter().map(|pod| pod.name.clone()).collect();
    let mut spread = Spread { reached: Vec::new(), connections: 0 };
    for (from, kind) in vantages(&state) {
        let targets = targets(&state, kind);
        let plan: Vec<Dial> = targets.iter().map(|(_, dial)| dial.clone()).collect();
        let done = dial_from(home, &state, &from, &plan)?;
        for ((what, dial), results) in targets.into_iter().zip(done) {
            spread.connections += results.len();
            let answered: BTreeSet<String> =
                results.iter().filter_map(Dialled::host).map(str::to_owned).collect();
            let missing = all.difference(&answered).cloned().collect();
            let errors = results.iter().filter_map(|result| wrong(result, dial.to)).collect();
            let Dial { to, way, .. } = dial;
            spread.reached.push(Reached { from: from.clone(), what, to, way, answered, missing, errors });
        }
    }
    Ok(spread)
}

/// What is wrong with an answer, if anything: the client must see the address that it dialled.
fn wrong(result: &Dialled, to: SocketAddr) -> Option<String> {
    match result {
        Dialled::Answer { peer, .. } if *peer != to => Some(format!("the peer is {peer}")),
        Dialled::Answer { .. } => None,
        Dialled::Failed { error, .. } => Some(error.clone()),
    }
}

/// Where clients are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Vantage {
    Pod,
    Node,
    Outside,
}

fn vantages(state: &State) -> Vec<(String, Vantage)> {
    let pods = state.pods.iter().map(|pod| (pod.name.clone(), Vantage::Pod));
    let nodes = state.nodes().map(|node| (node.name.clone(), Vantage::Node));
    let place = |role| state.places.iter().find(|place| place.role == role);
    // On the nodes' own network, and no node: nothing translates on the way but the services themselves.
    let near = place(Role::Switch).or_else(|| place(Role::Gateway));
    let outside = near.map(|place| (place.name.clone(), Vantage::Outside));
    pods.chain(nodes).chain(outside).collect()
}

fn targets(state: &State, vantage: Vantage) -> Vec<(String, Dial)> {
    let mut addresses: Vec<(String, IpAddr, u16)> = Vec::new();
    if vantage != Vantage::Outside {
        let ips = CLUSTER_IPS.iter().filter_map(|ip| ip.parse().ok());
        addresses.extend(ips.map(|ip| ("ClusterIP".to_owned(), ip, SERVICE_PORT)));
    }
    for node in state.nodes() {
        let of = |ip: &IpAddr| (format!("NodePort of {}", node.name), *ip, NODE_PORT);
        addresses.extend(node.addresses.iter().map(of));
    }
    let dial = |(what, ip, port): (String, IpAddr, u16)| {
        [Way::Tcp, Way::Udp].map(|way| {
            let to = SocketAddr::new(ip, port);
            (what.clone(), Dial { to, way, times: DIALS, patience_ms: 0, from_port: 0 })
        })
    };
    addresses.into_iter().flat_map(dial).collect()
}

/// Runs the load tool's dialling in a place or pod.
pub fn dial_from(home: &Home, state: &State, from: &str, plan: &[Dial]) -> Result<Vec<Vec<Dialled>>> {
    let form = |source| LabError::Form { what: format!("what {from} dialled"), source };
    let order = serde_json::to_vec(plan).map_err(form)?;
    let mut command = state.entrance(home, from)?.command(&state.spec.weft)?;
    command.args(["lab", "load", "dial"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().tried(|| format!("dial from {from}"))?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(&order).tried(|| format!("dial from {from}"))?;
    }
    let output = child.wait_with_output().tried(|| format!("dial from {from}"))?;
    serde_json::from_slice(&output.stdout).map_err(form)
}

impl Spread {
    /// Ways on which a pod or an answer is missing.
    fn failed(&self) -> impl Iterator<Item = &Reached> {
        self.reached.iter().filter(|way| !way.missing.is_empty() || !way.errors.is_empty())
    }

    /// An error if anything failed.
    pub fn verdict(&self) -> Result<()> {
        match self.failed().count() {
            0 => Ok(()),
            failed => Err(LabError::Unreachable { failed, all: self.reached.len() }),
        }
    }

    /// As a table: rows are clients, columns are what they dial.
    pub fn table(&self) -> String {
        let mut columns: Vec<&str> = Vec::new();
        let mut rows: Vec<&str> = Vec::new();
        for way in &self.reached {
            if !columns.contains(&way.what.as_str()) {
                columns.push(&way.what);
            }
            if !rows.contains(&way.from.as_str()) {
                rows.push(&way.from);
            }
        }
        let mut shown = table(["from \\ to"]);
        shown.set_header(std::iter::once("from \\ to").chain(columns.iter().copied()));
        for row in &rows {
            let cells = columns.iter().map(|column| self.cell(row, column));
            shown.add_row(std::iter::once((*row).to_owned()).chain(cells));
        }
        let failed = self.failed().count();
        let mut text = format!(
            "{shown}\npods that answered {DIALS} connections each; the client must see the address that it dialled\n\
             {} of {} ways passed, {} connections\n",
            self.reached.len() - failed,
            self.reached.len(),
            self.connections
        );
        for Reached { from, what, to, way, missing, errors, .. } in self.failed() {
            text += &format!("{from} → {what} {to} {way:?}: missing {missing:?}, errors {errors:?}\n");
        }
        text
    }

    fn cell(&self, from: &str, what: &str) -> String {
        let here = self.reached.iter().filter(|way| way.from == from && way.what == what);
        let lines = here.map(|way| {
            let family = if way.to.is_ipv4() { "v4" } else { "v6" };
            let mark = if way.missing.is_empty() && way.errors.is_empty() { "✓" } else { "✗" };
            let all = way.answered.len() + way.missing.len();
            let protocol = if way.way == Way::Tcp { "TCP" } else { "UDP" };
            format!("{family} {protocol} {}/{all} {mark}", way.answered.len())
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}
