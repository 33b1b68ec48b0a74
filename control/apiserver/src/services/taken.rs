//! What Services have: addresses and ports by owner.

use std::collections::HashMap;
use std::net::IpAddr;

/// A port of a protocol.
pub(super) type Port = (u16, Protocol);

/// The protocols of ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    /// By its name; TCP is the default.
    pub fn of(name: &str) -> Protocol {
        match name {
            "UDP" => Protocol::Udp,
            "SCTP" => Protocol::Sctp,
            _ => Protocol::Tcp,
        }
    }
}

/// Who has what. Owners are `namespace/name`.
#[derive(Debug, Default)]
pub(super) struct Taken {
    ips: HashMap<IpAddr, Box<str>>,
    ports: HashMap<Port, Box<str>>,
    owned: HashMap<Box<str>, (Vec<IpAddr>, Vec<Port>)>,
}

impl Taken {
    /// Who has an address.
    pub fn of_ip(&self, ip: IpAddr) -> Option<&str> {
        self.ips.get(&ip).map(|owner| &**owner)
    }

    /// Who has a port.
    pub fn of_port(&self, port: Port) -> Option<&str> {
        self.ports.get(&port).map(|owner| &**owner)
    }

    /// An owner has exactly these.
    pub fn see(&mut self, owner: &str, ips: Vec<IpAddr>, ports: Vec<Port>) {
        self.release(owner);
        for ip in &ips {
            self.ips.entry(*ip).or_insert_with(|| owner.into());
        }
        for port in &ports {
            self.ports.entry(*port).or_insert_with(|| owner.into());
        }
        if !ips.is_empty() || !ports.is_empty() {
            self.owned.insert(owner.into(), (ips, ports));
        }
    }

    /// What an owner has.
    pub fn owned(&self, owner: &str) -> (Vec<IpAddr>, Vec<Port>) {
        self.owned.get(owner).cloned().unwrap_or_default()
    }

    /// An owner has nothing any more.
    pub fn release(&mut self, owner: &str) {
        let Some((ips, ports)) = self.owned.remove(owner) else { return };
        for ip in ips {
            if self.of_ip(ip) == Some(owner) {
                self.ips.remove(&ip);
            }
        }
        for port in ports {
            if self.of_port(port) == Some(owner) {
                self.ports.remove(&port);
            }
        }
    }
}
