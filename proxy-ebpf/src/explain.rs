//! What a service should be on this node, and beside it what a back end has programmed, endpoint by endpoint.
//!
//! ```text
//! default/web TCP IPv4: sessionAffinity ClientIP for 10800 s
//!   ClusterIP 10.96.0.1:80
//!     inside and outside, Cluster
//!       ok      10.244.0.1:8080 (local)
//!       missing 10.244.1.1:8080
//!   left out 10.244.2.1:8080: not ready
//!   refused NodePort 30080: taken by default/other
//! ```

use crate::{Endpoint, Frontend, Policy, PortId, ServiceName, ServicePort, ServiceTable};
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// What a back end has programmed of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Programmed {
    /// Its frontends.
    pub frontends: Vec<ProgrammedFrontend>,
}

/// A frontend as it is programmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgrammedFrontend {
    /// Which: what [`frontend_key`] says of it.
    pub frontend: String,
    /// The endpoints for clients on this node; whether they are local does not matter here.
    pub inside: Vec<Endpoint>,
    /// The endpoints for clients elsewhere.
    pub outside: Vec<Endpoint>,
}

/// Text about a service, and whether what is programmed is what should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explanation {
    /// The lines, indented by two spaces a step.
    pub lines: Vec<String>,
    /// How many frontends and endpoints are missing or too many.
    pub differences: usize,
}

/// Whether an endpoint is where it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    Ok,
    Missing,
    Extra,
}

/// The name of a frontend in [`Programmed`]: `10.96.0.1:80 TCP`, or `NodePort 30080 TCP IPv4` for one without an
/// address.
pub fn frontend_key(id: &PortId, frontend: &Frontend) -> String {
    match frontend.address {
        Some(address) => format!("{} {}", SocketAddr::new(address, frontend.port), id.protocol),
        None => format!("NodePort {} {} {}", frontend.port, id.protocol, id.family),
    }
}

/// What a service should be, by itself. A service that is not in the table has one line that says so.
pub fn explain_desired(table: &ServiceTable, service: &ServiceName) -> Explanation {
    explained(table, service, None)
}

/// What a service should be, with what is programmed beside it.
pub fn explain(table: &ServiceTable, service: &ServiceName, programmed: &Programmed) -> Explanation {
    explained(table, service, Some(programmed))
}

fn explained(table: &ServiceTable, service: &ServiceName, programmed: Option<&Programmed>) -> Explanation {
    let mut text = Explanation::default();
    let mut unexplained: BTreeMap<&str, &ProgrammedFrontend> =
        programmed.iter().flat_map(|all| &all.frontends).map(|one| (one.frontend.as_str(), one)).collect();
    let mut ports = table.ports.iter().filter(|(id, _)| id.service == *service).peekable();
    if ports.peek().is_none() {
        text.lines.push(match table.left_alone.get(service) {
            Some(reason) => format!("{service} is left alone: {reason}"),
            None => format!("{service} is not known"),
        });
    }
    for (id, port) in ports {
        text.add(0, format!("{id}{}", remarks(port)));
        for frontend in &port.frontends {
            let found = unexplained.remove(frontend_key(id, frontend).as_str());
            text.frontend(port, frontend, programmed.map(|_| found));
        }
        for left in &port.left_out {
            text.add(1, format!("left out {}: {}", left.endpoint, left.reason));
        }
        for refused in &port.refused {
            text.add(1, format!("refused {refused}"));
        }
    }
    for extra in unexplained.into_keys() {
        text.differences += 1;
        text.add(0, format!("extra {extra}"));
    }
    text
}

impl Explanation {
    fn add(&mut self, steps: usize, line: String) {
        self.lines.push(format!("{}{line}", "  ".repeat(steps)));
    }

    /// A frontend; `found` is `None` without a back end, and `Some(None)` where that does not have the frontend.
    fn frontend(
        &mut self,
        port: &ServicePort,
        frontend: &Frontend,
        found: Option<Option<&ProgrammedFrontend>>,
    ) {
        let mut line = frontend.to_string();
        if frontend.keep_source {
            line.push_str(", keeps the client's address");
        }
        if !frontend.source_ranges.is_empty() {
            let ranges: Vec<String> = frontend.source_ranges.iter().map(ToString::to_string).collect();
            line.push_str(&format!(", from {} alone", ranges.join(", ")));
        }
        if found == Some(None) {
            self.differences += 1;
            line.push_str(": missing");
        }
        self.add(1, line);
        let found = found.flatten();
        let (inside, outside) = (found.map(|f| &f.inside[..]), found.map(|f| &f.outside[..]));
        if frontend.inside == frontend.outside && inside == outside {
            self.endpoints(port, "inside and outside", frontend.inside, inside);
        } else {
            self.endpoints(port, "inside", frontend.inside, inside);
            self.endpoints(port, "outside", frontend.outside, outside);
        }
    }

    fn endpoints(&mut self, port: &ServicePort, side: &str, policy: Policy, programmed: Option<&[Endpoint]>) {
        let desired = port.endpoints(policy);
        let none = match (desired.is_empty(), port.any_endpoint) {
            (false, _) => "",
            (true, true) => ": no endpoint, connections are dropped",
            (true, false) => ": no endpoint, connections are refused",
        };
        self.add(2, format!("{side}, {policy:?}{none}"));
        let Some(programmed) = programmed else {
            desired.iter().for_each(|endpoint| self.add(3, endpoint.to_string()));
            return;
        };
        for (mark, endpoint) in compared(desired, programmed) {
            self.differences += usize::from(mark != Mark::Ok);
            self.add(3, format!("{:<7} {endpoint}", mark.to_string()));
        }
    }
}

fn remarks(port: &ServicePort) -> String {
    match port.affinity {
        Some(seconds) => format!(": sessionAffinity ClientIP for {seconds} s"),
        None => String::new(),
    }
}

/// Both sides' endpoints in order, by address and port.
fn compared(desired: &[Endpoint], programmed: &[Endpoint]) -> Vec<(Mark, Endpoint)> {
    let key = |endpoint: &Endpoint| (endpoint.address, endpoint.port);
    let mut marks: BTreeMap<(IpAddr, u16), (Mark, Endpoint)> =
        desired.iter().map(|endpoint| (key(endpoint), (Mark::Missing, *endpoint))).collect();
    for endpoint in programmed {
        let mark = marks.entry(key(endpoint)).or_insert((Mark::Extra, *endpoint));
        if mark.0 == Mark::Missing {
            mark.0 = Mark::Ok;
        }
    }
    marks.into_values().collect()
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mark::Ok => "ok",
            Mark::Missing => "missing",
            Mark::Extra => "extra",
        })
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

#[cfg(test)]
mod tests;
