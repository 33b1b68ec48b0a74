//! A stream of what changes under a prefix.

use etcd_client::{EventType, WatchClient, WatchOptions, WatchStream};

use super::{StoreError, Stored};

/// A stream of changes.
#[derive(Debug)]
pub struct Watch {
    stream: WatchStream,
}

/// What a watch has to tell.
#[derive(Debug)]
pub enum Seen {
    /// Changes, in order: what is there now, or the key alone and the revision that removed it.
    Changes(Vec<(Stored, bool)>),
    /// Everything up to this revision has been told.
    Progress(i64),
}

impl Watch {
    pub(super) async fn open(mut client: WatchClient, prefix: &str, from: i64) -> Result<Watch, StoreError> {
        let options = WatchOptions::new().with_prefix().with_start_revision(from).with_progress_notify();
        let stream = client.watch(prefix, Some(options)).await?;
        Ok(Watch { stream })
    }

    /// Asks how far everything has been told.
    pub async fn ask_progress(&mut self) -> Result<(), StoreError> {
        Ok(self.stream.request_progress().await?)
    }

    /// The next.
    pub async fn next(&mut self) -> Result<Seen, StoreError> {
        loop {
            let Some(message) = self.stream.message().await? else {
                return Err(StoreError::Unreachable("the watch has ended".into()));
            };
            if message.compact_revision() > 0 {
                return Err(StoreError::Compacted(message.compact_revision()));
            }
            if message.canceled() {
                return Err(StoreError::Unreachable(format!(
                    "the watch is cancelled: {}",
                    message.cancel_reason()
                )));
            }
            if message.created() {
                continue;
            }
            if message.events().is_empty() {
                return Ok(Seen::Progress(message.header().map_or(0, |header| header.revision())));
            }
            let change = |event: &etcd_client::Event| {
                let kv = event.kv()?;
                let stored = Stored {
                    key: kv.key().to_vec(),
                    bytes: kv.value().to_vec(),
                    revision: kv.mod_revision(),
                };
                Some((stored, event.event_type() == EventType::Put))
            };
            return Ok(Seen::Changes(message.events().iter().filter_map(change).collect()));
        }
    }
}
