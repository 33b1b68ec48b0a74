//! A client: asks an address from some network who is there.

use netstate::NetNs;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

/// A few repeated SYNs. A neighbour solicitation is copied to each port of a bridge, 250 times on a full node, and the
/// kernel's queue of 1000 packets per processor drops some when the machine is busy: each is repeated after a second.
const CONNECT: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_millis(100);
/// A first datagram may be lost while neighbours are looked up.
const TRIES: u8 = 20;

/// By which protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A connection for the question.
    Tcp,
    /// A datagram.
    Udp,
}

/// What the one who answered said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its name.
    pub who: String,
    /// The address that it sees of the client.
    pub client: IpAddr,
}

/// Asks once; UDP a few times.
pub fn ask(from: &NetNs, way: Ask, to: SocketAddr) -> io::Result<Seen> {
    let mut talk = Talk::start(from, way, to)?;
    let tries = if way == Ask::Tcp { 1 } else { TRIES };
    let mut last = io::Error::from(io::ErrorKind::TimedOut);
    for _ in 0..tries {
        match talk.ask() {
            Err(e) => last = e,
            seen => return seen,
        }
    }
    Err(last)
}

/// A connection, or a connected UDP socket, that stays open between questions.
#[derive(Debug)]
pub struct Talk {
    socket: Socket,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Udp(UdpSocket),
}

impl Talk {
    /// Begins it.
    pub fn start(from: &NetNs, way: Ask, to: SocketAddr) -> io::Result<Talk> {
        let any: IpAddr =
            if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = || {
            Ok(match way {
                Ask::Tcp => {
                    let socket = TcpStream::connect_timeout(&to, CONNECT)?;
                    socket.set_read_timeout(Some(CONNECT))?;
                    Socket::Tcp(socket)
                }
                Ask::Udp => {
                    let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
                    socket.connect(to)?;
                    socket.set_read_timeout(Some(ANSWER))?;
                    Socket::Udp(socket)
                }
            })
        };
        let socket: io::Result<Socket> = from.run(socket).map_err(io::Error::other)?;
        Ok(Talk { socket: socket? })
    }

    /// A question and its answer.
    pub fn ask(&mut self) -> io::Result<Seen> {
        let mut text = [0; 128];
        let size = match &mut self.socket {
            Socket::Tcp(socket) => {
                socket.write_all(b"who\n")?;
                socket.read(&mut text)?
            }
            Socket::Udp(socket) => {
                socket.send(b"who\n")?;
                socket.recv(&mut text)?
            }
        };
        let text = String::from_utf8_lossy(&text[..size]);
        let parts = text.trim().split_once(' ').and_then(|(who, client)| Some((who, client.parse().ok()?)));
        let (who, client) = parts.ok_or_else(|| io::Error::other(format!("it said {text:?}")))?;
        Ok(Seen { who: who.to_owned(), client })
    }
}
