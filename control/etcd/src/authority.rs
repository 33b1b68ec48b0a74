//! Lets in clients whose `:authority` is no authority.
//!
//! etcd's own clients send a whole URL there (etcdctl 3.4 for status, defrag and snapshot) or `#initially=[…]`
//! (clientv3 3.5.0 to 3.5.2, etcd-io/etcd#13192). Go's server does not look; the h2 crate resets the stream before
//! anybody can. So what a client sends is looked through before h2 sees it:
//!
//! ```text
//! client ─▶ frame header (9 bytes: length, type, flags, stream) ─┬─ HEADERS ─▶ block: is a literal :authority wrong?
//!                                                                └─ others ──▶ as they are
//! ```
//!
//! A wrong one is replaced by as many allowed characters. The length of what HPACK's table holds is then the same on
//! both sides, so nothing else of the block needs to be understood, and later blocks that point to the entry are fine
//! as they are. Formats: RFC 9113 section 4.1 and 6.2, RFC 7541 section 6.

use httlib_huffman::DecoderSpeed;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEADER: usize = 9;
const HEADERS: u8 = 1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
/// Index of `:authority` in HPACK's static table.
const AUTHORITY: usize = 1;
/// Blocks that are longer are left alone; h2 refuses them by default.
const MOST_BLOCK: usize = 16_384;
const READ_BYTES: usize = 16_384;

/// A connection whose client may be wrong.
#[derive(Debug)]
pub struct Tolerant<S> {
    stream: S,
    parser: Parser,
    read: Box<[u8]>,
    ready: Vec<u8>,
    taken: usize,
}

impl<S> Tolerant<S> {
    /// Around a connection that has just begun.
    pub fn of(stream: S) -> Tolerant<S> {
        let read = vec![0; READ_BYTES].into_boxed_slice();
        Tolerant { stream, parser: Parser::Preface(Vec::new()), read, ready: Vec::new(), taken: 0 }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tolerant<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.taken == this.ready.len() {
            this.ready.clear();
            this.taken = 0;
            let mut buffer = ReadBuf::new(&mut this.read);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                // The end. What was held back is half a frame, which h2 would refuse as well.
                return Poll::Ready(Ok(()));
            }
            this.parser.feed(buffer.filled(), &mut this.ready);
        }
        let some = &this.ready[this.taken..];
        let some = &some[..some.len().min(out.remaining())];
        out.put_slice(some);
        this.taken += some.len();
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tolerant<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Where in the stream of frames one is.
#[derive(Debug)]
enum Parser {
    /// It may be HTTP/1 still.
    Preface(Vec<u8>),
    /// HTTP/1: nothing to do.
    Through,
    /// In a frame's header.
    Header(Vec<u8>),
    /// So many bytes of a frame are left that do not matter.
    Skip(usize),
    /// In a HEADERS frame: what there is of it, with its header, and how long it will be.
    Block(Vec<u8>, usize),
}

impl Parser {
    fn feed(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while !bytes.is_empty() {
            match self {
                Parser::Through => return out.extend_from_slice(bytes),
                Parser::Preface(seen) => {
                    let whole = take(seen, PREFACE.len(), &mut bytes);
                    let is_http2 = PREFACE.starts_with(seen);
                    if !is_http2 || whole {
                        out.extend_from_slice(seen);
                        *self = if is_http2 { Parser::Header(Vec::new()) } else { Parser::Through };
                    }
                }
                Parser::Skip(left) => {
                    let (now, rest) = bytes.split_at(bytes.len().min(*left));
                    out.extend_from_slice(now);
                    bytes = rest;
                    *left -= now.len();
                    if *left == 0 {
                        *self = Parser::Header(Vec::new());
                    }
                }
                Parser::Header(header) => {
                    if take(header, FRAME_HEADER, &mut bytes) {
                        *self = after_header(std::mem::take(header), out);
                    }
                }
                Parser::Block(frame, length) => {
                    if take(frame, *length, &mut bytes) {
                        match mended(frame) {
                            Some(mended) => out.extend_from_slice(&mended),
                            None => out.extend_from_slice(frame),
                        }
                        *self = Parser::Header(Vec::new());
                    }
                }
            }
        }
    }
}

/// Moves bytes until there are so many; whether there are.
fn take(into: &mut Vec<u8>, want: usize, from: &mut &[u8]) -> bool {
    let (now, rest) = from.split_at(from.len().min(want - into.len()));
    into.extend_from_slice(now);
    *from = rest;
    into.len() == want
}

fn after_header(header: Vec<u8>, out: &mut Vec<u8>) -> Parser {
    let length = usize::from(header[0]) << 16 | usize::from(header[1]) << 8 | usize::from(header[2]);
    let (kind, flags) = (header[3], header[4]);
    if kind == HEADERS && flags & END_HEADERS != 0 && (1..=MOST_BLOCK).contains(&length) {
        return Parser::Block(header, FRAME_HEADER + length);
    }
    out.extend_from_slice(&header);
    if length == 0 { Parser::Header(Vec::new()) } else { Parser::Skip(length) }
}

/// A HEADERS frame with its authority put right. `None`: it is right, or is not understood.
fn mended(frame: &[u8]) -> Option<Vec<u8>> {
    let (header, payload) = frame.split_at(FRAME_HEADER);
    let flags = header[4];
    let mut start = 0;
    let mut end = payload.len();
    if flags & PADDED != 0 {
        end = end.checked_sub(usize::from(*payload.first()?))?;
        start += 1;
    }
    if flags & PRIORITY != 0 {
        start += 5;
    }
    let block = mended_block(payload.get(start..end)?)?;
    let length = start + block.len() + (payload.len() - end);
    let mut mended = u32::try_from(length).ok()?.to_be_bytes()[1..].to_vec();
    mended.extend_from_slice(&header[3..]);
    mended.extend_from_slice(&payload[..start]);
    mended.extend_from_slice(&block);
    mended.extend_from_slice(&payload[end..]);
    Some(mended)
}

fn mended_block(block: &[u8]) -> Option<Vec<u8>> {
    let mut at = 0;
    let mut mended: Option<Vec<u8>> = None;
    let mut copied = 0;
    while at < block.len() {
        let first = block[at];
        if first & 0x80 != 0 {
            at = integer(block, at, 7)?.1;
            continue;
        }
        if first & 0xe0 == 0x20 {
            at = integer(block, at, 5)?.1;
            continue;
        }
        let bits = if first & 0x40 != 0 { 6 } else { 4 };
        let (name, mut value_at) = integer(block, at, bits)?;
        if name == 0 {
            value_at = string_end(block, value_at)?;
        }
        let end = string_end(block, value_at)?;
        if name == AUTHORITY
            && let Some(allowed) = allowed(&string(block, value_at)?)
        {
            let mended = mended.get_or_insert_default();
            mended.extend_from_slice(&block[copied..value_at]);
            put_integer(mended, allowed.len(), 7);
            mended.extend_from_slice(&allowed);
            copied = end;
        }
        at = end;
    }
    let mut mended = mended?;
    mended.extend_from_slice(&block[copied..]);
    Some(mended)
}

/// As many allowed characters. `None`: it is an authority as it is.
fn allowed(authority: &[u8]) -> Option<Vec<u8>> {
    if authority.is_empty() || http::uri::Authority::try_from(authority).is_ok() {
        return None;
    }
    let allowed = |b: &u8| if b.is_ascii_alphanumeric() || *b == b'.' { *b } else { b'-' };
    Some(authority.iter().map(allowed).collect())
}

/// RFC 7541 section 5.1: a number whose first byte has so many bits for it. Gives what follows it as well.
fn integer(block: &[u8], at: usize, bits: u8) -> Option<(usize, usize)> {
    let most = (1usize << bits) - 1;
    let mut value = usize::from(*block.get(at)?) & most;
    let mut at = at + 1;
    if value < most {
        return Some((value, at));
    }
    for shift in [0, 7, 14, 21] {
        let byte = *block.get(at)?;
        at += 1;
        value += usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((value, at));
        }
    }
    None
}

fn put_integer(out: &mut Vec<u8>, value: usize, bits: u8) {
    let most = (1usize << bits) - 1;
    if value < most {
        return out.push(value as u8);
    }
    out.push(most as u8);
    let mut left = value - most;
    while left >= 0x80 {
        out.push((left & 0x7f) as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}

fn string_end(block: &[u8], at: usize) -> Option<usize> {
    let (length, start) = integer(block, at, 7)?;
    start.checked_add(length).filter(|end| *end <= block.len())
}

fn string(block: &[u8], at: usize) -> Option<Vec<u8>> {
    let (length, start) = integer(block, at, 7)?;
    let bytes = block.get(start..start.checked_add(length)?)?;
    if block[at] & 0x80 == 0 {
        return Some(bytes.to_vec());
    }
    let mut decoded = Vec::new();
    httlib_huffman::decode(bytes, &mut decoded, DecoderSpeed::FiveBits).ok()?;
    Some(decoded)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panic")]

    use super::*;
    use proptest::prelude::*;

    /// `:method POST` from the table, then `:authority` as a literal, then a header of the client's own.
    fn block(authority: &[u8], huffman: bool) -> Vec<u8> {
        let mut block = vec![0x83, 0x41];
        if huffman {
            let mut coded = Vec::new();
            httlib_huffman::encode(authority, &mut coded).unwrap();
            block.push(coded.len() as u8 | 0x80);
            block.extend(coded);
        } else {
            put_integer(&mut block, authority.len(), 7);
            block.extend(authority);
        }
        block.extend(b"\x40\x01a\x01b");
        block
    }

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags, 0, 0, 0, 1]);
        frame.extend(payload);
        frame
    }

    fn through(sent: &[u8], piece: usize) -> Vec<u8> {
        let (mut parser, mut out) = (Parser::Preface(Vec::new()), Vec::new());
        sent.chunks(piece).for_each(|some| parser.feed(some, &mut out));
        out
    }

    #[test]
    fn what_etcds_clients_send_becomes_an_authority_of_the_same_length() {
        for huffman in [false, true] {
            for wrong in ["http://127.0.0.1:12379", "#initially=[https://example.com:2379]"] {
                let right = allowed(wrong.as_bytes()).unwrap();
                assert_eq!(mended_block(&block(wrong.as_bytes(), huffman)), Some(block(&right, false)));
            }
            assert_eq!(mended_block(&block(b"127.0.0.1:2379", huffman)), None);
        }
    }

    #[test]
    fn frames_of_any_piecing_are_the_same() {
        let wrong = block(b"http://127.0.0.1:12379", true);
        let right = mended_block(&wrong).unwrap();
        let padded = |block: &[u8]| [&[2][..], &[0; 5], block, &[0; 2]].concat();
        let flags = END_HEADERS | PADDED | PRIORITY;
        let with = |a: &[u8]| {
            [
                PREFACE,
                &frame(4, 0, b""),
                &frame(HEADERS, END_HEADERS, a),
                &frame(0, 1, b"data"),
                &frame(HEADERS, flags, &padded(a)),
                &frame(HEADERS, END_HEADERS, &[0x82, 0xbe]),
            ]
            .concat()
        };
        for piece in [1, 7, 1000] {
            assert_eq!(through(&with(&wrong), piece), with(&right), "in pieces of {piece}");
        }
    }

    #[test]
    fn http_1_goes_through() {
        let request = b"PRIVATE / HTTP/1.1\r\nhost: x\r\n\r\n";
        assert_eq!(through(request, 3), request);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_lose_other_frames(bytes in prop::collection::vec(any::<u8>(), 0..200), piece in 1usize..50) {
            let sent = [PREFACE, &frame(HEADERS, END_HEADERS, &bytes), &frame(0, 0, &bytes)].concat();
            let out = through(&sent, piece);
            prop_assert!(out.ends_with(&frame(0, 0, &bytes)));
            through(&bytes, piece);
        }
    }
}
