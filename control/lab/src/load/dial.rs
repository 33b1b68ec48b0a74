//! Dials an address several times and tells who answered: how a service spreads, and what each side sees of the other.

use super::{PATIENCE, WHO_ARE_YOU};
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

/// How to dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// A TCP connection each time.
    Tcp,
    /// A connected UDP socket each time.
    Udp,
    /// An unconnected UDP socket each time, by `sendto`.
    UdpUnconnected,
    /// Nothing is dialled: a TCP socket is bound to the address.
    Bind,
    /// Nothing is dialled: a UDP socket is bound to the address.
    BindUdp,
}

/// What to dial.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Dial {
    /// The address.
    pub to: SocketAddr,
    /// How.
    pub way: Way,
    /// How many times.
    pub times: u32,
    /// How long to wait for an answer, in milliseconds; 0 for the usual patience.
    #[serde(default)]
    pub patience_ms: u64,
    /// The local port; 0 for any.
    #[serde(default)]
    pub from_port: u16,
}

/// What came of dialling once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dialled {
    /// Somebody answered.
    Answer {
        /// The host's name of who answered.
        host: String,
        /// The client's address as who answered sees it.
        seen: SocketAddr,
        /// Who the client sees as its peer.
        peer: SocketAddr,
    },
    /// Nobody did.
    Failed {
        /// The system's error number, where there is one.
        errno: Option<i32>,
        /// It in words.
        error: String,
        /// How long it took, in milliseconds.
        after_ms: u64,
    },
}

impl Dialled {
    /// Who answered.
    pub fn host(&self) -> Option<&str> {
        match self {
            Dialled::Answer { host, .. } => Some(host),
            Dialled::Failed { .. } => None,
        }
    }
}

/// Dials.
pub fn dial(dial: &Dial) -> Vec<Dialled> {
    let patience = match dial.patience_ms {
        0 => PATIENCE,
        ms => Duration::from_millis(ms),
    };
    let once = || {
        let start = Instant::now();
        let done = match dial.way {
            Way::Tcp => tcp(dial.to, dial.from_port, patience),
            Way::Udp => udp(dial.to, dial.from_port, patience, true),
            Way::UdpUnconnected => udp(dial.to, dial.from_port, patience, false),
            Way::Bind => TcpListener::bind(dial.to).and_then(|socket| held(socket.local_addr()?)),
            Way::BindUdp => UdpSocket::bind(dial.to).and_then(|socket| held(socket.local_addr()?)),
        };
        done.unwrap_or_else(|e| Dialled::Failed {
            errno: e.raw_os_error(),
            error: e.to_string(),
            after_ms: start.elapsed().as_millis() as u64,
        })
    };
    (0..dial.times).map(|_| once()).collect()
}

/// What failed, and when it was begun.
pub(super) fn failed(error: &io::Error, start: Instant) -> Dialled {
    Dialled::Failed {
        errno: error.raw_os_error(),
        error: error.to_string(),
        after_ms: start.elapsed().as_millis() as u64,
    }
}

fn tcp(to: SocketAddr, from_port: u16, patience: Duration) -> io::Result<Dialled> {
    let mut socket =
        if from_port == 0 { TcpStream::connect_timeout(&to, patience)? } else { bound(to, from_port)? };
    socket.set_read_timeout(Some(patience))?;
    socket.write_all(WHO_ARE_YOU)?;
    let mut text = String::new();
    socket.read_to_string(&mut text)?;
    answer(&text, socket.peer_addr()?)
}

/// A connection from a chosen port.
fn bound(to: SocketAddr, from_port: u16) -> io::Result<TcpStream> {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket, sockopt};
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let descriptor = socket(family, SocketType::STREAM, None)?;
    sockopt::set_socket_reuseaddr(&descriptor, true)?;
    bind(&descriptor, &SocketAddr::new(unspecified(to), from_port))?;
    connect(&descriptor, &to)?;
    Ok(TcpStream::from(descriptor))
}

pub(super) fn unspecified(to: SocketAddr) -> IpAddr {
    if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}

fn udp(to: SocketAddr, from_port: u16, patience: Duration, connected: bool) -> io::Result<Dialled> {
    let socket = UdpSocket::bind(SocketAddr::new(unspecified(to), from_port))?;
    socket.set_read_timeout(Some(patience / 3))?;
    let mut last = io::Error::from(io::ErrorKind::TimedOut);
    if connected {
        socket.connect(to)?;
    }
    // A first datagram may be lost while neighbours are looked up.
    for _ in 0..3 {
        let sent = if connected { socket.send(WHO_ARE_YOU) } else { socket.send_to(WHO_ARE_YOU, to) };
        let mut text = [0; 256];
        match sent.and_then(|_| socket.recv_from(&mut text)) {
            Ok((size, from)) => {
                let peer = if connected { socket.peer_addr()? } else { from };
                return answer(&String::from_utf8_lossy(&text[..size]), peer);
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => last = e,
            Err(e) => return Err(e),
        }
    }
    Err(last)
}

/// This host has the address.
fn held(at: SocketAddr) -> io::Result<Dialled> {
    Ok(Dialled::Answer { host: host_name(), seen: at, peer: at })
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// "HOST ADDRESS:PORT", the server's name and the client as it sees it.
pub(super) fn answer(text: &str, peer: SocketAddr) -> io::Result<Dialled> {
    let parsed = text.split_once(' ').and_then(|(host, seen)| Some((host.to_owned(), seen.parse().ok()?)));
    let (host, seen) = parsed.ok_or_else(|| io::Error::other(format!("the answer is {text:?}")))?;
    Ok(Dialled::Answer { host, seen, peer })
}

/// What a server answers to "who are you".
pub(super) fn name_and(peer: SocketAddr) -> String {
    format!("{} {}", host_name(), SocketAddr::new(peer.ip().to_canonical(), peer.port()))
}

#[cfg(test)]
mod tests {
    use super::super::Server;
    use super::*;

    #[test]
    fn who_answers_says_who_it_is_and_whom_it_sees() {
        let server = Server::bind(0, 1).unwrap();
        let port = server.ports()[0];
        server.spawn();
        for (ip, way) in [("127.0.0.1", Way::Tcp), ("::1", Way::Udp), ("127.0.0.1", Way::UdpUnconnected)] {
            let to = SocketAddr::new(ip.parse().unwrap(), port);
            for dialled in dial(&Dial { to, way, times: 2, patience_ms: 0, from_port: 0 }) {
                let Dialled::Answer { seen, peer, .. } = dialled else { panic!("{dialled:?}") };
                assert_eq!((seen.ip(), peer), (to.ip(), to));
            }
        }
        let nobody = Dial {
            to: "127.0.0.1:1".parse().unwrap(),
            way: Way::Tcp,
            times: 1,
            patience_ms: 100,
            from_port: 0,
        };
        assert!(matches!(dial(&nobody)[0], Dialled::Failed { errno: Some(libc::ECONNREFUSED), .. }));
    }
}
