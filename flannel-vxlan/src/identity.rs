//! Two machines must not both be this node.
//!
//! A key named by the public IP, on an etcd lease of 30 s, holds the node's name and its kernel's
//! boot id. A cloned machine has our machine id, our disk and perhaps our name, but never our boot id:
//!
//! | the key holds | then |
//! | --- | --- |
//! | nothing | we take it |
//! | our name and boot id | we ourselves, before a restart: we take it over |
//! | our name, another boot id | we ourselves before a reboot, or a live copy: wait until it expires; if it does not, refuse |
//! | another name | a stranger: refuse |

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    Error, Options,
    error::Conflict,
    store::{IDENTITY_TTL, Store, Swap},
};

/// How often the wait for an earlier self to expire looks again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What the key holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Holder {
    node: String,
    #[serde(rename = "bootID")]
    boot_id: String,
}

/// Our hold on a public IP.
#[derive(Debug)]
pub(crate) struct Identity {
    pub etcd_lease: i64,
    key: String,
    value: String,
}

/// What one look at the key says. Pure.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Take,
    Wait,
    Refuse,
}

fn judge(holder: Option<&Holder>, ours: &Holder, waited: Duration) -> Verdict {
    match holder {
        None => Verdict::Take,
        Some(other) if other == ours => Verdict::Take,
        Some(other) if other.node == ours.node && waited < IDENTITY_TTL + Duration::from_secs(5) => {
            Verdict::Wait
        }
        Some(_) => Verdict::Refuse,
    }
}

impl Identity {
    /// Takes the public IP, waiting for an earlier self to expire.
    pub async fn claim(store: &Store, public_ip: &str, options: &Options) -> Result<Self, Error> {
        let ours = Holder { node: options.node_name.clone(), boot_id: options.boot_id.clone() };
        let value = serde_json::to_string(&ours).expect("two strings always serialize");
        let key = store.identity_key(public_ip);
        let started = tokio::time::Instant::now();
        loop {
            let before = store.get(&key).await?;
            // What is not in our form is nobody's we know: wait for it as for an earlier self.
            let holder = before.as_ref().map(|bytes| {
                serde_json::from_slice(bytes)
                    .unwrap_or(Holder { node: ours.node.clone(), boot_id: "unknown".into() })
            });
            match judge(holder.as_ref(), &ours, started.elapsed()) {
                Verdict::Take => {
                    let etcd_lease = store.grant(IDENTITY_TTL).await?;
                    if store.put_identity(&key, before.as_deref(), &value, etcd_lease).await? == Swap::Won {
                        return Ok(Self { etcd_lease, key, value });
                    }
                    store.revoke(etcd_lease).await?;
                }
                Verdict::Wait => {
                    if started.elapsed() < LOOK_AGAIN {
                        tracing::info!(%public_ip, "this node's name holds the public IP under another boot id: waiting up to 35 s for it to expire");
                    }
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                Verdict::Refuse => {
                    let other = holder.unwrap_or(Holder { node: "?".into(), boot_id: "?".into() });
                    return Err(Error::Identity(Box::new(Conflict {
                        public_ip: public_ip.to_owned(),
                        other: other.node,
                        other_boot: other.boot_id,
                        key,
                        ours: ours.node,
                        our_boot: ours.boot_id,
                    })));
                }
            }
        }
    }

    /// Holds it for another 30 s; `false` where it was lost and has to be claimed again.
    pub async fn hold(&self, store: &Store) -> Result<bool, etcd_client::Error> {
        if !store.keep_alive(self.etcd_lease).await? {
            return Ok(false);
        }
        Ok(store.get(&self.key).await?.as_deref() == Some(self.value.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(node: &str, boot: &str) -> Holder {
        Holder { node: node.into(), boot_id: boot.into() }
    }

    #[test]
    fn a_stranger_is_told_from_ourselves() {
        let ours = holder("a", "1");
        let long = Duration::from_secs(60);
        assert_eq!(judge(None, &ours, Duration::ZERO), Verdict::Take);
        assert_eq!(judge(Some(&holder("a", "1")), &ours, Duration::ZERO), Verdict::Take);
        assert_eq!(judge(Some(&holder("a", "2")), &ours, Duration::ZERO), Verdict::Wait);
        assert_eq!(judge(Some(&holder("a", "2")), &ours, long), Verdict::Refuse);
        assert_eq!(judge(Some(&holder("b", "2")), &ours, Duration::ZERO), Verdict::Refuse);
        assert_eq!(judge(Some(&holder("b", "1")), &ours, Duration::ZERO), Verdict::Refuse);
    }
}
