//! The layouts of the service proxy's maps, once, for the kernel programs and for the daemon.
//!
//! ```text
//! PORTS           bitmaps: which ports are any frontend's, any endpoint's      asked first: others' traffic stops here
//! SERVICES        (address, port, protocol) → Service                          one per frontend
//! NODE_ADDRESSES  address → where NodePorts answer; then SERVICES is asked with the unspecified address
//! ENDPOINTS       array; a Service names a block [base, base + count), sorted by address and port
//! MAGLEV          array of chunks; a Service names a table, whose slots are positions in its outside block
//! AFFINITY        (client, service) → endpoint, LRU
//! SOURCE_RANGES   (service, prefix), longest prefix
//! CONNECTIONS     (hook, tuple of a packet as it comes to that hook) → what is written over it, LRU
//! FRAGMENTS       (source, destination, id) → ports of the first fragment, LRU
//! SOCKET_PEERS    (socket, endpoint) → the address that the process dialled, LRU
//! SOCKET_FLOWS    (socket, frontend) → the endpoint of an unconnected UDP socket, LRU
//! INTERFACES      ifindex → the node's addresses there, which SNAT takes
//! COUNTERS        by service, per CPU
//! CONFIG          one entry
//! ```
//!
//! A changed service is written as a new block (and table), then its SERVICES entries are replaced one by one: a
//! reader has the old block or the new one, never half of each. Old blocks are reused only after a grace time.
//!
//! Addresses are 16 bytes, IPv4 as `::ffff:a.b.c.d` (RFC 4291, section 2.5.5.2). Fields named `_be` are in network
//! byte order. Every structure is `repr(C)` without holes, as the kernel compares keys byte by byte.

#![no_std]

pub mod hash;
pub mod state;

/// Changes with every change of a layout below: maps of another number are not taken over.
pub const LAYOUT: u32 = 1;

/// Slots of the Maglev table in one element of MAGLEV.
pub const MAGLEV_CHUNK: usize = 64;
/// The value of [`Service::maglev`] without a table.
pub const NO_MAGLEV: u32 = u32::MAX;

/// An IPv6 address, or an IPv4 address mapped into one.
pub type Address = [u8; 16];

/// TCP's protocol number.
pub const TCP: u8 = 6;
/// UDP's protocol number.
pub const UDP: u8 = 17;

/// Where a service is reached. A NodePort has the unspecified address of its family (`::ffff:0.0.0.0` or `::`).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FrontendKey {
    /// The address that clients dial.
    pub address: Address,
    /// The port that clients dial.
    pub port_be: u16,
    /// [`TCP`] or [`UDP`].
    pub protocol: u8,
    /// Zero.
    pub zero: u8,
}

/// A block of ENDPOINTS.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its first element.
    pub base: u32,
    /// How many elements it has.
    pub count: u32,
}

/// What a frontend leads to.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Service {
    /// For clients on this node (socket hooks; packets from an [`INSIDE`] interface).
    pub inside: Block,
    /// For clients elsewhere.
    pub outside: Block,
    /// Number of the service port: the index into COUNTERS, and what AFFINITY and SOURCE_RANGES know it by.
    pub id: u32,
    /// Another one after each change of the endpoints.
    pub generation: u32,
    /// `SERVICE_…` below.
    pub flags: u32,
    /// How long after its last connection a client keeps its endpoint.
    pub affinity_seconds: u32,
    /// Number of the Maglev table over the outside block, or [`NO_MAGLEV`]: then by hash.
    pub maglev: u32,
    /// Zero.
    pub zero: u32,
}

/// A client keeps its endpoint ([`Service::affinity_seconds`]).
pub const SERVICE_AFFINITY: u32 = 1 << 0;
/// Only sources in SOURCE_RANGES may come in by this frontend.
pub const SERVICE_SOURCE_RANGES: u32 = 1 << 1;
/// An empty inside block refuses clients; without this they are dropped.
pub const SERVICE_REJECT_INSIDE: u32 = 1 << 2;
/// An empty outside block refuses clients; without this they are dropped.
pub const SERVICE_REJECT_OUTSIDE: u32 = 1 << 3;
/// The frontend is a NodePort.
pub const SERVICE_NODE_PORT: u32 = 1 << 4;
/// The client's address is kept for clients from outside (`externalTrafficPolicy: Local`).
pub const SERVICE_KEEP_SOURCE: u32 = 1 << 5;

/// An element of ENDPOINTS.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The pod's address.
    pub address: Address,
    /// The pod's port.
    pub port_be: u16,
    /// [`ENDPOINT_LOCAL`].
    pub flags: u16,
    /// Zero.
    pub zero: u32,
}

/// The pod is on this node.
pub const ENDPOINT_LOCAL: u16 = 1 << 0;

/// A part of a Maglev table: positions in a block.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaglevChunk {
    /// Slots of the table.
    pub slots: [u16; MAGLEV_CHUNK],
}

/// Who keeps an endpoint.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AffinityKey {
    /// The client's address, or the cookie of its network namespace in the first 8 bytes.
    pub client: Address,
    /// [`Service::id`].
    pub service: u32,
    /// [`CLIENT_ADDRESS`] or [`CLIENT_NETNS`].
    pub kind: u32,
}

/// The client is known by its address.
pub const CLIENT_ADDRESS: u32 = 0;
/// The client is known by its network namespace.
pub const CLIENT_NETNS: u32 = 1;

/// The endpoint that a client keeps.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Affinity {
    /// The endpoint's address.
    pub address: Address,
    /// The endpoint's port.
    pub port_be: u16,
    /// Zero.
    pub zero: u16,
    /// Seconds since boot (CLOCK_MONOTONIC) of the client's last connection.
    pub seen: u32,
}

/// What follows the prefix length of a key of SOURCE_RANGES: 32 bits of the service, then the address.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SourceRange {
    /// [`Service::id`].
    pub service: u32,
    /// The source's address.
    pub address: Address,
}

/// A packet's tuple as it comes to a hook.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionKey {
    /// The packet's source.
    pub source: Address,
    /// The packet's destination.
    pub destination: Address,
    /// The packet's source port.
    pub source_port_be: u16,
    /// The packet's destination port.
    pub destination_port_be: u16,
    /// [`TCP`] or [`UDP`].
    pub protocol: u8,
    /// [`HOOK_INGRESS`], where destinations are rewritten, or [`HOOK_EGRESS`], where sources are.
    pub hook: u8,
    /// Zero.
    pub zero: u16,
}

/// Packets that come in: their destination is rewritten (DNAT, and SNAT undone).
pub const HOOK_INGRESS: u8 = 0;
/// Packets that go out: their source is rewritten (SNAT, and DNAT undone).
pub const HOOK_EGRESS: u8 = 1;

/// What is written over a packet, and how long that is remembered.
///
/// A connection of a client `c` to a frontend `v` that got the endpoint `e` has, with SNAT by `n`, four entries:
///
/// ```text
/// ingress c→v : destination := e    DNAT            egress c→e : source := n         SNAT
/// egress  e→c : source := v         DNAT undone     ingress e→n : destination := c   SNAT undone
/// ```
///
/// and without SNAT the two on the left.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The address that is written.
    pub address: Address,
    /// The port that is written; 0 with [`CONNECTION_SNAT`] before a port was found.
    pub port_be: u16,
    /// `CONNECTION_…` below.
    pub kind: u8,
    /// `STATE_…` below, of TCP.
    pub state: u8,
    /// [`Service::id`].
    pub service: u32,
    /// [`Service::generation`] when the endpoint was chosen or last found among the service's endpoints.
    pub generation: u32,
    /// Seconds since boot (CLOCK_MONOTONIC) from which on the entry counts as absent.
    pub expires: u32,
}

/// Destination: frontend to endpoint.
pub const CONNECTION_DNAT: u8 = 0;
/// Source: endpoint to frontend.
pub const CONNECTION_UNDO_DNAT: u8 = 1;
/// Source: client to node.
pub const CONNECTION_SNAT: u8 = 2;
/// Destination: node to client.
pub const CONNECTION_UNDO_SNAT: u8 = 3;

/// A SYN was seen, or a UDP packet of one direction.
pub const STATE_NEW: u8 = 0;
/// Both directions were seen.
pub const STATE_ESTABLISHED: u8 = 1;
/// One side has sent FIN.
pub const STATE_CLOSING: u8 = 2;
/// Both sides have sent FIN, or one RST: a new SYN begins a new connection.
pub const STATE_CLOSED: u8 = 3;

/// The fragments of one packet.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FragmentKey {
    /// The packet's source.
    pub source: Address,
    /// The packet's destination.
    pub destination: Address,
    /// The packet's identification.
    pub id: u32,
    /// The packet's protocol.
    pub protocol: u8,
    /// As in [`ConnectionKey::hook`].
    pub hook: u8,
    /// Zero.
    pub zero: u16,
}

/// The ports that only the first fragment has.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentPorts {
    /// The source port.
    pub source_be: u16,
    /// The destination port.
    pub destination_be: u16,
}

/// A socket with one address that it speaks to.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SocketKey {
    /// The socket's cookie.
    pub cookie: u64,
    /// An endpoint (SOCKET_PEERS) or a frontend (SOCKET_FLOWS).
    pub address: Address,
    /// Its port.
    pub port_be: u16,
    /// [`TCP`] or [`UDP`].
    pub protocol: u8,
    /// Zero.
    pub zero: [u8; 5],
}

/// The other address that belongs to it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketPeer {
    /// A frontend as it was dialled (SOCKET_PEERS) or an endpoint (SOCKET_FLOWS).
    pub address: Address,
    /// Its port.
    pub port_be: u16,
    /// Zero.
    pub zero: u16,
    /// [`Service::id`].
    pub service: u32,
    /// [`Service::generation`] when the endpoint was chosen or last found among the service's endpoints.
    pub generation: u32,
    /// Zero.
    pub zero_too: u32,
}

/// An address of the node at which NodePorts answer.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeAddress {
    /// [`NODE_LOOPBACK`].
    pub flags: u32,
}

/// A loopback address: it answers only to processes of the node's own namespace, and never on the wire.
pub const NODE_LOOPBACK: u32 = 1 << 0;

/// An interface that the programs are attached to.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The IPv4 address (mapped) that SNAT takes for packets that go out here; unspecified when there is none.
    pub v4: Address,
    /// The IPv6 address that SNAT takes.
    pub v6: Address,
    /// [`INSIDE`].
    pub flags: u32,
    /// Zero.
    pub zero: u32,
}

/// Pods of this node are behind the interface.
pub const INSIDE: u32 = 1 << 0;

/// What the programs know of the node.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// [`LAYOUT`].
    pub layout: u32,
    /// Slots of each Maglev table, a prime.
    pub maglev_slots: u32,
    /// Cookie of the node's own network namespace.
    pub netns_cookie: u64,
    /// First port that SNAT takes.
    pub snat_first: u16,
    /// Last port that SNAT takes.
    pub snat_last: u16,
    /// Zero.
    pub zero: u32,
}

/// Why a packet or a connection was not let through; the index into [`Counters::dropped`].
pub const DROPPED_NO_ENDPOINT: usize = 0;
/// The traffic policy is Local, and the only endpoints are on other nodes.
pub const DROPPED_NO_LOCAL_ENDPOINT: usize = 1;
/// The source is in none of the service's source ranges.
pub const DROPPED_SOURCE_RANGE: usize = 2;
/// Every SNAT port that was tried is in use with that endpoint.
pub const DROPPED_NO_SNAT_PORT: usize = 3;
/// A map took no new entry.
pub const DROPPED_MAP_FULL: usize = 4;
/// The packet could not be rewritten.
pub const DROPPED_REWRITE: usize = 5;
/// How many reasons there are, with room for two more.
pub const DROPPED: usize = 8;

/// What was counted for a service port, on one CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counters {
    /// Connections (and UDP flows) of the socket hooks.
    pub socket_connections: u64,
    /// Connections (and UDP flows) of the packet path.
    pub packet_connections: u64,
    /// Packets to endpoints, packet path.
    pub packets_in: u64,
    /// Bytes to endpoints, packet path.
    pub bytes_in: u64,
    /// Packets from endpoints, packet path.
    pub packets_out: u64,
    /// Bytes from endpoints, packet path.
    pub bytes_out: u64,
    /// By reason, `DROPPED_…`.
    pub dropped: [u64; DROPPED],
}

/// The bitmaps in PORTS, each of [`PORT_WORDS`] words of 64 ports.
pub const PORTS_OF_FRONTENDS_TCP: u32 = 0;
/// Ports of UDP frontends.
pub const PORTS_OF_FRONTENDS_UDP: u32 = 1;
/// Ports of TCP endpoints.
pub const PORTS_OF_ENDPOINTS_TCP: u32 = 2;
/// Ports of UDP endpoints.
pub const PORTS_OF_ENDPOINTS_UDP: u32 = 3;
/// Words of one bitmap.
pub const PORT_WORDS: u32 = 1024;

/// What skb marks say that netfilter must not translate a packet as well (kube-proxy's masquerade mark, which
/// flannel's rules and ours return from).
pub const MARK: u32 = 0x4000;

// The kernel pads values to 8 bytes; keys and values here have no holes.
const _: () = {
    assert!(size_of::<FrontendKey>() == 20);
    assert!(size_of::<Service>() == 40);
    assert!(size_of::<Endpoint>() == 24);
    assert!(size_of::<AffinityKey>() == 24);
    assert!(size_of::<Affinity>() == 24);
    assert!(size_of::<SourceRange>() == 20);
    assert!(size_of::<ConnectionKey>() == 40);
    assert!(size_of::<Connection>() == 32);
    assert!(size_of::<FragmentKey>() == 40);
    assert!(size_of::<SocketKey>() == 32);
    assert!(size_of::<SocketPeer>() == 32);
    assert!(size_of::<Interface>() == 40);
    assert!(size_of::<Config>() == 24);
    assert!(size_of::<Counters>() == 112);
};
