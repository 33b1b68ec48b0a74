//! The `weft` command: every daemon and tool as a subcommand.
//!
//! Components are libraries with one entrance each; this crate alone reads flags, builds clients and
//! TLS, sets up logs, and owns the one health-and-metrics listener that every daemon uses.

mod apiserver;
mod cni;
mod controller_manager;
mod embedded;
mod etcd;
mod etcd_server;
mod flags;
mod flannel;
mod health;
mod in_process;
mod kubeconfig;
mod limits;
mod listen_urls;
mod logs;
mod proxy;
mod room;
mod systemd;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Container networking: overlay, lab and tools in one binary.
#[derive(Debug, Parser)]
#[command(name = "weft", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The VXLAN overlay: leases this node's pod subnet from etcd. Flags and environment are flanneld's.
    Flannel(Box<flannel::Flags>),
    /// Embedded state: a single-node server that speaks etcd v3. Flags and environment are etcd's.
    Etcd(Box<etcd_server::Flags>),
    /// The Kubernetes API. Flags are kube-apiserver's.
    Apiserver(Box<apiserver::Flags>),
    /// The controllers of a cluster's own objects, for any API server. Flags are kube-controller-manager's.
    ControllerManager(Box<controller_manager::Flags>),
    /// The service proxy: ClusterIP and NodePort by eBPF. Flags are kube-proxy's.
    Proxy(Box<proxy::Command>),
    /// Tools for a node's container networks.
    Cni(cni::Command),
    /// A lab of nodes and pods on this machine, in network namespaces.
    Lab(weft_lab::LabCommand),
}

fn main() -> ExitCode {
    let cli = Cli::parse_from(flags::double_dashes(std::env::args()));
    let done = match cli.command {
        Command::Flannel(flags) => flannel::main(&flags),
        Command::Etcd(flags) => etcd_server::main(&flags),
        Command::Apiserver(flags) => apiserver::main(&flags),
        Command::ControllerManager(flags) => controller_manager::main(&flags),
        Command::Proxy(proxy) => proxy::main(*proxy),
        Command::Cni(cni) => cni::main(&cni),
        Command::Lab(lab) => lab.run().map_err(Into::into),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("weft: {error:#}");
            ExitCode::FAILURE
        }
    }
}
