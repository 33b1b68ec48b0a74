//! KV: reads look at the store themselves, writes go through the writer.

use super::{Answer, Service};
use crate::error::{Error, Result};
use crate::mvcc::range;
use crate::proto::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse,
    RangeRequest, RangeResponse, TxnRequest, TxnResponse,
};
use crate::store::View;
use crate::txn::{self, State};
use crate::write::job::Job;
use etcd_client::proto::{PbKvService, PbRangeStreamResponse};
use prost::Message;
use prost::bytes::Bytes;
use std::future::Future;
use std::time::Duration;
use tonic::{Request, Response, Status};

/// How often, and after what time, a read is tried again that the storage library has refused.
const LOOKS: usize = 100;
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

/// Ranges that may be larger are read on a thread that may block.
const SMALL_RANGE: i64 = 128;

#[tonic::async_trait]
impl PbKvService for Service {
    type RangeStreamStream = tokio_stream::Empty<Result<PbRangeStreamResponse, Status>>;

    async fn range(&self, request: Request<RangeRequest>) -> Answer<RangeResponse> {
        // Calls by path come to service::range instead; this one is for who holds the service itself.
        let bytes = self.encoded_range(request.into_inner()).await?;
        let response = RangeResponse::decode(bytes).map_err(|e| Status::internal(e.to_string()))?;
        Ok(Response::new(response))
    }

    async fn range_stream(&self, _: Request<RangeRequest>) -> Answer<Self::RangeStreamStream> {
        Err(Error::Unsupported("RangeStream is not served; ask with Range").into())
    }

    async fn put(&self, request: Request<PutRequest>) -> Answer<PutResponse> {
        let request = request.into_inner();
        txn::check_put(&request)?;
        self.check_size(&request)?;
        self.server.metrics.puts.inc();
        let mut response = self.server.writer.ask(|answer| Job::Put(request, answer)).await?;
        self.fill(&mut response.header);
        Ok(Response::new(response))
    }

    async fn delete_range(&self, request: Request<DeleteRangeRequest>) -> Answer<DeleteRangeResponse> {
        let request = request.into_inner();
        txn::check_delete(&request)?;
        self.check_size(&request)?;
        self.server.metrics.deletes.inc();
        let mut response = self.server.writer.ask(|answer| Job::Delete(request, answer)).await?;
        self.fill(&mut response.header);
        Ok(Response::new(response))
    }

    async fn txn(&self, request: Request<TxnRequest>) -> Answer<TxnResponse> {
        let request = request.into_inner();
        txn::check(&request, self.server.config.max_txn_ops)?;
        self.check_size(&request)?;
        self.server.metrics.txns.inc();
        let mut response = match txn::reads_only(&request) {
            true => {
                let look = || {
                    let request = request.clone();
                    self.blocking(move |view| txn::execute(&mut ReadOnly(view), &request))
                };
                looked(look).await?
            }
            false => self.server.writer.ask(|answer| Job::Txn(request, answer)).await?,
        };
        self.fill(&mut response.header);
        Ok(Response::new(response))
    }

    async fn compact(&self, request: Request<CompactionRequest>) -> Answer<CompactionResponse> {
        let CompactionRequest { revision, physical } = request.into_inner();
        let compaction = self.server.writer.ask(|answer| Job::Compact(revision, answer)).await?;
        if physical {
            compaction.done.await.map_err(|_| Error::Stopped)?;
        }
        Ok(Response::new(CompactionResponse { header: Some(self.server.store.header(compaction.revision)) }))
    }
}

impl Service {
    fn check_size(&self, request: &impl Message) -> Result<()> {
        let most = self.server.config.max_request_bytes;
        if request.encoded_len() > most { Err(Error::RequestTooLarge) } else { Ok(()) }
    }

    /// Answers a range with the bytes of its message.
    pub(super) async fn encoded_range(&self, request: RangeRequest) -> Result<Bytes> {
        txn::check_range(&request)?;
        self.server.metrics.ranges.inc();
        let limited = (1..=SMALL_RANGE).contains(&request.limit);
        let small = request.range_end.is_empty() || request.count_only || limited;
        let look = move || {
            let (store, request) = (self.server.store.clone(), request.clone());
            let header = move |revision| store.header(revision);
            async move {
                match small {
                    true => self.server.store.view()?.encoded_range(&request, header),
                    false => self.blocking(move |view| view.encoded_range(&request, header)).await,
                }
            }
        };
        looked(look).await
    }

    /// Looks at the store where waiting for the disk holds up nobody.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        look: impl FnOnce(View<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let server = self.server.clone();
        let looked = tokio::task::spawn_blocking(move || look(server.store.view()?)).await;
        looked.map_err(|_| Error::Stopped)?
    }
}

/// Looks again while the data are being opened anew after the disk has refused a write.
async fn looked<T, F: Future<Output = Result<T>>>(look: impl Fn() -> F) -> Result<T> {
    for _ in 0..LOOKS {
        match look().await {
            Err(Error::Storage(_)) => tokio::time::sleep(BETWEEN_LOOKS).await,
            other => return other,
        }
    }
    look().await
}

/// A transaction that only reads, on a view.
struct ReadOnly<'a>(View<'a>);

impl State for ReadOnly<'_> {
    fn check_revision(&self, revision: i64) -> Result<()> {
        range::check_in_transaction(self.0.window, revision)
    }

    fn range(&mut self, request: &RangeRequest) -> Result<RangeResponse> {
        let found = range::find(&self.0.index, self.0.window, request)?;
        found.answer(self.0.table(), request)
    }

    fn check_put(&mut self, _: &PutRequest) -> Result<()> {
        Err(Error::Unsupported("a transaction that only reads does not put"))
    }

    fn put(&mut self, request: &PutRequest) -> Result<PutResponse> {
        self.check_put(request).map(|()| PutResponse::default())
    }

    fn delete(&mut self, _: &DeleteRangeRequest) -> Result<DeleteRangeResponse> {
        Err(Error::Unsupported("a transaction that only reads does not delete"))
    }

    fn revision(&self) -> i64 {
        self.0.window.current
    }
}
