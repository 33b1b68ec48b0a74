//! Large answers packed, for clients that take gzip (upstream's threshold and level: 128 KiB, 1).

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderValue, Response, header};
use std::io::Write as _;

use crate::rest::Body;

/// Answers that are smaller are not worth it.
const SMALLEST: u64 = 128 << 10;

/// Whether a client takes packed answers.
pub fn takes_gzip(asked: &HeaderMap) -> bool {
    let accepted = asked.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|one| {
        let mut parts = one.split(';').map(str::trim);
        parts.next() == Some("gzip") && !parts.any(|part| part == "q=0")
    })
}

/// Packs an answer, if it is large and the client takes it so.
pub fn pack(response: Response<Body>, asked: &HeaderMap) -> Response<Body> {
    let large = response.body().len().is_some_and(|size| size >= SMALLEST);
    let is_packed = response.headers().contains_key(header::CONTENT_ENCODING);
    if is_packed || !large || !takes_gzip(asked) {
        return response;
    }
    let (mut parts, mut body) = response.into_parts();
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    while let Some(bytes) = body.next_bytes() {
        if packed.write_all(&bytes).is_err() {
            break;
        }
    }
    // Writing into memory does not fail.
    let packed: Bytes = packed.finish().unwrap_or_default().into();
    parts.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    parts.headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    Response::from_parts(parts, Body::of(packed))
}
