//! The same by nftables: a table of DNAT rules as kube-proxy's nftables mode lays them out, on a node without a proxy.
//!
//! ```text
//! prerouting: daddr . protocol . port → vmap @services → one chain a service → endpoint by numgen → dnat
//!             local address: protocol . port → vmap @nodeports
//! postrouting: masquerade what was marked
//! ```

use crate::world::{NODES, World};
use std::fmt::Write as _;

/// Writes the table of so many services.
pub fn write(world: &World, count: usize) {
    let pods = [(30200, world.pod("pod3"), world.port(5)), (30201, world.pod("pod1"), world.port(6))];
    let (mut chains, mut services, mut ports) = (String::new(), Vec::new(), Vec::new());
    for (node_port, pod, port) in &pods {
        let _ = writeln!(
            chains,
            "chain np{node_port} {{ meta mark set mark or 0x4000; ip protocol tcp dnat to {pod}:{port}; }}"
        );
        ports.push(format!("tcp . {node_port} : goto np{node_port}"));
    }
    for number in 0..count.saturating_sub(pods.len()) {
        let ip = crate::world::crowd_ip(number);
        let endpoints: Vec<String> = (0..10)
            .map(|at| {
                let pod = number * 10 + at;
                format!("{at} : 10.{}.{}.{} . 8080", 100 + pod / 62_500, pod / 250 % 250, pod % 250 + 1)
            })
            .collect();
        let list = endpoints.join(", ");
        let _ = writeln!(
            chains,
            "chain s{number} {{ ip protocol tcp dnat to numgen random mod 10 map {{ {list} }}; }}"
        );
        services.push(format!("{ip} . tcp . 80 : goto s{number}"));
    }
    let elements = |all: &[String]| {
        if all.is_empty() { String::new() } else { format!("elements = {{ {} }}", all.join(", ")) }
    };
    let text = format!(
        "table ip bench\ndelete table ip bench\ntable ip bench {{\n{chains}\
         map services {{ type ipv4_addr . inet_proto . inet_service : verdict; {} }}\n\
         map nodeports {{ type inet_proto . inet_service : verdict; {} }}\n\
         chain prerouting {{ type nat hook prerouting priority -100;\n\
         ip daddr . meta l4proto . th dport vmap @services\n\
         fib daddr type local meta l4proto . th dport vmap @nodeports\n }}\n\
         chain postrouting {{ type nat hook postrouting priority 99;\n\
         meta mark and 0x4000 == 0 return\n meta mark set mark xor 0x4000\n masquerade fully-random\n }}\n}}\n",
        elements(&services),
        elements(&ports)
    );
    let file = world.path(NODES[1], "/run/bench.nft");
    std::fs::write(file, text).unwrap();
    let output = world.lab.exec(NODES[1], &["nft", "-f", "/run/bench.nft"]);
    assert!(output.status.success(), "nft: {}", String::from_utf8_lossy(&output.stderr));
}
