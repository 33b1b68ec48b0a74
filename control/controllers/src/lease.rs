//! Which of several managers is at work: a Lease, as upstream's managers hold it.
//!
//! Upstream: `client-go/tools/leaderelection`. A manager takes a lease that nobody holds, that is its own, or that has
//! not been renewed for its length; the length is counted from when this process first saw the renewal, so that clocks
//! need not agree. `kubectl get cs` tells by the same lease whether a manager runs.

use jiff::Timestamp;
use kube::api::{Api, DynamicObject, PostParams};
use serde_json::{Value, json};
use std::future::Future;
use std::time::Duration;
use tokio::sync::watch::Receiver;
use tokio::time::Instant;

use crate::Error;
use crate::error::On as _;
use crate::kinds::known;

/// How long a lease is good (`--leader-elect-lease-duration`).
const LENGTH: Duration = Duration::from_secs(15);
/// After so long without a renewal its holder gives up (`--leader-elect-renew-deadline`).
const DEADLINE: Duration = Duration::from_secs(10);
/// How often it is renewed: three times in its length.
const RENEW: Duration = Duration::from_secs(5);
/// How often others look (`--leader-elect-retry-period`).
const RETRY: Duration = Duration::from_secs(2);

/// A lease to hold.
#[derive(Clone, Debug)]
pub struct Election {
    /// The lease's namespace.
    pub namespace: String,
    /// The lease's name.
    pub name: String,
    /// Who this is: no two processes that run may have the same; one that is started anew may, and goes on at once.
    pub identity: String,
}

impl Election {
    /// The lease of kube-controller-manager.
    pub fn of_controller_manager(identity: String) -> Election {
        Election { namespace: "kube-system".into(), name: "kube-controller-manager".into(), identity }
    }
}

/// What was seen of a lease, and when.
#[derive(Debug)]
struct Seen {
    spec: Value,
    at: Instant,
}

/// What to write, if the lease can be taken or is to be renewed.
fn claim(spec: &Value, seen: &Seen, identity: &str, now: Instant, stamp: &str) -> Option<Value> {
    let holder = spec["holderIdentity"].as_str().unwrap_or_default();
    let mine = holder == identity;
    let seconds = spec["leaseDurationSeconds"].as_u64().unwrap_or(LENGTH.as_secs());
    if !holder.is_empty() && !mine && now < seen.at + Duration::from_secs(seconds) {
        return None;
    }
    let mut wanted = spec.clone();
    wanted["holderIdentity"] = identity.into();
    wanted["leaseDurationSeconds"] = LENGTH.as_secs().into();
    wanted["renewTime"] = stamp.into();
    if !mine {
        wanted["acquireTime"] = stamp.into();
        let transitions = spec["leaseTransitions"].as_u64().unwrap_or_default();
        wanted["leaseTransitions"] = (transitions + u64::from(!holder.is_empty())).into();
    }
    Some(wanted)
}

struct Holder<'a> {
    api: Api<DynamicObject>,
    election: &'a Election,
    seen: Option<Seen>,
}

/// Runs while the lease is held, again and again, until `shutdown` is set; then the lease is given back.
pub async fn lead<F, R>(client: &kube::Client, election: &Election, shutdown: &mut Receiver<bool>, run: F)
where
    F: Fn() -> R,
    R: Future<Output = ()>,
{
    let kind = known("coordination.k8s.io", "v1", "Lease", "leases");
    let api = Api::namespaced_with(client.clone(), &election.namespace, &kind);
    let mut holder = Holder { api, election, seen: None };
    let mut said = false;
    loop {
        match holder.take().await {
            Ok(true) => {
                let ended = tokio::select! {
                    () = run() => false,
                    () = holder.keep() => false,
                    _ = shutdown.wait_for(|end| *end) => true,
                };
                if ended {
                    holder.give_back().await;
                    return;
                }
                tracing::warn!(
                    lease = election.name,
                    "the lease is lost; controllers stop until it is taken again"
                );
            }
            Ok(false) => said = false,
            Err(error) if !said => {
                tracing::warn!(%error, "the lease is not taken; tried again");
                said = true;
            }
            Err(error) => tracing::debug!(%error, "the lease is tried again"),
        }
        if tokio::time::timeout(RETRY, shutdown.wait_for(|end| *end)).await.is_ok() {
            return;
        }
    }
}

impl Holder<'_> {
    /// Takes or renews the lease. Whether it is held.
    async fn take(&mut self) -> Result<bool, Error> {
        let Election { namespace, name, identity } = self.election;
        let what = || format!("lease {namespace}/{name}");
        let there = self.api.get_opt(name).await.on(what)?;
        let spec = there.as_ref().map_or(json!({}), |lease| lease.data["spec"].clone());
        let now = Instant::now();
        let seen = match self.seen.take() {
            Some(seen) if seen.spec == spec => seen,
            _ => Seen { spec: spec.clone(), at: now },
        };
        let claimed = claim(&spec, &seen, identity, now, &stamp());
        self.seen = Some(seen);
        let Some(wanted) = claimed else { return Ok(false) };
        let params = PostParams::default();
        match there {
            Some(mut lease) => {
                lease.data["spec"] = wanted;
                self.api.replace(name, &params, &lease).await.on(what)?;
            }
            None => {
                let kind = known("coordination.k8s.io", "v1", "Lease", "leases");
                let lease = DynamicObject::new(name, &kind).within(namespace).data(json!({"spec": wanted}));
                self.api.create(&params, &lease).await.on(what)?;
            }
        }
        Ok(true)
    }

    /// Renews the lease until it is lost.
    async fn keep(&mut self) {
        let mut renewed = Instant::now();
        let mut pause = RENEW;
        loop {
            tokio::time::sleep(pause).await;
            let taken = tokio::time::timeout(DEADLINE, self.take()).await;
            match taken {
                Ok(Ok(true)) => (renewed, pause) = (Instant::now(), RENEW),
                Ok(Ok(false)) => return,
                _ if renewed.elapsed() >= DEADLINE => return,
                Ok(Err(error)) => {
                    tracing::warn!(%error, "the lease is not renewed; tried again");
                    pause = RETRY;
                }
                Err(_) => pause = RETRY,
            }
        }
    }

    /// Nobody has to wait for a holder that has ended.
    async fn give_back(&mut self) {
        let Election { name, identity, .. } = self.election;
        let given = async {
            let Some(mut lease) = self.api.get_opt(name).await? else { return Ok(()) };
            if lease.data["spec"]["holderIdentity"] != identity.as_str() {
                return Ok(());
            }
            lease.data["spec"]["holderIdentity"] = "".into();
            lease.data["spec"]["leaseDurationSeconds"] = 1.into();
            self.api.replace(name, &PostParams::default(), &lease).await.map(drop)
        };
        match tokio::time::timeout(RETRY, given).await {
            Ok(Ok(())) => {}
            Ok(Err::<(), kube::Error>(error)) => tracing::debug!(%error, "the lease is left to run out"),
            Err(_) => tracing::debug!("the lease is left to run out"),
        }
    }
}

/// The time as `metav1.MicroTime` has it.
fn stamp() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// `leaderelection.go`, `tryAcquireOrRenew`.
    #[test]
    fn a_lease_is_taken_when_it_is_free_own_or_run_out() {
        let now = Instant::now();
        let of = |spec: &Value, age: u64| {
            let seen = Seen { spec: spec.clone(), at: now };
            claim(spec, &seen, "me", now + Duration::from_secs(age), "t2")
        };
        let first = of(&json!({}), 0).unwrap();
        assert_eq!(
            (first["holderIdentity"].as_str(), first["leaseTransitions"].as_u64()),
            (Some("me"), Some(0))
        );
        let others = json!({
            "holderIdentity": "you", "leaseDurationSeconds": 15, "renewTime": "t1", "leaseTransitions": 3,
        });
        assert_eq!(of(&others, 14), None);
        let taken = of(&others, 15).unwrap();
        assert_eq!(
            (taken["leaseTransitions"].as_u64(), taken["acquireTime"].as_str()),
            (Some(4), Some("t2"))
        );
        let mine =
            json!({"holderIdentity": "me", "acquireTime": "t0", "renewTime": "t1", "leaseTransitions": 3});
        let renewed = of(&mine, 0).unwrap();
        assert_eq!(
            (renewed["acquireTime"].as_str(), renewed["renewTime"].as_str()),
            (Some("t0"), Some("t2"))
        );
        assert_eq!(renewed["leaseTransitions"], 3);
        let given_back = json!({"holderIdentity": "", "leaseTransitions": 3});
        assert_eq!(of(&given_back, 0).unwrap()["leaseTransitions"], 3);
    }
}
