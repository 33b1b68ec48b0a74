//! Responses of a watch, and how a large one is cut into fragments.
//!
//! Source: `sendFragments` in `server/etcdserver/api/v3rpc/watch.go`.

use crate::proto::{Event, ResponseHeader, WatchResponse};
use prost::Message;

/// The id in answers that are for a whole stream, or for a watch that was never made.
pub const NO_WATCH: i64 = -1;

/// An answer without events.
pub fn control(header: ResponseHeader, watch_id: i64) -> WatchResponse {
    WatchResponse { header: Some(header), watch_id, ..Default::default() }
}

/// Cuts events into answers of at most about `most_bytes`; a single event is never cut. All but the last are marked.
pub fn fragments(whole: WatchResponse, most_bytes: usize) -> Vec<WatchResponse> {
    if whole.encoded_len() < most_bytes || whole.events.len() < 2 {
        return vec![whole];
    }
    let mut parts = Vec::new();
    let empty = WatchResponse { events: Vec::new(), fragment: true, ..whole.clone() };
    let base = empty.encoded_len();
    let (mut part, mut bytes) = (empty.clone(), base);
    for event in whole.events {
        let size = framed(&event);
        if !part.events.is_empty() && bytes + size >= most_bytes {
            parts.push(std::mem::replace(&mut part, empty.clone()));
            bytes = base;
        }
        bytes += size;
        part.events.push(event);
    }
    part.fragment = false;
    parts.push(part);
    parts
}

/// Bytes of an event in an answer.
fn framed(event: &Event) -> usize {
    let length = event.encoded_len();
    1 + prost::length_delimiter_len(length) + length
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::KeyValue;

    fn response(sizes: &[usize]) -> WatchResponse {
        let event = |size: &usize| Event {
            kv: Some(KeyValue { value: vec![0; *size], ..Default::default() }),
            ..Default::default()
        };
        WatchResponse { watch_id: 7, events: sizes.iter().map(event).collect(), ..Default::default() }
    }

    fn shape(parts: &[WatchResponse]) -> Vec<(usize, bool)> {
        parts.iter().map(|part| (part.events.len(), part.fragment)).collect()
    }

    #[test]
    fn small_answers_and_single_events_stay_whole() {
        assert_eq!(shape(&fragments(response(&[10, 10]), 1000)), [(2, false)]);
        assert_eq!(shape(&fragments(response(&[5000]), 1000)), [(1, false)]);
    }

    #[test]
    fn large_answers_are_cut_below_the_bound() {
        let parts = fragments(response(&[400, 400, 400, 3000, 10]), 1000);
        assert_eq!(shape(&parts), [(2, true), (1, true), (1, true), (1, false)]);
        assert!(parts.iter().all(|p| p.encoded_len() < 1000 || p.events.len() == 1));
    }
}
