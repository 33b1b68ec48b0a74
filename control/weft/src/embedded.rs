//! State in the process of another daemon: an embedded etcd, reached over a channel without a socket.
//!
//! For one node, or for the first of several that serves the others: with `--embedded-etcd-listen-client-urls` they
//! name it by `--etcd-endpoints` as they would any etcd.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use etcd_client::Client;
use prometheus_client::registry::Registry;
use weft_etcd::{Config, Etcd};

use crate::{listen_urls, room};

/// Flags of a daemon that may have its state within (weft's own).
#[derive(Debug, Args)]
pub struct EmbeddedFlags {
    /// Keep the state in this process, in this folder, in place of --etcd-endpoints.
    #[arg(long, env = "FLANNELD_EMBEDDED_ETCD_DATA_DIR", conflicts_with = "etcd_endpoints")]
    embedded_etcd_data_dir: Option<PathBuf>,
    /// Comma-separated URLs to serve that state on, for other nodes and etcdctl.
    #[arg(
        long,
        env = "FLANNELD_EMBEDDED_ETCD_LISTEN_CLIENT_URLS",
        value_delimiter = ',',
        requires = "embedded_etcd_data_dir"
    )]
    embedded_etcd_listen_client_urls: Vec<String>,
    /// PEM file of the certificate for https URLs.
    #[arg(long, env = "FLANNELD_EMBEDDED_ETCD_CERT_FILE", requires = "embedded_etcd_key_file")]
    embedded_etcd_cert_file: Option<PathBuf>,
    /// PEM file of its key.
    #[arg(long, env = "FLANNELD_EMBEDDED_ETCD_KEY_FILE", requires = "embedded_etcd_cert_file")]
    embedded_etcd_key_file: Option<PathBuf>,
    /// PEM file of the CA whose certificates clients must have.
    #[arg(long, env = "FLANNELD_EMBEDDED_ETCD_TRUSTED_CA_FILE", requires = "embedded_etcd_cert_file")]
    embedded_etcd_trusted_ca_file: Option<PathBuf>,
    /// The network's configuration, written into the embedded state unless there is one.
    #[arg(long, env = "FLANNELD_NET_CONFIG_PATH", requires = "embedded_etcd_data_dir")]
    net_config_path: Option<PathBuf>,
}

impl EmbeddedFlags {
    /// Starts the state, if it is to be in this process.
    pub async fn start(&self, prefix: &str) -> anyhow::Result<Option<(Etcd, Client)>> {
        let Some(dir) = &self.embedded_etcd_data_dir else { return Ok(None) };
        let files = (
            self.embedded_etcd_cert_file.as_ref(),
            self.embedded_etcd_key_file.as_ref(),
            self.embedded_etcd_trusted_ca_file.as_ref(),
        );
        let urls = &self.embedded_etcd_listen_client_urls;
        let listeners = listen_urls::listeners("--embedded-etcd-listen-client-urls", urls, files)?;
        let mut registry = Registry::default();
        let config = Config { advertise_client_urls: urls.clone(), ..Config::of(dir) };
        let etcd = Etcd::open(config, &mut registry)?;
        listen_urls::listen(&etcd, listeners, registry).await?;
        let mut client = etcd.client().await?;
        if let Some(path) = &self.net_config_path {
            let text = std::fs::read_to_string(path);
            let text = text.with_context(|| format!("cannot read --net-config-path {}", path.display()))?;
            configure(&mut client, &format!("{prefix}/config"), &text).await?;
        }
        room::look_after(client.clone(), dir.clone());
        Ok(Some((etcd, client)))
    }
}

/// Writes the configuration where there is none.
async fn configure(client: &mut Client, key: &str, text: &str) -> anyhow::Result<()> {
    if client.get(key, None).await?.count() == 0 {
        client.put(key, text, None).await?;
        tracing::info!(key, "the network's configuration is written");
    }
    Ok(())
}
