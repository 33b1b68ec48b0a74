//! Flags for the sizes of maps.

use clap::Args;
use proxy_ebpf::ebpf::Sizes;

/// How many entries maps have. What they cost is in the log at start, and in `weft_proxy_map_memory_bytes`.
#[derive(Debug, Args)]
pub struct SizeFlags {
    /// Entries for frontends: cluster IPs, NodePorts, load balancers' and external IPs
    #[arg(long, default_value_t = Sizes::default().frontends)]
    map_frontends: u32,
    /// Entries for service ports
    #[arg(long, default_value_t = Sizes::default().services)]
    map_services: u32,
    /// Entries for endpoints; a service takes the next power of two
    #[arg(long, default_value_t = Sizes::default().endpoints)]
    map_endpoints: u32,
    /// Maglev tables: service ports with a NodePort, a load balancer or an external IP
    #[arg(long, default_value_t = Sizes::default().maglev_tables)]
    map_maglev_tables: u32,
    /// Entries for connections of the packet path: two each, four with SNAT
    #[arg(long, default_value_t = Sizes::default().connections)]
    map_connections: u32,
    /// Entries for clients that keep an endpoint
    #[arg(long, default_value_t = Sizes::default().affinity)]
    map_affinity: u32,
    /// Entries for source ranges
    #[arg(long, default_value_t = Sizes::default().source_ranges)]
    map_source_ranges: u32,
    /// Entries for connected sockets, and as many for unconnected UDP flows
    #[arg(long, default_value_t = Sizes::default().sockets)]
    map_sockets: u32,
}

impl SizeFlags {
    /// The sizes.
    pub fn sizes(&self) -> Sizes {
        Sizes {
            frontends: self.map_frontends,
            services: self.map_services,
            endpoints: self.map_endpoints,
            maglev_tables: self.map_maglev_tables,
            connections: self.map_connections,
            affinity: self.map_affinity,
            source_ranges: self.map_source_ranges,
            sockets: self.map_sockets,
        }
    }
}
