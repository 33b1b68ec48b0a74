//! `weft lab load …`: the load tool's own command line.

use super::{Dial, LoadError, Measurement, PORT, PORTS, Probe, Server, Workload, dial, hold, measure, probe};
use clap::{Args, Subcommand, ValueEnum};
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// The load tool by itself, between any two machines.
#[derive(Debug, Args)]
pub struct LoadCommand {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Answer on all addresses until killed
    Server {
        /// First port
        #[arg(long, default_value_t = PORT)]
        port: u16,
        /// Number of ports
        #[arg(long, default_value_t = PORTS)]
        ports: u16,
    },
    /// Measure one workload against a load server and print the result as JSON
    Client {
        /// The server's address
        #[arg(long)]
        to: IpAddr,
        /// The server's port
        #[arg(long, default_value_t = PORT)]
        port: u16,
        /// How long to measure, in seconds
        #[arg(long, default_value_t = 2.0)]
        seconds: f64,
        /// What to measure
        workload: WorkloadArg,
    },
    /// Read targets as JSON from standard input, probe them, and print the results as JSON
    Probe,
    /// Read what to dial as JSON from standard input, dial, and print who answered as JSON
    Dial,
    /// Keep one UDP socket, ask on each line of standard input, and print who answered as JSON
    Hold {
        /// ADDRESS:PORT to ask; a line `connect` connects the socket to it
        #[arg(long)]
        to: SocketAddr,
    },
}

/// The workloads as they are typed.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum WorkloadArg {
    /// One TCP stream
    Tcp1,
    /// Four TCP streams
    Tcp4,
    /// One byte there and back on one connection
    Request,
    /// Connect, one byte there and back, close
    Connect,
    /// 64-byte datagrams
    Udp,
}

impl From<WorkloadArg> for Workload {
    fn from(arg: WorkloadArg) -> Workload {
        match arg {
            WorkloadArg::Tcp1 => Workload::Tcp1,
            WorkloadArg::Tcp4 => Workload::Tcp4,
            WorkloadArg::Request => Workload::Request,
            WorkloadArg::Connect => Workload::Connect,
            WorkloadArg::Udp => Workload::Udp,
        }
    }
}

/// Why a command of the load tool ended.
#[derive(Debug, thiserror::Error)]
pub enum LoadCommandError {
    /// A port is taken, or there is no IPv6.
    #[error("load server, ports from {port} on: {source}; choose others with --port")]
    Bind {
        /// The first port.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// A measurement failed.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Standard input is not a list of targets, or standard output is closed.
    #[error("standard input or output of the load tool: {0}; a probe is given as JSON")]
    Stdio(#[from] io::Error),
    /// Not JSON of the expected form.
    #[error("a probe is given as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// Not a time to measure.
    #[error("--seconds {0}: it is a number above 0, at most 3600")]
    Seconds(f64),
}

impl LoadCommand {
    /// Runs it.
    pub fn run(self) -> Result<(), LoadCommandError> {
        match self.verb {
            Verb::Server { port, ports } => {
                Server::bind(port, ports).map_err(|source| LoadCommandError::Bind { port, source })?.run()
            }
            Verb::Client { to, port, seconds, workload } => {
                let time = duration(seconds).ok_or(LoadCommandError::Seconds(seconds))?;
                let result: Measurement = measure(workload.into(), SocketAddr::new(to, port), time)?;
                Ok(writeln!(io::stdout(), "{}", serde_json::to_string(&result)?)?)
            }
            Verb::Probe => {
                let mut text = String::new();
                io::stdin().read_to_string(&mut text)?;
                let plan: Probe = serde_json::from_str(&text)?;
                Ok(writeln!(io::stdout(), "{}", serde_json::to_string(&probe(&plan))?)?)
            }
            Verb::Hold { to } => Ok(hold(to, io::stdin().lock(), io::stdout())?),
            Verb::Dial => {
                let mut text = String::new();
                io::stdin().read_to_string(&mut text)?;
                let plan: Vec<Dial> = serde_json::from_str(&text)?;
                let done: Vec<_> = plan.iter().map(dial).collect();
                Ok(writeln!(io::stdout(), "{}", serde_json::to_string(&done)?)?)
            }
        }
    }
}

/// A time to measure, if it is one.
pub fn duration(seconds: f64) -> Option<Duration> {
    let sensible = seconds > 0.0 && seconds <= 3600.0;
    sensible.then(|| Duration::from_secs_f64(seconds))
}
