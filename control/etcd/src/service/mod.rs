//! etcd's gRPC services over the store.

mod auth;
mod cluster;
mod kv;
mod lease;
mod maintenance;
mod oversize;
mod range;
mod watch;

pub use maintenance::VERSION;

use crate::proto::ResponseHeader;
use crate::server::Server;
use etcd_client::proto::{PbClusterServer, PbKvServer, PbLeaseServer, PbMaintenanceServer, PbWatchServer};
use http::Request;
use std::sync::Arc;
use tonic::Status;
use tonic::body::Body;
use tonic::service::Routes;
use tower::service_fn;
use tower::util::MapResponseLayer;

/// One implementation of all of them.
#[derive(Clone, Debug)]
struct Service {
    server: Arc<Server>,
}

/// Answer of a call.
type Answer<T> = Result<tonic::Response<T>, Status>;

/// All services, by path.
pub fn routes(server: &Arc<Server>) -> Routes {
    let service = Service { server: server.clone() };
    let bytes = server.config.most_message_bytes();
    let mut routes = Routes::new(PbKvServer::new(service.clone()).max_decoding_message_size(bytes))
        .add_service(PbWatchServer::new(service.clone()).max_decoding_message_size(bytes))
        .add_service(PbLeaseServer::new(service.clone()).max_decoding_message_size(bytes))
        .add_service(PbMaintenanceServer::new(service.clone()).max_decoding_message_size(bytes))
        .add_service(PbClusterServer::new(service.clone()).max_decoding_message_size(bytes))
        .add_service(auth::Auth::of(service.clone()));
    let ranges = service_fn(move |request: Request<_>| range::call(service.clone(), request.map(Body::new)));
    let router = std::mem::take(routes.axum_router_mut());
    *routes.axum_router_mut() =
        router.route_service(range::PATH, ranges).layer(MapResponseLayer::new(oversize::reword));
    routes.prepare()
}

impl Service {
    /// Fills in who answers, and the newest revision where the answer has none.
    fn fill(&self, header: &mut Option<ResponseHeader>) {
        let revision = header.take().map_or(0, |h| h.revision);
        let revision = if revision == 0 { self.server.store.revision() } else { revision };
        *header = Some(self.server.store.header(revision));
    }

    /// A header of now.
    fn header(&self) -> Option<ResponseHeader> {
        Some(self.server.store.header(self.server.store.revision()))
    }
}
