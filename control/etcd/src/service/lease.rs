//! Lease: all of it goes through the writer, which alone knows the time.

use super::{Answer, Service};
use crate::error::Error;
use crate::proto::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseLeasesRequest,
    LeaseLeasesResponse, LeaseRevokeRequest, LeaseRevokeResponse, LeaseStatus, LeaseTimeToLiveRequest,
    LeaseTimeToLiveResponse,
};
use crate::write::job::Job;
use etcd_client::proto::PbLeaseService;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

#[tonic::async_trait]
impl PbLeaseService for Service {
    type LeaseKeepAliveStream = ReceiverStream<Result<LeaseKeepAliveResponse, Status>>;

    async fn lease_grant(&self, request: Request<LeaseGrantRequest>) -> Answer<LeaseGrantResponse> {
        let LeaseGrantRequest { id, ttl } = request.into_inner();
        let (id, ttl) = self.server.writer.ask(|answer| Job::Grant(id, ttl, answer)).await?;
        Ok(Response::new(LeaseGrantResponse { header: self.header(), id, ttl, error: String::new() }))
    }

    async fn lease_revoke(&self, request: Request<LeaseRevokeRequest>) -> Answer<LeaseRevokeResponse> {
        let id = request.into_inner().id;
        self.server.writer.ask(|answer| Job::Revoke(id, answer)).await?;
        Ok(Response::new(LeaseRevokeResponse { header: self.header() }))
    }

    async fn lease_keep_alive(
        &self,
        request: Request<Streaming<LeaseKeepAliveRequest>>,
    ) -> Answer<Self::LeaseKeepAliveStream> {
        let mut requests = request.into_inner();
        let service = self.clone();
        let mut stopping = self.server.stopping();
        let (out, answers) = mpsc::channel(8);
        tokio::spawn(async move {
            loop {
                let request = tokio::select! {
                    request = requests.next() => request,
                    () = stopping.stopped() => Some(Err(Error::Stopped.into())),
                };
                let answer = match request {
                    Some(Ok(request)) => service.keep_alive(request.id).await,
                    Some(Err(status)) => Err(status),
                    None => return,
                };
                let ends = answer.is_err();
                if out.send(answer).await.is_err() || ends {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(answers)))
    }

    async fn lease_time_to_live(
        &self,
        request: Request<LeaseTimeToLiveRequest>,
    ) -> Answer<LeaseTimeToLiveResponse> {
        let LeaseTimeToLiveRequest { id, keys } = request.into_inner();
        let seen = self.server.writer.ask(|answer| Job::TimeToLive(id, keys, answer)).await;
        let header = self.header();
        let response = match seen {
            Ok(left) => LeaseTimeToLiveResponse {
                header,
                id,
                ttl: left.ttl,
                granted_ttl: left.granted,
                keys: left.keys,
            },
            // Told by a time that no lease has.
            Err(Error::LeaseNotFound) => {
                LeaseTimeToLiveResponse { header, id, ttl: -1, ..Default::default() }
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Response::new(response))
    }

    async fn lease_leases(&self, _: Request<LeaseLeasesRequest>) -> Answer<LeaseLeasesResponse> {
        let ids = self.server.writer.ask(Job::Leases).await?;
        let leases = ids.into_iter().map(|id| LeaseStatus { id }).collect();
        Ok(Response::new(LeaseLeasesResponse { header: self.header(), leases }))
    }
}

impl Service {
    /// A lease that is not there is told by a TTL of 0. The header is made before, so that a lease that ends at some
    /// revision is never seen alive at a later one.
    async fn keep_alive(&self, id: i64) -> Result<LeaseKeepAliveResponse, Status> {
        let header = self.header();
        let ttl = match self.server.writer.ask(|answer| Job::KeepAlive(id, answer)).await {
            Ok(ttl) => ttl,
            Err(Error::LeaseNotFound) => 0,
            Err(error) => return Err(error.into()),
        };
        Ok(LeaseKeepAliveResponse { header, id, ttl })
    }
}
