//! The back end's trait, over loader, writer and links.

use std::collections::HashSet;
use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Instant;

use aya::Ebpf;
use aya::maps::{Array, HashMap as BpfMap, MapData};
use netstate::{Kernel, Observe, State};
use weft_proxy_abi as abi;

use super::datagrams::{self, ByFrontend, endpoints};
use super::error::EbpfError;
use super::interfaces::{Attachment, attachments};
use super::links::{self, Attached, CGROUP, INTERFACE};
use super::options::EbpfOptions;
use super::pins::Pins;
use super::row::{Row, address};
use super::sys::AttachType;
use super::writer::{Writer, absent_is_fine, failed, take};
use super::{clsact, object, usage};
use crate::backend::{Applied, Backend, Counted, MapUsage};
use crate::semantics::NodeView;
use crate::table::{PortChange, PortId, Protocol, ServicePort, ServiceTable, TableChanges};

/// Services by eBPF.
pub struct EbpfBackend {
    options: EbpfOptions,
    pins: Pins,
    cgroup: File,
    ebpf: Ebpf,
    writer: Writer,
    node_addresses: BpfMap<MapData, Row<abi::Address>, Row<abi::NodeAddress>>,
    interfaces: BpfMap<MapData, u32, Row<abi::Interface>>,
    socket_peers: BpfMap<MapData, Row<abi::SocketKey>, Row<abi::SocketPeer>>,
    kernel: Kernel,
    /// What an earlier process wrote, and no table has.
    left_over: Option<Vec<PortId>>,
    /// Interfaces, by index, whose programs are clsact filters.
    by_filter: HashSet<u32>,
}

impl EbpfBackend {
    /// Checks the options, loads the programs and opens the maps. Attaches nothing yet.
    pub fn open(options: EbpfOptions) -> Result<EbpfBackend, EbpfError> {
        options.check()?;
        let cgroup = links::open_cgroup(&options.cgroup_root)?;
        let pins = Pins::open(&options.bpf_root)?;
        let mut ebpf = object::load(&options, &pins)?;
        let writer = Writer::open(&mut ebpf, &options)?;
        configure(&mut ebpf, &options)?;
        Ok(EbpfBackend {
            node_addresses: take(&mut ebpf, "NODE_ADDRESSES")?,
            interfaces: take(&mut ebpf, "INTERFACES")?,
            socket_peers: take(&mut ebpf, "SOCKET_PEERS")?,
            kernel: Kernel::open()?,
            left_over: None,
            by_filter: HashSet::new(),
            options,
            pins,
            cgroup,
            ebpf,
            writer,
        })
    }

    /// Removes programs, links and maps: all that any version of it left below the bpffs.
    pub fn clean_up(bpf_root: &Path) -> Vec<EbpfError> {
        let mut errors = Vec::new();
        match Kernel::open().and_then(|mut kernel| kernel.observe(&Observe::default())) {
            Ok(state) => state.links.iter().for_each(|link| clsact::remove(&link.name)),
            Err(error) => errors.push(error.into()),
        }
        errors.extend(Pins::existing(bpf_root).map(|pins| pins.remove_all()).unwrap_or_default());
        errors
    }

    fn write_all<'a>(
        &mut self,
        changes: impl Iterator<Item = (&'a PortId, Option<&'a ServicePort>)>,
    ) -> Applied {
        let mut applied = Applied::default();
        for (id, port) in changes {
            let now = Instant::now();
            let done = match port.filter(|port| self.unsupported(id, port).is_none()) {
                Some(port) => self.writer.write(id, port, now),
                None => self.writer.forget(id, now),
            };
            match done {
                Ok(()) => applied.written += 1,
                Err(error) => {
                    tracing::error!(service = %id, %error, "a service port stays as it was");
                    applied.failed.push((id.clone(), error.to_string()));
                }
            }
        }
        applied
    }

    /// Puts the programs at the cgroup.
    fn attach_cgroup(&mut self) -> Result<(), EbpfError> {
        for (name, attach_type) in CGROUP {
            let program = object::program(&mut self.ebpf, name)?;
            links::at_cgroup(&self.pins, &self.cgroup, (name, attach_type), program)?;
        }
        Ok(())
    }

    /// Puts the programs at the node's interfaces, and takes them off others.
    fn attach_interfaces(&mut self, state: &State, node: &NodeView) -> Result<(), EbpfError> {
        let chosen = &self.options.interfaces.names;
        if let Some(missing) = chosen.iter().find(|name| state.link(name).is_none()) {
            let why = "there is no such interface: name others, or none for all of the node's own".to_owned();
            return Err(EbpfError::Flag { flag: "interfaces", value: missing.clone(), why });
        }
        let wanted = attachments(state, &self.options.interfaces, &node.addresses);
        let there: HashSet<u32> = self.interfaces.keys().flatten().collect();
        for attachment in &wanted {
            // The programs find what they need before they run.
            let value = Row(attachment.value);
            self.interfaces
                .insert(attachment.index, value, 0)
                .map_err(|e| failed("write", "INTERFACES", &e))?;
            for (attach_type, with_header, without) in INTERFACE {
                let name = if attachment.ethernet { with_header } else { without };
                self.attach_interface(attachment, attach_type, name)?;
            }
        }
        let indexes: Vec<u32> = wanted.iter().map(|attachment| attachment.index).collect();
        // Each program is there once, also after a start with the other way of attaching.
        let by_tcx = |index: &&u32| !self.by_filter.contains(index);
        links::keep_interfaces(&self.pins, &indexes.iter().filter(by_tcx).copied().collect::<Vec<u32>>())?;
        for index in there.iter().filter(|index| !indexes.contains(index)) {
            state
                .links
                .iter()
                .filter(|link| link.index == *index)
                .for_each(|link| clsact::remove(&link.name));
            absent_is_fine(self.interfaces.remove(index)).map_err(|e| failed("remove", "INTERFACES", &e))?;
        }
        Ok(())
    }

    /// Puts a program at an interface: by tcx, or on kernels before 6.6 by clsact.
    fn attach_interface(
        &mut self,
        to: &Attachment,
        attach_type: AttachType,
        name: &'static str,
    ) -> Result<(), EbpfError> {
        let fail = |source| EbpfError::Attach {
            program: name,
            target: format!("interface {}", to.dev),
            source,
            next: "the kernel needs CONFIG_NET_CLS_ACT and CONFIG_NET_CLS_BPF, or tcx (Linux 6.6)",
        };
        if !self.options.clsact {
            let program = object::program(&mut self.ebpf, name)?;
            match links::at_interface(&self.pins, to.index, attach_type, program).map_err(fail)? {
                Attached::Made => {
                    clsact::remove_from(&to.dev, attach_type);
                    return Ok(());
                }
                Attached::Updated => return Ok(()),
                Attached::NoTcx => {}
            }
        }
        let program = object::classifier(&mut self.ebpf, name)?;
        clsact::put(program, &to.dev, attach_type).map_err(fail)?;
        self.by_filter.insert(to.index);
        Ok(())
    }

    /// Writes where NodePorts answer.
    fn write_node_addresses(&mut self, local: &[IpAddr], node: &NodeView) -> Result<(), EbpfError> {
        let loopback = [IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])];
        let value =
            |ip: &IpAddr| abi::NodeAddress { flags: if ip.is_loopback() { abi::NODE_LOOPBACK } else { 0 } };
        let answering = node.answers_node_ports(local);
        let wanted: HashSet<IpAddr> = answering.into_iter().chain(loopback).collect();
        let keys: HashSet<abi::Address> = wanted.iter().map(|ip| address(*ip)).collect();
        for ip in &wanted {
            self.node_addresses
                .insert(Row(address(*ip)), Row(value(ip)), 0)
                .map_err(|e| failed("write", "NODE_ADDRESSES", &e))?;
        }
        let there: Vec<Row<abi::Address>> = self.node_addresses.keys().flatten().collect();
        for key in there.iter().filter(|key| !keys.contains(&key.0)) {
            absent_is_fine(self.node_addresses.remove(key))
                .map_err(|e| failed("remove", "NODE_ADDRESSES", &e))?;
        }
        Ok(())
    }

    /// Ends the connected UDP sockets that dialled such a frontend and were sent to such an endpoint.
    fn end_datagram_sockets(&self, gone: impl Fn(&abi::SocketPeer, &SocketAddr) -> bool + Sync) {
        let peers = &self.socket_peers;
        let ours = |cookie, peer: SocketAddr| {
            let key = abi::SocketKey {
                cookie,
                address: address(peer.ip()),
                port_be: peer.port().to_be(),
                protocol: abi::UDP,
                zero: [0; 5],
            };
            peers.get(&Row(key), 0).is_ok_and(|dialled| gone(&dialled.0, &peer))
        };
        let ended = datagrams::end(&self.options.cgroup_root, &ours);
        if ended > 0 {
            tracing::info!(ended, "ended connected UDP sockets whose endpoints are gone");
        }
    }
}

/// Why the back end cannot serve a service port, if it cannot.
pub fn unsupported(id: &PortId) -> Option<&'static str> {
    (id.protocol == Protocol::Sctp).then_some("the eBPF back end does not translate SCTP")
}

/// Endpoints that changes take away.
fn gone(changes: &[PortChange]) -> ByFrontend {
    let mut all = ByFrontend::default();
    for PortChange { id, before, after } in changes {
        if let Some(before) = before {
            let mut gone = endpoints(before);
            after.iter().flat_map(|after| endpoints(after)).for_each(|endpoint| {
                gone.remove(&endpoint);
            });
            all.add(id, before, &gone);
        }
    }
    all
}

/// Writes what the programs need to know of the node.
fn configure(ebpf: &mut Ebpf, options: &EbpfOptions) -> Result<(), EbpfError> {
    let missing = || EbpfError::Map { what: "find", map: "CONFIG", why: "it is not in the object".into() };
    let map = ebpf.map_mut("CONFIG").ok_or_else(missing)?;
    let mut config = Array::<_, Row<abi::Config>>::try_from(map).map_err(|e| failed("open", "CONFIG", &e))?;
    let value = abi::Config {
        layout: abi::LAYOUT,
        maglev_slots: options.maglev_slots,
        netns_cookie: netns_cookie().map_err(|source| EbpfError::Pin {
            what: "ask for the cookie of",
            path: "/proc/self/ns/net".into(),
            source,
        })?,
        snat_first: options.snat_ports.0,
        snat_last: options.snat_ports.1,
        zero: 0,
    };
    config.set(0, Row(value), 0).map_err(|e| failed("write", "CONFIG", &e))
}

/// `SO_NETNS_COOKIE` (include/uapi/asm-generic/socket.h, kernel 5.14) of our own namespace.
fn netns_cookie() -> std::io::Result<u64> {
    const SO_NETNS_COOKIE: libc::c_int = 71;
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").or_else(|_| std::net::UdpSocket::bind("[::]:0"))?;
    let mut cookie = 0_u64;
    let mut length = size_of::<u64>() as libc::socklen_t;
    // SAFETY: the value has the length that is told.
    let done = unsafe {
        libc::getsockopt(
            std::os::fd::AsRawFd::as_raw_fd(&socket.as_fd()),
            libc::SOL_SOCKET,
            SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    if done < 0 { Err(std::io::Error::last_os_error()) } else { Ok(cookie) }
}

impl Backend for EbpfBackend {
    type Error = EbpfError;

    fn mode(&self) -> &'static str {
        "ebpf"
    }

    fn unsupported(&self, id: &PortId, _port: &ServicePort) -> Option<String> {
        unsupported(id).map(str::to_owned)
    }

    fn start(&mut self, table: &ServiceTable, node: &NodeView) -> Result<Applied, EbpfError> {
        let all = table.ports.iter().map(|(id, port)| (id, port.as_ref()));
        let supported: Vec<_> = all.filter(|(id, port)| self.unsupported(id, port).is_none()).collect();
        self.left_over = Some(self.writer.recover(supported.iter().copied())?);
        let applied = self.write_all(supported.into_iter().map(|(id, port)| (id, Some(port))));
        self.look_at_node(node)?;
        Ok(applied)
    }

    fn retire(&mut self, table: &ServiceTable) -> Result<(), EbpfError> {
        let Some(left_over) = self.left_over.take() else { return Ok(()) };
        let now = Instant::now();
        left_over.iter().try_for_each(|id| self.writer.forget(id, now))?;
        let mut there = ByFrontend::default();
        table.ports.iter().for_each(|(id, port)| there.add(id, port, &endpoints(port)));
        self.end_datagram_sockets(|dialled, endpoint| !there.has(dialled, endpoint));
        Ok(())
    }

    fn apply(&mut self, changes: &TableChanges) -> Result<Applied, EbpfError> {
        let applied =
            self.write_all(changes.ports.iter().map(|change| (&change.id, change.after.as_deref())));
        let gone = gone(&changes.ports);
        if !gone.is_empty() {
            self.end_datagram_sockets(|dialled, endpoint| gone.has(dialled, endpoint));
        }
        Ok(applied)
    }

    fn look_at_node(&mut self, node: &NodeView) -> Result<(), EbpfError> {
        let state = self.kernel.observe(&Observe { addresses: true, ..Observe::default() })?;
        let local: Vec<IpAddr> =
            state.addresses.iter().filter(|a| !a.link_scope).map(|a| a.net.ip()).collect();
        self.write_node_addresses(&local, node)?;
        // What goes wrong at an interface keeps no process from its services.
        self.attach_cgroup()?;
        self.attach_interfaces(&state, node)
    }

    fn counted(&self) -> Result<Vec<(PortId, Counted)>, EbpfError> {
        let count = |(id, number): (&PortId, u32)| Ok((id.clone(), sum(&self.writer.counters(number)?)));
        self.writer.numbers().map(count).collect()
    }

    fn usage(&self) -> Result<Vec<MapUsage>, EbpfError> {
        usage::usage(&self.pins, &self.writer, &self.options)
    }

    fn memory(&self) -> u64 {
        usage::memory(&self.pins)
    }
}

/// The sum over the CPUs.
fn sum(by_cpu: &[Row<abi::Counters>]) -> Counted {
    by_cpu.iter().fold(Counted::default(), |mut sum, Row(counters)| {
        sum.socket_connections += counters.socket_connections;
        sum.packet_connections += counters.packet_connections;
        sum.packets_in += counters.packets_in;
        sum.bytes_in += counters.bytes_in;
        sum.packets_out += counters.packets_out;
        sum.bytes_out += counters.bytes_out;
        sum.dropped.iter_mut().zip(counters.dropped).for_each(|(sum, more)| *sum += more);
        sum
    })
}
