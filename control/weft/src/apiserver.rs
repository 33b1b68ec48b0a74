//! `weft apiserver`: kube-apiserver's flags to the server's settings.
//!
//! A flag of kube-apiserver's that is not here is refused by name, never accepted and ignored.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{ArgAction, Args};
use etcd_client::Client;
use prometheus_client::registry::Registry;
use tokio::signal::unix::{SignalKind, signal};
use weft_apiserver::authn::ServiceAccountFlags;
use weft_apiserver::authz::inflight::Limits;
use weft_apiserver::pki::{TlsFlags, write_private};
use weft_apiserver::run::{self, Config, Running};
use weft_apiserver::services::Range;
use weft_etcd::Etcd;

use crate::controller_manager::{self, Within};
use crate::flags::duration;
use crate::{etcd, limits, listen_urls, logs, room, systemd};

/// Flags of `weft apiserver`.
#[derive(Debug, Args)]
pub struct Flags {
    /// Folder of the keys and, without --etcd-servers, of the state (weft's own flag).
    #[arg(long, default_value = "/var/lib/weft/apiserver")]
    data_dir: PathBuf,
    /// Comma-separated etcd endpoints in place of the state within.
    #[arg(long, value_delimiter = ',')]
    etcd_servers: Vec<String>,
    /// PEM file of the CA that signed etcd's certificate.
    #[arg(long, requires = "etcd_servers")]
    etcd_cafile: Option<PathBuf>,
    /// PEM file of the certificate shown to etcd.
    #[arg(long, requires = "etcd_keyfile")]
    etcd_certfile: Option<PathBuf>,
    /// PEM file of its key.
    #[arg(long, requires = "etcd_certfile")]
    etcd_keyfile: Option<PathBuf>,
    /// How often history is forgotten that is older than this; 0 for never.
    #[arg(long, default_value = "5m", value_parser = duration)]
    etcd_compaction_interval: Duration,
    /// Comma-separated URLs on which the state within is served to etcdctl and others (weft's own flag).
    #[arg(long, value_delimiter = ',', conflicts_with = "etcd_servers")]
    embedded_etcd_listen_client_urls: Vec<String>,
    /// Address to listen on.
    #[arg(long, default_value = "0.0.0.0")]
    bind_address: IpAddr,
    /// Port to listen on; 0 for any.
    #[arg(long, default_value_t = 6443)]
    secure_port: u16,
    /// Comma-separated addresses that others reach this server at; without, --bind-address or that of the default route.
    #[arg(long, value_delimiter = ',')]
    advertise_address: Vec<IpAddr>,
    /// Cluster IPs: one network, or two of different families.
    #[arg(long, default_value = "10.96.0.0/16")]
    service_cluster_ip_range: String,
    /// Ports of NodePort Services.
    #[arg(long, default_value = "30000-32767")]
    service_node_port_range: String,
    /// Folder of the keys and certificates; <data-dir>/pki without.
    #[arg(long)]
    cert_dir: Option<PathBuf>,
    /// PEM file of the serving certificate, in place of one by the folder's CA.
    #[arg(long, requires = "tls_private_key_file")]
    tls_cert_file: Option<PathBuf>,
    /// PEM file of its key.
    #[arg(long, requires = "tls_cert_file")]
    tls_private_key_file: Option<PathBuf>,
    /// Comma-separated names and addresses more for the serving certificate (weft's own flag).
    #[arg(long, value_delimiter = ',')]
    tls_san: Vec<String>,
    /// PEM file of CAs whose certificates identify clients, beside the folder's own.
    #[arg(long)]
    client_ca_file: Option<PathBuf>,
    /// CSV file of tokens: token,user,uid,"group,group".
    #[arg(long)]
    token_auth_file: Option<PathBuf>,
    /// Whether tokens of bootstrap secrets are taken.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = true, action = ArgAction::Set)]
    enable_bootstrap_token_auth: bool,
    /// Whether health, version and cluster-info are open to all.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = true, action = ArgAction::Set)]
    anonymous_auth: bool,
    /// Comma-separated: Node, RBAC, AlwaysAllow, AlwaysDeny.
    #[arg(long, default_value = "Node,RBAC")]
    authorization_mode: String,
    /// Issuers of service accounts' tokens, the first for new ones.
    #[arg(long, default_value = "https://kubernetes.default.svc.cluster.local")]
    service_account_issuer: Vec<String>,
    /// PEM file of keys whose tokens are good; may be given several times.
    #[arg(long)]
    service_account_key_file: Vec<PathBuf>,
    /// PEM file of the key that signs new tokens; the folder's own without.
    #[arg(long)]
    service_account_signing_key_file: Option<PathBuf>,
    /// The longest that a token is good for.
    #[arg(long, value_parser = duration)]
    service_account_max_token_expiration: Option<Duration>,
    /// Whether pods' tokens are good for a year, for clients that never read them again.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = true, action = ArgAction::Set)]
    service_account_extend_token_expiration: bool,
    /// Comma-separated: whom tokens must be for; the issuers without.
    #[arg(long, value_delimiter = ',')]
    api_audiences: Vec<String>,
    /// How many reading requests at once; 0 for any number.
    #[arg(long, default_value_t = 400)]
    max_requests_inflight: usize,
    /// How many writing requests at once; 0 for any number.
    #[arg(long, default_value_t = 200)]
    max_mutating_requests_inflight: usize,
    /// Write a kubeconfig of the cluster's admin to this file, at mode 0600 (weft's own flag).
    #[arg(long)]
    write_kubeconfig: Option<PathBuf>,
    /// The controllers in this process (kube-controller-manager's flag); "" for none.
    #[command(flatten)]
    controllers: controller_manager::Controllers,
}

/// Runs the server until SIGTERM or SIGINT.
pub fn main(flags: &Flags) -> anyhow::Result<ExitCode> {
    logs::set_up();
    limits::raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(std::thread::available_parallelism().map_or(2, |n| n.get().min(4)))
        .enable_all()
        .build()?;
    let done = runtime.block_on(run(flags));
    runtime.shutdown_background();
    done.map(|()| ExitCode::SUCCESS)
}

async fn run(flags: &Flags) -> anyhow::Result<()> {
    let config = flags.config()?;
    let (controllers, root_ca) = (flags.controllers.selection()?, flags.controllers.root_ca()?);
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (etcd, client) = flags.state().await?;
    let running = run::start(config, client).await?;
    tracing::info!(address = %running.address, "serving the Kubernetes API");
    if let Some(path) = &flags.write_kubeconfig {
        flags.kubeconfig(path, &running)?;
    }
    let mut within = None;
    let ready = async {
        running.ready().await;
        systemd::ready();
        if !controllers.is_empty() {
            let address = flags.reached(&running)?;
            within = Some(Within::start(&running.server, &running.pki, (controllers, root_ca), &address));
        }
        std::future::pending::<anyhow::Result<()>>().await
    };
    tokio::select! {
        failed = ready => failed?,
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    if let Some(controllers) = within {
        controllers.end().await;
    }
    running.end().await;
    if let Some(etcd) = etcd {
        etcd.stop().await;
    }
    Ok(())
}

impl Flags {
    /// The state: within, or an etcd.
    async fn state(&self) -> anyhow::Result<(Option<Etcd>, Client)> {
        if !self.etcd_servers.is_empty() {
            let files = etcd::Files {
                ca: self.etcd_cafile.as_ref(),
                cert: self.etcd_certfile.as_ref(),
                key: self.etcd_keyfile.as_ref(),
            };
            return Ok((None, etcd::connect(&self.etcd_servers, &files, None).await?));
        }
        let urls = &self.embedded_etcd_listen_client_urls;
        let listeners =
            listen_urls::listeners("--embedded-etcd-listen-client-urls", urls, (None, None, None))?;
        let mut registry = Registry::default();
        let folder = self.data_dir.join("etcd");
        let config = weft_etcd::Config {
            advertise_client_urls: urls.clone(),
            // This server compacts by itself.
            auto_compaction: weft_etcd::AutoCompaction::Off,
            // Objects have up to 3 MiB.
            max_request_bytes: 4 << 20,
            ..weft_etcd::Config::of(folder.clone())
        };
        let etcd = Etcd::open(config, &mut registry)?;
        listen_urls::listen(&etcd, listeners, registry).await?;
        let client = etcd.client().await?;
        room::look_after(client.clone(), folder);
        Ok((Some(etcd), client))
    }

    fn config(&self) -> anyhow::Result<Config> {
        let ranges = Range::read(&self.service_cluster_ip_range)?;
        Ok(Config {
            listen: SocketAddr::new(self.bind_address, self.secure_port),
            advertise: self.advertised()?,
            cert_dir: self.cert_dir.clone().unwrap_or_else(|| self.data_dir.join("pki")),
            tls: TlsFlags {
                client_ca: self.client_ca_file.clone(),
                serving: self.tls_cert_file.clone().zip(self.tls_private_key_file.clone()),
            },
            names: self.tls_san.clone(),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            ranges,
            node_ports: port_range(&self.service_node_port_range)?,
            token_file: self.token_auth_file.clone(),
            accounts: ServiceAccountFlags {
                key_files: self.service_account_key_file.clone(),
                signing_key_file: self.service_account_signing_key_file.clone().unwrap_or_default(),
                issuers: self.service_account_issuer.clone(),
                audiences: self.api_audiences.clone(),
                longest: self.service_account_max_token_expiration,
                extend: self.service_account_extend_token_expiration,
            },
            authorization: self.authorization_mode.clone(),
            anonymous: self.anonymous_auth,
            bootstrap_tokens: self.enable_bootstrap_token_auth,
            limits: Limits {
                reading: self.max_requests_inflight,
                writing: self.max_mutating_requests_inflight,
                ..Limits::default()
            },
            compaction: self.etcd_compaction_interval,
        })
    }

    /// The addresses that others are told.
    fn advertised(&self) -> anyhow::Result<Vec<IpAddr>> {
        if !self.advertise_address.is_empty() {
            return Ok(self.advertise_address.clone());
        }
        if !self.bind_address.is_unspecified() {
            return Ok(vec![self.bind_address]);
        }
        // The source address of the default route: nothing is sent.
        let probe = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
            socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
            socket.local_addr()
        });
        match probe {
            Ok(address) if !address.ip().is_unspecified() => Ok(vec![address.ip()]),
            _ => {
                tracing::warn!("there is no default route: pods on other nodes need --advertise-address");
                Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)])
            }
        }
    }

    /// Where others reach this server.
    fn reached(&self, running: &Running) -> anyhow::Result<String> {
        let first = self.advertised()?.first().copied();
        let ip = first.unwrap_or_else(|| running.address.ip());
        Ok(SocketAddr::new(ip, running.address.port()).to_string())
    }

    /// The admin's kubeconfig, for this machine.
    fn kubeconfig(&self, path: &Path, running: &Running) -> anyhow::Result<()> {
        let own = running.address.ip();
        let host = match own.is_unspecified() {
            true => IpAddr::V4(Ipv4Addr::LOCALHOST),
            false => own,
        };
        let url = format!("https://{}", SocketAddr::new(host, running.address.port()));
        let text = running.pki.kubeconfig(&url, "kubernetes-admin", &["system:masters"])?;
        write_private(path, &text)
            .with_context(|| format!("cannot write --write-kubeconfig {}", path.display()))
    }
}

fn port_range(text: &str) -> anyhow::Result<(u16, u16)> {
    let wrong = || {
        anyhow::anyhow!("--service-node-port-range: {text:?} is no range of ports: write it as 30000-32767")
    };
    let (first, last) = text.split_once('-').ok_or_else(wrong)?;
    let (first, last) =
        (first.trim().parse().map_err(|_| wrong())?, last.trim().parse().map_err(|_| wrong())?);
    anyhow::ensure!(first > 0 && first <= last, wrong());
    Ok((first, last))
}
