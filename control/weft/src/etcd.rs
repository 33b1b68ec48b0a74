//! The connection to etcd, from flanneld's `--etcd-…` flags.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use anyhow::Context as _;
use clap::Args;
use etcd_client::{Certificate, Client, ConnectOptions, Identity, TlsOptions};

/// How to reach the state.
#[derive(Debug, Args)]
pub struct EtcdFlags {
    /// Comma-separated etcd endpoints.
    #[arg(
        long,
        env = "FLANNELD_ETCD_ENDPOINTS",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:4001,http://127.0.0.1:2379"
    )]
    pub etcd_endpoints: Vec<String>,
    /// Where flannel keeps its keys.
    #[arg(long, env = "FLANNELD_ETCD_PREFIX", default_value = "/coreos.com/network")]
    pub etcd_prefix: String,
    /// PEM file of the client's key.
    #[arg(long, env = "FLANNELD_ETCD_KEYFILE", requires = "etcd_certfile")]
    pub etcd_keyfile: Option<PathBuf>,
    /// PEM file of the client's certificate.
    #[arg(long, env = "FLANNELD_ETCD_CERTFILE", requires = "etcd_keyfile")]
    pub etcd_certfile: Option<PathBuf>,
    /// PEM file of the CA that signed the server's certificate.
    #[arg(long, env = "FLANNELD_ETCD_CAFILE")]
    pub etcd_cafile: Option<PathBuf>,
    /// User name, where etcd asks for one.
    #[arg(long, env = "FLANNELD_ETCD_USERNAME", requires = "etcd_password")]
    pub etcd_username: Option<String>,
    /// Password. Better in the environment: other users see a process's flags.
    #[arg(long, env = "FLANNELD_ETCD_PASSWORD", hide_env_values = true, requires = "etcd_username")]
    pub etcd_password: Option<String>,
}

impl EtcdFlags {
    /// A client; it connects when it is first used, and again whenever the connection breaks.
    pub async fn client(&self) -> anyhow::Result<Client> {
        let user = self.etcd_username.as_deref().zip(self.etcd_password.as_deref());
        let files = Files {
            ca: self.etcd_cafile.as_ref(),
            cert: self.etcd_certfile.as_ref(),
            key: self.etcd_keyfile.as_ref(),
        };
        connect(&self.etcd_endpoints, &files, user).await
    }

    /// The endpoints' addresses, for the choice of the interface. A name is looked up once.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let host = |endpoint: &String| {
            let rest = endpoint.split_once("://").map_or(endpoint.as_str(), |(_, rest)| rest);
            let host_port = rest.split('/').next().unwrap_or(rest);
            host_port.to_owned()
        };
        let resolve = |host: String| {
            let with_port = if host.rsplit(']').next().is_some_and(|tail| tail.contains(':')) {
                host
            } else {
                format!("{host}:2379")
            };
            std::net::ToSocketAddrs::to_socket_addrs(&with_port)
                .into_iter()
                .flatten()
                .map(|a| a.ip())
                .collect::<Vec<_>>()
        };
        self.etcd_endpoints.iter().map(host).flat_map(resolve).collect()
    }
}

/// Files of a TLS client, each in PEM.
pub struct Files<'a> {
    /// The CA that signed the server's certificate.
    pub ca: Option<&'a PathBuf>,
    /// The client's certificate.
    pub cert: Option<&'a PathBuf>,
    /// Its key.
    pub key: Option<&'a PathBuf>,
}

/// A client; it connects when it is first used, and again whenever the connection breaks.
pub async fn connect(
    endpoints: &[String],
    files: &Files<'_>,
    user: Option<(&str, &str)>,
) -> anyhow::Result<Client> {
    let mut options = ConnectOptions::new()
        .with_connect_timeout(Duration::from_secs(2))
        .with_keep_alive(Duration::from_secs(10), Duration::from_secs(5));
    if let Some((user, password)) = user {
        options = options.with_user(user, password);
    }
    if let Some(tls) = tls(endpoints, files)? {
        options = options.with_tls(tls);
    }
    let client = Client::connect(endpoints, Some(options)).await;
    client.with_context(|| format!("etcd endpoints {}", endpoints.join(",")))
}

fn tls(endpoints: &[String], files: &Files<'_>) -> anyhow::Result<Option<TlsOptions>> {
    let https = endpoints.iter().filter(|e| e.starts_with("https://")).count();
    if https == 0 {
        anyhow::ensure!(
            files.ca.is_none() && files.cert.is_none(),
            "certificates are given, but no etcd endpoint begins with https://: the connection would be in the clear"
        );
        return Ok(None);
    }
    anyhow::ensure!(
        https == endpoints.len(),
        "some etcd endpoints begin with https:// and some do not: give all of one kind"
    );
    let read =
        |path: &PathBuf| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let ca = files.ca.context("an https:// endpoint needs --etcd-cafile")?;
    let mut tls = TlsOptions::new().ca_certificate(Certificate::from_pem(read(ca)?));
    if let (Some(cert), Some(key)) = (files.cert, files.key) {
        tls = tls.identity(Identity::from_pem(read(cert)?, read(key)?));
    }
    Ok(Some(tls))
}
