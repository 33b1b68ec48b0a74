//! What the back end is told: where it attaches, where it pins, and how large its maps are.

use std::path::PathBuf;

use super::error::EbpfError;
use super::interfaces::Chosen;
use super::maglev;

/// Options of the eBPF back end.
#[derive(Clone, Debug)]
pub struct EbpfOptions {
    /// The cgroup whose processes' sockets are served, and all below it.
    pub cgroup_root: PathBuf,
    /// A bpffs, mounted if it is none.
    pub bpf_root: PathBuf,
    /// Which interfaces get the packet programs.
    pub interfaces: Chosen,
    /// Attach to the clsact qdisc although the kernel has tcx.
    pub clsact: bool,
    /// Slots of a Maglev table.
    pub maglev_slots: u32,
    /// First and last port that SNAT takes.
    pub snat_ports: (u16, u16),
    /// Entries of the maps.
    pub sizes: Sizes,
}

/// How many entries the maps have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Frontends.
    pub frontends: u32,
    /// Service ports.
    pub services: u32,
    /// Endpoints, of all services; a service takes the next power of two.
    pub endpoints: u32,
    /// Maglev tables.
    pub maglev_tables: u32,
    /// Entries of connections: two each, four with SNAT.
    pub connections: u32,
    /// Clients that keep an endpoint.
    pub affinity: u32,
    /// Source ranges.
    pub source_ranges: u32,
    /// Connected sockets, and as many unconnected UDP flows.
    pub sockets: u32,
}

impl Default for Sizes {
    fn default() -> Sizes {
        Sizes {
            frontends: 65_536,
            services: 32_768,
            endpoints: 262_144,
            maglev_tables: 4_096,
            connections: 262_144,
            affinity: 65_536,
            source_ranges: 16_384,
            sockets: 65_536,
        }
    }
}

/// A map's name, its entries, and the flag that sets them.
pub struct MapSize {
    /// Its name in the object.
    pub name: &'static str,
    /// How many entries it gets.
    pub entries: u32,
    /// The flag, without dashes.
    pub flag: &'static str,
}

impl EbpfOptions {
    /// Elements of MAGLEV that one table takes.
    pub fn chunks(&self) -> u32 {
        self.maglev_slots.div_ceil(weft_proxy_abi::MAGLEV_CHUNK as u32)
    }

    /// The maps whose sizes are set here.
    pub fn map_sizes(&self) -> [MapSize; 10] {
        let sizes = &self.sizes;
        let size = |name, entries, flag| MapSize { name, entries, flag };
        [
            size("SERVICES", sizes.frontends, "map-frontends"),
            size("COUNTERS", sizes.services, "map-services"),
            size("ENDPOINTS", sizes.endpoints, "map-endpoints"),
            size("MAGLEV", sizes.maglev_tables.saturating_mul(self.chunks()), "map-maglev-tables"),
            size("CONNECTIONS", sizes.connections, "map-connections"),
            size("AFFINITY", sizes.affinity, "map-affinity"),
            size("SOURCE_RANGES", sizes.source_ranges, "map-source-ranges"),
            size("SOCKET_PEERS", sizes.sockets, "map-sockets"),
            size("SOCKET_FLOWS", sizes.sockets, "map-sockets"),
            size("FRAGMENTS", 8_192, "map-connections"),
        ]
    }

    /// Refuses what cannot work, before anything is made.
    pub fn check(&self) -> Result<(), EbpfError> {
        let refuse =
            |flag, value: String, why: &str| Err(EbpfError::Flag { flag, value, why: why.to_owned() });
        if !maglev::is_prime(self.maglev_slots) || !(7..=131_071).contains(&self.maglev_slots) {
            let why = "it is a prime from 7 to 131071, such as 251, 1021, 16381 or 65521";
            return refuse("maglev-table-size", self.maglev_slots.to_string(), why);
        }
        let (first, last) = self.snat_ports;
        if first < 1024 || last < first || last - first < 255 {
            let why = "it is FIRST-LAST with at least 256 ports, from 1024 on";
            return refuse("snat-port-range", format!("{first}-{last}"), why);
        }
        for size in self.map_sizes() {
            if !(1..=1 << 26).contains(&size.entries) {
                return refuse(size.flag, size.entries.to_string(), "it is 1 to 67108864 entries");
            }
        }
        Ok(())
    }
}
