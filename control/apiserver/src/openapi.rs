//! The OpenAPI documents, of the kinds that are served. A document is made when it is first asked for, and kept packed:
//! some hundred kilobytes for all of them.

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use std::collections::HashMap;
use std::io::Write as _;
use std::sync::{Mutex, OnceLock, PoisonError};
use weft_objects::openapi::{self, Served, ServedSub};

use crate::kinds::KINDS;
use crate::rest::{Answer, Body};

/// The type of version 2 in protobuf; clients ask for it with an @, which is no part of a media type.
const PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// The resources, as the documents tell them.
fn served() -> &'static [Served] {
    static SERVED: OnceLock<Vec<Served>> = OnceLock::new();
    SERVED.get_or_init(|| {
        let of = |kind: &&'static crate::kinds::Kind| {
            let subs = kind.subresources.iter().map(|sub| {
                let (group, version, body) = sub.body().unwrap_or((kind.group, kind.version, kind.kind));
                ServedSub { name: sub.name(), group, version, kind: body, verbs: sub.verbs() }
            });
            Served {
                group: kind.group,
                version: kind.version,
                kind: kind.kind,
                plural: kind.plural,
                singular: kind.singular,
                namespaced: kind.namespaced,
                verbs: kind.verbs,
                subresources: subs.collect(),
            }
        };
        KINDS.iter().map(of).collect()
    })
}

/// A document, packed; made once.
fn packed(key: String, make: impl FnOnce() -> Vec<u8>) -> Bytes {
    static PACKED: OnceLock<Mutex<HashMap<String, Bytes>>> = OnceLock::new();
    let mut all = PACKED.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    let made = all.entry(key).or_insert_with(|| {
        let mut packed = GzEncoder::new(Vec::new(), Compression::best());
        // Writing into memory does not fail.
        let _ = packed.write_all(&make());
        packed.finish().unwrap_or_default().into()
    });
    made.clone()
}

fn answer(content_type: &'static str, packed: Bytes, headers: &HeaderMap) -> Answer {
    if crate::server::takes_gzip(headers) {
        let mut answer = Answer::of(StatusCode::OK, content_type, Body::of(packed));
        answer.encoding = Some(HeaderValue::from_static("gzip"));
        return answer;
    }
    let mut whole = Vec::new();
    let mut reader = flate2::read::GzDecoder::new(&packed[..]);
    // It was packed here.
    let _ = std::io::Read::read_to_end(&mut reader, &mut whole);
    Answer::of(StatusCode::OK, content_type, Body::of(whole))
}

/// `/openapi/v2`, in JSON or protobuf.
pub fn v2(headers: &HeaderMap) -> Answer {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let protobuf =
        accepted.flat_map(|value| value.split(',')).any(|one| one.contains("proto-openapi.spec.v2"));
    match protobuf {
        true => {
            let packed = packed("v2.protobuf".into(), || openapi::v2_protobuf(served()));
            answer(PROTOBUF, packed, headers)
        }
        false => answer("application/json", packed("v2".into(), || openapi::v2_json(served())), headers),
    }
}

/// `/openapi/v3`.
pub fn v3_index() -> Answer {
    Answer::value(StatusCode::OK, &openapi::v3_index(served()))
}

/// `/openapi/v3/apis/apps/v1`, by what is behind `/openapi/v3/`.
pub fn v3(path: &str, headers: &HeaderMap) -> Option<Answer> {
    let parts: Vec<&str> = path.split('/').collect();
    let (group, version) = match parts[..] {
        ["api", version] => ("", version),
        ["apis", group, version] => (group, version),
        _ => return None,
    };
    let known = served().iter().any(|one| one.group == group && one.version == version);
    known.then(|| {
        let packed =
            packed(path.to_owned(), || openapi::v3(served(), group, version).to_string().into_bytes());
        answer("application/json", packed, headers)
    })
}
