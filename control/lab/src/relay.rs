//! Carries an etcd outside of the lab into it: nodes reach 10.0.2.1:2379, which leads to the machine's network.
//!
//! ```text
//! node ──► gateway 10.0.2.1:2379 (socket of the gateway's namespace) ═ relay ═ endpoint (the machine's namespace)
//! ```
//!
//! The nodes have no way to the machine, on purpose. One process has one foot on each side: its listening sockets
//! were opened in the gateway's namespace, its own connections are made in the machine's. Plain TCP, so TLS would
//! go through but its names would not match: https endpoints are refused. Two threads per connection.

use crate::daemons::ETCD_PORT;
use crate::error::{At, LabError, Result, Tried};
use netstate::NetNs;
use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::thread;

/// What nodes use in place of the outer endpoints.
pub fn endpoints(outer: &[String], at: IpAddr) -> Vec<String> {
    let ports = (0u16..).map(|i| ETCD_PORT + i);
    outer.iter().zip(ports).map(|(_, port)| format!("http://{}", SocketAddr::new(at, port))).collect()
}

/// HOST:PORT of an endpoint, if it is one that can be relayed.
pub fn target(endpoint: &str) -> Result<&str> {
    let bad = |why: &str| LabError::Flag { flag: "--etcd-endpoints", why: format!("{endpoint}: {why}") };
    if endpoint.starts_with("https://") {
        return Err(bad("https is not relayed into the lab, its names would not match; use http"));
    }
    let rest = endpoint.strip_prefix("http://").unwrap_or(endpoint).trim_end_matches('/');
    match rest.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => Ok(rest),
        _ => Err(bad("it has the form http://HOST:PORT")),
    }
}

/// Relays for ever.
pub fn run(namespace: &Path, at: IpAddr, outer: &[String]) -> Result<()> {
    let inside = NetNs::open(namespace).at("the relay's place")?;
    let mut relays = Vec::new();
    for (endpoint, port) in outer.iter().zip(ETCD_PORT..) {
        let address = SocketAddr::new(at, port);
        let listener = inside.run(|| TcpListener::bind(address)).at("the relay's place")?;
        let listener = listener.tried(|| format!("listen on {address} in the lab"))?;
        let target = target(endpoint)?.to_owned();
        relays.push(thread::spawn(move || accept(&listener, &target)));
    }
    for relay in relays {
        relay.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }
    Ok(())
}

fn accept(listener: &TcpListener, target: &str) {
    loop {
        // A client whose way is broken sees its connection end, and tries again.
        if let Ok((client, _)) = listener.accept() {
            let target = target.to_owned();
            thread::spawn(move || drop(join(client, &target)));
        }
    }
}

fn join(mut client: TcpStream, target: &str) -> io::Result<()> {
    let address = target.to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?;
    let mut server = TcpStream::connect(address)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    let there = thread::spawn(move || {
        let copied = io::copy(&mut from, &mut to);
        drop(to.shutdown(Shutdown::Write));
        copied
    });
    let back = io::copy(&mut server, &mut client);
    drop(client.shutdown(Shutdown::Write));
    drop(there.join());
    back.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_endpoints_can_be_relayed() {
        assert_eq!(target("http://127.0.0.1:2379/").unwrap(), "127.0.0.1:2379");
        assert_eq!(target("[::1]:2379").unwrap(), "[::1]:2379");
        for bad in ["https://a:1", "http://a", "http://:1", "a:b"] {
            assert!(target(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn each_endpoint_has_a_port() {
        let outer = ["http://a:1".to_owned(), "http://b:1".to_owned()];
        let have = endpoints(&outer, "10.0.2.1".parse().unwrap());
        assert_eq!(have, ["http://10.0.2.1:2379", "http://10.0.2.1:2380"]);
    }
}
