//! Leases over kills: one is kept alive and must stay, one after the other is left and must go in its time.

use super::uptime::{Up, Uptime};
use crate::etcd::client::Client;
use etcd_client::proto::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tonic::Status;

/// Seconds of the lease that is kept alive.
pub const KEPT: i64 = 5;

/// Seconds of those that are left.
pub const LEFT: i64 = 3;

/// The key of the lease that is kept alive.
pub const KEPT_KEY: &[u8] = b"lease/kept";

/// A lease's key that is gone, and how long the server was up between grant and the first look without it.
#[derive(Clone, Copy, Debug)]
pub struct Gone {
    /// The longest that it can have been there.
    pub at_most: Duration,
    /// The shortest.
    pub at_least: Duration,
}

/// Tries until the server answers.
async fn answered<T, F: Future<Output = Result<T, Status>>>(mut call: impl FnMut() -> F) -> T {
    loop {
        match call().await {
            Ok(answer) => return answer,
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

/// Grants a lease of a chosen id and puts a key with it, whatever happens in between.
async fn lease(client: &Client, id: i64, ttl: i64, key: &[u8]) {
    answered(|| async {
        match client.grant(PbLeaseGrantRequest { id, ttl }).await {
            // Granted already, by a call whose answer was lost.
            Err(status) if status.message().contains("lease already exists") => Ok(()),
            granted => granted.map(drop),
        }
    })
    .await;
    let put = || PbPutRequest { key: key.to_vec(), lease: id, ..Default::default() };
    answered(|| client.put(put())).await;
}

/// Keeps a lease alive until told to stop; how often it was kept.
///
/// # Errors
/// That it expired.
pub async fn keep(url: String, stop: Arc<AtomicBool>) -> Result<usize, String> {
    let client = Client::lazy(&url);
    lease(&client, KEPT, KEPT, KEPT_KEY).await;
    let mut kept = 0;
    while !stop.load(Ordering::Relaxed) {
        if let Ok(answer) = client.keep_alive(KEPT).await {
            if answer.ttl != KEPT {
                return Err(format!("after {kept} times the lease was not kept: {answer:?}"));
            }
            kept += 1;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(kept)
}

/// Leaves one lease after the other until told to stop; when each was gone, by the server's time.
pub async fn leave(url: String, uptime: Arc<Uptime>, stop: Arc<AtomicBool>) -> Vec<Gone> {
    let client = Client::lazy(&url);
    let mut gone = Vec::new();
    for id in 100.. {
        let key = format!("lease/left/{id}").into_bytes();
        let asked = uptime.up();
        lease(&client, id, LEFT, &key).await;
        let granted = uptime.up();
        let mut there = uptime.up();
        loop {
            if stop.load(Ordering::Relaxed) {
                // Not gone yet, which must not have been for too long either.
                let last = between(asked, granted, there, there);
                gone.push(Gone { at_most: Duration::MAX, ..last });
                return gone;
            }
            let looked = uptime.up();
            let read = PbRangeRequest { key: key.clone(), ..Default::default() };
            match client.range(read).await {
                Ok(found) if found.kvs.is_empty() => break,
                Ok(_) => there = looked,
                Err(_) => {}
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        gone.push(between(asked, granted, there, uptime.up()));
    }
    gone
}

/// It was granted after `asked` and before `granted`, was still there at `there` and not any more at `now`.
fn between(asked: Up, granted: Up, there: Up, now: Up) -> Gone {
    Gone { at_most: now.most.saturating_sub(asked.most), at_least: there.least.saturating_sub(granted.least) }
}

/// What is wrong with the time of a lease, if anything.
pub fn untimely(gone: &Gone) -> Option<String> {
    let ttl = Duration::from_secs(LEFT.unsigned_abs());
    if gone.at_most < ttl {
        return Some(format!("a lease of {ttl:?} was gone too early: {gone:?}"));
    }
    let late = ttl + ttl / 4 + Duration::from_secs(2);
    (gone.at_least > late).then(|| format!("a lease of {ttl:?} was there after {late:?}: {gone:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn early_and_late_are_refused() {
        let of = |at_least, at_most| {
            let gone =
                Gone { at_least: Duration::from_millis(at_least), at_most: Duration::from_millis(at_most) };
            untimely(&gone).is_some()
        };
        assert!(of(2000, 2900));
        assert!(!of(2900, 3100));
        assert!(!of(4900, 6500));
        assert!(of(5800, 6000));
    }
}
