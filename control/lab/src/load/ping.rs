//! ICMP echo over a raw socket, as `ping` does it when it is root.
//!
//! ```text
//! type (8, v6: 128) │ code 0 │ checksum │ identifier │ sequence │ data
//! ```
//! A raw IPv4 socket hands over the IP header with each packet and wants our checksum; a raw ICMPv6 one does
//! neither. It sees every echo of the namespace, so answers are told apart by identifier, sequence and data.

use super::{LoadError, On, PATIENCE};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, ipproto, recv, send, socket_with,
    sockopt,
};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

const REQUEST_V4: u8 = 8;
const REPLY_V4: u8 = 0;
const REQUEST_V6: u8 = 128;
const REPLY_V6: u8 = 129;

/// Tries of an echo: a first packet may be lost while the way's neighbours are looked up.
const TRIES: u16 = 3;

/// One echo request and its reply; the time between them.
pub fn ping(to: IpAddr) -> Result<Duration, LoadError> {
    let address = SocketAddr::new(to, 0);
    let (family, protocol) = match to {
        IpAddr::V4(_) => (AddressFamily::INET, ipproto::ICMP),
        IpAddr::V6(_) => (AddressFamily::INET6, ipproto::ICMPV6),
    };
    let open = || -> io::Result<_> {
        let socket = socket_with(family, SocketType::RAW, SocketFlags::CLOEXEC, Some(protocol))?;
        connect(&socket, &address)?;
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(PATIENCE / u32::from(TRIES)))?;
        Ok(socket)
    };
    let socket = open().on("open an ICMP socket to", address)?;
    let id = std::process::id() as u16;
    let mut last = io::Error::from(io::ErrorKind::TimedOut);
    for sequence in 0..TRIES {
        let sent = Instant::now();
        send(&socket, &request(to, id, sequence), SendFlags::empty())
            .map_err(io::Error::from)
            .on("send an ICMP echo to", address)?;
        while sent.elapsed() < PATIENCE / u32::from(TRIES) {
            let mut packet = [0u8; 1500];
            match recv(&socket, &mut packet, RecvFlags::empty()) {
                Ok((n, _)) if is_reply(to, &packet[..n], id, sequence) => return Ok(sent.elapsed()),
                Ok(_) => {}
                Err(e) => {
                    last = e.into();
                    break;
                }
            }
        }
    }
    Err(last).on("get an ICMP echo from", address)
}

fn request(to: IpAddr, id: u16, sequence: u16) -> Vec<u8> {
    let kind = if to.is_ipv4() { REQUEST_V4 } else { REQUEST_V6 };
    let mut packet = vec![kind, 0, 0, 0];
    packet.extend(id.to_be_bytes());
    packet.extend(sequence.to_be_bytes());
    packet.extend([0x5a; 48]);
    if to.is_ipv4() {
        let sum = checksum(&packet);
        packet[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    packet
}

fn is_reply(to: IpAddr, packet: &[u8], id: u16, sequence: u16) -> bool {
    let (kind, icmp) = match to {
        IpAddr::V4(_) => {
            let header = packet.first().map_or(0, |b| usize::from(b & 15) * 4);
            (REPLY_V4, packet.get(header..).unwrap_or_default())
        }
        IpAddr::V6(_) => (REPLY_V6, packet),
    };
    icmp.len() == 56
        && icmp[0] == kind
        && icmp[4..6] == id.to_be_bytes()
        && icmp[6..8] == sequence.to_be_bytes()
        && icmp[8..].iter().all(|b| *b == 0x5a)
}

/// The internet checksum of a packet of even length.
fn checksum(packet: &[u8]) -> u16 {
    let sum: u32 = packet.chunks(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]]))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) as u16 + (folded >> 16) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_with_its_checksum_sums_to_zero() {
        let packet = request("10.0.0.1".parse().unwrap(), 0xbeef, 7);
        assert_eq!(checksum(&packet), 0);
    }

    #[test]
    fn replies_are_told_apart() {
        let to = "fd00::1".parse().unwrap();
        let mut packet = request(to, 5, 1);
        assert!(!is_reply(to, &packet, 5, 1), "our own request is no reply");
        packet[0] = REPLY_V6;
        assert!(is_reply(to, &packet, 5, 1));
        assert!(!is_reply(to, &packet, 5, 2) && !is_reply(to, &packet, 6, 1));
        assert!(!is_reply(to, &packet[..20], 5, 1));
    }

    #[test]
    fn loopback_answers() {
        for to in ["127.0.0.1", "::1"] {
            ping(to.parse().unwrap()).unwrap();
        }
    }
}
