//! A client of HTTP/1.1 over TLS, as lean as it can be: what is measured is the server.

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use kube::client::ConfigExt as _;
use kube::config::{KubeConfigOptions, Kubeconfig};
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// A server, and who asks it.
#[derive(Clone)]
pub struct Target {
    port: u16,
    tls: TlsConnector,
}

impl Target {
    /// By a kubeconfig: its authority, and its user's certificate.
    pub async fn of_kubeconfig(path: &Path, port: u16) -> Target {
        let read = Kubeconfig::read_from(path).unwrap();
        let config = kube::Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await.unwrap();
        Target { port, tls: TlsConnector::from(Arc::new(config.rustls_client_config().unwrap())) }
    }

    /// By the certificate of a server.
    pub fn of_certificate(certificate: &[u8], port: u16) -> Target {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(certificate).unwrap()).unwrap();
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Target { port, tls: TlsConnector::from(Arc::new(config)) }
    }

    /// A connection, if it takes one.
    pub async fn try_open(&self) -> std::io::Result<Session> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let stream = self.tls.connect(name, stream).await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Ok(Session { sender })
    }

    /// A connection.
    pub async fn open(&self) -> Session {
        self.try_open().await.unwrap()
    }

    /// So many connections.
    pub async fn open_all(&self, count: usize) -> Vec<Session> {
        let mut all = Vec::with_capacity(count);
        for _ in 0..count {
            all.push(self.open().await);
        }
        all
    }
}

/// A connection that is one request's at a time.
pub struct Session {
    sender: SendRequest<Full<Bytes>>,
}

impl Session {
    async fn request(&mut self, method: &str, path: &str, body: Bytes) -> Response<Incoming> {
        let request = Request::builder().method(method).uri(path).header("host", "127.0.0.1");
        let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let request = request.header("content-type", kind).header("accept", "application/json");
        self.sender.ready().await.unwrap();
        self.sender.send_request(request.body(Full::new(body)).unwrap()).await.unwrap()
    }

    /// Sends a request that must be done, and gives the bytes of the answer.
    pub async fn send(&mut self, method: &str, path: &str, body: impl Into<Bytes>) -> Bytes {
        let answer = self.request(method, path, body.into()).await;
        let status = answer.status();
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(status.is_success(), "{method} {path}: {status} {}", String::from_utf8_lossy(&bytes));
        bytes
    }

    /// Sends a request and counts the bytes of the answer as they come.
    pub async fn read(&mut self, path: &str) -> usize {
        let answer = self.request("GET", path, Bytes::new()).await;
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        let (mut body, mut bytes) = (answer.into_body(), 0);
        while let Some(frame) = body.frame().await {
            bytes += frame.unwrap().into_data().map_or(0, |data| data.len());
        }
        bytes
    }

    /// Whether an answer is one of success.
    pub async fn is_ok(&mut self, path: &str) -> bool {
        let answer = self.request("GET", path, Bytes::new()).await;
        let status = answer.status();
        answer.into_body().collect().await.unwrap();
        status.is_success()
    }

    /// The answer's stream.
    pub async fn stream(mut self, path: &str) -> Stream {
        let answer = self.request("GET", path, Bytes::new()).await;
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        Stream { body: answer.into_body(), _sender: self.sender }
    }
}

/// An answer without an end. The connection ends with it.
pub struct Stream {
    body: Incoming,
    _sender: SendRequest<Full<Bytes>>,
}

impl Stream {
    /// The lines of what comes next; none at the end.
    pub async fn lines(&mut self) -> Option<usize> {
        let frame = self.body.frame().await?.ok()?;
        let data = frame.into_data().ok()?;
        Some(data.iter().filter(|byte| **byte == b'\n').count())
    }
}
