//! An API server in the test's process, with its state in memory's file system, and requests without a socket.

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use prometheus_client::registry::Registry;
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use tempfile::TempDir;
use weft_apiserver::authn::ServiceAccountFlags;
use weft_apiserver::authz::inflight::Limits;
use weft_apiserver::pki::TlsFlags;
use weft_apiserver::run::{self, Config, Running};
use weft_apiserver::services::{NODE_PORTS, Range};
use weft_etcd::Etcd;

/// Tokens of the tests' users: what stands before the colon is both token and name.
const TOKENS: &str = "admin,admin,1,\"system:masters\"\njane,jane,2\nsystem:node:n1,system:node:n1,3,\"system:nodes\"\n\
                      editor,editor,4,\"editors\"\n";

/// A server.
pub struct Api {
    /// The server.
    pub running: Running,
    /// Its state, and the folder that it is in: both last as long as the server.
    _state: (Etcd, TempDir),
}

/// An answer.
#[derive(Debug)]
pub struct Got {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: http::HeaderMap,
    /// The body, if it is JSON; of a watch, the list of its events.
    pub body: Value,
    /// The body.
    pub text: String,
}

impl Api {
    /// Starts one and waits until it is ready.
    pub async fn start() -> Api {
        let room =
            if std::path::Path::new("/dev/shm").is_dir() { "/dev/shm".into() } else { std::env::temp_dir() };
        let dir = tempfile::Builder::new().prefix("weft-test-api-").tempdir_in(room).unwrap();
        std::fs::write(dir.path().join("tokens.csv"), TOKENS).unwrap();
        let config = weft_etcd::Config {
            auto_compaction: weft_etcd::AutoCompaction::Off,
            ..weft_etcd::Config::of(dir.path().join("etcd"))
        };
        let etcd = Etcd::open(config, &mut Registry::default()).unwrap();
        let client = etcd.client().await.unwrap();
        let config = Config {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            advertise: vec![IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10))],
            cert_dir: dir.path().join("pki"),
            tls: TlsFlags::default(),
            names: Vec::new(),
            host: "test".into(),
            ranges: Range::read("10.96.0.0/24,fd00:10:96::/112").unwrap(),
            node_ports: NODE_PORTS,
            token_file: Some(dir.path().join("tokens.csv")),
            accounts: ServiceAccountFlags {
                issuers: vec!["https://kubernetes.default.svc.cluster.local".into()],
                key_files: Vec::new(),
                signing_key_file: Default::default(),
                audiences: Vec::new(),
                longest: None,
                extend: true,
            },
            authorization: "Node,RBAC".into(),
            anonymous: true,
            bootstrap_tokens: true,
            limits: Limits::default(),
            compaction: Duration::ZERO,
        };
        let running = run::start(config, client).await.unwrap();
        running.ready().await;
        Api { running, _state: (etcd, dir) }
    }

    /// Sends a request as a user; nobody's if the name is empty.
    pub async fn send(
        &self,
        user: &str,
        method: &str,
        path: &str,
        content_type: &str,
        body: impl Into<Bytes>,
    ) -> Got {
        self.send_with(user, method, path, &[("content-type", content_type)], body).await
    }

    /// Sends a request with headers.
    pub async fn send_with(
        &self,
        user: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Got {
        let mut request = Request::builder().method(method).uri(path);
        if !user.is_empty() {
            request = request.header(header::AUTHORIZATION, format!("Bearer {user}"));
        }
        for (key, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
            request = request.header(*key, *value);
        }
        let request = request.body(Full::new(body.into())).unwrap();
        let response = self.running.server.handle(request, None).await;
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let watch =
            parts.headers.get(header::CONTENT_TYPE).is_some_and(|v| v == "application/json;stream=watch");
        Got {
            status: parts.status,
            headers: parts.headers,
            body: if watch { events(&bytes) } else { serde_json::from_slice(&bytes).unwrap_or(Value::Null) },
            text,
        }
    }
}

/// What a watch tells, line by line.
fn events(bytes: &[u8]) -> Value {
    let lines: Result<Vec<Value>, _> = serde_json::Deserializer::from_slice(bytes).into_iter().collect();
    lines.map_or(Value::Null, Value::from)
}
