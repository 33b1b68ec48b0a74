//! `weft proxy`: kube-proxy's flags to the service proxy's options.
//!
//! A flag of kube-proxy's that is not here is refused by name, never accepted and ignored.

mod config_file;
mod http;
mod node;
mod sizes;
mod source;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use prometheus_client::registry::Registry;
use proxy_ebpf::ebpf::{Chosen, EbpfBackend, EbpfOptions, Reader};
use proxy_ebpf::{BackendCollector, Programmed, ProxyMetrics, ProxyStatus, ServiceName};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::{logs, systemd};
use node::NodeFlags;
use sizes::SizeFlags;
use source::SourceFlags;

/// `weft proxy` and its tools.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Command {
    #[command(subcommand)]
    tool: Option<Tool>,
    #[command(flatten)]
    flags: Flags,
}

/// What looks at a proxy from outside.
#[derive(Debug, Subcommand)]
enum Tool {
    /// Print what a service should have beside what is programmed, endpoint by endpoint
    Explain {
        /// NAMESPACE/NAME, or NAME in the namespace default
        service: String,
        #[command(flatten)]
        source: SourceFlags,
        #[command(flatten)]
        node: NodeFlags,
        /// The bpffs that the proxy pins below
        #[arg(long, default_value = "/sys/fs/bpf")]
        bpf_root: PathBuf,
    },
    /// Walk the tables for a connection, and say which endpoint it would get, and why
    Trace {
        /// ADDRESS or ADDRESS:PORT of a client elsewhere, `node`, or `pod` for any pod of this node
        client: String,
        /// ADDRESS:PORT that it dials; /udp after it for UDP
        destination: String,
        /// The bpffs that the proxy pins below
        #[arg(long, default_value = "/sys/fs/bpf")]
        bpf_root: PathBuf,
    },
}

/// Flags of the daemon.
#[derive(Debug, Args)]
struct Flags {
    /// A KubeProxyConfiguration (kubeproxy.config.k8s.io/v1alpha1), in place of the flags that it has fields for
    #[arg(long, conflicts_with_all = [
        "kubeconfig", "node_ip", "nodeport_addresses", "proxy_mode", "healthz_bind_address", "metrics_bind_address",
        "detect_local_mode", "pod_bridge_interface", "pod_interface_name_prefix", "oom_score_adj",
    ])]
    config: Option<PathBuf>,
    #[command(flatten)]
    source: SourceFlags,
    #[command(flatten)]
    node: NodeFlags,
    #[command(flatten)]
    sizes: SizeFlags,
    /// How services are written into the kernel; only ebpf so far
    #[arg(long, default_value = "ebpf")]
    proxy_mode: String,
    /// Remove all that the proxy has put into the kernel, and exit
    #[arg(long)]
    cleanup: bool,
    /// Address of /healthz and /livez
    #[arg(long, default_value = "0.0.0.0:10256")]
    healthz_bind_address: SocketAddr,
    /// Address of /metrics and /proxyMode
    #[arg(long, default_value = "127.0.0.1:10249")]
    metrics_bind_address: SocketAddr,
    /// The cgroup v2 folder whose processes' connections are served [default: where cgroup2 is mounted]
    #[arg(long)]
    cgroup_root: Option<PathBuf>,
    /// A bpffs to pin below; mounted there if none is
    #[arg(long, default_value = "/sys/fs/bpf")]
    bpf_root: PathBuf,
    /// Interfaces for the packet path [default: all of the node's own that have an address]
    #[arg(long, value_delimiter = ',')]
    interfaces: Vec<String>,
    /// Attach the packet path to the clsact qdisc, as on kernels before 6.6, although there is tcx
    #[arg(long)]
    clsact: bool,
    /// How packets of this node's pods are known: BridgeInterface or InterfaceNamePrefix [default: any bridge]
    #[arg(long)]
    detect_local_mode: Option<String>,
    /// The bridge that pods are behind, for --detect-local-mode BridgeInterface
    #[arg(long)]
    pod_bridge_interface: Option<String>,
    /// How names of pods' interfaces begin, for --detect-local-mode InterfaceNamePrefix
    #[arg(long)]
    pod_interface_name_prefix: Option<String>,
    /// The process's oom_score_adj, -1000 to 1000 [default: as it is]
    #[arg(long, allow_hyphen_values = true)]
    oom_score_adj: Option<i32>,
    /// Slots of each Maglev table, a prime
    #[arg(long, default_value_t = 1021)]
    maglev_table_size: u32,
    /// Ports that SNAT takes, FIRST-LAST; they stay out of ip_local_port_range
    #[arg(long, default_value = "1024-29999")]
    snat_port_range: String,
}

/// Runs the daemon or a tool.
pub fn main(command: Command) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match command.tool {
        None => {
            logs::set_up();
            if command.flags.cleanup {
                return clean_up(&command.flags.bpf_root);
            }
            runtime.block_on(run(command.flags.with_config()?))?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Tool::Explain { service, source, node, bpf_root }) => {
            runtime.block_on(explain(&service, &source, &node, &bpf_root))
        }
        Some(Tool::Trace { client, destination, bpf_root }) => {
            let reader = Reader::open(&bpf_root)?;
            println!("{}", reader.trace(&client.parse()?, &destination.parse()?)?);
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn run(flags: Flags) -> anyhow::Result<()> {
    if flags.proxy_mode != "ebpf" {
        bail!("--proxy-mode {}: this build has the back end ebpf alone", flags.proxy_mode);
    }
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping; services stay in the datapath");
    };
    if let Some(score) = flags.oom_score_adj {
        let file = "/proc/self/oom_score_adj";
        std::fs::write(file, score.to_string())
            .with_context(|| format!("--oom-score-adj {score}: {file}"))?;
    }
    let mut registry = Registry::default();
    let metrics = ProxyMetrics::register(&mut registry);
    let (status, shown) = watch::channel(ProxyStatus::default());
    let healthz = crate::health::bind(flags.healthz_bind_address, "--healthz-bind-address").await?;
    let metrics_listener = crate::health::bind(flags.metrics_bind_address, "--metrics-bind-address").await?;
    let node = flags.node.options()?;
    let source = flags.source.open(&node.name).await?;
    let backend = Arc::new(Mutex::new(EbpfBackend::open(flags.options()?)?));
    registry.register_collector(Box::new(BackendCollector(backend.clone())));
    http::serve(healthz, metrics_listener, registry, shown.clone());
    tokio::spawn(http::health_check_node_ports(shown.clone()));
    tokio::spawn(tell_ready(shown));
    Ok(proxy_ebpf::run(source, backend, node, metrics, status, shutdown).await?)
}

/// Tells systemd, once services are in the datapath.
async fn tell_ready(mut shown: watch::Receiver<ProxyStatus>) {
    if shown.wait_for(|status| status.last_updated.is_some()).await.is_ok() {
        systemd::ready();
    }
}

impl Flags {
    fn options(&self) -> anyhow::Result<EbpfOptions> {
        let cgroup_root = match &self.cgroup_root {
            Some(path) => path.clone(),
            None => node::cgroup2_mount()
                .context("no cgroup2 is mounted: mount one, or name it with --cgroup-root")?,
        };
        Ok(EbpfOptions {
            cgroup_root,
            bpf_root: self.bpf_root.clone(),
            interfaces: self.chosen()?,
            clsact: self.clsact,
            maglev_slots: self.maglev_table_size,
            snat_ports: node::ports(&self.snat_port_range)?,
            sizes: self.sizes.sizes(),
        })
    }

    fn chosen(&self) -> anyhow::Result<Chosen> {
        let (pod_bridge, pod_prefix) = (&self.pod_bridge_interface, &self.pod_interface_name_prefix);
        let fits = match self.detect_local_mode.as_deref() {
            None => pod_bridge.is_none() && pod_prefix.is_none(),
            Some("BridgeInterface") => pod_bridge.is_some() && pod_prefix.is_none(),
            Some("InterfaceNamePrefix") => pod_bridge.is_none() && pod_prefix.is_some(),
            Some(other) => {
                bail!("--detect-local-mode {other}: it is BridgeInterface or InterfaceNamePrefix here")
            }
        };
        if !fits {
            bail!(
                "--detect-local-mode BridgeInterface goes with --pod-bridge-interface, and InterfaceNamePrefix with \
                 --pod-interface-name-prefix"
            );
        }
        Ok(Chosen {
            names: self.interfaces.clone(),
            pod_bridge: pod_bridge.clone(),
            pod_prefix: pod_prefix.clone(),
        })
    }
}

fn clean_up(bpf_root: &std::path::Path) -> anyhow::Result<ExitCode> {
    let errors = EbpfBackend::clean_up(bpf_root);
    errors.iter().for_each(|error| eprintln!("weft proxy --cleanup: {error}"));
    Ok(if errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn explain(
    service: &str,
    source: &SourceFlags,
    node: &NodeFlags,
    bpf_root: &std::path::Path,
) -> anyhow::Result<ExitCode> {
    let (namespace, name) = service.split_once('/').unwrap_or(("default", service));
    let wanted = ServiceName { namespace: namespace.to_owned(), name: name.to_owned() };
    let node = node.options()?;
    let source = source.open(&node.name).await?;
    let (table, problems) = proxy_ebpf::table_of(source, node).await;
    problems.iter().for_each(|problem| eprintln!("{problem}"));
    let reader = Reader::open(bpf_root)?;
    let mut programmed = Programmed::default();
    for (id, port) in table.ports.iter().filter(|(id, _)| id.service == wanted) {
        programmed.frontends.extend(reader.programmed(id, port)?);
    }
    let explanation = proxy_ebpf::explain(&table, &wanted, &programmed);
    println!("{}", explanation.lines.join("\n"));
    for id in table.ports.keys().filter(|id| id.service == wanted) {
        if let Some(why) = proxy_ebpf::ebpf::unsupported(id) {
            println!("{id}: left out: {why}");
        }
    }
    let known = table.left_alone.contains_key(&wanted) || table.ports.keys().any(|id| id.service == wanted);
    Ok(if known && explanation.differences == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
