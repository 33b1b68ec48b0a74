//! `weft lab bench`: throughput between pods beside the same between their hosts.
//!
//! Every repeat measures each workload on each path, one right after the other, and divides by the baseline of that
//! same moment: rates drift with whatever else the machine does, their ratios much less. What is told is the median
//! of the ratios with the least and the greatest. Each repeat of a path has a port of its own, because reusing
//! 4-tuples against TIME_WAIT costs more than any network.
//!
//! Takes paths × workloads × repeats × seconds, and about 15 ms for each measurement's process.

mod plot;
mod report;

pub use report::{Figure, Report};

use crate::daemons;
use crate::error::{LabError, Result, Tried};
use crate::load::{Measurement, PORT, PORTS, Workload};
use crate::pods;
use crate::state::{Home, Plugin, PodState, State};
use crate::up::pod_of;
use std::net::IpAddr;
use std::path::PathBuf;

/// What to measure.
#[derive(Clone, Debug)]
pub struct BenchSpec {
    /// How often.
    pub repeats: u16,
    /// Seconds of each measurement.
    pub seconds: f64,
    /// Over IPv6.
    pub ipv6: bool,
    /// Which workloads.
    pub workloads: Vec<Workload>,
    /// Wire more pods by the reference plugins in this folder, and measure between those too.
    pub beside: Option<PathBuf>,
}

/// A way from a client to a server.
#[derive(Clone, Debug)]
struct Way {
    title: String,
    from: String,
    to: IpAddr,
}

/// Runs the bench on a lab that is up.
pub fn bench(home: &Home, spec: &BenchSpec, progress: &crate::progress::Progress) -> Result<Report> {
    let mut state = home.load()?;
    let mut ways = ways(&state, &state.pods, spec.ipv6, "pod ↔ pod")?;
    ways.insert(0, hosts(&state, spec.ipv6)?);
    let mut theirs = Vec::new();
    if let Some(dir) = &spec.beside {
        let _lock = home.lock()?;
        theirs = wire_beside(home, &mut state, dir)?;
        ways.extend(self::ways(&state, &theirs, spec.ipv6, "reference plugins")?);
    }
    let measured = run(home, &state, spec, &ways, progress);
    if let Some(dir) = &spec.beside {
        let _lock = home.lock()?;
        unwire(home, &mut state, dir, &theirs)?;
    }
    Ok(Report::of(ways.iter().map(|w| w.title.clone()).collect(), spec, measured?))
}

/// For each workload, way and repeat, in the order of `Workload`, `ways` and time.
type Measured = Vec<(Workload, Vec<Vec<Measurement>>)>;

fn run(
    home: &Home,
    state: &State,
    spec: &BenchSpec,
    ways: &[Way],
    progress: &crate::progress::Progress,
) -> Result<Measured> {
    let mut all: Measured = spec.workloads.iter().map(|w| (*w, vec![Vec::new(); ways.len()])).collect();
    for repeat in 0..spec.repeats {
        progress.step(&format!("repeat {} of {}", repeat + 1, spec.repeats));
        for (workload, by_way) in &mut all {
            for (i, way) in ways.iter().enumerate() {
                let port = PORT + (repeat * ways.len() as u16 + i as u16) % PORTS;
                by_way[i].push(measure_from(home, state, way, *workload, port, spec.seconds)?);
            }
        }
    }
    Ok(all)
}

/// Runs the load tool's client in a place.
fn measure_from(
    home: &Home,
    state: &State,
    way: &Way,
    workload: Workload,
    port: u16,
    seconds: f64,
) -> Result<Measurement> {
    let name = serde_json::to_value(workload);
    let name = name.ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default();
    let mut command = state.entrance(home, &way.from)?.command(&state.spec.weft)?;
    command.args(["lab", "load", "client", "--to", &way.to.to_string(), "--port", &port.to_string()]);
    command.args(["--seconds", &seconds.to_string(), &name]);
    let output = command.output().tried(|| format!("measure from {}", way.from))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        let what = format!("{} ({})", workload.title(), way.title);
        return Err(LabError::Program { what, place: way.from.clone(), said, log: None });
    }
    let form = |source| LabError::Form { what: "a measurement".into(), source };
    serde_json::from_slice(&output.stdout).map_err(form)
}

/// The baseline: from the first node to the second.
fn hosts(state: &State, ipv6: bool) -> Result<Way> {
    let nodes: Vec<_> = state.nodes().take(2).collect();
    let [a, b] = nodes[..] else { return Err(too_small("two nodes")) };
    let to = address(&b.addresses, ipv6).ok_or_else(|| too_small("a node with an address of that family"))?;
    Ok(Way { title: "host ↔ host (baseline)".into(), from: a.name.clone(), to })
}

/// From a pod to another on its node, and to one on another node.
fn ways(state: &State, pods: &[PodState], ipv6: bool, title: &str) -> Result<Vec<Way>> {
    let mut found = Vec::new();
    let first = pods.first().ok_or_else(|| too_small("pods"))?;
    let same = pods.iter().find(|p| p.node == first.node && p.name != first.name);
    // The node that the baseline leads to, so that both ways cross the same cable.
    let far_node = state.nodes().nth(1).map(|n| n.name.as_str());
    let far = pods.iter().find(|p| Some(p.node.as_str()) == far_node);
    for (pod, where_) in [(same, "one node"), (far, "two nodes")] {
        let pod = pod.ok_or_else(|| too_small("two nodes with two pods on the first"))?;
        let to =
            address(&pod.addresses, ipv6).ok_or_else(|| too_small("pods with an address of that family"))?;
        found.push(Way { title: format!("{title}, {where_}"), from: first.name.clone(), to });
    }
    Ok(found)
}

fn address(addresses: &[IpAddr], ipv6: bool) -> Option<IpAddr> {
    addresses.iter().find(|ip| ip.is_ipv6() == ipv6).copied()
}

fn too_small(needs: &str) -> LabError {
    LabError::Flag {
        flag: "bench",
        why: format!("the lab needs {needs}; put it up with --nodes and --pods-per-node"),
    }
}

/// Wires three more pods by the reference plugins, on the same bridges and out of the same subnets.
fn wire_beside(home: &Home, state: &mut State, dir: &std::path::Path) -> Result<Vec<PodState>> {
    let nodes: Vec<_> = state.nodes().take(2).map(|n| n.name.clone()).collect();
    let [first, second] = &nodes[..] else { return Err(too_small("two nodes")) };
    let spec = beside_spec(state, dir);
    let mut made = Vec::new();
    for (i, node) in [first, first, second].into_iter().enumerate() {
        let subnet_env = daemons::read_in(home, node, daemons::SUBNET_FILE)?.unwrap_or_default();
        let list = pods::conflist(Plugin::Reference, &subnet_env);
        let conf_dir = pods::conf_dir(Plugin::Reference, &state.spec);
        daemons::make_dir_in(home, node, conf_dir)?;
        daemons::write_in(home, node, &format!("{conf_dir}/10-weft.conflist"), &list)?;
        let mut pod = pod_of(&state.spec, &format!("ref{}", i + 1), node);
        pods::add(home, &spec, &mut pod, Plugin::Reference)?;
        state.pods.push(pod.clone());
        home.save(state)?;
        made.push(pod);
    }
    Ok(made)
}

fn unwire(home: &Home, state: &mut State, dir: &std::path::Path, theirs: &[PodState]) -> Result<()> {
    let spec = beside_spec(state, dir);
    for pod in theirs {
        pods::delete(home, &spec, pod, Plugin::Reference)?;
        state.pods.retain(|p| p.name != pod.name);
        home.save(state)?;
    }
    Ok(())
}

fn beside_spec(state: &State, dir: &std::path::Path) -> crate::state::Spec {
    crate::state::Spec { cni_bin_dirs: vec![dir.to_owned()], ..state.spec.clone() }
}
