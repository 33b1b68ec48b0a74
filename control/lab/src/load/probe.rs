//! Probes: does a target answer, in each of the ways that matter, and whom does it see?
//!
//! One process probes a list of targets, so that a matrix of n pods costs n processes and not n². The targets
//! come as JSON, the results go as JSON.

use super::{LoadError, On, PATIENCE, WHO, datagram, ping, request, transfer};
use serde::{Deserialize, Serialize};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

/// One way of reaching a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Check {
    /// An ICMP echo.
    Icmp,
    /// A TCP connection with an answer.
    Tcp,
    /// A UDP echo.
    Udp,
    /// A bulk transfer whose hash is checked.
    Bulk,
    /// Which address the target sees.
    Who,
}

/// Whom to probe, and how.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Target {
    /// A name for the results.
    pub name: String,
    /// Its address.
    pub address: IpAddr,
    /// What to try, in this order.
    pub checks: Vec<Check>,
}

/// What one process probes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Probe {
    /// The port of the load servers.
    pub port: u16,
    /// Bytes of a bulk transfer.
    pub bulk_bytes: u64,
    /// Makes the data of this process its own.
    pub seed: u64,
    /// In this order.
    pub targets: Vec<Target>,
}

/// How one check of one target went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeResult {
    /// The target's name.
    pub name: String,
    /// Its address.
    pub address: IpAddr,
    /// What was tried.
    pub check: Check,
    /// Why it failed.
    pub error: Option<String>,
    /// The address that the target sees, for `Who`.
    pub seen: Option<IpAddr>,
}

/// Probes every target, going on past failures.
pub fn probe(probe: &Probe) -> Vec<ProbeResult> {
    let checks = probe.targets.iter().flat_map(|t| t.checks.iter().map(move |c| (t, *c)));
    checks
        .map(|(target, check)| {
            let (seen, error) = match try_one(probe, target.address, check) {
                Ok(seen) => (seen, None),
                Err(e) => (None, Some(e.to_string())),
            };
            ProbeResult { name: target.name.clone(), address: target.address, check, error, seen }
        })
        .collect()
}

fn try_one(probe: &Probe, address: IpAddr, check: Check) -> Result<Option<IpAddr>, LoadError> {
    let to = SocketAddr::new(address, probe.port);
    match check {
        Check::Icmp => ping::ping(address).map(|_| None),
        Check::Tcp => request::connections(to, Duration::from_nanos(1)).map(|_| None),
        Check::Udp => datagram::echo(to).map(|()| None),
        Check::Bulk => transfer::send(to, probe.bulk_bytes, probe.seed).map(|()| None),
        Check::Who => who(to).map(Some),
    }
}

/// Asks the server which address it sees.
fn who(to: SocketAddr) -> Result<IpAddr, LoadError> {
    let mut socket = TcpStream::connect_timeout(&to, PATIENCE).on("connect to", to)?;
    socket.set_read_timeout(Some(PATIENCE)).on("set up a question to", to)?;
    socket.write_all(&[WHO]).on("ask", to)?;
    let mut text = String::new();
    socket.read_to_string(&mut text).on("get an answer from", to)?;
    text.parse().map_err(|_| LoadError::Differs { what: "question to", address: to })
}

#[cfg(test)]
mod tests {
    use super::super::Server;
    use super::*;

    #[test]
    fn every_check_passes_over_loopback_and_fails_where_nobody_is() {
        let server = Server::bind(0, 1).unwrap();
        let port = server.ports()[0];
        server.spawn();
        let checks = vec![Check::Icmp, Check::Tcp, Check::Udp, Check::Bulk, Check::Who];
        let target =
            |ip: &str| Target { name: ip.into(), address: ip.parse().unwrap(), checks: checks.clone() };
        let plan =
            Probe { port, bulk_bytes: 3_000_001, seed: 9, targets: vec![target("127.0.0.1"), target("::1")] };
        for result in probe(&plan) {
            assert_eq!(result.error, None, "{result:?}");
            assert_eq!(result.seen.is_some(), result.check == Check::Who);
            assert!(result.seen.is_none_or(|ip| ip == result.address));
        }
        let nobody = Probe { port: 1, targets: vec![target("127.0.0.1")], ..plan };
        let failed = probe(&nobody).iter().filter(|r| r.error.is_some()).count();
        assert_eq!(failed, 4, "all but the ICMP echo");
    }
}
