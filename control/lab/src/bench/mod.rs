//! `weft lab bench`: throughput between pods beside the same between their hosts.
//!
//! Every repeat measures each workload on each path, one right after the other, and divides by the baseline of that
//! same moment: rates drift with whatever else the machine does, their ratios much less. What is told is the median
//! of the ratios with the least and the greatest. Pods of the reference plugins are measured right beside ours on the
//! same path, and each of the two comes first in every other repeat. Each repeat of a path has a port of its own,
//! because reusing 4-tuples against TIME_WAIT costs more than any network.
//!
//! Takes paths × workloads × repeats × seconds, and about 15 ms for each measurement's process.

mod plot;
mod report;

pub use report::{Beside, Figure, Report};

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
    /// Which of the ways between pods it is; none for the baseline.
    reach: Option<&'static str>,
}

/// Titles of the ways between pods begin with one of these.
const OURS: &str = "pod ↔ pod";
const THEIRS: &str = "reference plugins";

/// Names of the pods that the reference plugins wire begin with this.
const BESIDE: &str = "beside-";

/// Runs the bench on a lab that is up.
pub fn bench(home: &Home, spec: &BenchSpec, progress: &crate::progress::Progress) -> Result<Report> {
    let mut state = home.load()?;
    let baseline = hosts(&state, spec.ipv6)?;
    let mut ours = ways(&state, &state.pods, spec.ipv6, OURS)?;
    let Some(dir) = &spec.beside else {
        ours.insert(0, baseline);
        let measured = run(home, &state, spec, &ours, progress)?;
        return Ok(Report::of(titles(&ours), &[], spec, &measured));
    };
    let wired = {
        let _lock = home.lock()?;
        state = unwire(home, dir)?;
        wire_beside(home, &mut state, dir)
    };
    let measured = wired.and_then(|wired| {
        let theirs = ways(&state, &wired, spec.ipv6, THEIRS)?;
        let mut all = vec![baseline];
        let mut pairs = Vec::new();
        for (our, their) in ours.into_iter().zip(theirs) {
            pairs.push((our.reach.unwrap_or_default(), all.len(), all.len() + 1));
            all.extend([our, their]);
        }
        let measured = run(home, &state, spec, &all, progress)?;
        Ok(Report::of(titles(&all), &pairs, spec, &measured))
    });
    // Also what a failure has left half wired.
    let _lock = home.lock()?;
    let unwired = unwire(home, dir);
    let report = measured?;
    unwired.map(|_| report)
}

fn titles(ways: &[Way]) -> Vec<String> {
    ways.iter().map(|w| w.title.clone()).collect()
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
            // Who comes first changes, so that what a measurement leaves behind is no one's alone.
            let forward: Vec<usize> = (0..ways.len()).collect();
            let order: Vec<usize> =
                if repeat % 2 == 0 { forward } else { forward.into_iter().rev().collect() };
            for i in order {
                let port = PORT + (repeat * ways.len() as u16 + i as u16) % PORTS;
                by_way[i].push(measure_from(home, state, &ways[i], *workload, port, spec.seconds)?);
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
    Ok(Way { title: "host ↔ host (baseline)".into(), from: a.name.clone(), to, reach: None })
}

/// From a pod to another on its node, and to one on another node.
fn ways(state: &State, pods: &[PodState], ipv6: bool, title: &str) -> Result<Vec<Way>> {
    let mut found = Vec::new();
    let first = pods.first().ok_or_else(|| too_small("pods"))?;
    let same = pods.iter().find(|p| p.node == first.node && p.name != first.name);
    // The node that the baseline leads to, so that both ways cross the same cable.
    let far_node = state.nodes().nth(1).map(|n| n.name.as_str());
    let far = pods.iter().find(|p| Some(p.node.as_str()) == far_node);
    for (pod, reach) in [(same, "one node"), (far, "two nodes")] {
        let pod = pod.ok_or_else(|| too_small("two nodes with two pods on the first"))?;
        let to =
            address(&pod.addresses, ipv6).ok_or_else(|| too_small("pods with an address of that family"))?;
        let title = format!("{title}, {reach}");
        found.push(Way { title, from: first.name.clone(), to, reach: Some(reach) });
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
        let name = format!("{BESIDE}{}", i + 1);
        let pod = pod_of(&state.spec, &name, node);
        state.pods.push(pod);
        home.save(state)?;
        let at = state.pods.len() - 1;
        let added = pods::add(home, &spec, &mut state.pods[at], Plugin::Reference);
        home.save(state)?;
        added?;
        made.push(state.pods[at].clone());
    }
    Ok(made)
}

/// Removes the pods of the reference plugins, however far they were wired: also those of a bench that was killed.
fn unwire(home: &Home, dir: &std::path::Path) -> Result<State> {
    let mut state = home.load()?;
    let spec = beside_spec(&state, dir);
    while let Some(at) = state.pods.iter().position(|p| p.name.starts_with(BESIDE)) {
        pods::delete(home, &spec, &state.pods[at], Plugin::Reference)?;
        state.pods.remove(at);
        home.save(&state)?;
    }
    Ok(state)
}

fn beside_spec(state: &State, dir: &std::path::Path) -> crate::state::Spec {
    crate::state::Spec { cni_bin_dirs: vec![dir.to_owned()], ..state.spec.clone() }
}
