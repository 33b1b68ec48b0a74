//! The listeners for health and metrics, one way of serving them for every daemon.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use http_body_util::Full;
use hyper::{Request, Response, StatusCode, body::Bytes, service::service_fn};
use hyper_util::rt::TokioIo;
use prometheus_client::{encoding::text::encode, registry::Registry};
use tokio::net::TcpListener;

/// An answer.
pub type Answer = Response<Full<Bytes>>;

/// What the overlay's and the state's listener shows: `/healthz`, `/readyz`, `/metrics`.
pub struct Shown {
    /// The daemon's metrics.
    pub registry: Registry,
    /// `None` when ready, else what the daemon waits for.
    pub waiting: Box<dyn Fn() -> Option<String> + Send + Sync>,
}

/// Binds now, so that a port in use is an error at start, and serves until the daemon ends.
pub async fn listen(address: SocketAddr, shown: Shown) -> anyhow::Result<()> {
    let listener = bind(address, "--healthz-port").await?;
    tracing::info!(%address, "serving /healthz, /readyz and /metrics");
    tokio::spawn(serve(listener, move |path| answer(path, &shown)));
    Ok(())
}

/// Binds a listener for health checks or metrics; the flag is what names another address.
pub async fn bind(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    let bound = TcpListener::bind(address).await;
    bound.with_context(|| format!("cannot listen on {address} for health checks: name another with {flag}"))
}

/// Answers requests by their path until it is dropped.
pub async fn serve(listener: TcpListener, answer: impl Fn(&str) -> Answer + Send + Sync + 'static) {
    let answer = Arc::new(answer);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await; // out of descriptors
            continue;
        };
        let answer = answer.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<hyper::body::Incoming>| {
                let answer = answer(request.uri().path());
                async move { Ok::<_, std::convert::Infallible>(answer) }
            });
            // A client that goes away in the middle is its own affair.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

fn answer(path: &str, shown: &Shown) -> Answer {
    match path {
        "/healthz" => reply(StatusCode::OK, "ok"),
        "/readyz" => match (shown.waiting)() {
            None => reply(StatusCode::OK, "ok"),
            Some(what) => reply(StatusCode::SERVICE_UNAVAILABLE, &what),
        },
        "/metrics" => metrics(&shown.registry),
        _ => reply(StatusCode::NOT_FOUND, "there are /healthz, /readyz and /metrics"),
    }
}

/// Metrics as Prometheus reads them.
pub fn metrics(registry: &Registry) -> Answer {
    let mut text = String::new();
    match encode(&mut text, registry) {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            typed(StatusCode::OK, &text, kind)
        }
        Err(_) => reply(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written"),
    }
}

/// An answer of a content type.
pub fn typed(status: StatusCode, text: &str, kind: &'static str) -> Answer {
    let mut response = reply(status, text);
    let kind = hyper::header::HeaderValue::from_static(kind);
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, kind);
    response
}

/// An answer in plain text.
pub fn reply(status: StatusCode, text: &str) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from(text.to_owned())));
    *response.status_mut() = status;
    response
}
