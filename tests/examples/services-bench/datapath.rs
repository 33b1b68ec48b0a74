//! A cold start, a change's way into the maps, memory, and what each program costs.

use crate::world::{FOLDER, NODES, World, crowd, crowd_ip, replace};
use aya::maps::MapData;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};
use weft_tests::measure::{cpu_seconds, megabytes};

/// How many changes are timed.
const CHANGES: usize = 200;
/// Where a proxy pins its maps, in its node's view.
pub const MAPS: &str = "/sys/fs/bpf/weft-proxy/maps";

/// Starts the proxy of the first node on so many services; wall time and CPU until they are in the datapath, memory.
pub fn cold_start(world: &World, count: usize) -> Value {
    world.stop(NODES[0]);
    world.weft(NODES[0], &["proxy", "--cleanup"]);
    world.write(NODES[0], count);
    // The last one has a file of its own: it is the one that changes.
    let [service, slice] = crowd(count);
    let changing = json!({"apiVersion": "v1", "kind": "List", "items": [service, slice]});
    replace(&world.path(NODES[0], FOLDER), "changing.json", &changing);
    let log = world.log(NODES[0]);
    let before = std::fs::metadata(&log).map_or(0, |log| log.len()) as usize;
    let start = Instant::now();
    world.lab.run("start", &[NODES[0], "proxy"]);
    while !std::fs::read_to_string(&log)
        .unwrap_or_default()
        .get(before..)
        .is_some_and(|said| said.contains("in the datapath"))
    {
        assert!(start.elapsed() < Duration::from_secs(60), "not started; see {}", log.display());
        std::thread::sleep(Duration::from_millis(1));
    }
    let (wall, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds(&world.lab.pid(NODES[0], "proxy")));
    std::thread::sleep(Duration::from_millis(500));
    let (resident, maps) = memory(world);
    println!(
        "  cold start: {wall:.2} s, {cpu:.2} s of CPU; daemon {resident:.1} MB, maps {maps:.1} MB, together {:.1} MB",
        resident + maps
    );
    json!({"wall_s": wall, "cpu_s": cpu, "daemon_mb": resident, "maps_mb": maps})
}

/// Megabytes of the daemon and of its maps.
fn memory(world: &World) -> (f64, f64) {
    let resident = megabytes(&world.lab.pid(NODES[0], "proxy"), "RssAnon");
    let folder = world.path(NODES[0], MAPS);
    let bytes: f64 = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let map = MapData::from_pin(entry.unwrap().path()).unwrap();
            let fd = std::os::fd::AsRawFd::as_raw_fd(&std::os::fd::AsFd::as_fd(map.fd()));
            let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap();
            let bytes = info.lines().find_map(|line| line.strip_prefix("memlock:")).unwrap();
            bytes.trim().parse::<f64>().unwrap()
        })
        .sum();
    (resident, bytes / 1e6)
}

/// Changes one slice again and again; from the rename of its file to the map's new value.
pub fn changes(world: &World, count: usize) -> Value {
    let folder = world.path(NODES[0], FOLDER);
    let maps = world.path(NODES[0], MAPS);
    timed(&maps, count, "a changed slice in the datapath", |service, slice| {
        let changed = json!({"apiVersion": "v1", "kind": "List", "items": [service, slice]});
        replace(&folder, "changing.json", &changed);
    })
}

/// Times of changes that `change` makes, each until the map has it.
pub fn timed(maps: &Path, count: usize, what: &str, change: impl Fn(Value, Value)) -> Value {
    let path = maps.join("SERVICES");
    let map = aya::maps::Map::from_map_data(MapData::from_pin(path).unwrap()).unwrap();
    let services: aya::maps::HashMap<MapData, [u8; 20], [u8; 40]> = map.try_into().unwrap();
    let mut key = [0; 20];
    key[10..12].fill(0xff);
    key[12..16].copy_from_slice(&crowd_ip(count).octets());
    key[16..18].copy_from_slice(&80_u16.to_be_bytes());
    key[18] = 6;
    let mut milliseconds = Vec::new();
    for number in 0..CHANGES {
        let [service, mut slice] = crowd(count);
        // One endpoint less, one more, and so on.
        slice["endpoints"].as_array_mut().unwrap().truncate(9 + number % 2);
        let before = services.get(&key, 0).unwrap();
        let start = Instant::now();
        change(service, slice);
        let after = loop {
            let now = services.get(&key, 0).unwrap();
            if now != before {
                break now;
            }
            assert!(start.elapsed() < Duration::from_secs(5), "a change did not come to the datapath");
            // Who looks without a pause takes one of the processors that the way under test needs.
            std::thread::sleep(Duration::from_micros(50));
        };
        milliseconds.push(start.elapsed().as_secs_f64() * 1e3);
        assert_eq!(u32::from_ne_bytes(after[4..8].try_into().unwrap()) as usize, 9 + number % 2);
    }
    milliseconds.sort_by(f64::total_cmp);
    let at = |part: f64| milliseconds[((milliseconds.len() - 1) as f64 * part) as usize];
    println!("  {what}: median {:.2} ms, p99 {:.2} ms, of {CHANGES}", at(0.5), at(0.99));
    json!({"p50_ms": at(0.5), "p99_ms": at(0.99), "changes": CHANGES})
}

/// What each program costs: instructions that the verifier looked at, nanoseconds for a run.
pub fn programs(world: &World) -> Value {
    let _stats = aya::sys::enable_stats(aya::sys::Stats::RunTime).unwrap();
    let before = runs();
    let dialled = |from: &str, to: &str, port: &str| {
        let words = ["lab", "load", "client", "--to", to, "--port", port, "--seconds", "0.5", "connect"];
        let result: Value = serde_json::from_str(&world.weft(from, &words)).unwrap();
        result["rate"].as_f64().unwrap() * result["seconds"].as_f64().unwrap()
    };
    let connections = dialled("pod1", crate::world::FIRST[0].cluster_ip, "80");
    let sockets = runs();
    let packets = dialled(NODES[2], world.node(0), "30101");
    let after = runs();
    let socket_ns =
        total(&before, &sockets, |name| !name.starts_with("ingress") && !name.starts_with("egress"));
    let packet_ns = total(&sockets, &after, |name| name.starts_with("ingress") || name.starts_with("egress"));
    println!(
        "  programs: {:.2} µs at sockets for a connection to a ClusterIP; {:.2} µs on the packet path for one to a \
         NodePort with SNAT",
        socket_ns / connections / 1e3,
        packet_ns / packets / 1e3
    );
    let mut found = serde_json::Map::new();
    for (name, (instructions, ..)) in &after {
        let of = |runs: &Runs| runs.get(name).map_or((0.0, 0.0), |(_, ns, count)| (*ns, *count));
        let (ns, count) = (of(&after).0 - of(&before).0, of(&after).1 - of(&before).1);
        let each = if count > 0.0 { ns / count } else { 0.0 };
        println!(
            "    {name:<14} {instructions:>6} instructions verified, {each:>6.0} ns a run, {count} runs"
        );
        found.insert(name.clone(), json!({"instructions": instructions, "ns": each, "runs": count}));
    }
    json!({"socket_us_per_connection": socket_ns / connections / 1e3,
        "packet_us_per_connection": packet_ns / packets / 1e3, "programs": found})
}

/// By name: instructions, nanoseconds, runs; of the programs of all nodes together.
type Runs = BTreeMap<String, (u32, f64, f64)>;

fn runs() -> Runs {
    const NAMES: [&str; 14] = [
        "connect4",
        "connect6",
        "sendmsg4",
        "sendmsg6",
        "recvmsg4",
        "recvmsg6",
        "getpeername4",
        "getpeername6",
        "bind4",
        "bind6",
        "ingress",
        "egress",
        "ingress_l3",
        "egress_l3",
    ];
    let mut all = Runs::new();
    for program in aya::programs::loaded_programs().flatten() {
        let Some(name) = program.name_as_str().filter(|name| NAMES.contains(name)) else { continue };
        let entry = all.entry(name.to_owned()).or_default();
        entry.0 = program.verified_instruction_count().unwrap_or(0);
        entry.1 += program.run_time().as_nanos() as f64;
        entry.2 += program.run_count() as f64;
    }
    all
}

fn total(before: &Runs, after: &Runs, wanted: impl Fn(&str) -> bool) -> f64 {
    let of =
        |runs: &Runs| runs.iter().filter(|(name, _)| wanted(name)).map(|(_, (_, ns, _))| ns).sum::<f64>();
    of(after) - of(before)
}
