//! The answer to a message that is too large, in gRPC-Go's code and words, which etcd's clients know.
//!
//! tonic refuses such a message with OutOfRange before a service sees it; `grpc-go` with ResourceExhausted.

use http::{HeaderValue, Response};

const STATUS: &str = "grpc-status";
const MESSAGE: &str = "grpc-message";
const OUT_OF_RANGE: &str = "11";
const RESOURCE_EXHAUSTED: HeaderValue = HeaderValue::from_static("8");

/// Rewords an answer if it is that one.
pub fn reword<B>(mut response: Response<B>) -> Response<B> {
    if response.headers().get(STATUS).is_some_and(|status| status == OUT_OF_RANGE)
        && let Some(message) = response.headers().get(MESSAGE).and_then(|message| message.to_str().ok())
        && let Some((found, limit)) = sizes(message)
    {
        let text =
            format!("grpc: received message larger than max ({found} vs. {limit})").replace(' ', "%20");
        if let Ok(text) = HeaderValue::from_str(&text) {
            response.headers_mut().insert(STATUS, RESOURCE_EXHAUSTED);
            response.headers_mut().insert(MESSAGE, text);
        }
    }
    response
}

/// The two numbers of tonic's text, which is percent-encoded.
fn sizes(message: &str) -> Option<(u64, u64)> {
    let text = message.replace("%20", " ");
    let rest = text.strip_prefix("Error, decoded message length too large: found ")?;
    let (found, rest) = rest.split_once(" bytes, the limit is: ")?;
    Some((found.parse().ok()?, rest.split(' ').next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panic")]

    use super::*;
    use tonic::Status;

    #[test]
    fn only_that_answer_is_reworded() {
        let text =
            "Error, decoded message length too large: found 3000000 bytes, the limit is: 2097152 bytes";
        let reworded = reword(Status::out_of_range(text).into_http::<()>());
        let told = Status::from_header_map(reworded.headers()).unwrap();
        assert_eq!(told.code(), tonic::Code::ResourceExhausted);
        assert_eq!(told.message(), "grpc: received message larger than max (3000000 vs. 2097152)");
        let other = reword(Status::out_of_range("etcdserver: mvcc: required revision").into_http::<()>());
        assert_eq!(Status::from_header_map(other.headers()).unwrap().code(), tonic::Code::OutOfRange);
    }
}
