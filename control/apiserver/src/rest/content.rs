//! Bodies of answers: bytes, lists that are spliced from encoded objects, watches.

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::watch::WatchStream;
use crate::cache::Entry;

/// How many bytes go out at one go.
const FRAME: usize = 64 << 10;

/// The body of an answer.
#[derive(Debug)]
pub enum Body {
    /// Bytes, once.
    Bytes(Option<Bytes>),
    /// A list whose items are encoded already.
    List(List),
    /// A watch.
    Watch(Box<WatchStream>),
}

/// What stands around the items, and the items.
#[derive(Debug)]
pub struct List {
    head: Option<Bytes>,
    items: std::vec::IntoIter<Arc<Entry>>,
    first: bool,
    done: bool,
    size: u64,
}

impl Body {
    /// A body of bytes.
    pub fn of(bytes: impl Into<Bytes>) -> Body {
        let bytes = bytes.into();
        Body::Bytes((!bytes.is_empty()).then_some(bytes))
    }

    /// The next bytes of what is not a watch.
    pub fn next_bytes(&mut self) -> Option<Bytes> {
        match self {
            Body::Bytes(bytes) => bytes.take(),
            Body::List(list) => list.next(),
            Body::Watch(_) => None,
        }
    }

    /// How many bytes there are, where that is known.
    pub fn len(&self) -> Option<u64> {
        match self {
            Body::Bytes(bytes) => Some(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Body::List(list) => Some(list.size),
            Body::Watch(_) => None,
        }
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }
}

impl List {
    /// A list: `head` ends where the items begin, within `"items":[`.
    pub fn of(head: String, items: Vec<Arc<Entry>>) -> List {
        let commas = items.len().saturating_sub(1);
        let size =
            head.len() + items.iter().map(|entry| entry.body.len()).sum::<usize>() + commas + TAIL.len();
        List {
            head: Some(head.into()),
            items: items.into_iter(),
            first: true,
            done: false,
            size: size as u64,
        }
    }

    fn next(&mut self) -> Option<Bytes> {
        if self.done {
            return None;
        }
        let mut frame = Vec::with_capacity(FRAME.min(self.size as usize));
        frame.extend_from_slice(&self.head.take().unwrap_or_default());
        while frame.len() < FRAME {
            let Some(entry) = self.items.next() else {
                frame.extend_from_slice(TAIL);
                self.done = true;
                break;
            };
            if !std::mem::take(&mut self.first) {
                frame.push(b',');
            }
            frame.extend_from_slice(&entry.body);
        }
        Some(frame.into())
    }
}

const TAIL: &[u8] = b"]}\n";

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = match &mut *self {
            Body::Bytes(bytes) => Poll::Ready(bytes.take()),
            Body::List(list) => Poll::Ready(list.next()),
            Body::Watch(watch) => watch.poll_next(context),
        };
        next.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Bytes(bytes) => bytes.is_none(),
            Body::List(list) => list.done,
            Body::Watch(_) => false,
        }
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match self {
            Body::Bytes(bytes) => {
                http_body::SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64))
            }
            _ => http_body::SizeHint::default(),
        }
    }
}
