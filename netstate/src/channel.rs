//! A netlink channel of any protocol: batches out, answers matched by sequence number, lists in.
//!
//! ```text
//!  send   [req seq 7][req seq 8]…[req seq 70, ACK]      one sendmsg: the kernel does them in order
//!  recv   [error seq 9: EEXIST] … [ack seq 70]           failures always answer; success is silent
//! ```
//!
//! Only the last request of a batch asks for an acknowledgement: when it comes, all before it are
//! done, and those that failed have said so. A thousand routes cost four system calls, not two
//! thousand, and the receive buffer cannot overflow with acknowledgements.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
    time::Duration,
};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkDeserializable, NetlinkHeader,
    NetlinkMessage, NetlinkPayload, NetlinkSerializable,
};
use netlink_sys::{Socket, SocketAddr};

use crate::{Error, Result};

/// `NLM_F_DUMP_INTR` (include/uapi/linux/netlink.h): the list changed while it was read.
const NLM_F_DUMP_INTR: u16 = 0x10;
/// How often an interrupted list is read again.
const DUMP_TRIES: u32 = 20;
/// Requests per send: their failures fit the receive buffer, whatever happens.
const BATCH_REQUESTS: usize = 256;
/// Bytes per send, below the default send buffer (212,992 bytes).
const BATCH_BYTES: usize = 64 * 1024;
const RECEIVE_BUFFER_BYTES: usize = 1024 * 1024;
/// The kernel answers at once, but for the locks it waits on: a minute means that an answer is lost.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// What a socket has done so far: for metrics, and for tests that count round trips.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Calls of send.
    pub sends: u64,
    /// Requests in them.
    pub requests: u64,
    /// Lists read again because they changed meanwhile.
    pub interrupted: u64,
    /// Answers lost to a full receive buffer.
    pub lost: u64,
}

/// The kernel's "no".
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub errno: i32,
    pub said: String,
}

/// What became of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Done,
    Refused(Refusal),
    Lost,
}

/// One request, encoded but for its sequence number.
pub(crate) struct Request(Vec<u8>);

impl Request {
    pub fn of<T: NetlinkSerializable>(message: T, flags: u16) -> Self {
        let mut netlink =
            NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::InnerMessage(message));
        netlink.header.flags = NLM_F_REQUEST | flags;
        netlink.finalize();
        let mut bytes = vec![0; netlink.buffer_len()];
        netlink.serialize(&mut bytes);
        Self(bytes)
    }

    fn set(&mut self, sequence: u32, extra_flags: u16) {
        let flags = u16::from_ne_bytes([self.0[6], self.0[7]]) | extra_flags;
        self.0[6..8].copy_from_slice(&flags.to_ne_bytes());
        self.0[8..12].copy_from_slice(&sequence.to_ne_bytes());
    }
}

/// A netlink socket of any protocol.
#[derive(Debug)]
pub(crate) struct Channel {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
    pub traffic: Traffic,
}

impl Channel {
    pub fn open(protocol: isize) -> Result<Self> {
        let fail = |action| move |source| Error::Socket { action, source };
        let mut socket = Socket::new(protocol).map_err(fail("socket"))?;
        socket.bind_auto().map_err(fail("bind"))?;
        socket.connect(&SocketAddr::new(0, 0)).map_err(fail("connect"))?;
        // Older kernels lack some of these; each only makes errors wordier or lists shorter.
        let _ = socket.set_ext_ack(true);
        let _ = socket.set_cap_ack(true);
        let _ = socket.set_netlink_get_strict_chk(true);
        let _ = socket.set_rx_buf_sz(RECEIVE_BUFFER_BYTES as i32);
        // SAFETY: the socket outlives this borrow of its descriptor.
        let borrowed = unsafe { BorrowedFd::borrow_raw(socket.as_raw_fd()) };
        rustix::net::sockopt::set_socket_timeout(
            borrowed,
            rustix::net::sockopt::Timeout::Recv,
            Some(ANSWER_TIMEOUT),
        )
        .map_err(|e| Error::Socket { action: "set a time limit", source: e.into() })?;
        Ok(Self { socket, sequence: 0, buffer: vec![0; 64 * 1024], traffic: Traffic::default() })
    }

    /// The name of a device of the socket's namespace (netdevice(7), `SIOCGIFNAME`).
    pub fn name_of_device(&self, index: u32) -> io::Result<String> {
        // SAFETY: the socket outlives this borrow of its descriptor.
        let borrowed = unsafe { BorrowedFd::borrow_raw(self.socket.as_raw_fd()) };
        rustix::net::netdevice::index_to_name(borrowed, index).map_err(Into::into)
    }

    /// Sends all requests in order; one answer for each.
    pub fn exchange(&mut self, requests: &mut [Request]) -> Result<Vec<Answer>> {
        let mut answers = Vec::with_capacity(requests.len());
        let mut rest = requests;
        while !rest.is_empty() {
            let size = batch_length(rest);
            let (batch, after) = rest.split_at_mut(size);
            self.exchange_batch(batch, &mut answers)?;
            rest = after;
        }
        Ok(answers)
    }

    /// Sends requests that the kernel takes as one transaction (nftables), in one send.
    pub fn transact(&mut self, requests: &mut [Request]) -> Result<Vec<Answer>> {
        let mut answers = Vec::with_capacity(requests.len());
        self.exchange_batch(requests, &mut answers)?;
        Ok(answers)
    }

    fn exchange_batch(&mut self, batch: &mut [Request], answers: &mut Vec<Answer>) -> Result<()> {
        let first = self.sequence.wrapping_add(1);
        self.sequence = self.sequence.wrapping_add(batch.len() as u32);
        let ack_at = acknowledged(batch);
        let mut bytes = Vec::with_capacity(batch.iter().map(|r| r.0.len() + 3).sum());
        for (offset, request) in batch.iter_mut().enumerate() {
            request.set(first.wrapping_add(offset as u32), if offset == ack_at { NLM_F_ACK } else { 0 });
            bytes.extend_from_slice(&request.0);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        let base = answers.len();
        answers.resize(base + batch.len(), Answer::Done);
        self.send(&bytes, batch.len())?;
        self.collect(first, ack_at, &mut answers[base..])
    }

    fn send(&mut self, bytes: &[u8], requests: usize) -> Result<()> {
        if bytes.len() > BATCH_BYTES {
            // Only a transaction is that long, and it must go whole; the kernel counts twice what is sent.
            // SAFETY: the socket outlives this borrow of its descriptor.
            let borrowed = unsafe { BorrowedFd::borrow_raw(self.socket.as_raw_fd()) };
            rustix::net::sockopt::set_socket_send_buffer_size_force(borrowed, bytes.len() * 2)
                .map_err(|e| Error::Socket { action: "set the send buffer", source: e.into() })?;
        }
        self.traffic.sends += 1;
        self.traffic.requests += requests as u64;
        loop {
            match self.socket.send(bytes, 0) {
                Ok(_) => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(Error::Socket { action: "send", source }),
            }
        }
    }

    /// Reads until the acknowledged request of the batch has answered.
    fn collect(&mut self, first: u32, ack_at: usize, answers: &mut [Answer]) -> Result<()> {
        loop {
            let size = match self.receive() {
                Ok(size) => size,
                Err(Error::Socket { source, .. }) if source.raw_os_error() == Some(libc::ENOBUFS) => {
                    self.traffic.lost += 1;
                    self.drain();
                    answers.iter_mut().filter(|a| **a == Answer::Done).for_each(|a| *a = Answer::Lost);
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
            for (header, payload) in Frames(&self.buffer[..size]) {
                let offset = header.sequence_number.wrapping_sub(first) as usize;
                if header.message_type != NLMSG_ERROR || offset >= answers.len() {
                    continue; // an answer to an earlier batch whose end was lost
                }
                if let Some(refusal) = refusal(&header, payload) {
                    answers[offset] = Answer::Refused(refusal);
                }
                if offset == ack_at {
                    return Ok(());
                }
            }
        }
    }

    /// Empties the receive buffer. Until it is empty the kernel holds the socket for congested and
    /// drops every further answer, without saying so a second time (net/netlink, `netlink_overrun`).
    fn drain(&mut self) {
        while self.socket.recv(&mut &mut self.buffer[..], libc::MSG_DONTWAIT).is_ok() {}
    }

    fn receive(&mut self) -> Result<usize> {
        loop {
            match self.socket.recv(&mut &mut self.buffer[..], libc::MSG_TRUNC) {
                Ok(size) if size > self.buffer.len() => {
                    return Err(Error::Decode { what: "netlink", reason: format!("{size} bytes at once") });
                }
                Ok(size) => return Ok(size),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(Error::Socket { action: "receive", source }),
            }
        }
    }

    /// Lists objects; `each` sees every message. Starts over (through `restart`) when the list
    /// changed while it was read, so what is listed was there together.
    pub fn dump<T, R>(
        &mut self,
        what: &'static str,
        request: impl Fn() -> T,
        each: impl Fn(T) -> Option<R>,
    ) -> Result<Vec<R>>
    where
        T: NetlinkSerializable + NetlinkDeserializable,
    {
        for _ in 0..DUMP_TRIES {
            match self.dump_once(what, request(), &each)? {
                Some(found) => return Ok(found),
                None => self.traffic.interrupted += 1,
            }
        }
        Err(Error::Interrupted { what, times: DUMP_TRIES })
    }

    fn dump_once<T, R>(
        &mut self,
        what: &'static str,
        request: T,
        each: &impl Fn(T) -> Option<R>,
    ) -> Result<Option<Vec<R>>>
    where
        T: NetlinkSerializable + NetlinkDeserializable,
    {
        self.sequence = self.sequence.wrapping_add(1);
        let mut request = Request::of(request, NLM_F_DUMP);
        request.set(self.sequence, 0);
        self.send(&request.0, 1)?;
        let (mut found, mut interrupted) = (Vec::new(), false);
        loop {
            let size = self.receive()?;
            for (header, payload) in Frames(&self.buffer[..size]) {
                if header.sequence_number != self.sequence {
                    continue;
                }
                interrupted |= header.flags & NLM_F_DUMP_INTR != 0;
                match header.message_type {
                    NLMSG_DONE => {
                        if let Some(refusal) = refusal(&header, payload) {
                            return Err(list_error(what, refusal));
                        }
                        return Ok((!interrupted).then_some(found));
                    }
                    NLMSG_ERROR => {
                        let refusal =
                            refusal(&header, payload).unwrap_or(Refusal { errno: 0, said: String::new() });
                        return Err(list_error(what, refusal));
                    }
                    _ => found.extend(decode(what, &header, payload)?.and_then(each)),
                }
            }
        }
    }

    /// Asks for one object: `None` where the kernel says that it is not there.
    pub fn get<T>(&mut self, what: &'static str, request: T, absent: &[i32]) -> Result<Option<T>>
    where
        T: NetlinkSerializable + NetlinkDeserializable,
    {
        self.get_with(what, request, 0, absent)
    }

    /// [`Self::get`] with more flags.
    pub fn get_with<T>(
        &mut self,
        what: &'static str,
        request: T,
        flags: u16,
        absent: &[i32],
    ) -> Result<Option<T>>
    where
        T: NetlinkSerializable + NetlinkDeserializable,
    {
        self.sequence = self.sequence.wrapping_add(1);
        let mut request = Request::of(request, flags);
        request.set(self.sequence, 0);
        self.send(&request.0, 1)?;
        loop {
            let size = self.receive()?;
            for (header, payload) in Frames(&self.buffer[..size]) {
                if header.sequence_number != self.sequence {
                    continue;
                }
                if header.message_type == NLMSG_ERROR {
                    return match refusal(&header, payload) {
                        Some(refusal) if absent.contains(&refusal.errno) => Ok(None),
                        Some(refusal) => Err(list_error(what, refusal)),
                        None => Ok(None),
                    };
                }
                return decode(what, &header, payload);
            }
        }
    }
}

/// A message of a kind that the codec does not know is passed over; one it cannot read is an error.
fn decode<T: NetlinkDeserializable>(
    what: &'static str,
    header: &NetlinkHeader,
    payload: &[u8],
) -> Result<Option<T>> {
    match T::deserialize(header, payload) {
        Ok(message) => Ok(Some(message)),
        Err(error) => Err(Error::Decode { what, reason: error.to_string() }),
    }
}

fn list_error(what: &'static str, refusal: Refusal) -> Error {
    Error::List { what, source: io::Error::from_raw_os_error(refusal.errno) }
}

fn batch_length(requests: &[Request]) -> usize {
    let mut bytes = 0;
    let fits = requests.iter().take(BATCH_REQUESTS).take_while(|r| {
        bytes += r.0.len() + 3;
        bytes <= BATCH_BYTES
    });
    fits.count().max(1)
}

/// Which request of a batch asks for the acknowledgement: the last, but inside a netfilter
/// transaction the one before its end marker (kernels before 6.10 do not acknowledge that).
fn acknowledged(batch: &[Request]) -> usize {
    const NFNL_MSG_BATCH_END: u16 = 17;
    let last = batch.len() - 1;
    let kind = u16::from_ne_bytes([batch[last].0[4], batch[last].0[5]]);
    if kind == NFNL_MSG_BATCH_END { last.saturating_sub(1) } else { last }
}

/// The messages in a received buffer.
struct Frames<'a>(&'a [u8]);

impl<'a> Iterator for Frames<'a> {
    type Item = (NetlinkHeader, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let word = |at: usize| self.0.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
        let half = |at: usize| self.0.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes);
        let mut header = NetlinkHeader::default();
        header.length = word(0)?;
        header.message_type = half(4)?;
        header.flags = half(6)?;
        header.sequence_number = word(8)?;
        header.port_number = word(12)?;
        let payload = self.0.get(16..header.length as usize)?;
        self.0 = self.0.get((header.length as usize).next_multiple_of(4)..).unwrap_or(&[]);
        Some((header, payload))
    }
}

/// The error in an acknowledgement or at the end of a list; `None` means success.
///
/// Layout: `i32` negative errno, the request's header (16 bytes; capped), then attributes, of which
/// `NLMSGERR_ATTR_MSG` (1) is a text.
fn refusal(header: &NetlinkHeader, payload: &[u8]) -> Option<Refusal> {
    const NLM_F_ACK_TLVS: u16 = 0x200;
    let code = i32::from_ne_bytes(payload.get(..4)?.try_into().ok()?);
    if code >= 0 {
        return None;
    }
    let attributes_at = if header.message_type == NLMSG_DONE { 4 } else { 20 };
    let mut rest = if header.flags & NLM_F_ACK_TLVS != 0 { payload.get(attributes_at..)? } else { &[] };
    let mut said = String::new();
    while let [l0, l1, k0, k1, tail @ ..] = rest {
        let length = u16::from_ne_bytes([*l0, *l1]) as usize;
        let Some(value) = tail.get(..length.saturating_sub(4)) else { break };
        if u16::from_ne_bytes([*k0, *k1]) & 0x3fff == 1 {
            said = String::from_utf8_lossy(value).trim_end_matches('\0').to_owned();
        }
        rest = rest.get(length.max(4).next_multiple_of(4)..).unwrap_or(&[]);
    }
    Some(Refusal { errno: -code, said })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_stop_at_a_torn_message() {
        let mut bytes = vec![0u8; 16];
        bytes[0] = 16;
        bytes.extend_from_slice(&[200, 0, 0, 0, 1, 2]);
        assert_eq!(Frames(&bytes).count(), 1);
        bytes[0] = 3; // shorter than its own header
        assert_eq!(Frames(&bytes).count(), 0);
    }

    #[test]
    fn refusals_carry_the_kernels_words() {
        let mut header = NetlinkHeader::default();
        (header.message_type, header.flags) = (NLMSG_ERROR, 0x200);
        let mut payload = (-17i32).to_ne_bytes().to_vec();
        payload.extend_from_slice(&[0; 16]);
        payload.extend_from_slice(&[9, 0, 1, 0]);
        payload.extend_from_slice(b"busy\0\0\0\0");
        let found = refusal(&header, &payload).unwrap();
        assert_eq!((found.errno, found.said.as_str()), (17, "busy"));
        assert_eq!(refusal(&header, &0i32.to_ne_bytes()), None);
    }

    /// 256 refusals do not fit a receive buffer of 2 KiB: their loss must be told, and the channel
    /// must serve on.
    #[test]
    fn answers_lost_to_a_full_buffer_are_told() {
        use netlink_packet_route::{RouteNetlinkMessage, link::LinkMessage};
        let mut channel = Channel::open(netlink_sys::protocols::NETLINK_ROUTE).unwrap();
        channel.socket.set_rx_buf_sz(1i32).unwrap();
        let nowhere = || {
            let mut message = LinkMessage::default();
            message.header.index = u32::MAX / 2;
            Request::of(RouteNetlinkMessage::DelLink(message), 0)
        };
        let mut requests: Vec<_> = (0..BATCH_REQUESTS).map(|_| nowhere()).collect();
        let answers = channel.exchange(&mut requests).unwrap();
        assert!(answers.contains(&Answer::Lost), "{answers:?}");
        assert_eq!(channel.traffic.lost, 1);
        channel.socket.set_rx_buf_sz(RECEIVE_BUFFER_BYTES as i32).unwrap();
        let answers = channel.exchange(&mut [nowhere()]).unwrap();
        assert!(matches!(answers[..], [Answer::Refused(_)]), "{answers:?}");
    }
}
