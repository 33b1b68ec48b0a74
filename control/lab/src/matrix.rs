//! `weft lab matrix`: does every pod reach every other, in every way, and the outside under the right address?
//!
//! One process per pod probes all its targets, pod after pod: what fails can then be told from what was too much at
//! once. n pods make n × (n − 1) pairs, eight checks each; with six pods and 100 MB that is 6 GB.

use crate::error::{LabError, Result, Tried};
use crate::load::{Check, PORT, Probe, ProbeResult, Target};
use crate::state::{Home, PodState, State};
use crate::status::table;
use crate::topology::{OUTSIDE, Place, Topology};
use std::collections::HashMap;
use std::io::Write;
use std::net::IpAddr;
use std::process::Stdio;
use std::time::Instant;

const BETWEEN_PODS: [Check; 4] = [Check::Icmp, Check::Tcp, Check::Udp, Check::Bulk];
const TO_OUTSIDE: [Check; 4] = [Check::Icmp, Check::Udp, Check::Bulk, Check::Who];

/// Names of the targets that are no pods.
const OUTER: &str = "outside";
const NEIGHBOUR: &str = "gateway";

/// What came of probing everything.
#[derive(Debug)]
pub struct Matrix {
    /// The pods, in order.
    pub pods: Vec<String>,
    /// For each source pod, what it found.
    pub found: Vec<(String, Vec<ProbeResult>)>,
    /// How long it took.
    pub seconds: f64,
}

/// Probes everything; `bulk_bytes` go to each pod in each family.
pub fn matrix(home: &Home, bulk_bytes: u64) -> Result<Matrix> {
    let state = home.load()?;
    let topology = Topology::of(state.spec.nodes, state.spec.nat_clones);
    let start = Instant::now();
    let mut found = Vec::new();
    for (seed, pod) in (1u64..).zip(&state.pods) {
        let targets = targets(&state, &topology, pod);
        let plan = Probe { port: PORT, bulk_bytes, seed: seed << 20, targets };
        let mut results = probe_from(home, pod, &plan)?;
        judge(&mut results, &topology, pod);
        found.push((pod.name.clone(), results));
    }
    let pods = state.pods.iter().map(|p| p.name.clone()).collect();
    Ok(Matrix { pods, found, seconds: start.elapsed().as_secs_f64() })
}

fn targets(state: &State, topology: &Topology, from: &PodState) -> Vec<Target> {
    let others = state.pods.iter().filter(|p| p.name != from.name);
    let mut all: Vec<Target> =
        others.flat_map(|p| p.addresses.iter().map(|ip| target(&p.name, *ip, &BETWEEN_PODS))).collect();
    all.extend(OUTSIDE.iter().filter_map(|ip| ip.parse().ok()).map(|ip| target(OUTER, ip, &TO_OUTSIDE)));
    let neighbour = topology.neighbour().map(|p| p.addresses.as_slice()).unwrap_or_default();
    all.extend(neighbour.iter().map(|ip| target(NEIGHBOUR, *ip, &[Check::Who])));
    all
}

fn target(name: &str, address: IpAddr, checks: &[Check]) -> Target {
    Target { name: name.to_owned(), address, checks: checks.to_vec() }
}

/// Runs the load tool's probe in a pod.
fn probe_from(home: &Home, pod: &PodState, plan: &Probe) -> Result<Vec<ProbeResult>> {
    let form = |source| LabError::Form { what: format!("the probe of {}", pod.name), source };
    let order = serde_json::to_vec(plan).map_err(form)?;
    let state = home.load()?;
    let mut command = home.pod(&pod.node, &pod.name)?.command(&state.spec.weft)?;
    command.args(["lab", "load", "probe"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().tried(|| format!("probe from {}", pod.name))?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(&order).tried(|| format!("probe from {}", pod.name))?;
    }
    let output = child.wait_with_output().tried(|| format!("probe from {}", pod.name))?;
    serde_json::from_slice(&output.stdout).map_err(form)
}

/// A question that was answered counts only if the right address was seen.
fn judge(results: &mut [ProbeResult], topology: &Topology, pod: &PodState) {
    let Some(node) = topology.nodes().find(|n| n.name == pod.node) else { return };
    for result in results {
        let Some(seen) = result.seen else { continue };
        let wanted = expected(node, &result.name);
        if !wanted.contains(&seen) {
            let wanted: Vec<_> = wanted.iter().map(ToString::to_string).collect();
            result.error = Some(format!("saw {seen} instead of {}", wanted.join(" or ")));
        }
    }
}

fn expected<'a>(node: &'a Place, target: &str) -> &'a [IpAddr] {
    match target {
        OUTER => &node.seen_outside,
        NEIGHBOUR => &node.addresses,
        _ => &[],
    }
}

impl Matrix {
    /// How many checks failed, of how many.
    pub fn failures(&self) -> (usize, usize) {
        let all = self.found.iter().flat_map(|(_, results)| results);
        let failed = all.clone().filter(|r| r.error.is_some()).count();
        (failed, all.count())
    }

    /// An error if anything failed.
    pub fn verdict(&self) -> Result<()> {
        match self.failures() {
            (0, _) => Ok(()),
            (failed, all) => Err(LabError::Unreachable { failed, all }),
        }
    }

    /// As a table: rows are sources, columns are targets, each cell the checks that passed.
    pub fn table(&self) -> String {
        let columns: Vec<&str> = self.pods.iter().map(String::as_str).chain([OUTER, NEIGHBOUR]).collect();
        let mut shown = table(["from \\ to"]);
        let header: Vec<&str> = ["from \\ to"].into_iter().chain(columns.iter().copied()).collect();
        shown.set_header(header);
        for (from, results) in &self.found {
            let cells = columns.iter().map(|to| if to == from { "·".to_owned() } else { cell(results, to) });
            shown.add_row(std::iter::once(from.clone()).chain(cells).collect::<Vec<_>>());
        }
        let (failed, all) = self.failures();
        let mut text = format!(
            "{shown}\nv4, v6: ICMP, TCP, UDP, bulk (hash checked); outside and gateway also check which address is seen\n\
             {} of {all} checks passed in {:.1} s\n",
            all - failed,
            self.seconds
        );
        for (from, result) in self.found.iter().flat_map(|(f, rs)| rs.iter().map(move |r| (f, r))) {
            if let Some(error) = &result.error {
                text += &format!("{from} → {} {:?}: {error}\n", result.name, result.check);
            }
        }
        text
    }
}

/// "v4 ✓ v6 ✓", or which checks failed.
fn cell(results: &[ProbeResult], to: &str) -> String {
    let mut families: HashMap<bool, Vec<&ProbeResult>> = HashMap::new();
    for result in results.iter().filter(|r| r.name == to) {
        families.entry(result.address.is_ipv4()).or_default().push(result);
    }
    let family = |v4: bool| -> Option<String> {
        let results = families.get(&v4)?;
        let failed: Vec<_> =
            results.iter().filter(|r| r.error.is_some()).map(|r| format!("{:?} ✗", r.check)).collect();
        let name = if v4 { "v4" } else { "v6" };
        let verdict = if failed.is_empty() { "✓".to_owned() } else { failed.join(" ") };
        Some(format!("{name} {verdict}"))
    };
    [family(true), family(false)].into_iter().flatten().collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(name: &str, address: &str, check: Check, error: Option<&str>) -> ProbeResult {
        let (name, address) = (name.to_owned(), address.parse().unwrap());
        ProbeResult { name, address, check, error: error.map(str::to_owned), seen: None }
    }

    #[test]
    fn a_cell_names_what_failed() {
        let results = [
            result("pod2", "10.244.0.2", Check::Tcp, None),
            result("pod2", "fd00::2", Check::Tcp, Some("no")),
            result("pod3", "10.244.0.3", Check::Udp, Some("no")),
        ];
        assert_eq!(cell(&results, "pod2"), "v4 ✓\nv6 Tcp ✗");
        let matrix = Matrix { pods: vec![], found: vec![("pod1".into(), results.to_vec())], seconds: 1.0 };
        assert_eq!(matrix.failures(), (2, 3));
        assert!(matrix.verdict().unwrap_err().to_string().contains("2 of 3"));
    }

    #[test]
    fn the_wrong_source_address_is_a_failure() {
        let topology = Topology::of(3, false);
        let pod = PodState {
            name: "pod1".into(),
            node: "k8s-node1".into(),
            container: String::new(),
            pid: 1,
            addresses: vec![],
        };
        let mut results =
            [result(OUTER, OUTSIDE[0], Check::Who, None), result(NEIGHBOUR, "10.0.2.1", Check::Who, None)];
        results[0].seen = Some("10.244.1.2".parse().unwrap());
        results[1].seen = Some("10.0.2.15".parse().unwrap());
        judge(&mut results, &topology, &pod);
        assert!(results[0].error.as_ref().unwrap().contains("203.0.113.1"));
        assert_eq!(results[1].error, None);
    }
}
