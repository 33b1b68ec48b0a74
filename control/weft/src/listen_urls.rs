//! etcd's `--listen-client-urls`, and the TLS files that go with https ones.

use std::{
    net::{SocketAddr, ToSocketAddrs},
    path::PathBuf,
    sync::Arc,
};

use anyhow::Context as _;
use prometheus_client::registry::Registry;
use weft_etcd::{Etcd, TlsFiles};

/// An address, and TLS where its URL says so.
pub type Listener = (SocketAddr, Option<TlsFiles>);

/// Certificate, key, and the CA of clients.
pub type Files<'a> = (Option<&'a PathBuf>, Option<&'a PathBuf>, Option<&'a PathBuf>);

/// Reads the URLs of a flag. Files that no URL has a use for are an error, as are https URLs without.
pub fn listeners(flag: &str, urls: &[String], (cert, key, ca): Files<'_>) -> anyhow::Result<Vec<Listener>> {
    let tls = cert.zip(key).map(|(cert, key)| TlsFiles {
        cert: cert.clone(),
        key: key.clone(),
        client_ca: ca.cloned(),
    });
    let mut listeners = Vec::new();
    for url in urls {
        let (tls, rest) = match url.split_once("://") {
            Some(("http", rest)) => (None, rest),
            Some(("https", rest)) => {
                let tls = tls.clone();
                (Some(tls.with_context(|| format!("{flag}: {url} needs a certificate and its key"))?), rest)
            }
            _ => anyhow::bail!("{flag}: {url}: begins with neither http:// nor https://"),
        };
        let addresses = rest.trim_end_matches('/').to_socket_addrs();
        let addresses = addresses.with_context(|| format!("{flag}: {url}: needs HOST:PORT"))?;
        listeners.extend(addresses.map(|address| (address, tls.clone())));
    }
    let secured = listeners.iter().any(|(_, tls)| tls.is_some());
    anyhow::ensure!(
        secured || (tls.is_none() && ca.is_none()),
        "certificates are given, but no URL of {flag} begins with https://"
    );
    Ok(listeners)
}

/// Serves an etcd on all of them, with its metrics.
pub async fn listen(etcd: &Etcd, listeners: Vec<Listener>, registry: Registry) -> anyhow::Result<()> {
    let registry = Arc::new(registry);
    for (address, tls) in listeners {
        let secured = tls.is_some();
        let address = weft_etcd::listen(etcd, address, tls, registry.clone()).await?;
        if !secured && !address.ip().is_loopback() {
            tracing::warn!(%address, "serving in the clear beyond this machine; use an https URL with a certificate");
        }
        tracing::info!(%address, "serving clients");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panic")]

    use super::*;

    fn told(urls: &[&str], files: Files<'_>) -> String {
        let urls: Vec<String> = urls.iter().map(|url| url.to_string()).collect();
        match listeners("--listen", &urls, files) {
            Ok(found) => {
                format!("{} with TLS: {}", found.len(), found.iter().filter(|(_, tls)| tls.is_some()).count())
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn urls_and_certificates_have_to_fit() {
        let (cert, key) = (PathBuf::from("cert"), PathBuf::from("key"));
        let both = (Some(&cert), Some(&key), None);
        let none = (None, None, None);
        assert_eq!(told(&["http://127.0.0.1:1", "http://[::1]:2/"], none), "2 with TLS: 0");
        assert_eq!(told(&["https://127.0.0.1:1"], both), "1 with TLS: 1");
        assert!(told(&["https://127.0.0.1:1"], none).contains("needs a certificate"));
        assert!(told(&["http://127.0.0.1:1"], both).contains("no URL of --listen begins with https://"));
        assert!(told(&["127.0.0.1:1"], none).contains("neither http:// nor https://"));
        assert!(told(&["http://127.0.0.1"], none).contains("HOST:PORT"));
    }
}
