//! Connected UDP sockets of a namespace, and ending one (sock_diag(7)).
//!
//! A connected socket keeps its peer for ever, and nothing asks again when the peer is gone. `SOCK_DESTROY` (kernel
//! 4.9, CONFIG_INET_DIAG_DESTROY) makes its next call fail with ECONNABORTED, so that the process connects anew.

use std::net::{IpAddr, SocketAddr};

use netlink_packet_sock_diag::{
    AF_INET, AF_INET6, IPPROTO_UDP, SockDiagDestroy, SockDiagMessage,
    inet::{ExtensionFlags, InetRequest, SocketId, StateFlags},
};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;

use crate::channel::{Answer, Channel, Request};
use crate::{Error, Result};

/// A socket with a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectedSocket {
    /// Its peer; IPv4 also for an IPv6 socket with a mapped address.
    pub peer: SocketAddr,
    /// The number that the kernel and eBPF programs know it by.
    pub cookie: u64,
    family: u8,
    id: SocketId,
}

/// Looks at sockets, and ends them, in the namespace in which it was opened.
#[derive(Debug)]
pub struct SocketDiag {
    channel: Channel,
}

impl SocketDiag {
    /// Opens it in the calling thread's namespace.
    pub fn open() -> Result<Self> {
        Ok(Self { channel: Channel::open(NETLINK_SOCK_DIAG)? })
    }

    /// All connected UDP sockets, of both families.
    pub fn connected_udp(&mut self) -> Result<Vec<ConnectedSocket>> {
        let mut all = Vec::new();
        for family in [AF_INET, AF_INET6] {
            let ask = || {
                let id = if family == AF_INET { SocketId::new_v4() } else { SocketId::new_v6() };
                SockDiagMessage::InetRequest(request(family, id))
            };
            all.extend(self.channel.dump("UDP sockets", ask, |message| match message {
                SockDiagMessage::InetResponse(response) => Some(connected(family, response.header.socket_id)),
                _ => None,
            })?);
        }
        Ok(all)
    }

    /// Ends a socket; `false` when it is gone already, or is another one by now.
    pub fn destroy(&mut self, socket: &ConnectedSocket) -> Result<bool> {
        let message = SockDiagMessage::InetRequest(request(socket.family, socket.id.clone()));
        let answers = self.channel.exchange(&mut [Request::of(SockDiagDestroy::new(message), 0)])?;
        match answers.into_iter().next() {
            Some(Answer::Refused(refusal)) if refusal.errno == libc::ENOENT => Ok(false),
            Some(Answer::Refused(refusal)) => {
                let source = std::io::Error::from_raw_os_error(refusal.errno);
                Err(Error::Socket { action: "end a UDP socket", source })
            }
            _ => Ok(true),
        }
    }
}

fn request(family: u8, socket_id: SocketId) -> InetRequest {
    InetRequest {
        family,
        protocol: IPPROTO_UDP,
        extensions: ExtensionFlags::empty(),
        // What connected UDP sockets are in.
        states: StateFlags::ESTABLISHED,
        socket_id,
    }
}

fn connected(family: u8, id: SocketId) -> ConnectedSocket {
    let ip = match id.destination_address {
        IpAddr::V6(v6) => v6.to_canonical(),
        v4 => v4,
    };
    // Two words in the kernel's order (`sock_diag_save_cookie`).
    let cookie = u64::from_ne_bytes(id.cookie);
    ConnectedSocket { peer: SocketAddr::new(ip, id.destination_port), cookie, family, id }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NetNs;
    use std::net::UdpSocket;

    #[test]
    fn a_connected_socket_is_found_and_ended() {
        let space = NetNs::anonymous().expect("needs root: run `cargo xtask test`");
        space
            .run(|| {
                let mut kernel = crate::Kernel::open().unwrap();
                let up = crate::LinkChange { up: Some(true), ..crate::LinkChange::of("lo") };
                kernel.apply_all(&[crate::Op::ChangeLink(up)]).unwrap();
                let server = UdpSocket::bind("127.0.0.1:0").unwrap();
                let to = server.local_addr().unwrap();
                let (client, mapped) =
                    (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("[::]:0").unwrap());
                client.connect(to).unwrap();
                let IpAddr::V4(v4) = to.ip() else { panic!() };
                mapped.connect((v4.to_ipv6_mapped(), to.port())).unwrap();
                let mut diag = SocketDiag::open().unwrap();
                let found = diag.connected_udp().unwrap();
                assert_eq!(found.iter().map(|s| s.peer).collect::<Vec<_>>(), [to, to]);
                for socket in &found {
                    assert!(diag.destroy(socket).unwrap());
                }
                assert!(client.send(b"x").is_err() && mapped.send(b"x").is_err());
                assert!(!diag.destroy(&found[0]).unwrap(), "it is gone");
            })
            .unwrap();
    }
}
