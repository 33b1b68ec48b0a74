//! `weft etcd`: etcd's flags to the embedded server's settings.
//!
//! A flag of etcd's that is not here (peers, proxies, discovery) is refused by name, never accepted and ignored.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::{ArgAction, Args, ValueEnum};
use prometheus_client::registry::Registry;
use tokio::signal::unix::{SignalKind, signal};
use weft_etcd::{AutoCompaction, Config, Etcd};

use crate::flags::duration;
use crate::listen_urls::{self, Listener};
use crate::{limits, logs, systemd};

/// The exit code for data that are damaged, in use, or somebody else's: restarting does not help.
const EXIT_DATA: u8 = 5;

/// How retention is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// By age.
    Periodic,
    /// By number of revisions.
    Revision,
}

/// Flags of `weft etcd`. Each has etcd's environment variable, `ETCD_…`.
#[derive(Debug, Args)]
pub struct Flags {
    /// Name of the member.
    #[arg(long, env = "ETCD_NAME", default_value = "default")]
    name: String,
    /// Folder of the data; ${name}.etcd without.
    #[arg(long, env = "ETCD_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// A file of `etcdctl snapshot save` to begin with, where the data folder is empty (weft's own flag).
    #[arg(long, env = "ETCD_RESTORE_FROM", value_name = "FILE")]
    restore_from: Option<PathBuf>,
    /// Comma-separated URLs to listen on.
    #[arg(
        long,
        env = "ETCD_LISTEN_CLIENT_URLS",
        value_delimiter = ',',
        default_value = "http://localhost:2379"
    )]
    listen_client_urls: Vec<String>,
    /// Comma-separated URLs that clients are told; those listened on without.
    #[arg(long, env = "ETCD_ADVERTISE_CLIENT_URLS", value_delimiter = ',')]
    advertise_client_urls: Vec<String>,
    /// Bytes of data from which writes are refused; 0 for 2 GiB.
    #[arg(long, env = "ETCD_QUOTA_BACKEND_BYTES", default_value_t = 0)]
    quota_backend_bytes: u64,
    /// How --auto-compaction-retention is counted.
    #[arg(long, env = "ETCD_AUTO_COMPACTION_MODE", default_value = "periodic")]
    auto_compaction_mode: Mode,
    /// History that is kept: a time (30m; a bare number is hours) or a number of revisions; 0 for all (etcd's default
    /// is 0).
    #[arg(long, env = "ETCD_AUTO_COMPACTION_RETENTION", default_value = "1h")]
    auto_compaction_retention: String,
    /// Bytes of history from which the older half goes, whatever its age; 0 for no bound (weft's own flag).
    #[arg(long, env = "ETCD_HISTORY_BYTES", default_value_t = 64 << 20)]
    history_bytes: u64,
    /// Operations in one transaction.
    #[arg(long, env = "ETCD_MAX_TXN_OPS", default_value_t = 128)]
    max_txn_ops: usize,
    /// Bytes of one request.
    #[arg(long, env = "ETCD_MAX_REQUEST_BYTES", default_value_t = 1_572_864)]
    max_request_bytes: usize,
    /// How often watches that ask for it are told that nothing happened.
    #[arg(
        long,
        alias = "experimental-watch-progress-notify-interval",
        env = "ETCD_WATCH_PROGRESS_NOTIFY_INTERVAL",
        default_value = "10m",
        value_parser = duration
    )]
    watch_progress_notify_interval: Duration,
    /// PEM file of the certificate for https URLs.
    #[arg(long, env = "ETCD_CERT_FILE", requires = "key_file")]
    cert_file: Option<PathBuf>,
    /// PEM file of its key.
    #[arg(long, env = "ETCD_KEY_FILE", requires = "cert_file")]
    key_file: Option<PathBuf>,
    /// PEM file of the CA whose certificates clients must have.
    #[arg(long, env = "ETCD_TRUSTED_CA_FILE")]
    trusted_ca_file: Option<PathBuf>,
    /// Clients must have a certificate; needs --trusted-ca-file.
    #[arg(long, env = "ETCD_CLIENT_CERT_AUTH", num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false, action = ArgAction::Set)]
    client_cert_auth: bool,
}

/// Runs the server until SIGTERM or SIGINT.
pub fn main(flags: &Flags) -> anyhow::Result<ExitCode> {
    logs::set_up();
    limits::raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(std::thread::available_parallelism().map_or(2, |n| n.get().min(4)))
        // Snapshots that wait for a slow client hold one each; larger ranges must not queue behind them.
        .max_blocking_threads(64)
        .enable_all()
        .build()?;
    let done = runtime.block_on(run(flags));
    runtime.shutdown_background();
    match done {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => match error.downcast_ref() {
            Some(
                weft_etcd::StartError::Damaged { .. }
                | weft_etcd::StartError::InUse { .. }
                | weft_etcd::StartError::RealEtcd { .. }
                | weft_etcd::StartError::NotEmpty { .. }
                | weft_etcd::StartError::BrokenOff { .. }
                | weft_etcd::StartError::Snapshot { .. },
            ) => {
                eprintln!("weft etcd: {error}");
                Ok(ExitCode::from(EXIT_DATA))
            }
            _ => Err(error),
        },
    }
}

async fn run(flags: &Flags) -> anyhow::Result<()> {
    let config = flags.config()?;
    let listeners = flags.listeners()?;
    // Before signals are waited for: until it is done, one ends the process at once, and nothing half made counts.
    if let Some(file) = &flags.restore_from {
        restore(&config, file)?;
    }
    let mut registry = Registry::default();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let etcd = Etcd::open(config, &mut registry)?;
    listen_urls::listen(&etcd, listeners, registry).await?;
    systemd::ready();
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    etcd.stop().await;
    Ok(())
}

fn restore(config: &Config, file: &Path) -> Result<(), weft_etcd::StartError> {
    let restored = weft_etcd::restore(&config.data_dir, file)?;
    let (folder, file) = (config.data_dir.display(), file.display());
    let weft_etcd::Restored { revision, keys, leases, users } = restored;
    tracing::info!("{folder} begins with {file}: revision {revision}, {keys} keys, {leases} leases");
    if users > 0 {
        tracing::warn!("{file} has {users} users and roles, which were not in force and are left behind");
    }
    Ok(())
}

impl Flags {
    fn config(&self) -> anyhow::Result<Config> {
        let data_dir = self.data_dir.clone().unwrap_or_else(|| format!("{}.etcd", self.name).into());
        let advertised = match &self.advertise_client_urls[..] {
            [] => self.listen_client_urls.clone(),
            some => some.to_vec(),
        };
        Ok(Config {
            name: self.name.clone(),
            quota_backend_bytes: self.quota_backend_bytes,
            auto_compaction: retention(self.auto_compaction_mode, &self.auto_compaction_retention)?,
            history_bytes: self.history_bytes,
            max_txn_ops: self.max_txn_ops,
            max_request_bytes: self.max_request_bytes,
            watch_progress_notify_interval: self
                .watch_progress_notify_interval
                .max(Duration::from_millis(100)),
            advertise_client_urls: advertised,
            ..Config::of(data_dir)
        })
    }

    fn listeners(&self) -> anyhow::Result<Vec<Listener>> {
        anyhow::ensure!(
            !self.client_cert_auth || self.trusted_ca_file.is_some(),
            "--client-cert-auth needs --trusted-ca-file: whose certificates are to be taken?"
        );
        let files = (self.cert_file.as_ref(), self.key_file.as_ref(), self.trusted_ca_file.as_ref());
        listen_urls::listeners("--listen-client-urls", &self.listen_client_urls, files)
    }
}

fn retention(mode: Mode, text: &str) -> anyhow::Result<AutoCompaction> {
    let number: Option<i64> = text.parse().ok();
    let kept = match (mode, number) {
        (_, Some(0)) => AutoCompaction::Off,
        (_, Some(negative)) if negative < 0 => {
            anyhow::bail!("--auto-compaction-retention: {text}: is negative")
        }
        (Mode::Revision, Some(revisions)) => AutoCompaction::Revisions(revisions),
        (Mode::Revision, None) => {
            anyhow::bail!("--auto-compaction-retention: {text}: is no number of revisions")
        }
        (Mode::Periodic, Some(hours)) => AutoCompaction::Age(Duration::from_secs(3600 * hours as u64)),
        (Mode::Periodic, None) => {
            let age = duration(text).map_err(|e| anyhow::anyhow!("--auto-compaction-retention: {e}"))?;
            if age.is_zero() { AutoCompaction::Off } else { AutoCompaction::Age(age) }
        }
    };
    Ok(kept)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panic")]

    use super::*;

    #[test]
    fn retention_is_read_as_etcd_reads_it() {
        let hours = |n: u64| AutoCompaction::Age(Duration::from_secs(3600 * n));
        assert_eq!(retention(Mode::Periodic, "2").unwrap(), hours(2));
        assert_eq!(retention(Mode::Periodic, "60m").unwrap(), hours(1));
        assert_eq!(retention(Mode::Periodic, "0").unwrap(), AutoCompaction::Off);
        assert_eq!(retention(Mode::Revision, "1000").unwrap(), AutoCompaction::Revisions(1000));
        assert!(retention(Mode::Revision, "1h").is_err() && retention(Mode::Periodic, "-1").is_err());
    }
}
