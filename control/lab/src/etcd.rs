//! What the lab asks of etcd: write the network's configuration, list leases, remove what it wrote.
//!
//! Asked from within a node's network namespace, where the endpoints are reachable; a runtime of one thread for
//! each question, since there are three in a lab's life.

use crate::error::{At, LabError, Result};
use crate::topology::POD_NETWORKS;
use etcd_client::{Client, ConnectOptions, DeleteOptions, GetOptions};
use netstate::NetNs;
use serde::Serialize;
use std::future::Future;
use std::path::Path;
use std::time::{Duration, Instant};

/// flannel's default prefix.
pub const PREFIX: &str = "/coreos.com/network";

/// For one attempt.
const PATIENCE: Duration = Duration::from_secs(2);

/// An etcd as a node sees it.
pub struct Etcd<'a> {
    /// The node's network namespace.
    pub namespace: &'a Path,
    /// URLs.
    pub endpoints: &'a [String],
}

/// A subnet that a node has leased.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lease {
    /// The subnets, IPv4 first, as in the key.
    pub subnets: Vec<String>,
    /// The node's address.
    pub public_ip: String,
    /// The rest of the value, as it is.
    pub value: serde_json::Value,
}

impl Etcd<'_> {
    /// Writes the configuration unless there is one; whether it was written.
    pub fn configure(&self, within: Duration) -> Result<bool> {
        let key = format!("{PREFIX}/config");
        let value = serde_json::json!({
            "Network": POD_NETWORKS[0],
            "EnableIPv6": true,
            "IPv6Network": POD_NETWORKS[1],
            "Backend": {"Type": "vxlan"},
        });
        let start = Instant::now();
        loop {
            let (key, value) = (key.clone(), value.to_string());
            let written = self.ask(|mut client| async move {
                let there = client.get(key.as_str(), None).await?.count() > 0;
                if !there {
                    client.put(key, value, None).await?;
                }
                Ok(!there)
            });
            match written {
                // Being started: it refuses connections, or has no leader yet.
                Err(LabError::Etcd { .. }) if start.elapsed() < within => {
                    std::thread::sleep(Duration::from_millis(30));
                }
                other => return other,
            }
        }
    }

    /// All leases.
    pub fn leases(&self) -> Result<Vec<Lease>> {
        let prefix = format!("{PREFIX}/subnets/");
        let from = prefix.clone();
        let pairs = self.ask(|mut client| async move {
            let answer = client.get(from, Some(GetOptions::new().with_prefix())).await?;
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            Ok(answer.kvs().iter().map(|kv| (text(kv.key()), text(kv.value()))).collect::<Vec<_>>())
        })?;
        Ok(pairs.iter().filter_map(|(key, value)| lease(key.strip_prefix(&prefix)?, value)).collect())
    }

    /// Removes everything below the prefix.
    pub fn clear(&self) -> Result<()> {
        self.ask(|mut client| async move {
            client.delete(PREFIX, Some(DeleteOptions::new().with_prefix())).await.map(drop)
        })
    }

    fn ask<T, F>(&self, question: impl FnOnce(Client) -> F + Send) -> Result<T>
    where
        T: Send,
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let fail = |why: String| LabError::Etcd { endpoints: self.endpoints.join(","), why };
        let asked = || -> Result<T> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|e| fail(e.to_string()))?;
            runtime.block_on(async {
                let options = ConnectOptions::new().with_connect_timeout(PATIENCE).with_timeout(PATIENCE);
                let client = Client::connect(self.endpoints, Some(options)).await;
                let answer = tokio::time::timeout(PATIENCE, async { question(client?).await }).await;
                answer.map_err(|_| fail("no answer".into()))?.map_err(|e| fail(e.to_string()))
            })
        };
        NetNs::open(self.namespace).at("etcd's node")?.run(asked).at("etcd's node")?
    }
}

/// Reads a lease in flannel's form: `10.244.1.0-24` or `10.244.1.0-24&fd00:…-64`.
fn lease(key: &str, value: &str) -> Option<Lease> {
    let subnets = key.split('&').map(|s| s.replacen('-', "/", 1)).collect();
    let value: serde_json::Value = serde_json::from_str(value).ok()?;
    let public_ip = value.get("PublicIP").and_then(|v| v.as_str()).unwrap_or_default().to_owned();
    Some(Lease { subnets, public_ip, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_leases_of_both_families() {
        let both = lease("10.244.40.0-24&fd00:10:244:c::-64", r#"{"PublicIP":"10.0.2.15"}"#).unwrap();
        assert_eq!(both.subnets, ["10.244.40.0/24", "fd00:10:244:c::/64"]);
        assert_eq!(both.public_ip, "10.0.2.15");
        assert_eq!(lease("10.244.40.0-24", "no json"), None);
    }
}
