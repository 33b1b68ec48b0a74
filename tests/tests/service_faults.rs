//! Faults of the service proxy under traffic: what runs goes on, what is missing heals, what is foreign stays.

#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

use serde_json::Value;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;
use weft_tests::services::{Backend, Bed, Dialled, HEALED, Hold, NODES, PODS, Service};
use weft_tests::weft;

const NODE: &str = "k8s-node1";
/// The cluster IP of the lab's own service.
const WEB: &str = "10.96.0.80:80";

fn lost(done: &[Dialled]) -> Vec<&Dialled> {
    done.iter().filter(|one| matches!(one, Dialled::Failed { .. })).collect()
}

/// A connection over which a byte goes there and back all the time.
fn requests(bed: &Bed, from: &str, to: SocketAddr, seconds: &str) -> Child {
    let (weft, ip, port) = (weft().display().to_string(), to.ip().to_string(), to.port().to_string());
    let words =
        [&weft, "lab", "load", "client", "--to", &ip, "--port", &port, "--seconds", seconds, "request"];
    bed.lab.exec_command(from, &words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn served(child: Child) {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(said["rate"].as_f64().unwrap() > 100.0, "{said}");
}

/// A service whose endpoints are on the second node.
fn far(bed: &Bed) -> Service {
    let service = Service::of("far", 1).node_port().on(&["pod3", "pod4"]);
    apply(bed, &service);
    service
}

fn apply(bed: &Bed, service: &Service) {
    bed.apply(&format!("{}.json", service.name), &service.objects(bed), std::slice::from_ref(&service.name));
}

fn log(bed: &Bed, node: &str) -> String {
    std::fs::read_to_string(format!("/run/weft-lab/{}/logs/{node}-proxy.log", bed.lab.name())).unwrap()
}

/// The numbers of the programs that a daemon holds.
fn programs(pid: &str) -> BTreeSet<u32> {
    let folder = std::fs::read_dir(format!("/proc/{pid}/fdinfo")).unwrap();
    let texts = folder.filter_map(|entry| std::fs::read_to_string(entry.ok()?.path()).ok());
    let number =
        |text: String| text.lines().find_map(|line| line.strip_prefix("prog_id:")?.trim().parse().ok());
    texts.filter_map(number).collect()
}

#[test]
fn nothing_is_lost_while_the_proxy_is_killed_and_started_again() {
    let bed = Bed::up("t-proxy-kill", Backend::Ebpf);
    let far = far(&bed);
    let (inside, outside) = (far.cluster(true), far.at(bed.node(NODE, true)));
    let long = [requests(&bed, "pod1", inside, "8"), requests(&bed, "gateway", outside, "8")];
    let done: Vec<Vec<Dialled>> = thread::scope(|scope| {
        let clients = [("pod1", inside), ("gateway", outside), ("gateway", far.at(bed.node(NODE, false)))];
        let dials = clients.map(|(from, to)| {
            let bed = &bed;
            // As many as keep the client busy from before the kill until after the start.
            scope.spawn(move || {
                (0..45)
                    .flat_map(|_| {
                        thread::sleep(Duration::from_millis(50));
                        bed.dial_tcp(from, to, 100)
                    })
                    .collect::<Vec<_>>()
            })
        });
        for _ in 0..3 {
            thread::sleep(Duration::from_millis(300));
            bed.kill_proxy(NODE);
            thread::sleep(Duration::from_millis(400));
            bed.lab.run("start", &[NODE, "proxy"]);
        }
        dials.into_iter().map(|client| client.join().unwrap()).collect()
    });
    for done in &done {
        assert_eq!(done.len(), 4500);
        assert_eq!(lost(done), Vec::<&Dialled>::new());
    }
    long.into_iter().for_each(served);
}

#[test]
fn a_udp_socket_whose_endpoint_went_while_no_proxy_ran_is_told() {
    let bed = Bed::up("t-proxy-udp", Backend::Ebpf);
    let service = Service::of("moves", 1);
    let name = std::slice::from_ref(&service.name);
    bed.apply("moves.json", &service.clone().on(&["pod3", "pod4"]).objects(&bed), name);
    let mut sockets = [true, false].map(|v4| Hold::open(&bed, "pod1", service.cluster(v4)));
    for socket in &mut sockets {
        assert!(["pod3", "pod4"].contains(&socket.connect().host().unwrap()));
    }
    // Another service keeps the same endpoints.
    let stays = Service::of("stays", 2).on(&["pod3", "pod4"]);
    bed.apply("stays.json", &stays.objects(&bed), std::slice::from_ref(&stays.name));
    let mut other = Hold::open(&bed, "pod1", stays.cluster(true));
    let host = other.connect();
    bed.kill_proxy(NODE);
    bed.write("moves.json", &service.on(&["pod5"]).objects(&bed));
    assert!(sockets.iter_mut().all(|socket| !socket.is_ended()), "nobody is there to end them");
    bed.lab.run("start", &[NODE, "proxy"]);
    for mut socket in sockets {
        bed.lab.wait("the socket is told that its endpoint went", HEALED, || socket.is_ended());
        assert_eq!(socket.connect().host(), Some("pod5"));
        assert_eq!(other.ask().host(), host.host());
    }
}

#[test]
fn another_program_takes_over_and_connections_live_on() {
    let bed = Bed::up("t-proxy-upgrade", Backend::Ebpf);
    let far = far(&bed);
    let (inside, outside) = (far.cluster(true), far.at(bed.node(NODE, true)));
    let before = programs(&bed.lab.pid(NODE, "proxy"));
    let long = [requests(&bed, "pod1", inside, "4"), requests(&bed, "gateway", outside, "4")];
    thread::sleep(Duration::from_millis(500));
    bed.kill_proxy(NODE);
    let folder = tempfile::tempdir().unwrap();
    let object = folder.path().join("another.o");
    std::fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/../proxy-ebpf/ebpf/weft-proxy.o"), &object).unwrap();
    let started = bed.start_proxy(NODE, &[&format!("WEFT_PROXY_OBJECT={}", object.display())], &[]);
    let after = programs(&started.pid());
    assert_eq!(before.len(), after.len(), "{before:?} {after:?}");
    assert!(before.is_disjoint(&after), "{before:?} {after:?}");
    assert!(bed.answers("pod1", inside) && bed.answers("gateway", outside));
    long.into_iter().for_each(served);
}

#[test]
fn no_connection_reaches_an_endpoint_that_is_gone() {
    let bed = Bed::up("t-proxy-flap", Backend::Ebpf);
    let service = Service::of("flap", 1).node_port();
    let to = service.at(bed.node(NODE, true));
    for round in 0..12 {
        let ready: Vec<&str> = PODS.into_iter().skip(round % 3).step_by(3).collect();
        apply(&bed, &service.clone().on(&ready));
        for (from, to) in
            [("pod5", service.cluster(true)), ("gateway", to), ("k8s-node2", service.cluster(false))]
        {
            let done = bed.dial_tcp(from, to, 60);
            assert_eq!(lost(&done), Vec::<&Dialled>::new(), "round {round}, {from}");
            let who: BTreeSet<&str> = done.iter().filter_map(Dialled::host).collect();
            assert_eq!(who, ready.iter().copied().collect(), "round {round}, {from}");
        }
    }
}

#[test]
fn full_maps_are_told_and_the_rest_is_served() {
    let bed = Bed::up("t-proxy-full", Backend::Ebpf);
    bed.kill_proxy(NODE);
    assert!(bed.proxy(NODE, &["--cleanup"]).status.success());
    let small = bed.start_proxy(NODE, &[], &["--map-endpoints", "64", "--map-frontends", "16"]);
    let objects: Vec<Value> =
        (1..60).flat_map(|n| Service::of(&format!("many-{n}"), n).on(&PODS).objects(&bed)).collect();
    bed.write("many.json", &objects);
    bed.lab.wait("a full map in the log", HEALED, || small.log().contains("--map-"));
    let metrics = bed.lab.exec(NODE, &["curl", "-s", "http://127.0.0.1:10249/metrics"]);
    let metrics = String::from_utf8_lossy(&metrics.stdout).into_owned();
    let failed = metrics.lines().find_map(|line| line.strip_prefix("weft_proxy_failed_service_ports_total "));
    assert!(failed.unwrap_or("0").parse::<f64>().unwrap() > 0.0, "{failed:?} in {metrics}");
    assert!(bed.answers("pod1", WEB.parse().unwrap()), "{}", small.log());
}

#[test]
fn foreign_state_stays_and_cleanup_takes_all_that_is_ours() {
    let bed = Bed::up("t-proxy-foreign", Backend::Ebpf);
    let far = far(&bed);
    let clients = [("pod1", far.cluster(true)), ("gateway", far.at(bed.node(NODE, true)))];
    bed.kill_proxy(NODE);
    assert!(bed.proxy(NODE, &["--cleanup"]).status.success());
    let shell = |text: &str| {
        let output = bed.lab.exec(NODE, &["sh", "-ec", text]);
        assert!(output.status.success(), "{text}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    shell(
        "nft add table inet foreign; nft add chain inet foreign c; nft add rule inet foreign c counter drop",
    );
    shell(
        "tc qdisc add dev eth0 clsact; tc filter add dev eth0 ingress protocol all prio 7 u32 match u32 0 0 flowid 1:1",
    );
    let look = || {
        shell("nft list ruleset; tc qdisc show dev eth0; tc filter show dev eth0 ingress; ip rule; ip route")
    };
    let before = look();
    assert!(before.contains("u32") && before.contains("foreign"), "{before}");
    for (from, to) in clients {
        assert_eq!(lost(&bed.dial_tcp(from, to, 1)).len(), 1, "{from} reaches a service without a proxy");
    }
    bed.lab.run("start", &[NODE, "proxy"]);
    bed.lab.wait("the proxy serves", HEALED, || clients.iter().all(|(from, to)| bed.answers(from, *to)));
    assert_eq!(before, look(), "while the proxy runs");
    bed.kill_proxy(NODE);
    assert!(bed.proxy(NODE, &["--cleanup"]).status.success());
    assert_eq!(before, look(), "after --cleanup");
    shell("test ! -e /sys/fs/bpf/weft-proxy");
    for (from, to) in clients {
        assert_eq!(lost(&bed.dial_tcp(from, to, 1)).len(), 1, "{from} reaches a service after --cleanup");
    }
}

#[test]
fn what_the_proxy_cannot_do_is_refused_by_name() {
    let bed = Bed::up("t-proxy-refuse", Backend::Ebpf);
    let listeners =
        ["--healthz-bind-address", "127.0.0.1:10356", "--metrics-bind-address", "127.0.0.1:10349"];
    let manifests = ["--manifests", "/run/weft/services"];
    let cases: [(&[&str], &str); 5] = [
        (&["--cgroup-root", "/proc"], "--cgroup-root /proc is no cgroup v2"),
        (&["--cgroup-root", "/no-such-folder"], "/no-such-folder"),
        (&["--proxy-mode", "iptables"], "--proxy-mode iptables"),
        (&["--iptables-sync-period", "1s"], "--iptables-sync-period"),
        (&["--cluster-cidr", "10.244.0.0/16"], "--cluster-cidr"),
    ];
    for (flags, said) in cases {
        let output = bed.proxy(NODE, &[flags, &listeners, &manifests].concat());
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains(said), "{flags:?}: {text}");
    }
    assert!(bed.answers("pod1", WEB.parse().unwrap()));
}

#[test]
fn a_broken_manifest_is_named_and_services_stay() {
    let bed = Bed::up("t-proxy-broken", Backend::Ebpf);
    let far = far(&bed);
    let text = "{\"apiVersion\": \"v1\", \"kind\": \"List\",\n\"items\": [\n{\"apiVersion\": oops}]}";
    for node in NODES {
        bed.replace(node, "far.json", text);
    }
    bed.lab.wait("the broken file in the log", HEALED, || {
        let log = log(&bed, NODE);
        log.lines()
            .any(|line| line.contains("far.json") && (line.contains("line 3") || line.contains("json:3")))
    });
    assert!(bed.answers("pod1", far.cluster(true)), "{}", log(&bed, NODE));
    apply(&bed, &Service::of("far", 1).node_port().on(&["pod5"]));
    let who: BTreeSet<String> = bed
        .dial_tcp("pod1", far.cluster(true), 20)
        .iter()
        .filter_map(Dialled::host)
        .map(str::to_owned)
        .collect();
    assert_eq!(who, BTreeSet::from(["pod5".to_owned()]));
}

#[test]
fn interfaces_that_are_made_again_are_served_again() {
    let bed = Bed::up("t-proxy-links", Backend::Ebpf);
    let service = Service::of("all", 1).node_port().on(&PODS);
    apply(&bed, &service);
    let clients = [("pod3", service.cluster(true)), ("gateway", service.at(bed.node(NODE, true)))];
    let index = |name: &str| {
        let output = bed.lab.exec(NODE, &["cat", &format!("/sys/class/net/{name}/ifindex")]);
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    let old = index("flannel.1");
    assert!(bed.lab.exec(NODE, &["ip", "link", "delete", "flannel.1"]).status.success());
    bed.lab.wait("flannel.1 is there again", HEALED, || !["", &old].contains(&index("flannel.1").as_str()));
    bed.lab.wait("programs at the interface made again", HEALED, || {
        let pin = format!("/sys/fs/bpf/weft-proxy/links/tcx-{}-ingress", index("flannel.1"));
        bed.lab.exec(NODE, &["test", "-e", &pin]).status.success()
    });
    bed.lab.wait("services by the interface made again", HEALED, || {
        clients.iter().all(|(from, to)| bed.answers(from, *to))
    });
}
