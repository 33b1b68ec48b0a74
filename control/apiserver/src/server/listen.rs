//! The listener: TLS, HTTP/1.1 and HTTP/2.

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use super::Server;

/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many connections there may be.
const CONNECTIONS: usize = 8_192;
/// How many requests there may be on one connection of HTTP/2 (upstream's is 100 by default and 1,000 here and there).
const STREAMS: u32 = 1_000;
/// Bytes that wait for a client that reads slowly, of one connection or, with HTTP/2, one stream. The libraries' own
/// bounds are 400 KiB: 100 watchers that are told of 10,000 pods would hold 40 MB.
const BUFFER: usize = 64 << 10;

/// Serves connections until `end` is set; then those that are open get a moment.
pub async fn listen(
    server: Arc<Server>,
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    mut end: watch::Receiver<bool>,
) {
    let acceptor = TlsAcceptor::from(tls);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = end.wait_for(|end| *end) => return,
        };
        let Ok((stream, _)) = accepted else {
            // Out of descriptors.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Ok(place) = places.clone().try_acquire_owned() else { continue };
        let (server, acceptor, end) = (server.clone(), acceptor.clone(), end.clone());
        tokio::spawn(async move {
            connection(server, acceptor, stream, end).await;
            drop(place);
        });
    }
}

async fn connection(
    server: Arc<Server>,
    acceptor: TlsAcceptor,
    stream: TcpStream,
    mut end: watch::Receiver<bool>,
) {
    // Small answers go out at once.
    let _ = stream.set_nodelay(true);
    let Ok(Ok(stream)) = tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await else { return };
    let peer: Option<Arc<[_]>> = stream
        .get_ref()
        .1
        .peer_certificates()
        .map(|chain| chain.iter().map(|certificate| certificate.clone().into_owned()).collect());
    let service = hyper::service::service_fn(move |request| {
        let (server, peer) = (server.clone(), peer.clone());
        async move { Ok::<_, Infallible>(server.handle(request, peer.as_deref()).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(BUFFER);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_send_buf_size(BUFFER)
        .keep_alive_interval(PATIENCE)
        .keep_alive_timeout(PATIENCE);
    let serving = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::pin!(serving);
    tokio::select! {
        // A client that goes away in the middle is its own affair.
        _ = serving.as_mut() => return,
        _ = end.wait_for(|end| *end) => {}
    }
    serving.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(Duration::from_secs(2), serving).await;
}
