//! The load server: answers every workload on each of its ports.
//!
//! One thread accepts on each port and serves the short workloads itself, so that a connection per request
//! costs what the kernel takes and not the start of a thread; long ones get a thread. A client that connects
//! and says nothing holds its port for `FIRST_BYTE` at most.

use super::dial::name_and;
use super::{BULK, CLOSE, PATIENCE, REQUEST, STREAM, UDP, WHO, WHO_ARE_YOU, transfer};
use std::io::{self, Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

const FIRST_BYTE: Duration = Duration::from_secs(1);
const STACK: usize = 128 << 10;
const BLOCK: usize = 128 << 10;

/// A load server whose ports are bound; `run` or `spawn` starts it.
pub struct Server {
    listeners: Vec<TcpListener>,
    echo: UdpSocket,
    ports: Vec<u16>,
}

impl Server {
    /// Binds `count` ports from `first` on, for IPv4 and IPv6; port 0 takes free ones.
    pub fn bind(first: u16, count: u16) -> io::Result<Server> {
        let mut listeners = Vec::new();
        let mut ports = Vec::new();
        for i in 0..count.max(1) {
            let port = if first == 0 { 0 } else { first.saturating_add(i) };
            let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))?;
            ports.push(listener.local_addr()?.port());
            listeners.push(listener);
        }
        let echo = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, ports[0]))?;
        Ok(Server { listeners, echo, ports })
    }

    /// The ports, the one with the UDP echo first.
    pub fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// Serves on threads that end with the process.
    pub fn spawn(self) {
        for listener in self.listeners {
            start(move || accept(&listener));
        }
        let echo = self.echo;
        start(move || echo_datagrams(&echo));
    }

    /// Serves for ever.
    pub fn run(self) -> ! {
        self.spawn();
        loop {
            thread::park();
        }
    }
}

/// Starts a thread with a small stack; when the system has none left, the connection is dropped.
fn start(work: impl FnOnce() + Send + 'static) {
    if let Err(e) = thread::Builder::new().stack_size(STACK + BLOCK).spawn(work) {
        // The error stream may be closed, and that must not end the server.
        drop(writeln!(io::stderr(), "load server: no thread: {e}"));
    }
}

fn accept(listener: &TcpListener) {
    loop {
        match listener.accept() {
            Ok((socket, peer)) => greet(socket, peer),
            // Out of descriptors: connections that end give some back.
            Err(e) if e.raw_os_error() == Some(libc::EMFILE) => thread::sleep(Duration::from_millis(10)),
            Err(_) => {}
        }
    }
}

/// Reads the first byte and serves what it asks for; errors end the connection, which the client sees.
fn greet(mut socket: TcpStream, peer: SocketAddr) {
    let mut kind = [0];
    let greeted = socket.set_read_timeout(Some(FIRST_BYTE)).and_then(|()| socket.read_exact(&mut kind));
    if greeted.is_err() {
        return;
    }
    match kind[0] {
        CLOSE => drop(socket.write_all(&kind)),
        WHO => drop(socket.write_all(peer.ip().to_canonical().to_string().as_bytes())),
        kind if kind == WHO_ARE_YOU[0] => {
            // The rest of the question is read, so that closing does not reset the connection.
            let asked = socket.read_exact(&mut [0; WHO_ARE_YOU.len() - 1]);
            drop(asked.and_then(|()| socket.write_all(name_and(peer).as_bytes())));
        }
        kind => start(move || {
            let patient = socket.set_read_timeout(Some(PATIENCE * 4));
            drop(patient.and_then(|()| serve(kind, &mut socket)));
        }),
    }
}

fn serve(kind: u8, socket: &mut TcpStream) -> io::Result<()> {
    match kind {
        STREAM => swallow(socket),
        REQUEST => answer(socket),
        BULK => transfer::receive(socket),
        UDP => count_datagrams(socket),
        _ => Ok(()),
    }
}

/// Reads to the end and says how much it was.
fn swallow(socket: &mut TcpStream) -> io::Result<()> {
    let mut block = vec![0; BLOCK];
    let mut total = 0u64;
    loop {
        match socket.read(&mut block)? {
            0 => return socket.write_all(&total.to_be_bytes()),
            n => total += n as u64,
        }
    }
}

fn answer(socket: &mut TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    // As much as has come: a client may have more than one byte on the way.
    let mut block = [0; 4096];
    loop {
        match socket.read(&mut block)? {
            0 => return Ok(()),
            count => socket.write_all(&block[..count])?,
        }
    }
}

/// Opens a UDP socket for this client, names its port, and counts until the client sends a byte.
fn count_datagrams(control: &mut TcpStream) -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?;
    socket.set_read_timeout(Some(Duration::from_millis(20)))?;
    control.write_all(&socket.local_addr()?.port().to_be_bytes())?;
    control.set_nonblocking(true)?;
    let mut datagram = [0; 2048];
    let mut seen = 0u64;
    loop {
        match socket.recv(&mut datagram) {
            Ok(_) => seen += 1,
            // Nothing for a while: has the client finished?
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                match control.read(&mut [0]) {
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                    Ok(1) => break,
                    _ => return Ok(()),
                }
            }
            Err(e) => return Err(e),
        }
    }
    control.set_nonblocking(false)?;
    control.write_all(&seen.to_be_bytes())
}

fn echo_datagrams(socket: &UdpSocket) {
    let mut datagram = [0; 9000];
    loop {
        if let Ok((n, peer)) = socket.recv_from(&mut datagram) {
            // A full send buffer loses a datagram, as any network may.
            if &datagram[..n] == WHO_ARE_YOU {
                drop(socket.send_to(name_and(peer).as_bytes(), peer));
            } else {
                drop(socket.send_to(&datagram[..n], peer));
            }
        }
    }
}
