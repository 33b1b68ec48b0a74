//! Range by path: its answer is made of rows as they are stored, without decoding and encoding them again.
//!
//! etcd-client's generated service wants a message; so this path has a codec of its own, before that service.

use super::Service;
use crate::proto::RangeRequest;
use http::{Request, Response};
use prost::Message;
use prost::bytes::{BufMut, Bytes};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use tonic::Status;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, UnaryService};

/// The path of the method.
pub const PATH: &str = "/etcdserverpb.KV/Range";

/// Answers a call.
pub async fn call(service: Service, request: Request<Body>) -> Result<Response<Body>, Infallible> {
    let most = service.server.config.most_message_bytes();
    let mut grpc = Grpc::new(Encoded).apply_max_message_size_config(Some(most), None);
    Ok(grpc.unary(Range(service), request).await)
}

struct Range(Service);

impl UnaryService<RangeRequest> for Range {
    type Response = Bytes;
    type Future = Pin<Box<dyn Future<Output = Result<tonic::Response<Bytes>, Status>> + Send>>;

    fn call(&mut self, request: tonic::Request<RangeRequest>) -> Self::Future {
        let service = self.0.clone();
        Box::pin(async move { Ok(tonic::Response::new(service.encoded_range(request.into_inner()).await?)) })
    }
}

/// Messages that are bytes already on their way out.
#[derive(Clone, Copy, Debug, Default)]
struct Encoded;

impl Codec for Encoded {
    type Encode = Bytes;
    type Decode = RangeRequest;
    type Encoder = Encoded;
    type Decoder = Encoded;

    fn encoder(&mut self) -> Encoded {
        Encoded
    }

    fn decoder(&mut self) -> Encoded {
        Encoded
    }
}

impl Encoder for Encoded {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, bytes: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(bytes);
        Ok(())
    }
}

impl Decoder for Encoded {
    type Item = RangeRequest;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<RangeRequest>, Status> {
        RangeRequest::decode(bytes).map(Some).map_err(|e| Status::internal(e.to_string()))
    }
}
