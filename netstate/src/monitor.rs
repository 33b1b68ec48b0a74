//! Tells that something changed in the kernel, so that somebody looks again.
//!
//! An event says which kind of object and which device; it never carries state that is acted upon.
//! When the kernel drops events because nobody read them (ENOBUFS), the answer is the same: look.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
};

use netlink_packet_core::NetlinkBuffer;
use netlink_sys::{
    Socket,
    protocols::{NETLINK_NETFILTER, NETLINK_ROUTE},
};

use crate::{Error, NetNs, Result};

/// A kind of object to hear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// Links.
    Links,
    /// Addresses of both families.
    Addresses,
    /// Routes of both families.
    Routes,
    /// Neighbours and FDB entries.
    Neighbours,
    /// nftables.
    Tables,
}

/// Something changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// What kind of object, or `None` where events were lost.
    pub topic: Option<Topic>,
    /// The device's index, where the message names one.
    pub index: Option<u32>,
    /// Something went away (else it came or changed).
    pub deleted: bool,
}

/// A non-blocking source of events; wait on its file descriptor.
#[derive(Debug)]
pub struct Monitor {
    socket: Socket,
    buffer: Vec<u8>,
}

impl Monitor {
    /// Hears of changes in the calling thread's namespace. [`Topic::Tables`] cannot be mixed with
    /// the others: it comes by another protocol.
    pub fn open(topics: &[Topic]) -> Result<Self> {
        let fail = |action| move |source| Error::Socket { action, source };
        let tables = topics.contains(&Topic::Tables);
        if tables && topics.len() > 1 {
            let reason = "nftables events come by a socket of their own: open two monitors".to_owned();
            return Err(Error::Invalid { what: "topics", value: format!("{topics:?}"), reason });
        }
        let mut socket =
            Socket::new(if tables { NETLINK_NETFILTER } else { NETLINK_ROUTE }).map_err(fail("socket"))?;
        socket.bind_auto().map_err(fail("bind"))?;
        socket.set_non_blocking(true).map_err(fail("set non-blocking"))?;
        for group in topics.iter().flat_map(|topic| groups(*topic)) {
            socket.add_membership(*group).map_err(fail("join a multicast group"))?;
        }
        Ok(Self { socket, buffer: vec![0; 64 * 1024] })
    }

    /// Hears of changes in `namespace`.
    pub fn open_in(namespace: &NetNs, topics: &[Topic]) -> Result<Self> {
        let _entered = namespace.enter()?;
        Self::open(topics)
    }

    /// Sets the size of the receive buffer in bytes (the kernel doubles it).
    pub fn set_buffer(&self, bytes: u32) -> Result<()> {
        let set = self.socket.set_rx_buf_sz(bytes as i32);
        set.map_err(|source| Error::Socket { action: "set the receive buffer", source })
    }

    /// Takes all waiting events; empty when there are none.
    pub fn drain(&mut self) -> Result<Vec<Event>> {
        let mut events = Vec::new();
        loop {
            match self.socket.recv(&mut &mut self.buffer[..], 0) {
                Ok(size) => read_events(&self.buffer[..size], &mut events),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(events),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.raw_os_error() == Some(libc::ENOBUFS) => {
                    events.push(Event { topic: None, index: None, deleted: false });
                }
                Err(source) => return Err(Error::Socket { action: "receive", source }),
            }
        }
    }
}

impl AsRawFd for Monitor {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the socket owns the descriptor, and the borrow cannot outlive the socket.
        unsafe { BorrowedFd::borrow_raw(self.socket.as_raw_fd()) }
    }
}

/// Multicast groups: include/uapi/linux/rtnetlink.h and netfilter/nfnetlink.h.
fn groups(topic: Topic) -> &'static [u32] {
    match topic {
        Topic::Links => &[1],        // RTNLGRP_LINK
        Topic::Neighbours => &[3],   // RTNLGRP_NEIGH
        Topic::Addresses => &[5, 9], // RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR
        Topic::Routes => &[7, 11],   // RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE
        Topic::Tables => &[7],       // NFNLGRP_NFTABLES
    }
}

fn read_events(mut bytes: &[u8], events: &mut Vec<Event>) {
    const NFNL_SUBSYS_NFTABLES: u16 = 10;
    while let Ok(message) = NetlinkBuffer::new_checked(&bytes) {
        let kind = message.message_type();
        let length = (message.length() as usize).next_multiple_of(4);
        let payload = message.payload();
        let index_at = |at: usize| payload.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
        // ifinfomsg, ifaddrmsg and ndmsg hold the index at byte 4; rtmsg does not hold it at all.
        let found = match kind {
            16 | 17 => Some((Topic::Links, index_at(4), kind == 17)),
            20 | 21 => Some((Topic::Addresses, index_at(4), kind == 21)),
            24 | 25 => Some((Topic::Routes, None, kind == 25)),
            28 | 29 => Some((Topic::Neighbours, index_at(4), kind == 29)),
            _ if kind >> 8 == NFNL_SUBSYS_NFTABLES => Some((Topic::Tables, None, false)),
            _ => None,
        };
        events.extend(found.map(|(topic, index, deleted)| Event { topic: Some(topic), index, deleted }));
        bytes = bytes.get(length.max(16)..).unwrap_or(&[]);
    }
}
