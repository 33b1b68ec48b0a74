//! `weft lab up`: from nothing to wired pods.
//!
//! The record is written before each step, so that whoever finds a half-made lab knows how far it came. A failure
//! takes down what was made; a kill leaves it to `down`.

use crate::api;
use crate::daemons::{self, ETCD_PORT};
use crate::down;
use crate::enter;
use crate::error::{LabError, Result, Tried};
use crate::etcd::{Etcd, Lease};
use crate::holder::{Hold, Holder};
use crate::network;
use crate::pods;
use crate::progress::Progress;
use crate::relay;
use crate::services;
use crate::state::{Home, PlaceState, Plugin, PodState, ServicesFrom, Spec, State};
use crate::topology::{MOST_NODES, Role, Topology};
use cni_plugin::caller::find_plugin;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

const ETCD_WITHIN: Duration = Duration::from_secs(15);
const PEERS_WITHIN: Duration = Duration::from_secs(20);
const LOG_LINES_SHOWN: usize = 12;

/// Puts a lab up.
pub fn up(spec: Spec) -> Result<()> {
    let home = Home::of(&spec.name)?;
    let topology = check(&spec)?;
    let _lock = home.lock()?;
    home.create()?;
    build(&home, spec, &topology).inspect_err(|e| {
        show_log(e);
        // The failure is what is told; what cannot be removed is told by the next `down`.
        drop(down::remove(&home));
    })
}

/// Finds out what cannot work before anything is made.
fn check(spec: &Spec) -> Result<Topology> {
    let flag = |flag, why: String| Err(LabError::Flag { flag, why });
    if !(1..=MOST_NODES).contains(&spec.nodes) {
        return flag("--nodes", format!("{}: it is 1 to {MOST_NODES}", spec.nodes));
    }
    if !rustix::process::geteuid().is_root() {
        return Err(std::io::Error::from(std::io::ErrorKind::PermissionDenied))
            .tried(|| "make namespaces".to_owned());
    }
    for endpoint in &spec.etcd_endpoints {
        relay::target(endpoint)?;
    }
    if let Some(missing) = spec.etcd_bin.as_ref().filter(|program| !program.is_file()) {
        return flag("--etcd-bin", format!("{} is not there", missing.display()));
    }
    if spec.etcd_bin.is_some() && !spec.etcd_endpoints.is_empty() {
        return flag("--etcd-bin", "with --etcd-endpoints no etcd is started; give one of the two".into());
    }
    let plugins: &[&str] = match spec.plugin {
        Plugin::Weft => &["weft-cni"],
        Plugin::Reference => &["bridge", "host-local"],
    };
    let mut programs = vec![spec.weft.clone()];
    programs.extend(spec.flannel.first().cloned());
    programs.extend(spec.etcd_bin.clone());
    for plugin in plugins {
        let found = find_plugin(plugin, &spec.cni_bin_dirs);
        programs
            .push(found.map_err(|e| LabError::Cni { place: "--cni-bin-dir".into(), source: Box::new(e) })?);
    }
    if let Some(hidden) = programs.iter().find(|p| enter::hidden_in_nodes(p)) {
        let why = format!("{} is below /run or /var/lib, which nodes have for themselves", hidden.display());
        return flag("--cni-bin-dir", why);
    }
    Ok(Topology::of(spec.nodes, spec.nat_clones))
}

/// All steps, in order.
fn build(home: &Home, spec: Spec, topology: &Topology) -> Result<()> {
    let progress = Progress::of(8 + u64::from(spec.nodes));
    let name = spec.name.clone();
    let mut state = State {
        spec,
        step: String::new(),
        endpoints: Vec::new(),
        owns_configuration: false,
        places: Vec::new(),
        pods: Vec::new(),
    };
    step(home, &mut state, &progress, "namespaces")?;
    home.cgroup()?.create()?;
    places(home, &mut state, topology)?;
    step(home, &mut state, &progress, "network between the nodes")?;
    network::lay(home, topology)?;
    step(home, &mut state, &progress, "etcd")?;
    etcd(home, &mut state, topology)?;
    step(home, &mut state, &progress, "the overlay of each node")?;
    overlays(home, &mut state, &progress)?;
    step(home, &mut state, &progress, "pods")?;
    wire(home, &mut state)?;
    wait_for_peers(home, &state)?;
    network::wait_for_outside(home, topology)?;
    if state.spec.services_from == ServicesFrom::Api {
        step(home, &mut state, &progress, "API server")?;
        api::start(home, &mut state)?;
    }
    step(home, &mut state, &progress, "services")?;
    proxies(home, &mut state)?;
    step(home, &mut state, &progress, "up")?;
    progress.end(&format!("lab {name} is up: {} nodes, {} pods", state.spec.nodes, state.pods.len()));
    Ok(())
}

fn step(home: &Home, state: &mut State, progress: &Progress, what: &str) -> Result<()> {
    state.step = what.to_owned();
    progress.step(what);
    home.save(state)
}

fn places(home: &Home, state: &mut State, topology: &Topology) -> Result<()> {
    for place in &topology.places {
        let addresses = place.addresses.clone();
        let noted = PlaceState { name: place.name.clone(), role: place.role, addresses, daemons: Vec::new() };
        state.places.push(noted);
        home.save(state)?;
        let entrance = home.place(&place.name)?;
        Holder::start(&state.spec.weft, &place.name, Hold::Place, entrance.cgroup())?.pin_to(&entrance)?;
    }
    Ok(())
}

/// Starts etcd on the first node, or the relay to an outer one, and writes the network's configuration.
fn etcd(home: &Home, state: &mut State, topology: &Topology) -> Result<()> {
    let Some(first) = topology.nodes().next() else { return Ok(()) };
    if state.spec.etcd_endpoints.is_empty() {
        let own = first.addresses.first().map(ToString::to_string).unwrap_or_default();
        state.endpoints = vec![format!("http://{own}:{ETCD_PORT}")];
        daemons::start(home, state, &first.name, "etcd")?;
    } else {
        start_relay(home, state, topology)?;
    }
    home.save(state)?;
    let etcd = Etcd { namespace: &home.place(&first.name)?.net(), endpoints: &state.endpoints };
    let written = etcd.configure(ETCD_WITHIN);
    // With an outer etcd, `down` removes what we wrote.
    state.owns_configuration = written? && !state.spec.etcd_endpoints.is_empty();
    home.save(state)
}

fn start_relay(home: &Home, state: &mut State, topology: &Topology) -> Result<()> {
    let Some(at) = topology.neighbour() else { return Ok(()) };
    let Some(address) = at.addresses.first() else { return Ok(()) };
    state.endpoints = relay::endpoints(&state.spec.etcd_endpoints, *address);
    // It stays in the machine's own namespaces, only its cgroup is the lab's.
    let mut command = Command::new(&state.spec.weft);
    command.args(["lab", "relay", "--at"]).arg(address.to_string());
    command.arg("--namespace").arg(home.place(&at.name)?.net()).args(&state.spec.etcd_endpoints);
    enter::in_cgroup(&mut command, home.place(&at.name)?.cgroup())?;
    let pid =
        daemons::spawn(&mut command, &home.log(&at.name, "relay")).tried(|| "start the relay".into())?;
    if let Some(place) = state.places.iter_mut().find(|p| p.name == at.name) {
        place.daemons.push(crate::state::Daemon { name: "relay".into(), pid });
    }
    Ok(())
}

/// Starts the overlay and a load server everywhere, then waits for each node's subnet and writes its CNI files.
fn overlays(home: &Home, state: &mut State, progress: &Progress) -> Result<()> {
    let all: Vec<_> = state.places.iter().map(|p| (p.name.clone(), p.role)).collect();
    let mut waiting = Vec::new();
    for (place, role) in &all {
        daemons::start(home, state, place, "load")?;
        if *role == Role::Node {
            waiting.push((place, daemons::start(home, state, place, "flannel")?));
        }
        home.save(state)?;
    }
    for (node, pid) in waiting {
        progress.step(&format!("the subnet of {node}"));
        let subnet_env = daemons::wait_for_subnet(home, node, pid)?;
        let list = pods::conflist(state.spec.plugin, &subnet_env);
        daemons::write_in(
            home,
            node,
            &format!("{}/10-weft.conflist", pods::conf_dir(state.spec.plugin, &state.spec)),
            &list,
        )?;
    }
    Ok(())
}

/// Starts each node's service proxy over the lab's services.
fn proxies(home: &Home, state: &mut State) -> Result<()> {
    services::tell(home, state)?;
    let nodes: Vec<String> = state.nodes().map(|node| node.name.clone()).collect();
    let mut waiting = Vec::new();
    for node in &nodes {
        waiting.push((node, daemons::start(home, state, node, "proxy")?));
        home.save(state)?;
    }
    waiting.into_iter().try_for_each(|(node, pid)| daemons::wait_for_proxy(home, node, pid))
}

/// Waits until every node has leased its subnet and has routes to those of all others.
fn wait_for_peers(home: &Home, state: &State) -> Result<()> {
    let Some(first) = state.nodes().next() else { return Ok(()) };
    let etcd = Etcd { namespace: &home.place(&first.name)?.net(), endpoints: &state.endpoints };
    let start = Instant::now();
    while start.elapsed() < PEERS_WITHIN {
        let leases = etcd.leases()?;
        let mut whole = leases.len() >= usize::from(state.spec.nodes);
        for node in state.nodes() {
            let routes = network::destinations(home, &node.name)?;
            let own = |lease: &&Lease| node.addresses.iter().any(|ip| ip.to_string() == lease.public_ip);
            let mut subnets = leases.iter().filter(|l| !own(l)).flat_map(|l| &l.subnets);
            whole &= subnets.all(|net| net.parse().is_ok_and(|net| routes.contains(&net)));
        }
        if whole {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(10));
    }
    let log = Some(home.log(&first.name, "flannel"));
    Err(LabError::Late { what: "routes between all nodes".into(), seconds: PEERS_WITHIN.as_secs(), log })
}

/// Wires the pods, the nodes side by side.
fn wire(home: &Home, state: &mut State) -> Result<()> {
    let mut number = 0;
    let mut planned = Vec::new();
    for node in state.nodes() {
        let mut here = Vec::new();
        for _ in 0..state.spec.pods_per_node {
            number += 1;
            here.push(pod_of(&state.spec, &format!("pod{number}"), &node.name));
        }
        planned.push(here);
    }
    state.pods = planned.iter().flatten().cloned().collect();
    home.save(state)?;
    let spec = &state.spec;
    let wired: Vec<Result<Vec<PodState>>> = thread::scope(|scope| {
        let wire_all = |pods: Vec<PodState>| {
            pods.into_iter()
                .map(|mut pod| pods::add(home, spec, &mut pod, spec.plugin).map(|()| pod))
                .collect()
        };
        let workers: Vec<_> = planned.into_iter().map(|here| scope.spawn(move || wire_all(here))).collect();
        workers
            .into_iter()
            .map(|w| w.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    state.pods = wired.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
    Ok(())
}

/// A pod that is to be made.
pub fn pod_of(spec: &Spec, name: &str, node: &str) -> PodState {
    let container = format!("{}-{name}", spec.name);
    PodState { name: name.into(), node: node.into(), container, pid: 0, addresses: Vec::new() }
}

/// The end of the log that an error points to, which goes with the lab.
fn show_log(error: &LabError) {
    let (LabError::Program { log: Some(log), .. } | LabError::Late { log: Some(log), .. }) = error else {
        return;
    };
    print_tail(log);
}

fn print_tail(log: &Path) {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    eprintln!("the end of {}:", log.display());
    for line in &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..] {
        eprintln!("  {line}");
    }
}
