//! The kernel programs, loaded with maps of their own, and packets that are run through them (BPF_PROG_TEST_RUN).
//!
//! Nothing is attached: the kernel calls the program with the packet and hands back what became of it. The programs
//! see loopback as their interface, the only one that every network namespace has.

use aya::maps::{Array, HashMap, LpmTrie, MapData, PerCpuArray, lpm_trie};
use aya::programs::{SchedClassifier, TestRun, TestRunOptions};
use aya::{Ebpf, EbpfLoader, Pod};
use std::time::Duration;
use weft_proxy_abi::{
    Address, Affinity, AffinityKey, Config, Connection, ConnectionKey, Counters, Endpoint, FrontendKey,
    Interface, LAYOUT, MAGLEV_CHUNK, NODE_LOOPBACK, NodeAddress, PORT_WORDS, Service, SourceRange, TCP,
};

/// The interface that programs see in a test run.
pub const IFINDEX: u32 = 1;
/// First and last port of SNAT in the tests.
pub const SNAT_PORTS: (u16, u16) = (61_000, 61_099);

/// What a program answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Pass,
    Drop,
}

/// What became of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    pub verdict: Verdict,
    pub packet: Vec<u8>,
    pub mark: u32,
}

/// A layout of the maps as plain bytes, which is what aya takes and gives.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Plain<T>(pub T);

// SAFETY: layouts of the maps are `repr(C)`, without holes and valid for any bytes.
unsafe impl<T: Copy + 'static> Pod for Plain<T> {}

/// The programs and their maps.
pub struct Bed {
    ebpf: Ebpf,
}

impl Bed {
    /// Programs with empty maps, a node without addresses.
    pub fn new() -> Bed {
        let object = match std::env::var_os("WEFT_PROXY_OBJECT") {
            Some(path) => std::fs::read(&path).unwrap(),
            None => include_bytes!("../../ebpf/weft-proxy.o").to_vec(),
        };
        let mut loader = EbpfLoader::new();
        for (name, size) in [
            ("SERVICES", 64),
            ("NODE_ADDRESSES", 16),
            ("ENDPOINTS", 256),
            ("MAGLEV", 64),
            ("AFFINITY", 256),
            ("SOURCE_RANGES", 64),
            ("CONNECTIONS", 4096),
            ("FRAGMENTS", 256),
            ("SOCKET_PEERS", 16),
            ("SOCKET_FLOWS", 16),
            ("INTERFACES", 16),
            ("COUNTERS", 64),
        ] {
            loader.map_max_entries(name, size);
        }
        let ebpf = loader.load(&object).expect("needs root and a kernel with BPF; see the error's source");
        let mut bed = Bed { ebpf };
        bed.configure(Config {
            layout: LAYOUT,
            maglev_slots: 251,
            netns_cookie: 0,
            snat_first: SNAT_PORTS.0,
            snat_last: SNAT_PORTS.1,
            zero: 0,
        });
        bed
    }

    /// One of the packet path's programs, loaded when it is first asked for.
    pub fn program(&mut self, name: &str) -> &mut SchedClassifier {
        let program: &mut SchedClassifier = self.ebpf.program_mut(name).unwrap().try_into().unwrap();
        if program.fd().is_err() {
            program.load().unwrap();
        }
        program
    }

    /// Runs a packet that comes in.
    pub fn ingress(&mut self, packet: &[u8]) -> Output {
        self.run("ingress", packet)
    }

    /// Runs a packet that goes out.
    pub fn egress(&mut self, packet: &[u8]) -> Output {
        self.run("egress", packet)
    }

    /// Runs a packet through a program.
    pub fn run(&mut self, program: &str, packet: &[u8]) -> Output {
        self.try_run(program, packet).expect("the kernel takes the packet for a test run")
    }

    /// Runs a packet through a program; `None` where the kernel has no test runs with packets so short.
    pub fn try_run(&mut self, program: &str, packet: &[u8]) -> Option<Output> {
        let mut out = vec![0; packet.len() + 256];
        // The kernel's `__sk_buff`, whose third word is the mark.
        let mut context = [0; 192];
        let options = TestRunOptions {
            data_in: Some(packet),
            data_out: Some(&mut out),
            ctx_out: Some(&mut context),
            ..TestRunOptions::default()
        };
        let result = self.program(program).test_run(options).ok()?;
        out.truncate(result.data_size_out as usize);
        let verdict = match result.return_value as i32 {
            -1 => Verdict::Pass,
            2 => Verdict::Drop,
            other => panic!("{program} answered {other}"),
        };
        Some(Output { verdict, packet: out, mark: u32::from_ne_bytes(context[8..12].try_into().unwrap()) })
    }

    /// How long a run takes on average, over one packet that stays as each run leaves it.
    pub fn cost(&mut self, program: &str, packet: &[u8], repeat: u32) -> Duration {
        let options = TestRunOptions { data_in: Some(packet), repeat, ..TestRunOptions::default() };
        self.program(program).test_run(options).unwrap().duration
    }

    pub fn configure(&mut self, config: Config) {
        self.array("CONFIG").set(0, Plain(config), 0).unwrap();
    }

    /// Sets a port's bit in one of the bitmaps of PORTS.
    pub fn add_port(&mut self, bitmap: u32, port: u16) {
        let mut ports = self.array::<u64>("PORTS");
        let index = bitmap * PORT_WORDS + u32::from(port) / 64;
        let Plain(word) = ports.get(&index, 0).unwrap();
        ports.set(index, Plain(word | 1 << (port % 64)), 0).unwrap();
    }

    /// Adds a frontend with its port's bit.
    pub fn add_frontend(&mut self, address: Address, port: u16, protocol: u8, service: Service) {
        let key = FrontendKey { address, port_be: port.to_be(), protocol, zero: 0 };
        self.hash("SERVICES").insert(Plain(key), Plain(service), 0).unwrap();
        self.add_port(u32::from(protocol != TCP), port);
    }

    /// Takes a frontend away; its port's bit stays.
    pub fn remove_frontend(&mut self, address: Address, port: u16, protocol: u8) {
        let key = FrontendKey { address, port_be: port.to_be(), protocol, zero: 0 };
        self.hash::<FrontendKey, Service>("SERVICES").remove(&Plain(key)).unwrap();
    }

    /// Writes endpoints from a position on, with their ports' bits.
    pub fn set_endpoints(&mut self, base: u32, endpoints: &[Endpoint]) {
        for (index, endpoint) in (base..).zip(endpoints) {
            self.array("ENDPOINTS").set(index, Plain(*endpoint), 0).unwrap();
            for bitmap in [2, 3] {
                self.add_port(bitmap, u16::from_be(endpoint.port_be));
            }
        }
    }

    /// Writes Maglev table 0, whose slots are positions.
    pub fn set_maglev(&mut self, slots: &[u16]) {
        for (index, part) in (0..).zip(slots.chunks(MAGLEV_CHUNK)) {
            let mut chunk = [0; MAGLEV_CHUNK];
            chunk[..part.len()].copy_from_slice(part);
            self.array("MAGLEV").set(index, Plain(chunk), 0).unwrap();
        }
    }

    pub fn add_node_address(&mut self, address: Address, loopback: bool) {
        let flags = if loopback { NODE_LOOPBACK } else { 0 };
        self.hash("NODE_ADDRESSES").insert(Plain(address), Plain(NodeAddress { flags }), 0).unwrap();
    }

    /// Says what the interface of the test runs is.
    pub fn set_interface(&mut self, v4: Address, v6: Address, flags: u32) {
        self.set_interface_index(IFINDEX, v4, v6, flags);
    }

    /// Says what an interface of the calling thread's namespace is.
    pub fn set_interface_at(&mut self, name: &str, v4: Address, v6: Address, flags: u32) {
        let index = std::fs::read_to_string(format!("/proc/thread-self/net/dev_snmp6/{name}")).unwrap();
        let index = index.lines().next().unwrap().split_whitespace().nth(1).unwrap().parse().unwrap();
        self.set_interface_index(index, v4, v6, flags);
    }

    fn set_interface_index(&mut self, index: u32, v4: Address, v6: Address, flags: u32) {
        let interface = Interface { v4, v6, flags, zero: 0 };
        self.hash("INTERFACES").insert(Plain(index), Plain(interface), 0).unwrap();
    }

    pub fn add_source_range(&mut self, service: u32, address: Address, bits: u32) {
        let map = self.ebpf.map_mut("SOURCE_RANGES").unwrap();
        let mut ranges = LpmTrie::<_, Plain<SourceRange>, u32>::try_from(map).unwrap();
        let key = lpm_trie::Key::new(32 + bits, Plain(SourceRange { service, address }));
        ranges.insert(&key, 1, 0).unwrap();
    }

    pub fn connection(&mut self, key: ConnectionKey) -> Option<Connection> {
        self.hash("CONNECTIONS").get(&Plain(key), 0).ok().map(|plain: Plain<Connection>| plain.0)
    }

    pub fn set_connection(&mut self, key: ConnectionKey, connection: Connection) {
        self.hash("CONNECTIONS").insert(Plain(key), Plain(connection), 0).unwrap();
    }

    pub fn remove_connection(&mut self, key: ConnectionKey) {
        self.hash::<ConnectionKey, Connection>("CONNECTIONS").remove(&Plain(key)).unwrap();
    }

    pub fn connections(&mut self) -> Vec<(ConnectionKey, Connection)> {
        let map = self.hash::<ConnectionKey, Connection>("CONNECTIONS");
        map.iter().map(Result::unwrap).map(|(key, connection)| (key.0, connection.0)).collect()
    }

    pub fn affinity(&mut self, key: AffinityKey) -> Option<Affinity> {
        self.hash("AFFINITY").get(&Plain(key), 0).ok().map(|plain: Plain<Affinity>| plain.0)
    }

    pub fn set_affinity(&mut self, key: AffinityKey, affinity: Affinity) {
        self.hash("AFFINITY").insert(Plain(key), Plain(affinity), 0).unwrap();
    }

    /// A service's counters, all CPUs together.
    pub fn counters(&mut self, service: u32) -> Counters {
        let map =
            PerCpuArray::<_, Plain<Counters>>::try_from(self.ebpf.map_mut("COUNTERS").unwrap()).unwrap();
        let mut sum = Counters {
            socket_connections: 0,
            packet_connections: 0,
            packets_in: 0,
            bytes_in: 0,
            packets_out: 0,
            bytes_out: 0,
            dropped: [0; 8],
        };
        for Plain(one) in map.get(&service, 0).unwrap().iter() {
            sum.packet_connections += one.packet_connections;
            sum.packets_in += one.packets_in;
            sum.bytes_in += one.bytes_in;
            sum.packets_out += one.packets_out;
            sum.bytes_out += one.bytes_out;
            for (sum, one) in sum.dropped.iter_mut().zip(one.dropped) {
                *sum += one;
            }
        }
        sum
    }

    fn array<T: Copy + 'static>(&mut self, name: &str) -> Array<&mut MapData, Plain<T>> {
        Array::try_from(self.ebpf.map_mut(name).unwrap()).unwrap()
    }

    fn hash<K: Copy + 'static, V: Copy + 'static>(
        &mut self,
        name: &str,
    ) -> HashMap<&mut MapData, Plain<K>, Plain<V>> {
        HashMap::try_from(self.ebpf.map_mut(name).unwrap()).unwrap()
    }
}

/// Seconds since boot, as the programs count them.
pub fn now() -> u32 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) }, 0);
    time.tv_sec as u32
}
