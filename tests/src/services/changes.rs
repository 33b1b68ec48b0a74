//! Cases in which something changes while clients look on, and those that ask the proxy itself.

use super::bed::{Bed, NODES, PODS};
use super::case::{Dial, Dialled, Way};
use super::hold::Hold;
use super::manifest::{End, Service};
use crate::weft;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

/// How long a change may take to be seen by a client.
const PATIENCE: Duration = Duration::from_secs(30);

/// A case: an error says what is wrong.
pub type Change = fn(&Bed) -> Result<(), String>;

/// Each by its name. Their services have numbers from 200 on.
pub const CHANGES: &[(&str, Change)] = &[
    ("session affinity ends after its time", affinity_ends),
    ("session affinity to an endpoint that goes away chooses another", affinity_moves),
    ("a long-lived unconnected UDP socket follows the endpoints", sendto_follows),
    ("a connected UDP socket gets an error when its endpoint is gone, and works again", connected_is_told),
    ("a service that is deleted is gone", deleted),
    ("healthCheckNodePort answers 200 with local endpoints and 503 without", health_checks),
    ("explain says what is left out", explained),
    ("trace names the endpoint that a client gets", traced),
];

fn once(bed: &Bed, from: &str, way: Way, to: SocketAddr) -> Dialled {
    let dial = Dial { to, way, times: 1, patience_ms: 1500, from_port: 0 };
    bed.dial(from, &[dial]).remove(0).remove(0)
}

fn who(done: Dialled) -> Result<String, String> {
    match done {
        Dialled::Answer { host, .. } => Ok(host),
        failed => Err(format!("{failed:?}")),
    }
}

fn expect(so: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if so { Ok(()) } else { Err(what()) }
}

fn put(bed: &Bed, service: &Service) {
    bed.apply(
        &format!("{}.json", service.name),
        &service.objects(bed),
        &[format!("default/{}", service.name)],
    );
}

fn sticky(name: &str, number: u16, seconds: u32) -> Service {
    let config = json!({"clientIP": {"timeoutSeconds": seconds}});
    Service::of(name, number)
        .node_port()
        .with("sessionAffinity", "ClientIP")
        .with("sessionAffinityConfig", config)
}

fn affinity_ends(bed: &Bed) -> Result<(), String> {
    let s = sticky("change-affinity-ends", 200, 1).on(&PODS);
    put(bed, &s);
    let first = who(once(bed, "pod1", Way::Tcp, s.cluster(true)))?;
    // Six pods: all of ten tries have the first by chance once in 10^7 runs.
    for _ in 0..10 {
        thread::sleep(Duration::from_millis(2100));
        if who(once(bed, "pod1", Way::Tcp, s.cluster(true)))? != first {
            return Ok(());
        }
    }
    Err(format!("{first} answers for ever"))
}

fn affinity_moves(bed: &Bed) -> Result<(), String> {
    let s = sticky("change-affinity-moves", 201, 10800);
    put(bed, &s.clone().on(&PODS));
    let targets = [("pod1", s.cluster(true)), ("gateway", s.at(bed.node("k8s-node1", true)))];
    for (from, to) in targets {
        put(bed, &s.clone().on(&PODS));
        let first = who(once(bed, from, Way::Tcp, to))?;
        let rest: Vec<&str> = PODS.into_iter().filter(|pod| *pod != first).collect();
        put(bed, &s.clone().on(&rest));
        let second = who(once(bed, from, Way::Tcp, to))?;
        let third = who(once(bed, from, Way::Tcp, to))?;
        expect(first != second && second == third, || {
            format!("{from}: {first}, then {second}, then {third}")
        })?;
    }
    Ok(())
}

fn sendto_follows(bed: &Bed) -> Result<(), String> {
    let s = Service::of("change-sendto", 202);
    put(bed, &s.clone().on(&["pod3"]));
    for v4 in [true, false] {
        put(bed, &s.clone().on(&["pod3"]));
        let mut socket = Hold::open(bed, "pod1", s.cluster(v4));
        for _ in 0..3 {
            let host = who(socket.ask())?;
            expect(host == "pod3", || format!("{host} answered, not pod3"))?;
        }
        put(bed, &s.clone().on(&["pod5"]));
        for _ in 0..3 {
            let host = who(socket.ask())?;
            expect(host == "pod5", || format!("{host} answered after the change"))?;
        }
    }
    Ok(())
}

fn connected_is_told(bed: &Bed) -> Result<(), String> {
    let s = Service::of("change-connected", 203);
    for v4 in [true, false] {
        put(bed, &s.clone().on(&["pod3"]));
        let mut socket = Hold::open(bed, "pod1", s.cluster(v4));
        let host = who(socket.connect())?;
        expect(host == "pod3", || format!("{host} answered, not pod3"))?;
        put(bed, &s.clone().on(&["pod5"]));
        // Sockets are ended after the datapath has changed, which is what `put` has waited for.
        bed.lab.wait("the socket is told that its endpoint went", PATIENCE, || socket.is_ended());
        let host = match socket.connect() {
            Dialled::Answer { host, .. } => host,
            failed => return Err(format!("connecting again gives {failed:?}")),
        };
        expect(host == "pod5", || format!("{host} answered after connecting again"))?;
    }
    Ok(())
}

fn deleted(bed: &Bed) -> Result<(), String> {
    let s = Service::of("change-deleted", 204).node_port().on(&PODS);
    put(bed, &s);
    let to = s.at(bed.node("k8s-node2", true));
    who(once(bed, "gateway", Way::Tcp, to))?;
    bed.apply("change-deleted.json", &[], &[]);
    let start = std::time::Instant::now();
    while matches!(once(bed, "gateway", Way::Tcp, to), Dialled::Answer { .. }) {
        expect(start.elapsed() < PATIENCE, || format!("the NodePort answers {PATIENCE:?} after"))?;
    }
    let left = once(bed, "pod1", Way::Tcp, s.cluster(true));
    expect(matches!(left, Dialled::Failed { .. }), || format!("the ClusterIP gives {left:?}"))?;
    let bound = once(bed, "k8s-node2", Way::Bind, to);
    expect(matches!(bound, Dialled::Answer { .. }), || format!("its port stays taken: {bound:?}"))
}

fn health_checks(bed: &Bed) -> Result<(), String> {
    let s = Service::of("change-health", 205).load_balancer("VIP").with("externalTrafficPolicy", "Local");
    put(bed, &s.with("healthCheckNodePort", 32205).on(&["pod1", "pod2", "pod3"]));
    for (node, code, local) in [(NODES[0], "200", 2), (NODES[1], "200", 1), (NODES[2], "503", 0)] {
        for v4 in [true, false] {
            let url = format!("http://{}/healthz", SocketAddr::new(bed.node(node, v4), 32205));
            // The listener follows the datapath, which is what `put` has waited for.
            bed.lab.wait(&format!("{code} and {local} endpoints from {url}"), PATIENCE, || {
                let output = bed.lab.exec("gateway", &["curl", "-gsw", " %{http_code}", &url]);
                let text = String::from_utf8_lossy(&output.stdout).into_owned();
                let (body, said) = text.rsplit_once(' ').unwrap_or_default();
                let body: Value = serde_json::from_str(body).unwrap_or_default();
                said == code && body["localEndpoints"] == local
            });
        }
    }
    Ok(())
}

fn explain(bed: &Bed, service: &str) -> String {
    let weft = weft().display().to_string();
    let words = [weft.as_str(), "proxy", "explain", service, "--manifests", super::bed::MANIFESTS];
    String::from_utf8_lossy(&bed.lab.exec("k8s-node1", &words).stdout).into_owned()
}

fn explained(bed: &Bed) -> Result<(), String> {
    let s = Service::of("change-explained", 206).slice(&[End::of("pod1"), End::unready("pod3")]);
    put(bed, &s);
    for (service, word) in [
        ("sctp", "left out: "),
        ("headless", "left alone"),
        ("younger", "refused "),
        ("change-explained", "not ready"),
    ] {
        let text = explain(bed, service);
        expect(text.contains(word), || format!("{service} has no {word:?}:\n{text}"))?;
    }
    Ok(())
}

fn traced(bed: &Bed) -> Result<(), String> {
    let s = Service::of("change-traced", 207).node_port().on(&PODS);
    put(bed, &s);
    for v4 in [true, false] {
        let client = if v4 { [10, 0, 2, 1].into() } else { [0xfd00, 0x10, 0, 2, 0, 0, 0, 1].into() };
        let to = s.at(bed.node("k8s-node2", v4));
        for from_port in 40001..40009 {
            let from = SocketAddr::new(client, from_port).to_string();
            let weft = weft().display().to_string();
            let said = bed.lab.exec("k8s-node2", &[&weft, "proxy", "trace", &from, &to.to_string()]);
            let said = String::from_utf8_lossy(&said.stdout).into_owned();
            let dial = Dial { to, way: Way::Tcp, times: 1, patience_ms: 1500, from_port };
            let host = who(bed.dial("gateway", &[dial]).remove(0).remove(0))?;
            let endpoint = SocketAddr::new(bed.pod(&host, v4), super::manifest::TARGET).to_string();
            expect(said.contains(&endpoint), || {
                format!("{from}: {host} {endpoint} answered, trace says {said}")
            })?;
        }
    }
    Ok(())
}
