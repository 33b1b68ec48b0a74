//! `weft flannel`: flanneld's flags to the overlay's options.
//!
//! A flag of flanneld's that is not here is refused by name, never accepted and ignored.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use clap::{ArgAction, Args};
use flannel_vxlan::{Health, Metrics, Options};
use prometheus_client::registry::Registry;
use tokio::signal::unix::{SignalKind, signal};

use crate::{embedded::EmbeddedFlags, etcd::EtcdFlags, health, logs, systemd};

/// The exit code when another machine is this node, or the lease is not ours: restarting does not help.
const EXIT_CONFLICT: u8 = 3;
/// The exit code for a configuration that cannot be used.
const EXIT_CONFIG: u8 = 4;

/// Flags of `weft flannel`. Each has flanneld's environment variable, `FLANNELD_…`.
#[derive(Debug, Args)]
pub struct Flags {
    #[command(flatten)]
    etcd: EtcdFlags,
    #[command(flatten)]
    embedded: EmbeddedFlags,
    /// Interface (name or address) for the overlay; may be given several times, the first that fits.
    #[arg(long, env = "FLANNELD_IFACE", action = ArgAction::Append, value_delimiter = ',')]
    iface: Vec<String>,
    /// Regular expression for the interface's name or address; asked after --iface.
    #[arg(long, env = "FLANNELD_IFACE_REGEX", action = ArgAction::Append)]
    iface_regex: Vec<regex::Regex>,
    /// Take the interface that routes to this address.
    #[arg(long, env = "FLANNELD_IFACE_CAN_REACH")]
    iface_can_reach: Option<IpAddr>,
    /// The IPv4 address that other nodes reach this one by.
    #[arg(long, env = "FLANNELD_PUBLIC_IP")]
    public_ip: Option<Ipv4Addr>,
    /// The IPv6 address that other nodes reach this one by.
    #[arg(long, env = "FLANNELD_PUBLIC_IPV6")]
    public_ipv6: Option<Ipv6Addr>,
    /// Masquerade pod traffic that leaves the network.
    #[arg(long, env = "FLANNELD_IP_MASQ", num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false, action = ArgAction::Set)]
    ip_masq: bool,
    /// Where the subnet and MTU are written.
    #[arg(long, env = "FLANNELD_SUBNET_FILE", default_value = "/run/flannel/subnet.env")]
    subnet_file: PathBuf,
    /// Minutes before a lease's end at which it is renewed.
    #[arg(long, env = "FLANNELD_SUBNET_LEASE_RENEW_MARGIN", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..1440))]
    subnet_lease_renew_margin: u64,
    /// Address of /healthz, /readyz and /metrics (flanneld's default is 0.0.0.0).
    #[arg(long, env = "FLANNELD_HEALTHZ_IP", default_value = "127.0.0.1")]
    healthz_ip: IpAddr,
    /// Port of /healthz, /readyz and /metrics; 0 for none.
    #[arg(long, env = "FLANNELD_HEALTHZ_PORT", default_value_t = 0)]
    healthz_port: u16,
    /// Take a lease of this public IP although another node made it (weft's own flag).
    #[arg(long, env = "FLANNELD_TAKE_OVER", num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false, action = ArgAction::Set)]
    take_over: bool,
    /// What this node calls itself; the host's name without (weft's own flag).
    #[arg(long, env = "FLANNELD_NODE_NAME")]
    node_name: Option<String>,
}

/// Runs the overlay until SIGTERM or SIGINT.
pub fn main(flags: &Flags) -> anyhow::Result<ExitCode> {
    logs::set_up();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(run(flags));
    // Requests that are under way to a state that is away must not hold the exit up.
    runtime.shutdown_background();
    match done? {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            eprintln!("weft flannel: {error}");
            use flannel_vxlan::Error;
            Ok(match error {
                Error::Identity(_) | Error::ForeignLease { .. } | Error::DuplicateMac { .. } => {
                    ExitCode::from(EXIT_CONFLICT)
                }
                Error::Config { .. } | Error::NoSubnet { .. } => ExitCode::from(EXIT_CONFIG),
                _ => ExitCode::FAILURE,
            })
        }
    }
}

async fn run(flags: &Flags) -> anyhow::Result<Result<(), flannel_vxlan::Error>> {
    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry);
    let state = Health::starting();
    if flags.healthz_port != 0 {
        let state = state.clone();
        let shown = health::Shown { registry, waiting: Box::new(move || state.waiting()) };
        health::listen(SocketAddr::new(flags.healthz_ip, flags.healthz_port), shown).await?;
    }
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping; the overlay stays as it is");
    };
    keep_plugins_tables()?;
    let embedded = flags.embedded.start(&flags.etcd.etcd_prefix).await?;
    let client = match &embedded {
        Some((_, client)) => client.clone(),
        None => flags.etcd.client().await?,
    };
    let mut options = options(flags)?;
    if embedded.is_some() {
        // The state is here, so it says nothing about the way to other nodes.
        options.endpoints.clear();
    }
    let done = flannel_vxlan::run(options, client, metrics, state, systemd::ready, shutdown).await;
    if let Some((etcd, _)) = embedded {
        etcd.stop().await;
    }
    Ok(done)
}

/// Ports that weft-cni maps, and its firewall's rules, come back when somebody flushes them: the plugins are
/// processes of a moment, and the overlay is what stays on a node that has them. The thread ends with the
/// process.
fn keep_plugins_tables() -> anyhow::Result<()> {
    let work = || {
        let mut told = String::new();
        let tell = |what: Result<String, cni_plugin::types::CniError>| match what {
            Ok(missing) => {
                tracing::warn!("repaired: {missing}");
                told.clear();
            }
            // It stays wrong until somebody does something: one line is enough.
            Err(error) if error.to_string() != told => {
                tracing::error!("tables of CNI plugins: {error}");
                told = error.to_string();
            }
            Err(_) => {}
        };
        let Err(error) = cni_plugin::heal::keep(&cni_plugin::heal::Directories::default(), tell);
        tracing::error!("tables of CNI plugins are not looked after: {error}");
    };
    std::thread::Builder::new().name("cni-tables".into()).spawn(work)?;
    Ok(())
}

fn options(flags: &Flags) -> anyhow::Result<Options> {
    let text = |path: &str| std::fs::read_to_string(path).map(|text| text.trim().to_owned());
    let node_name = match &flags.node_name {
        Some(name) => name.clone(),
        None => text("/proc/sys/kernel/hostname").context("no host name: give --node-name")?,
    };
    Ok(Options {
        etcd_prefix: flags.etcd.etcd_prefix.clone(),
        endpoints: flags.etcd.addresses(),
        iface: flags.iface.clone(),
        iface_regex: flags.iface_regex.clone(),
        iface_can_reach: flags.iface_can_reach,
        public_ip: flags.public_ip,
        public_ipv6: flags.public_ipv6,
        ip_masq: flags.ip_masq,
        subnet_file: flags.subnet_file.clone(),
        renew_margin: Duration::from_secs(60 * flags.subnet_lease_renew_margin),
        take_over: flags.take_over,
        node_name,
        boot_id: text("/proc/sys/kernel/random/boot_id").context("no boot id: is /proc mounted?")?,
        // Without a machine id the MAC still follows from the public IP.
        machine_id: text("/etc/machine-id").unwrap_or_default(),
    })
}
