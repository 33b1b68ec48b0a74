//! The load tool: a server in every pod and node, and a client that measures or probes the way to one.
//!
//! Built in, so that a bench needs no package and every figure has the same meaning on every path. Threads and
//! blocking sockets, one system call per operation: what is measured is the kernel's path, not an event loop.
//! The first byte of a connection says what it is for, so one port serves every workload and each measured path
//! can have a port of its own (reusing a 4-tuple against TIME_WAIT costs 50 times a connection).
//!
//! ```text
//! 'S' data… EOF   → bytes received, u64 big endian         stream
//! 'R' byte…       → each byte back                          request/response
//! 'C'             → one byte, then the server closes        connect-request-close
//! 'B' seed data…  → SHA-256 of the data                     bulk transfer
//! 'W'             → the client's address as text            who am I
//! 'U'             → a UDP port; then a byte → packets seen  UDP packets
//! "weft: who are you?"  → host name and the client's address      also as a datagram
//! UDP, first port: datagrams come back                      UDP echo
//! ```
//!
//! Scales with the number of connections at one time: a thread each.

mod command;
mod cpu;
mod datagram;
mod dial;
mod hold;
mod ping;
mod probe;
mod request;
mod server;
mod stream;
mod transfer;

pub use command::{LoadCommand, LoadCommandError, duration};
pub use cpu::Busy;
pub use dial::{Dial, Dialled, Way, dial};
pub use hold::hold;
pub use probe::{Check, Probe, ProbeResult, Target, probe};
pub use server::Server;

use serde::{Deserialize, Serialize};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// First port of a load server.
pub const PORT: u16 = 5201;

/// How many ports a load server has, one for each path and repeat of a bench.
pub const PORTS: u16 = 32;

/// No answer within this time is a failure; longer than any retransmission of a first packet but the third.
pub const PATIENCE: Duration = Duration::from_secs(4);

const STREAM: u8 = b'S';
const REQUEST: u8 = b'R';
const CLOSE: u8 = b'C';
const BULK: u8 = b'B';
const WHO: u8 = b'W';
const UDP: u8 = b'U';
/// A question whose first byte is no workload's.
const WHO_ARE_YOU: &[u8] = b"weft: who are you?";

/// Why a measurement or a probe has no result.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A socket call failed.
    #[error("{what} {address}: {source}; is a load server there, and does the way lead to it?")]
    Socket {
        /// What was tried.
        what: &'static str,
        /// With whom.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The server answered something else than what was sent.
    #[error("{what} {address}: the answer differs from what was sent; packets are changed on the way")]
    Differs {
        /// What was tried.
        what: &'static str,
        /// With whom.
        address: SocketAddr,
    },
    /// A file of /proc could not be read or understood.
    #[error("/proc/stat: {0}; is /proc mounted?")]
    Stat(io::Error),
    /// A worker thread ended without a result.
    #[error("a worker of the load client ended early; see the message above")]
    Worker,
}

/// Names what was tried when a socket call fails.
trait On<T> {
    fn on(self, what: &'static str, address: SocketAddr) -> Result<T, LoadError>;
}

impl<T> On<T> for io::Result<T> {
    fn on(self, what: &'static str, address: SocketAddr) -> Result<T, LoadError> {
        self.map_err(|source| LoadError::Socket { what, address, source })
    }
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    /// One TCP stream; the rate is in Gbit/s.
    Tcp1,
    /// Four TCP streams at once; the rate is in Gbit/s.
    Tcp4,
    /// One byte there and back on one connection; the rate is in requests per second.
    Request,
    /// Connect, one byte there and back, close; the rate is in connections per second.
    Connect,
    /// 64-byte datagrams as fast as they go; the rate is in packets received per second.
    Udp,
}

impl Workload {
    /// All, in the order of the tables.
    pub const ALL: [Workload; 5] =
        [Workload::Tcp1, Workload::Tcp4, Workload::Request, Workload::Connect, Workload::Udp];

    /// The name in tables.
    pub fn title(self) -> &'static str {
        match self {
            Workload::Tcp1 => "TCP, 1 stream",
            Workload::Tcp4 => "TCP, 4 streams",
            Workload::Request => "request/response",
            Workload::Connect => "connect-request-close",
            Workload::Udp => "UDP packets",
        }
    }

    /// The unit of the rate.
    pub fn unit(self) -> &'static str {
        match self {
            Workload::Tcp1 | Workload::Tcp4 => "Gbit/s",
            Workload::Request | Workload::Connect | Workload::Udp => "1/s",
        }
    }

    /// What the CPU time is divided by.
    pub fn operation(self) -> &'static str {
        match self {
            Workload::Tcp1 | Workload::Tcp4 => "MiB",
            Workload::Request => "request",
            Workload::Connect => "connection",
            Workload::Udp => "packet",
        }
    }
}

/// One measurement.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measurement {
    /// What was measured.
    pub workload: Workload,
    /// In the workload's unit.
    pub rate: f64,
    /// CPU time of the whole machine for one operation, in microseconds: work in softirq belongs to no process.
    pub cpu_us_per_operation: f64,
    /// Median latency in microseconds, for workloads that have one.
    pub p50_us: Option<f64>,
    /// 99th percentile of it.
    pub p99_us: Option<f64>,
    /// How long it ran.
    pub seconds: f64,
}

/// Runs one workload against a load server.
pub fn measure(workload: Workload, to: SocketAddr, time: Duration) -> Result<Measurement, LoadError> {
    let busy = Busy::now()?;
    let sample = match workload {
        Workload::Tcp1 => stream::run(to, 1, time)?,
        Workload::Tcp4 => stream::run(to, 4, time)?,
        Workload::Request => request::requests(to, time)?,
        Workload::Connect => request::connections(to, time)?,
        Workload::Udp => datagram::flood(to, time)?,
    };
    let cpu_us = busy.since()?.as_secs_f64() * 1e6;
    let unit = match workload {
        Workload::Tcp1 | Workload::Tcp4 => 8.0 * f64::from(1 << 20) / 1e9,
        Workload::Request | Workload::Connect | Workload::Udp => 1.0,
    };
    Ok(Measurement {
        workload,
        rate: sample.operations * unit / sample.seconds,
        cpu_us_per_operation: cpu_us / sample.operations.max(1.0),
        p50_us: sample.p50_us,
        p99_us: sample.p99_us,
        seconds: sample.seconds,
    })
}

/// What a workload counted: operations (MiB for streams) in so many seconds.
struct Sample {
    operations: f64,
    seconds: f64,
    p50_us: Option<f64>,
    p99_us: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    fn loopback() -> Vec<SocketAddr> {
        let server = Server::bind(0, 1).unwrap();
        let port = server.ports()[0];
        server.spawn();
        [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]
            .map(|ip| SocketAddr::new(ip, port))
            .to_vec()
    }

    #[test]
    fn every_workload_measures_something_on_both_families() {
        for to in loopback() {
            for workload in Workload::ALL {
                let m = measure(workload, to, Duration::from_millis(60)).unwrap();
                assert!(m.rate > 0.0 && m.seconds > 0.04, "{to}: {m:?}");
                let has_latency = matches!(workload, Workload::Request | Workload::Connect);
                assert_eq!(m.p50_us.is_some(), has_latency, "{m:?}");
                assert!(m.p50_us <= m.p99_us, "{m:?}");
            }
        }
    }

    #[test]
    fn nobody_there_is_an_error_that_names_the_address() {
        let to: SocketAddr = "127.0.0.1:1".parse().unwrap();
        for workload in Workload::ALL {
            let error = measure(workload, to, Duration::from_millis(10)).unwrap_err();
            assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
        }
    }

    #[test]
    fn a_measurement_reads_back_from_its_json() {
        let m = measure(Workload::Request, loopback()[0], Duration::from_millis(20)).unwrap();
        let read: Measurement = serde_json::from_str(&serde_json::to_string(&m).unwrap()).unwrap();
        assert_eq!(read.workload, Workload::Request);
        assert!((read.rate - m.rate).abs() < 1.0);
    }
}
