//! `weft lab …`: the lab's command line.

use crate::bench::{BenchSpec, bench};
use crate::daemons;
use crate::down;
use crate::error::{LabError, Result, Tried};
use crate::holder::{self, Hold};
use crate::load::{LoadCommand, Workload};
use crate::matrix::matrix;
use crate::network;
use crate::pods::{self, Order};
use crate::progress::Progress;
use crate::relay;
use crate::services;
use crate::state::{Home, Plugin, ServicesFrom, Spec};
use crate::status::status;
use crate::up::{self, pod_of};
use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// A lab of nodes and pods on this machine, in network namespaces.
#[derive(Debug, Args)]
pub struct LabCommand {
    #[command(subcommand)]
    verb: Verb,
}

/// Which lab.
#[derive(Debug, Args)]
struct Name {
    /// Name of the lab; several can be up at once
    #[arg(long, default_value = "weft")]
    name: String,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Put a lab up: nodes, network, state, overlay, pods
    Up(UpArgs),
    /// Take a lab down, however far it has come
    Down(Name),
    /// Show nodes, leases, peers and pods
    Status {
        #[command(flatten)]
        lab: Name,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Run a command in a node or pod, with all of its namespaces; its exit code is ours
    Exec {
        #[command(flatten)]
        lab: Name,
        /// Name of a node, a pod, or another place of the lab
        place: String,
        /// The command
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Check that every pod reaches every other and the outside
    Matrix {
        #[command(flatten)]
        lab: Name,
        /// Megabytes of each bulk transfer
        #[arg(long, default_value_t = 100)]
        megabytes: u64,
    },
    /// Check that the services spread over all pods, from pods, nodes and outside
    Services(Name),
    /// Measure throughput between pods beside the same between their hosts
    Bench(BenchArgs),
    /// Add and delete pods
    Pod {
        #[command(subcommand)]
        verb: PodVerb,
    },
    /// Start a daemon again that has ended
    Start {
        #[command(flatten)]
        lab: Name,
        /// Name of a node
        node: String,
        /// flannel, etcd, apiserver, proxy or load
        daemon: String,
    },
    /// Take a device of a node down or up
    Link {
        #[command(flatten)]
        lab: Name,
        /// Name of a node
        node: String,
        /// Name of the device
        dev: String,
        /// up or down
        state: LinkState,
    },
    /// The load tool by itself
    Load(LoadCommand),
    /// Makes namespaces around itself (used by `up`)
    #[command(hide = true)]
    Hold {
        name: String,
        #[arg(long)]
        pod: bool,
    },
    /// Wires pods in a node (used by `up` and `pod`)
    #[command(hide = true)]
    Agent { verb: AgentVerb, order: String },
    /// Carries an outer etcd into the lab (used by `up`)
    #[command(hide = true)]
    Relay {
        #[arg(long)]
        at: String,
        #[arg(long)]
        namespace: PathBuf,
        endpoints: Vec<String>,
    },
}

/// A link's state as it is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum LinkState {
    Up,
    Down,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum AgentVerb {
    Add,
    Del,
}

#[derive(Debug, Subcommand)]
enum PodVerb {
    /// Make a pod on a node
    Add {
        #[command(flatten)]
        lab: Name,
        /// Name of the pod
        pod: String,
        /// Name of the node
        #[arg(long)]
        node: String,
    },
    /// Delete a pod
    Del {
        #[command(flatten)]
        lab: Name,
        /// Name of the pod
        pod: String,
    },
}

#[derive(Debug, Args)]
struct UpArgs {
    #[command(flatten)]
    lab: Name,
    /// Number of nodes
    #[arg(long, default_value_t = 3)]
    nodes: u8,
    /// Pods on each node
    #[arg(long, default_value_t = 2)]
    pods_per_node: u16,
    /// Give every node a NAT interface of its own with the same 10.0.2.15, as VirtualBox does, and the real network
    /// on a second one
    #[arg(long)]
    nat_clones: bool,
    /// Use this etcd of the machine's network (http://HOST:PORT) instead of `weft etcd` on the first node
    #[arg(long, value_delimiter = ',')]
    etcd_endpoints: Vec<String>,
    /// An etcd to run on the first node in place of `weft etcd`
    #[arg(long)]
    etcd_bin: Option<PathBuf>,
    /// Folders with CNI plugins [default: the folder of this program, /opt/cni/bin, /usr/lib/cni]
    #[arg(long, value_delimiter = ',')]
    cni_bin_dir: Vec<PathBuf>,
    /// A flanneld to run in place of `weft flannel`
    #[arg(long)]
    flannel_bin: Option<PathBuf>,
    /// Which plugin wires the pods
    #[arg(long, value_enum, default_value = "weft")]
    plugin: Plugin,
    /// Where the nodes' proxies learn of services
    #[arg(long, value_enum, default_value = "api")]
    services_from: ServicesFrom,
}

#[derive(Debug, Args)]
struct BenchArgs {
    #[command(flatten)]
    lab: Name,
    /// Number of repeats
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    repeats: u16,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 0.5)]
    seconds: f64,
    /// Measure over IPv6
    #[arg(long)]
    ipv6: bool,
    /// Wire more pods by the reference plugins in this folder and measure between those too
    #[arg(long)]
    beside: Option<PathBuf>,
    /// Write all figures as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// Draw the ratios as SVG
    #[arg(long)]
    svg: Option<PathBuf>,
}

impl LabCommand {
    /// Runs it; the exit code is the command's own for `exec`, else 0.
    pub fn run(self) -> Result<ExitCode> {
        match self.verb {
            Verb::Exec { lab, place, command } => return exec(&lab.name, &place, &command),
            Verb::Up(args) => up::up(args.spec()?)?,
            Verb::Down(lab) => down::down(&lab.name)?,
            Verb::Status { lab, json } => {
                let status = status(&Home::of(&lab.name)?)?;
                println!("{}", if json { status.json()? } else { status.tables() });
            }
            Verb::Matrix { lab, megabytes } => {
                let matrix = matrix(&Home::of(&lab.name)?, megabytes * 1_000_000)?;
                println!("{}", matrix.table());
                matrix.verdict()?;
            }
            Verb::Services(lab) => {
                let spread = services::spread(&Home::of(&lab.name)?)?;
                println!("{}", spread.table());
                spread.verdict()?;
            }
            Verb::Bench(args) => args.run()?,
            Verb::Pod { verb } => verb.run()?,
            Verb::Start { lab, node, daemon } => start(&lab.name, &node, &daemon)?,
            Verb::Link { lab, node, dev, state } => {
                network::set_uplink(&Home::of(&lab.name)?, &node, &dev, state == LinkState::Up)?;
            }
            Verb::Load(load) => load.run()?,
            Verb::Hold { name, pod } => holder::hold(&name, if pod { Hold::Pod } else { Hold::Place })?,
            Verb::Agent { verb, order } => agent(verb, &order)?,
            Verb::Relay { at, namespace, endpoints } => {
                relay::run(&namespace, network::parse_address("--at", &at)?, &endpoints)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl UpArgs {
    fn spec(self) -> Result<Spec> {
        let weft = std::env::current_exe().tried(|| "find this program".into())?;
        let mut cni_bin_dirs = self.cni_bin_dir;
        if cni_bin_dirs.is_empty() {
            cni_bin_dirs.extend(weft.parent().map(PathBuf::from));
            cni_bin_dirs.extend(["/opt/cni/bin".into(), "/usr/lib/cni".into()]);
        }
        let absolute = |p: PathBuf| std::path::absolute(&p).tried(|| format!("use {}", p.display()));
        let flannel = match self.flannel_bin {
            Some(program) => vec![absolute(program)?],
            None => vec![weft.clone(), "flannel".into()],
        };
        Ok(Spec {
            name: self.lab.name,
            nodes: self.nodes,
            pods_per_node: self.pods_per_node,
            nat_clones: self.nat_clones,
            etcd_endpoints: self.etcd_endpoints,
            cni_bin_dirs: cni_bin_dirs.into_iter().map(absolute).collect::<Result<_>>()?,
            flannel,
            etcd_bin: self.etcd_bin.map(absolute).transpose()?,
            weft,
            plugin: self.plugin,
            services_from: self.services_from,
        })
    }
}

impl BenchArgs {
    fn run(self) -> Result<()> {
        if crate::load::duration(self.seconds).is_none() {
            let why = format!("{}: it is a number above 0, at most 3600", self.seconds);
            return Err(LabError::Flag { flag: "--seconds", why });
        }
        let spec = BenchSpec {
            repeats: self.repeats,
            seconds: self.seconds,
            ipv6: self.ipv6,
            workloads: Workload::ALL.to_vec(),
            beside: self.beside,
        };
        let progress = Progress::of(u64::from(spec.repeats));
        let report = bench(&Home::of(&self.lab.name)?, &spec, &progress)?;
        progress.end("measured");
        println!("{}", report.table());
        if let Some(path) = &self.json {
            std::fs::write(path, report.json()?).tried(|| format!("write {}", path.display()))?;
        }
        self.svg.iter().try_for_each(|path| report.plot(path))
    }
}

impl PodVerb {
    fn run(self) -> Result<()> {
        match self {
            PodVerb::Add { lab, pod, node } => {
                let home = Home::of(&lab.name)?;
                let _lock = home.lock()?;
                let mut state = home.load()?;
                // Names are one for all places, so that `exec` needs no second word.
                if pod == "pods" || state.entrance(&home, &pod).is_ok() {
                    return Err(LabError::Flag { flag: "POD", why: format!("{pod:?} is taken") });
                }
                Home::of(&pod)
                    .map_err(|_| LabError::Flag { flag: "POD", why: format!("{pod:?} is no host name") })?;
                state.entrance(&home, &node)?;
                let at = state.pods.len();
                state.pods.push(pod_of(&state.spec, &pod, &node));
                home.save(&state)?;
                let added = pods::add(&home, &state.spec, &mut state.pods[at], state.spec.plugin);
                if added.is_err() {
                    state.pods.pop();
                }
                home.save(&state)?;
                services::tell(&home, &state)?;
                added
            }
            PodVerb::Del { lab, pod } => {
                let home = Home::of(&lab.name)?;
                let _lock = home.lock()?;
                let mut state = home.load()?;
                state.entrance(&home, &pod)?;
                if let Some(at) = state.pods.iter().position(|p| p.name == pod) {
                    let gone = state.pods.remove(at);
                    // No new connection goes to a pod that is about to end.
                    services::tell(&home, &state)?;
                    pods::delete(&home, &state.spec, &gone, state.spec.plugin)?;
                }
                home.save(&state)
            }
        }
    }
}

fn exec(lab: &str, place: &str, words: &[String]) -> Result<ExitCode> {
    let home = Home::of(lab)?;
    let state = home.load()?;
    let mut command = state.entrance(&home, place)?.command(&words[0])?;
    let status = command.args(&words[1..]).status().tried(|| format!("run {} in {place}", words[0]))?;
    // Ended by a signal: as a shell tells it.
    let signal = std::os::unix::process::ExitStatusExt::signal(&status).map(|s| 128 + s);
    let code = status.code().or(signal).and_then(|c| u8::try_from(c).ok()).unwrap_or(1);
    Ok(ExitCode::from(code))
}

fn start(lab: &str, node: &str, daemon: &str) -> Result<()> {
    let home = Home::of(lab)?;
    let _lock = home.lock()?;
    let mut state = home.load()?;
    let running = state.places.iter().filter(|p| p.name == node).flat_map(|p| &p.daemons);
    if let Some(there) = running.filter(|d| d.name == daemon).find(|d| daemons::runs(d.pid)) {
        let why = format!("{daemon} runs on {node} as process {}", there.pid);
        return Err(LabError::Flag { flag: "DAEMON", why });
    }
    daemons::start(&home, &mut state, node, daemon)?;
    home.save(&state)
}

fn agent(verb: AgentVerb, order: &str) -> Result<()> {
    let form = |source| LabError::Form { what: "an order".into(), source };
    let order: Order = serde_json::from_str(order).map_err(form)?;
    match verb {
        AgentVerb::Add => pods::agent_add(&order),
        AgentVerb::Del => pods::agent_del(&order),
    }
}
