//! Room on the disk of a state within: once there is some again, writes are taken again.
//!
//! etcd leaves that to a person, who disarms its alarm by etcdctl; a state within is often served to nobody but its own
//! process, so nobody could.

use std::path::{Path, PathBuf};
use std::time::Duration;

use etcd_client::{AlarmAction, AlarmType, Client};

/// How often it is looked at.
const LOOKED_AT: Duration = Duration::from_secs(5);
/// So much must be free: a few of the largest objects, and what the files grow by.
const ENOUGH: u64 = 16 << 20;

/// Looks after the alarm for as long as the process runs.
pub fn look_after(client: Client, folder: PathBuf) {
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(LOOKED_AT).await;
            // What fails is tried again.
            if let Err(error) = disarm(&client, &folder).await {
                tracing::debug!(%error, "the alarm NOSPACE is not looked at");
            }
        }
    });
}

/// Disarms the alarm, if it is on and there is room. When it is the quota that is used up, the next write raises it again
/// until compaction has made room.
async fn disarm(client: &Client, folder: &Path) -> Result<(), etcd_client::Error> {
    let mut maintenance = client.maintenance_client();
    let alarms = maintenance.alarm(AlarmAction::Get, AlarmType::Nospace, None).await?;
    if alarms.alarms().is_empty() || free(folder) < ENOUGH {
        return Ok(());
    }
    maintenance.alarm(AlarmAction::Deactivate, AlarmType::Nospace, None).await?;
    tracing::info!(folder = %folder.display(), "there is room again: writes are taken again");
    Ok(())
}

/// The bytes that are free on a folder's disk.
fn free(folder: &Path) -> u64 {
    rustix::fs::statvfs(folder).map_or(0, |disk| disk.f_bavail.saturating_mul(disk.f_frsize))
}
