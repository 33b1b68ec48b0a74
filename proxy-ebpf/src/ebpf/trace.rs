//! Walks the tables for one connection, as the programs would, and tells each step.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use aya::maps::{Array, HashMap as BpfMap, MapData};
use weft_proxy_abi as abi;

use super::encode;
use super::error::EbpfError;
use super::reader::{Reader, open};
use super::row::{Row, address, ip};
use super::writer::{failed, present};
use crate::table::Endpoint;

/// Who dials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// A process in the node's own namespace.
    Node,
    /// A process in a pod of this node.
    Pod,
    /// Somebody elsewhere; without a port any one.
    Elsewhere(IpAddr, Option<u16>),
}

/// What is dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination {
    address: SocketAddr,
    protocol: u8,
}

/// What is no client or destination.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TraceParseError {
    /// Of a client.
    #[error("{0:?} is no client: give `node`, `pod`, ADDRESS or ADDRESS:PORT")]
    Client(String),
    /// Of a destination.
    #[error("{0:?} is no destination: give ADDRESS:PORT, [ADDRESS]:PORT, or the same with /udp after it")]
    Destination(String),
}

impl FromStr for Client {
    type Err = TraceParseError;

    fn from_str(text: &str) -> Result<Client, TraceParseError> {
        match text {
            "node" => return Ok(Client::Node),
            "pod" => return Ok(Client::Pod),
            _ => {}
        }
        let whole = text.parse::<SocketAddr>().map(|at| Client::Elsewhere(at.ip(), Some(at.port())));
        let bare = |_| text.parse().map(|ip| Client::Elsewhere(ip, None));
        whole.or_else(bare).map_err(|_| TraceParseError::Client(text.to_owned()))
    }
}

impl FromStr for Destination {
    type Err = TraceParseError;

    fn from_str(text: &str) -> Result<Destination, TraceParseError> {
        let (at, protocol) = match text.split_once('/') {
            None | Some((_, "tcp")) => (text.split('/').next().unwrap_or(text), abi::TCP),
            Some((at, "udp")) => (at, abi::UDP),
            Some(_) => return Err(TraceParseError::Destination(text.to_owned())),
        };
        let address = at.parse().map_err(|_| TraceParseError::Destination(text.to_owned()))?;
        Ok(Destination { address, protocol })
    }
}

impl Reader {
    /// Which endpoint a connection would get, and why; a line for each step.
    pub fn trace(&self, client: &Client, to: &Destination) -> Result<String, EbpfError> {
        let mut told = String::new();
        let dialled = abi::FrontendKey {
            address: address(to.address.ip()),
            port_be: to.address.port().to_be(),
            protocol: to.protocol,
            zero: 0,
        };
        if let Client::Elsewhere(from, Some(port)) = client
            && let Some(line) = self.tracked((*from, *port), &dialled)?
        {
            return Ok(line);
        }
        let Some((key, service)) = self.frontend(&dialled, *client, &mut told)? else { return Ok(told) };
        let _ = writeln!(told, "{}: a frontend of service port number {}", encode::text(&key), service.id);
        let inside = !matches!(client, Client::Elsewhere(..));
        let block = if inside { service.inside } else { service.outside };
        let endpoints = self.endpoints(block)?;
        if !self.admitted(*client, &service, &mut told)? {
            return Ok(told);
        }
        if endpoints.is_empty() {
            let reject = if inside { abi::SERVICE_REJECT_INSIDE } else { abi::SERVICE_REJECT_OUTSIDE };
            told += if service.flags & reject != 0 {
                "no endpoint is usable: refused at once"
            } else {
                "the traffic policy is Local and no endpoint is on this node: not let through"
            };
            return Ok(told);
        }
        let _ = writeln!(
            told,
            "{} endpoints for clients {}",
            endpoints.len(),
            if inside { "here" } else { "elsewhere" }
        );
        match client {
            Client::Elsewhere(from, port) => {
                self.outside(*from, *port, &key, &service, &endpoints, &mut told)?
            }
            _ => {
                let stays = match service.flags & abi::SERVICE_AFFINITY {
                    0 => String::new(),
                    _ => format!(", then the same for {} s, by network namespace", service.affinity_seconds),
                };
                let _ = write!(told, "at the socket: any of them at random{stays}: {}", list(&endpoints));
            }
        }
        Ok(told)
    }

    /// A connection that is tracked already.
    fn tracked(&self, from: (IpAddr, u16), to: &abi::FrontendKey) -> Result<Option<String>, EbpfError> {
        let connections: BpfMap<MapData, Row<abi::ConnectionKey>, Row<abi::Connection>> =
            open(&self.pins, "CONNECTIONS")?;
        let key = abi::ConnectionKey {
            source: address(from.0),
            destination: to.address,
            source_port_be: from.1.to_be(),
            destination_port_be: to.port_be,
            protocol: to.protocol,
            hook: abi::HOOK_INGRESS,
            zero: 0,
        };
        let found = present(connections.get(&Row(key), 0)).map_err(|e| failed("read", "CONNECTIONS", &e))?;
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic).tv_sec as u32;
        Ok(found.filter(|Row(entry)| entry.expires > now).map(|Row(entry)| {
            let at = SocketAddr::new(ip(&entry.address), u16::from_be(entry.port_be));
            format!("a tracked connection: its packets go to {at}, for {} s more", entry.expires - now)
        }))
    }

    /// The frontend that is dialled: by its address, or as a NodePort.
    fn frontend(
        &self,
        dialled: &abi::FrontendKey,
        client: Client,
        told: &mut String,
    ) -> Result<Option<(abi::FrontendKey, abi::Service)>, EbpfError> {
        if let Some(service) = self.service(dialled)? {
            return Ok(Some((*dialled, service)));
        }
        let nodes: BpfMap<MapData, Row<abi::Address>, Row<abi::NodeAddress>> =
            open(&self.pins, "NODE_ADDRESSES")?;
        let at =
            present(nodes.get(&Row(dialled.address), 0)).map_err(|e| failed("read", "NODE_ADDRESSES", &e))?;
        let Some(Row(at)) = at else {
            *told += "no frontend has this address and port, and it is no address at which NodePorts answer: untouched";
            return Ok(None);
        };
        if at.flags & abi::NODE_LOOPBACK != 0 && client != Client::Node {
            *told +=
                "a loopback address: NodePorts answer there to the node's own processes alone: untouched";
            return Ok(None);
        }
        let unspecified = match ip(&dialled.address) {
            IpAddr::V4(_) => IpAddr::from([0; 4]),
            IpAddr::V6(_) => IpAddr::from([0; 16]),
        };
        let key = abi::FrontendKey { address: address(unspecified), ..*dialled };
        let found = self.service(&key)?;
        if found.is_none() {
            *told += "an address of this node, but no service has this NodePort: untouched";
        }
        Ok(found.map(|service| (key, service)))
    }

    /// Whether source ranges let the client in.
    fn admitted(&self, client: Client, service: &abi::Service, told: &mut String) -> Result<bool, EbpfError> {
        if service.flags & abi::SERVICE_SOURCE_RANGES == 0 {
            return Ok(true);
        }
        let Client::Elsewhere(from, _) = client else {
            if client == Client::Pod {
                *told += "the service has source ranges: a pod's packets are judged on the packet path, by its address";
            }
            return Ok(client == Client::Node);
        };
        let ranges: aya::maps::LpmTrie<MapData, Row<abi::SourceRange>, u32> =
            open(&self.pins, "SOURCE_RANGES")?;
        let host = ipnetwork::IpNetwork::from(from);
        let found = present(ranges.get(&encode::range_key(service.id, &host), 0));
        let admitted = found.map_err(|e| failed("read", "SOURCE_RANGES", &e))?.is_some();
        let verdict = if admitted { "in" } else { "in none, and dropped" };
        let _ = writeln!(told, "loadBalancerSourceRanges: {from} is {verdict}");
        Ok(admitted)
    }

    fn outside(
        &self,
        from: IpAddr,
        port: Option<u16>,
        key: &abi::FrontendKey,
        service: &abi::Service,
        endpoints: &[Endpoint],
        told: &mut String,
    ) -> Result<(), EbpfError> {
        let sticky = service.flags & abi::SERVICE_AFFINITY != 0;
        let client = address(from);
        let hash = match (sticky, port) {
            (true, _) => abi::hash::client(&client),
            (false, Some(port)) => abi::hash::flow(&client, port.to_be(), key.port_be, key.protocol),
            (false, None) => {
                let _ =
                    write!(told, "by the hash of the flow, so give the client's port: {}", list(endpoints));
                return Ok(());
            }
        };
        if let Some(kept) = self.kept(client, service)?.filter(|_| sticky) {
            let _ = write!(
                told,
                "{from} keeps {kept} ({} s after its last connection)",
                service.affinity_seconds
            );
            return Ok(());
        }
        let (position, how) = match self.by_table(service, hash)? {
            Some((slot, position)) => (position, format!("Maglev slot {slot}")),
            None => (abi::hash::slot(hash, service.outside.count), "hash".to_owned()),
        };
        let Some(endpoint) = endpoints.get(position as usize) else {
            *told += "the table names an endpoint that is not there: the proxy is writing it now; ask again";
            return Ok(());
        };
        let source = match (endpoint.local, service.flags & abi::SERVICE_KEEP_SOURCE != 0) {
            (true, _) => "on this node: the client's address is kept",
            (false, true) => "externalTrafficPolicy Local: the client's address is kept",
            (false, false) => "on another node: the node's address is the source",
        };
        let _ = write!(told, "{how}: {}, {source}", SocketAddr::new(endpoint.address, endpoint.port));
        Ok(())
    }

    /// The endpoint that a client keeps, as it is noted.
    fn kept(&self, client: abi::Address, service: &abi::Service) -> Result<Option<SocketAddr>, EbpfError> {
        let affinity: BpfMap<MapData, Row<abi::AffinityKey>, Row<abi::Affinity>> =
            open(&self.pins, "AFFINITY")?;
        let key = abi::AffinityKey { client, service: service.id, kind: abi::CLIENT_ADDRESS };
        let found = present(affinity.get(&Row(key), 0)).map_err(|e| failed("read", "AFFINITY", &e))?;
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic).tv_sec as u32;
        let fresh = found.filter(|Row(kept)| now.saturating_sub(kept.seen) <= service.affinity_seconds);
        Ok(fresh.map(|Row(kept)| SocketAddr::new(ip(&kept.address), u16::from_be(kept.port_be))))
    }

    /// Slot and position that the Maglev table has for a hash.
    fn by_table(&self, service: &abi::Service, hash: u64) -> Result<Option<(u32, u32)>, EbpfError> {
        let config: Array<MapData, Row<abi::Config>> = open(&self.pins, "CONFIG")?;
        let Row(config) = config.get(&0, 0).map_err(|e| failed("read", "CONFIG", &e))?;
        if service.maglev == abi::NO_MAGLEV || config.maglev_slots == 0 {
            return Ok(None);
        }
        let chunks: Array<MapData, Row<abi::MaglevChunk>> = open(&self.pins, "MAGLEV")?;
        let slot = abi::hash::slot(hash, config.maglev_slots);
        let size = abi::MAGLEV_CHUNK as u32;
        let at = service.maglev * config.maglev_slots.div_ceil(size) + slot / size;
        let Row(chunk) = chunks.get(&at, 0).map_err(|e| failed("read", "MAGLEV", &e))?;
        Ok(Some((slot, chunk.slots[(slot % size) as usize].into())))
    }
}

fn list(endpoints: &[Endpoint]) -> String {
    let all: Vec<String> = endpoints.iter().map(|e| SocketAddr::new(e.address, e.port).to_string()).collect();
    all.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_and_destinations_as_people_type_them() {
        let elsewhere = |ip: &str, port| Ok(Client::Elsewhere(ip.parse().unwrap(), port));
        assert_eq!("node".parse(), Ok(Client::Node));
        assert_eq!("203.0.113.2".parse(), elsewhere("203.0.113.2", None));
        assert_eq!("[2001:db8::2]:4000".parse(), elsewhere("2001:db8::2", Some(4000)));
        assert!("nobody".parse::<Client>().is_err());
        let dns: Destination = "10.96.0.10:53/udp".parse().unwrap();
        assert_eq!((dns.address.port(), dns.protocol), (53, abi::UDP));
        assert_eq!("10.96.0.1:443/tcp".parse::<Destination>(), "10.96.0.1:443".parse());
        assert!("10.96.0.1".parse::<Destination>().is_err());
        assert!("10.96.0.1:80/sctp".parse::<Destination>().is_err());
    }
}
