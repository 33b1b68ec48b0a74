//! The controllers: within `weft apiserver`, or as `weft controller-manager` for any API server, with
//! kube-controller-manager's flags.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::{ArgAction, Args};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use weft_apiserver::pki::{Pki, SigningError};
use weft_apiserver::server::Server;
use weft_controllers::{Config, Election, Selection, Sign, Unsigned};

use crate::{in_process, kubeconfig, logs, systemd};

/// Where the cluster's API servers may be several, each needs a moment to learn that a namespace ends.
const PAUSE: Duration = Duration::from_secs(5);
/// The same for the server in whose process the controllers run: what it knows is milliseconds old.
const PAUSE_WITHIN: Duration = Duration::from_millis(500);
/// How long a certificate is good (`--cluster-signing-duration`).
const SIGNED_FOR: Duration = Duration::from_secs(365 * 24 * 3_600);
/// How long the controllers may take to end.
const ENDS_WITHIN: Duration = Duration::from_secs(3);

/// Flags of `weft controller-manager`.
#[derive(Debug, Args)]
pub struct Flags {
    /// The kubeconfig of the API server; within a pod, the pod's own account without.
    #[arg(long)]
    kubeconfig: Option<PathBuf>,
    #[command(flatten)]
    controllers: Controllers,
    /// Whether to hold the lease kube-system/kube-controller-manager, so that one of several is at work.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = true, action = ArgAction::Set)]
    leader_elect: bool,
}

/// Which controllers run.
#[derive(Debug, Args)]
pub struct Controllers {
    /// Comma-separated controllers to run: * for all that are on by default, foo for this one, -foo for not this one.
    #[arg(long, value_delimiter = ',', default_value = "*", allow_hyphen_values = true)]
    controllers: Vec<String>,
    /// PEM file of the CA that goes into each namespace's kube-root-ca.crt; without, the one that signs the server's
    /// certificate as far as it is known here: the kubeconfig's, or the API server's own.
    #[arg(long)]
    root_ca_file: Option<PathBuf>,
}

impl Controllers {
    /// Those that the flag names.
    pub fn selection(&self) -> anyhow::Result<Selection> {
        Selection::read(&self.controllers).map_err(|why| anyhow::anyhow!("--controllers: {why}"))
    }

    /// The CA that the flag names.
    pub fn root_ca(&self) -> anyhow::Result<Option<String>> {
        let Some(path) = &self.root_ca_file else { return Ok(None) };
        let text = std::fs::read_to_string(path);
        let text = text.with_context(|| format!("cannot read --root-ca-file {}", path.display()))?;
        let wrong = || format!("--root-ca-file {} has no certificate in PEM", path.display());
        anyhow::ensure!(text.contains("-----BEGIN CERTIFICATE-----"), wrong());
        Ok(Some(text))
    }
}

/// Runs the controllers until SIGTERM or SIGINT.
pub fn main(flags: &Flags) -> anyhow::Result<ExitCode> {
    logs::set_up();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let done = runtime.block_on(run(flags));
    runtime.shutdown_background();
    done.map(|()| ExitCode::SUCCESS)
}

async fn run(flags: &Flags) -> anyhow::Result<()> {
    let controllers = flags.controllers.selection()?;
    let reached = flags.reached().await?;
    let trusted = reached.root_cert.as_ref().map(|all| all.iter().map(|one| pem(one)).collect());
    let root_ca = flags.controllers.root_ca()?.or(trusted);
    let client = kube::Client::try_from(reached).context("cannot set up the client of the API server")?;
    let config = Config {
        controllers,
        root_ca,
        // The CA's key is with the API server, or nowhere that this knows of.
        sign: None,
        of_account: None,
        leader_election: flags.leader_elect.then(identity).transpose()?.map(Election::of_controller_manager),
        namespace_pause: PAUSE,
    };
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (end, ends) = watch::channel(false);
    let mut running = tokio::spawn(weft_controllers::run(client, config, ends));
    systemd::ready();
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        ended = &mut running => return Ok(ended??),
    }
    end.send_replace(true);
    match tokio::time::timeout(ENDS_WITHIN, running).await {
        Ok(ended) => Ok(ended??),
        Err(_) => Ok(()),
    }
}

impl Flags {
    /// The API server.
    async fn reached(&self) -> anyhow::Result<kube::Config> {
        let Some(path) = &self.kubeconfig else {
            return kube::Config::incluster().context("no --kubeconfig, and this is no pod with an account");
        };
        kubeconfig::read(path).await
    }
}

/// A certificate in PEM.
fn pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<String> =
        text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

/// A name that no other process has.
fn identity() -> anyhow::Result<String> {
    let path = "/proc/sys/kernel/random/uuid";
    let uuid = std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    Ok(format!("{}_{}", host(), uuid.trim()))
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Signs with the cluster's CA.
fn signing(pki: Arc<Pki>) -> Sign {
    Arc::new(move |asked| {
        let usages: Vec<&str> = asked.usages.iter().map(String::as_str).collect();
        let signed = pki.sign(&asked.signer, &asked.request, &usages, asked.expiration, SIGNED_FOR);
        signed.map_err(|error| match error {
            SigningError::Failed(_) => Unsigned::Failed(error.to_string()),
            refused => Unsigned::Refused(refused.to_string()),
        })
    })
}

/// Controllers that run within an API server's process.
#[derive(Debug)]
pub struct Within {
    end: watch::Sender<bool>,
    running: JoinHandle<Result<(), weft_controllers::Error>>,
}

impl Within {
    /// Starts them. `address` is where others reach the server: with the host's name it tells servers of one cluster
    /// apart, and stays the same over a restart, after which the lease is held at once.
    pub fn start(
        server: &Arc<Server>,
        pki: &Arc<Pki>,
        (controllers, root_ca): (Selection, Option<String>),
        address: &str,
    ) -> Within {
        let config = Config {
            controllers,
            root_ca: Some(root_ca.unwrap_or_else(|| pki.authority.pem.clone())),
            sign: Some(signing(pki.clone())),
            of_account: Some(in_process::accounts(server)),
            leader_election: Some(Election::of_controller_manager(format!("{}_{address}", host()))),
            namespace_pause: PAUSE_WITHIN,
        };
        let (end, ends) = watch::channel(false);
        let running =
            tokio::spawn(weft_controllers::run(in_process::controller_manager(server), config, ends));
        Within { end, running }
    }

    /// Ends them; the lease is given back.
    pub async fn end(self) {
        self.end.send_replace(true);
        if tokio::time::timeout(ENDS_WITHIN, self.running).await.is_err() {
            tracing::warn!("the controllers do not end in time; they are cut off");
        }
    }
}
