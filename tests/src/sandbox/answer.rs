//! A pod's server: tells each client the pod's name and the address that it sees of the client.

use netstate::NetNs;
use rustix::event::{PollFd, PollFlags, poll};
use std::io::{Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};

/// One thread; it ends, and lets its sockets go, when this is dropped.
#[derive(Debug)]
pub struct Answering {
    stop: Option<UnixStream>,
    worker: Option<JoinHandle<()>>,
}

impl Answering {
    /// Listens in a network on a port, TCP and UDP, both families.
    pub fn start(name: &str, network: &NetNs, port: u16) -> Answering {
        let at = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port);
        let bind = || Some((TcpListener::bind(at).ok()?, UdpSocket::bind(at).ok()?));
        let (tcp, udp) = network.run(bind).expect("the pod's network").expect("the port is free");
        let (stop, stopped) = UnixStream::pair().expect("a pair of sockets");
        let name = name.to_owned();
        let worker = thread::spawn(move || serve(&name, &tcp, &udp, &stopped));
        Answering { stop: Some(stop), worker: Some(worker) }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(worker) = self.worker.take() {
            // A second panic would hide the first.
            let _ = worker.join();
        }
    }
}

fn serve(name: &str, tcp: &TcpListener, udp: &UdpSocket, stopped: &UnixStream) {
    let mut clients: Vec<TcpStream> = Vec::new();
    loop {
        let mut fds = vec![
            PollFd::new(stopped, PollFlags::IN),
            PollFd::new(tcp, PollFlags::IN),
            PollFd::new(udp, PollFlags::IN),
        ];
        fds.extend(clients.iter().map(|client| PollFd::new(client, PollFlags::IN)));
        if poll(&mut fds, None).is_err() {
            continue;
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        if ready[0] {
            return;
        }
        let mut number = 2;
        clients.retain_mut(|client| {
            number += 1;
            !ready[number] || answer(name, client).is_some()
        });
        if ready[1] {
            clients.extend(tcp.accept().ok().map(|(client, _)| client));
        }
        if ready[2] {
            let mut question = [0; 64];
            if let Ok((_, client)) = udp.recv_from(&mut question) {
                // A client that is gone has no need of the answer.
                let _ = udp.send_to(said(name, client).as_bytes(), client);
            }
        }
    }
}

/// Answers what there is to read; `None` at the connection's end.
fn answer(name: &str, client: &mut TcpStream) -> Option<()> {
    let mut question = [0; 64];
    let peer = client.peer_addr().ok()?;
    match client.read(&mut question) {
        Ok(0) | Err(_) => None,
        Ok(_) => client.write_all(said(name, peer).as_bytes()).ok(),
    }
}

fn said(name: &str, client: SocketAddr) -> String {
    format!("{name} {}\n", client.ip().to_canonical())
}
