//! A connection that sends raw messages and gives back raw answers.
//!
//! One `Client` is one HTTP/2 connection; its clones share it. Nothing is retried: a test wants to see each failure.

use super::wire::WatchRequest;
use etcd_client::proto::*;
use prost::Message;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};
use tonic_prost::ProstCodec;

/// No answer within this time is an answer that a test reports.
const PATIENCE: Duration = Duration::from_secs(60);

/// Larger than any message the tests let a server send.
const MAX_MESSAGE: usize = 64 << 20;

/// A connection to a server.
#[derive(Clone)]
pub struct Client {
    channel: Channel,
}

/// What a server answers: the message, or code and text.
pub type Answered<T> = Result<T, Status>;

impl Client {
    /// Connects when the first message is sent; to be called inside a runtime.
    ///
    /// # Panics
    /// When the address is none.
    pub fn lazy(url: &str) -> Client {
        let endpoint = Endpoint::from_shared(url.to_owned()).expect("an URL");
        Client { channel: endpoint.connect_timeout(PATIENCE).connect_lazy() }
    }

    /// Sends one message and waits for its answer.
    ///
    /// # Errors
    /// What the server says, or that it cannot be reached.
    pub async fn unary<Q, A>(&self, method: &'static str, message: Q) -> Answered<A>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let mut grpc = tonic::client::Grpc::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE);
        let path = http::uri::PathAndQuery::from_static(method);
        let call = async {
            grpc.ready().await.map_err(|e| Status::unavailable(format!("not ready: {e}")))?;
            grpc.unary(Request::new(message), path, ProstCodec::<Q, A>::default()).await
        };
        match tokio::time::timeout(PATIENCE, call).await {
            Ok(answer) => answer.map(tonic::Response::into_inner),
            Err(_) => Err(Status::deadline_exceeded(format!("no answer to {method} within {PATIENCE:?}"))),
        }
    }

    /// Opens a stream in both directions.
    ///
    /// # Errors
    /// What the server says, or that it cannot be reached.
    pub async fn stream<Q, A>(&self, method: &'static str) -> Answered<(mpsc::Sender<Q>, Incoming<A>)>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let mut grpc = tonic::client::Grpc::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE);
        let path = http::uri::PathAndQuery::from_static(method);
        grpc.ready().await.map_err(|e| Status::unavailable(format!("not ready: {e}")))?;
        let (sender, receiver) = mpsc::channel(64);
        let outgoing = Request::new(ReceiverStream::new(receiver));
        // etcd sends the headers of a stream with its first answer only, so opening must not wait for them.
        let opening = tokio::spawn(async move {
            let answer = grpc.streaming(outgoing, path, ProstCodec::<Q, A>::default()).await;
            answer.map(tonic::Response::into_inner)
        });
        Ok((sender, Incoming::Opening(opening)))
    }
}

/// The answers of a stream.
pub enum Incoming<A> {
    /// The server has not answered yet.
    Opening(tokio::task::JoinHandle<Answered<Streaming<A>>>),
    /// It has.
    Open(Box<Streaming<A>>),
}

impl<A: Message + Default + 'static> Incoming<A> {
    /// The next answer; the end of the stream is an error.
    ///
    /// # Errors
    /// How the stream ended, or that nothing came for a long time.
    pub async fn next(&mut self) -> Answered<A> {
        match tokio::time::timeout(PATIENCE, self.next_ever()).await {
            Ok(answer) => answer,
            Err(_) => Err(Status::deadline_exceeded(format!("nothing on the stream for {PATIENCE:?}"))),
        }
    }

    /// As `next`, without end to the patience; may be dropped while it waits.
    ///
    /// # Errors
    /// How the stream ended.
    pub async fn next_ever(&mut self) -> Answered<A> {
        if let Incoming::Opening(opening) = self {
            let opened =
                opening.await.map_err(|e| Status::internal(format!("opening the stream: {e}")))??;
            *self = Incoming::Open(Box::new(opened));
        }
        match self {
            Incoming::Open(stream) => match stream.message().await? {
                Some(answer) => Ok(answer),
                None => Err(Status::aborted("the server ended the stream")),
            },
            Incoming::Opening(_) => Err(Status::internal("the stream is not open")),
        }
    }
}

impl<A> Drop for Incoming<A> {
    fn drop(&mut self) {
        if let Incoming::Opening(opening) = self {
            opening.abort();
        }
    }
}

/// The calls of the services, one line each.
macro_rules! calls {
    ($($name:ident $path:literal $request:ty => $answer:ty;)*) => {
        impl Client {
            $(
                #[doc = concat!("`", $path, "`")]
                ///
                /// # Errors
                /// What the server says, or that it cannot be reached.
                pub async fn $name(&self, message: $request) -> Answered<$answer> {
                    self.unary($path, message).await
                }
            )*
        }
    };
}

calls! {
    range "/etcdserverpb.KV/Range" PbRangeRequest => PbRangeResponse;
    put "/etcdserverpb.KV/Put" PbPutRequest => PbPutResponse;
    delete "/etcdserverpb.KV/DeleteRange" PbDeleteRequest => PbDeleteResponse;
    txn "/etcdserverpb.KV/Txn" PbTxnRequest => PbTxnResponse;
    compact "/etcdserverpb.KV/Compact" PbCompactionRequest => PbCompactionResponse;
    grant "/etcdserverpb.Lease/LeaseGrant" PbLeaseGrantRequest => PbLeaseGrantResponse;
    revoke "/etcdserverpb.Lease/LeaseRevoke" PbLeaseRevokeRequest => PbLeaseRevokeResponse;
    time_to_live "/etcdserverpb.Lease/LeaseTimeToLive" PbLeaseTimeToLiveRequest => PbLeaseTimeToLiveResponse;
    leases "/etcdserverpb.Lease/LeaseLeases" PbLeaseLeasesRequest => PbLeaseLeasesResponse;
    hash_kv "/etcdserverpb.Maintenance/HashKV" PbHashKvRequest => PbHashKvResponse;
    alarm "/etcdserverpb.Maintenance/Alarm" PbAlarmRequest => PbAlarmResponse;
    status "/etcdserverpb.Maintenance/Status" PbStatusRequest => PbStatusResponse;
    defragment "/etcdserverpb.Maintenance/Defragment" PbDefragmentRequest => PbDefragmentResponse;
}

impl Client {
    /// Keeps a lease alive once.
    ///
    /// # Errors
    /// What the server says, or that it cannot be reached.
    pub async fn keep_alive(&self, id: i64) -> Answered<PbLeaseKeepAliveResponse> {
        let (sender, mut incoming) = self.stream("/etcdserverpb.Lease/LeaseKeepAlive").await?;
        let sent = sender.send(PbLeaseKeepAliveRequest { id }).await;
        sent.map_err(|_| Status::unavailable("the stream is closed"))?;
        incoming.next().await
    }

    /// Opens a watch stream.
    ///
    /// # Errors
    /// That the server cannot be reached.
    pub async fn watch(&self) -> Answered<(mpsc::Sender<WatchRequest>, Incoming<PbWatchResponse>)> {
        self.stream("/etcdserverpb.Watch/Watch").await
    }
}
