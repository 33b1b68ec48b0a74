//! The maps; what is in them is told in `weft-proxy-abi`. Sizes here are defaults, the daemon's flags set them.

use aya_ebpf::{
    bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC},
    btf_maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray},
    macros::btf_map,
};
use weft_proxy_abi::{
    Address, Affinity, AffinityKey, Config, Connection, ConnectionKey, Counters, Endpoint, FragmentKey,
    FragmentPorts, FrontendKey, Interface, MaglevChunk, NodeAddress, PORT_WORDS, Service, SocketKey,
    SocketPeer, SourceRange,
};

const MMAPABLE: usize = BPF_F_MMAPABLE as usize;
const NO_PREALLOC: usize = BPF_F_NO_PREALLOC as usize;

#[btf_map]
pub static CONFIG: Array<Config, 1> = Array::new();

#[btf_map]
pub static PORTS: Array<u64, { 4 * PORT_WORDS as usize }, MMAPABLE> = Array::new();

#[btf_map]
pub static SERVICES: HashMap<FrontendKey, Service, 65536, NO_PREALLOC> = HashMap::new();

#[btf_map]
pub static NODE_ADDRESSES: HashMap<Address, NodeAddress, 1024, NO_PREALLOC> = HashMap::new();

#[btf_map]
pub static ENDPOINTS: Array<Endpoint, 262144, MMAPABLE> = Array::new();

#[btf_map]
pub static MAGLEV: Array<MaglevChunk, 65536, MMAPABLE> = Array::new();

#[btf_map]
pub static AFFINITY: LruHashMap<AffinityKey, Affinity, 65536> = LruHashMap::new();

#[btf_map]
pub static SOURCE_RANGES: LpmTrie<SourceRange, u32, 16384, NO_PREALLOC> = LpmTrie::new();

#[btf_map]
pub static CONNECTIONS: LruHashMap<ConnectionKey, Connection, 262144> = LruHashMap::new();

#[btf_map]
pub static FRAGMENTS: LruHashMap<FragmentKey, FragmentPorts, 8192> = LruHashMap::new();

#[btf_map]
pub static SOCKET_PEERS: LruHashMap<SocketKey, SocketPeer, 65536> = LruHashMap::new();

#[btf_map]
pub static SOCKET_FLOWS: LruHashMap<SocketKey, SocketPeer, 65536> = LruHashMap::new();

#[btf_map]
pub static INTERFACES: HashMap<u32, Interface, 1024, NO_PREALLOC> = HashMap::new();

#[btf_map]
pub static COUNTERS: PerCpuArray<Counters, 16384> = PerCpuArray::new();
