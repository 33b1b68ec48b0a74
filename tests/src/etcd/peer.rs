//! One server of a comparison: does an operation and says what was answered.

use super::answer::Answer;
use super::client::{Answered, Client};
use super::operation::{Operation, Stand};
use super::request;
use super::server::{Kind, Server};
use super::watching::Watching;
use etcd_client::proto::*;
use std::collections::BTreeMap;

/// A server, a connection to it and one watch stream.
pub struct Peer {
    kind: Kind,
    client: Client,
    watching: Watching,
}

/// What a peer is asked to do.
#[derive(Clone, Debug)]
pub enum Ask {
    /// An operation.
    Operation(Operation),
    /// To read all watches up to these revisions and say what came.
    Settle(BTreeMap<i64, i64>),
}

impl Peer {
    /// Connects.
    ///
    /// # Errors
    /// That the server cannot be reached.
    pub async fn connect(server: &Server) -> Answered<Peer> {
        let client = server.client();
        let watching = Watching::open(&client).await?;
        Ok(Peer { kind: server.kind(), client, watching })
    }

    /// Which server.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Does it.
    pub async fn ask(&mut self, ask: &Ask, stand: Stand) -> Answer {
        match ask {
            Ask::Operation(operation) => self.operation(operation, stand).await,
            Ask::Settle(revisions) => self.watching.settle(revisions).await.unwrap_or_else(Answer::from),
        }
    }

    async fn operation(&mut self, operation: &Operation, stand: Stand) -> Answer {
        let client = &self.client;
        match operation {
            Operation::Range(of) => Answer::of(client.range(request::range(of, stand)).await, Answer::Range),
            Operation::Put(of) => Answer::of(client.put(request::put(of)).await, Answer::Put),
            Operation::Delete(of) => Answer::of(client.delete(request::delete(of)).await, Answer::Delete),
            Operation::Txn(of) => Answer::of(client.txn(request::txn(of, stand)).await, Answer::Txn),
            Operation::Compact { revision, physical } => {
                let message = PbCompactionRequest { revision: revision.at(stand), physical: *physical };
                Answer::of(client.compact(message).await, Answer::Compact)
            }
            Operation::HashKv { revision } => {
                Answer::of(self.hash_kv(revision.at(stand)).await, Answer::HashKv)
            }
            Operation::Watch(of) => {
                Answer::of(self.watching.create(request::watch(of, stand)).await, Answer::Watch)
            }
            Operation::Cancel { id } => Answer::of(self.watching.cancel(*id).await, Answer::Watch),
            Operation::Progress => Answer::of(self.watching.progress().await, Answer::Watch),
            lease => self.lease(lease).await,
        }
    }

    async fn lease(&mut self, operation: &Operation) -> Answer {
        let client = &self.client;
        match *operation {
            Operation::Grant { id, ttl } => {
                Answer::of(client.grant(PbLeaseGrantRequest { id, ttl }).await, Answer::Grant)
            }
            Operation::Revoke { id } => {
                Answer::of(client.revoke(PbLeaseRevokeRequest { id }).await, Answer::Revoke)
            }
            Operation::TimeToLive { id, keys } => {
                let answered = client.time_to_live(PbLeaseTimeToLiveRequest { id, keys }).await;
                Answer::of(answered, Answer::TimeToLive)
            }
            Operation::KeepAlive { id } => Answer::of(client.keep_alive(id).await, Answer::KeepAlive),
            Operation::GrantAny { ttl } => self.grant_any(ttl).await,
            _ => Answer::of(client.leases(PbLeaseLeasesRequest {}).await, Answer::Leases),
        }
    }

    /// Where no key is alive, etcd hashes what a compaction is still to remove, so that its hash is a matter of time.
    async fn hash_kv(&mut self, revision: i64) -> Answered<PbHashKvResponse> {
        let mut hashed = self.client.hash_kv(PbHashKvRequest { revision }).await?;
        let all = PbRangeRequest {
            key: vec![0],
            range_end: vec![0],
            count_only: true,
            revision,
            ..PbRangeRequest::default()
        };
        if self.client.range(all).await?.count == 0 {
            hashed.hash = 0;
        }
        Ok(hashed)
    }

    /// The server's own id is put away in the answers; that it is one is part of them.
    async fn grant_any(&mut self, ttl: i64) -> Answer {
        let mut granted = match self.client.grant(PbLeaseGrantRequest { id: 0, ttl }).await {
            Ok(granted) => granted,
            Err(status) => return status.into(),
        };
        let id = granted.id;
        granted.id = i64::from(id > 0);
        let looked = self.client.time_to_live(PbLeaseTimeToLiveRequest { id, keys: true }).await;
        let looked = looked.map(|mut looked| {
            looked.id = i64::from(looked.id == id);
            looked
        });
        let revoked = self.client.revoke(PbLeaseRevokeRequest { id }).await;
        Answer::Several(vec![
            Answer::Grant(granted),
            Answer::of(looked, Answer::TimeToLive),
            Answer::of(revoked, Answer::Revoke),
        ])
    }
}
