//! Bytes to a method of the server in this process, below gRPC's generated clients: these would not send what
//! a broken or hostile client does. Also used by the fuzz targets (control/etcd/fuzz).

#![allow(clippy::unwrap_used, dead_code, reason = "shared by tests and fuzz targets, which each use a part")]

use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use prometheus_client::registry::Registry;
use prost::bytes::Bytes;
use std::path::Path;
use std::time::Duration;
use tonic::body::Body;
use tower::ServiceExt;
use weft_etcd::{Config, Etcd};

/// Every method of etcd's services, and one that is none.
pub const METHODS: [&str; 43] = [
    "etcdserverpb.KV/Range",
    "etcdserverpb.KV/RangeStream",
    "etcdserverpb.KV/Put",
    "etcdserverpb.KV/DeleteRange",
    "etcdserverpb.KV/Txn",
    "etcdserverpb.KV/Compact",
    "etcdserverpb.Watch/Watch",
    "etcdserverpb.Lease/LeaseGrant",
    "etcdserverpb.Lease/LeaseRevoke",
    "etcdserverpb.Lease/LeaseKeepAlive",
    "etcdserverpb.Lease/LeaseTimeToLive",
    "etcdserverpb.Lease/LeaseLeases",
    "etcdserverpb.Maintenance/Alarm",
    "etcdserverpb.Maintenance/Status",
    "etcdserverpb.Maintenance/Defragment",
    "etcdserverpb.Maintenance/Hash",
    "etcdserverpb.Maintenance/HashKV",
    "etcdserverpb.Maintenance/Snapshot",
    "etcdserverpb.Maintenance/MoveLeader",
    "etcdserverpb.Maintenance/Downgrade",
    "etcdserverpb.Cluster/MemberAdd",
    "etcdserverpb.Cluster/MemberRemove",
    "etcdserverpb.Cluster/MemberUpdate",
    "etcdserverpb.Cluster/MemberList",
    "etcdserverpb.Cluster/MemberPromote",
    "etcdserverpb.Auth/AuthEnable",
    "etcdserverpb.Auth/AuthDisable",
    "etcdserverpb.Auth/AuthStatus",
    "etcdserverpb.Auth/Authenticate",
    "etcdserverpb.Auth/UserAdd",
    "etcdserverpb.Auth/UserGet",
    "etcdserverpb.Auth/UserList",
    "etcdserverpb.Auth/UserDelete",
    "etcdserverpb.Auth/UserChangePassword",
    "etcdserverpb.Auth/UserGrantRole",
    "etcdserverpb.Auth/UserRevokeRole",
    "etcdserverpb.Auth/RoleAdd",
    "etcdserverpb.Auth/RoleGet",
    "etcdserverpb.Auth/RoleList",
    "etcdserverpb.Auth/RoleDelete",
    "etcdserverpb.Auth/RoleGrantPermission",
    "etcdserverpb.Auth/RoleRevokePermission",
    "etcdserverpb.Nothing/AtAll",
];

/// What answers at once has this long; it is a machine under load that needs it.
const ANSWER: Duration = Duration::from_secs(20);

/// A stream that stays silent so long has said what it had to say.
const SILENCE: Duration = Duration::from_millis(20);

/// Messages of a stream that are read.
const MESSAGES: usize = 50;

/// A server in a folder.
pub fn open(folder: &Path) -> Result<Etcd, weft_etcd::StartError> {
    Etcd::open(Config::of(folder), &mut Registry::default())
}

/// gRPC's frame around a message.
pub fn framed(message: &[u8]) -> Vec<u8> {
    [&[0][..], &(message.len() as u32).to_be_bytes(), message].concat()
}

/// Sends a body to a method. Gives the gRPC code, or None if a stream stays open.
///
/// Panics if the answer is no gRPC, or does not come.
pub async fn send(etcd: &Etcd, method: &str, body: Vec<u8>) -> Option<u16> {
    let request = Request::post(format!("http://weft/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Body::new(Full::new(Bytes::from(body))))
        .unwrap();
    let answered = tokio::time::timeout(ANSWER, etcd.routes().oneshot(request)).await;
    let response = answered.unwrap_or_else(|_| panic!("{method} does not answer")).unwrap();
    assert_eq!(response.status(), 200, "{method}: gRPC tells errors in its own status");
    if let Some(code) = code(response.headers()) {
        return Some(code);
    }
    let mut body = response.into_body();
    for _ in 0..MESSAGES {
        let frame = match tokio::time::timeout(SILENCE, body.frame()).await {
            Err(_) => return None,
            Ok(None) => panic!("{method} ends without a status"),
            Ok(Some(frame)) => frame.unwrap_or_else(|why| panic!("{method} breaks off: {why}")),
        };
        if let Some(trailers) = frame.trailers_ref() {
            return Some(code(trailers).unwrap_or_else(|| panic!("{method}: trailers without a status")));
        }
    }
    None
}

fn code(headers: &HeaderMap) -> Option<u16> {
    let code: u16 = headers.get("grpc-status")?.to_str().unwrap().parse().unwrap();
    assert!(code <= 16, "gRPC has no code {code}");
    Some(code)
}

/// Asks a server that has been through something: it must read, and write or say that its space is used up
/// (an alarm can be raised by a request).
pub async fn assert_alive(etcd: &Etcd) {
    const OK: u16 = 0;
    const RESOURCE_EXHAUSTED: u16 = 8;
    // The key "a"; and with the value "b".
    assert_eq!(send(etcd, "etcdserverpb.KV/Range", framed(b"\x0a\x01a")).await, Some(OK));
    let put = send(etcd, "etcdserverpb.KV/Put", framed(b"\x0a\x01a\x12\x01b")).await;
    assert!(matches!(put, Some(OK | RESOURCE_EXHAUSTED)), "a put is answered with {put:?}");
}
