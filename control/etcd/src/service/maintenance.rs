//! Maintenance: status, hashes, alarms, defragmentation, snapshot.

use super::{Answer, Service};
use crate::error::{Error, Result};
use crate::hash;
use crate::proto::{
    AlarmRequest, AlarmResponse, DefragmentRequest, DefragmentResponse, HashKvRequest, HashKvResponse,
    HashRequest, HashResponse, StatusRequest, StatusResponse, alarm_type,
};
use crate::save;
use crate::snapshot::trailer;
use crate::write::job::Job;
use etcd_client::proto::{
    PbDowngradeRequest, PbDowngradeResponse, PbMaintenanceService, PbMoveLeaderRequest, PbMoveLeaderResponse,
    PbSnapshotRequest, PbSnapshotResponse,
};
use std::sync::atomic::Ordering;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

/// The version whose protocol this is.
pub const VERSION: &str = "3.5.21";

#[tonic::async_trait]
impl PbMaintenanceService for Service {
    type SnapshotStream = ReceiverStream<Result<PbSnapshotResponse, Status>>;

    async fn alarm(&self, request: Request<AlarmRequest>) -> Answer<AlarmResponse> {
        let request = request.into_inner();
        let alarms = self.server.writer.ask(|answer| Job::Alarm(request, answer)).await?;
        Ok(Response::new(AlarmResponse { header: self.header(), alarms }))
    }

    async fn status(&self, _: Request<StatusRequest>) -> Answer<StatusResponse> {
        let store = &self.server.store;
        let identity = store.identity();
        let index = store.raft_index();
        let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        Ok(Response::new(StatusResponse {
            header: self.header(),
            version: VERSION.into(),
            db_size: signed(store.disk().size()),
            leader: identity.member,
            raft_index: index,
            raft_term: identity.term,
            raft_applied_index: index,
            errors: self.problems(),
            db_size_in_use: signed(store.bytes.load(Ordering::Relaxed)),
            ..Default::default()
        }))
    }

    async fn defragment(&self, _: Request<DefragmentRequest>) -> Answer<DefragmentResponse> {
        self.server.writer.ask(Job::Defragment).await?;
        Ok(Response::new(DefragmentResponse { header: self.header() }))
    }

    async fn hash(&self, _: Request<HashRequest>) -> Answer<HashResponse> {
        let hash = self.blocking(|view| hash::of_all(&view)).await?;
        Ok(Response::new(HashResponse { header: self.header(), hash }))
    }

    async fn hash_kv(&self, request: Request<HashKvRequest>) -> Answer<HashKvResponse> {
        let revision = request.into_inner().revision;
        let (hash, window) =
            self.blocking(move |view| Ok((hash::of_history(&view, revision)?, view.window))).await?;
        Ok(Response::new(HashKvResponse {
            header: Some(self.server.store.header(window.current)),
            hash,
            compact_revision: window.compacted,
            ..Default::default()
        }))
    }

    async fn snapshot(&self, _: Request<PbSnapshotRequest>) -> Answer<Self::SnapshotStream> {
        let server = self.server.clone();
        let (out, answers) = mpsc::channel(4);
        tokio::task::spawn_blocking(move || {
            let header = server.store.header(server.store.revision());
            let send = |chunk: Result<trailer::Chunk>| {
                let response = chunk.map(|chunk| PbSnapshotResponse {
                    header: Some(header),
                    remaining_bytes: chunk.remaining_bytes,
                    blob: chunk.blob,
                    ..Default::default()
                });
                out.blocking_send(response.map_err(Status::from)).is_ok()
            };
            match save::chunks(&server.store, &server.config) {
                // A client that goes away in the middle is its own affair.
                Ok(mut chunks) => drop(chunks.all(send)),
                Err(error) => drop(send(Err(error))),
            }
        });
        Ok(Response::new(ReceiverStream::new(answers)))
    }

    async fn move_leader(&self, _: Request<PbMoveLeaderRequest>) -> Answer<PbMoveLeaderResponse> {
        Err(Error::BadLeaderTransferee.into())
    }

    async fn downgrade(&self, _: Request<PbDowngradeRequest>) -> Answer<PbDowngradeResponse> {
        Err(Error::Unsupported("weft etcd has one form of data; there is nothing to downgrade to").into())
    }
}

impl Service {
    /// Alarms and what else is wrong, as etcd words it in its status.
    fn problems(&self) -> Vec<String> {
        let store = &self.server.store;
        let member = store.identity().member;
        let alarms = crate::write::listed(store, alarm_type::NONE);
        let name = |alarm: i32| if alarm == alarm_type::NOSPACE { "NOSPACE" } else { "CORRUPT" };
        let mut all: Vec<String> =
            alarms.iter().map(|a| format!("memberID:{member} alarm:{} ", name(a.alarm))).collect();
        if !store.writable.load(Ordering::Acquire) {
            all.push("the disk refuses writes".into());
        }
        all
    }
}
