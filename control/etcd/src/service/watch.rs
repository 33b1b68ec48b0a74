//! Watch: a task for each stream.

use super::{Answer, Service};
use crate::proto::{WatchRequest, WatchResponse};
use crate::watch;
use etcd_client::proto::PbWatchService;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// Answers that wait for a client which does not read them.
const WAITING: usize = 8;

#[tonic::async_trait]
impl PbWatchService for Service {
    type WatchStream = ReceiverStream<Result<WatchResponse, Status>>;

    async fn watch(&self, request: Request<Streaming<WatchRequest>>) -> Answer<Self::WatchStream> {
        let (out, answers) = mpsc::channel(WAITING);
        tokio::spawn(watch::run(self.server.clone(), request.into_inner(), out));
        Ok(Response::new(ReceiverStream::new(answers)))
    }
}
