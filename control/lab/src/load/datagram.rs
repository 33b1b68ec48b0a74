//! UDP: datagrams as fast as one thread sends them, counted by the receiver; and a single echo.

use super::{LoadError, On, PATIENCE, Sample, UDP};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

const SIZE: usize = 64;

/// Tries of an echo: a datagram may be lost while the way's neighbours are looked up.
const TRIES: u32 = 3;

/// Sends 64-byte datagrams for `time`; operations are those that arrived.
pub fn flood(to: SocketAddr, time: Duration) -> Result<Sample, LoadError> {
    let mut control = TcpStream::connect_timeout(&to, PATIENCE).on("connect to", to)?;
    control.set_read_timeout(Some(PATIENCE)).on("set up UDP with", to)?;
    control.write_all(&[UDP]).on("ask for a UDP port of", to)?;
    let mut port = [0; 2];
    control.read_exact(&mut port).on("get a UDP port of", to)?;
    let to = SocketAddr::new(to.ip(), u16::from_be_bytes(port));
    let socket = connected(to)?;
    let datagram = [0x5a; SIZE];
    let start = Instant::now();
    let mut seconds = 0.0;
    while seconds < time.as_secs_f64() {
        // The clock is asked once in 32 packets.
        for _ in 0..32 {
            match socket.send(&datagram) {
                // ENOBUFS is a full queue: the packet is lost, which the receiver's count shows.
                Err(e) if e.raw_os_error() != Some(libc::ENOBUFS) => Err(e).on("send datagrams to", to)?,
                _ => {}
            }
        }
        seconds = start.elapsed().as_secs_f64();
    }
    control.write_all(&[0]).on("end UDP with", to)?;
    let mut count = [0; 8];
    control.read_exact(&mut count).on("get the count of datagrams from", to)?;
    Ok(Sample { operations: u64::from_be_bytes(count) as f64, seconds, p50_us: None, p99_us: None })
}

/// One datagram there and back, its content checked.
pub fn echo(to: SocketAddr) -> Result<(), LoadError> {
    let socket = connected(to)?;
    let wait = PATIENCE / TRIES;
    socket.set_read_timeout(Some(wait)).on("set up UDP with", to)?;
    let mut last = io::Error::from(io::ErrorKind::TimedOut);
    for attempt in 0..TRIES {
        let sent = [attempt as u8; SIZE];
        socket.send(&sent).on("send a datagram to", to)?;
        let mut back = [0; SIZE + 1];
        match socket.recv(&mut back) {
            Ok(n) if back[..n] == sent => return Ok(()),
            Ok(_) => return Err(LoadError::Differs { what: "UDP echo of", address: to }),
            Err(e) => last = e,
        }
    }
    Err(last).on("get a datagram back from", to)
}

fn connected(to: SocketAddr) -> Result<UdpSocket, LoadError> {
    let any = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).on("open a UDP socket for", to)?;
    socket.connect(to).on("find a way to", to)?;
    Ok(socket)
}
