//! Texts of a service with a bit of everything.

use super::*;
use crate::{Family, FrontendKind, LeftOut, Protocol};

fn endpoint(text: &str, local: bool) -> Endpoint {
    let socket: SocketAddr = text.parse().unwrap();
    Endpoint { address: socket.ip(), port: socket.port(), local }
}

fn name(name: &str) -> ServiceName {
    ServiceName { namespace: "default".to_owned(), name: name.to_owned() }
}

fn id() -> PortId {
    PortId { service: name("web").into(), port: "http".into(), protocol: Protocol::Tcp, family: Family::V4 }
}

fn table() -> ServiceTable {
    let frontend = |kind, address: Option<&str>, port, outside| Frontend {
        kind,
        address: address.map(|address| address.parse().unwrap()),
        port,
        inside: Policy::Cluster,
        outside,
        keep_source: outside == Policy::Local,
        source_ranges: Vec::new(),
    };
    let port = ServicePort {
        frontends: vec![
            frontend(FrontendKind::ClusterIp, Some("10.96.0.1"), 80, Policy::Cluster),
            frontend(FrontendKind::NodePort, None, 30080, Policy::Local),
        ],
        cluster: vec![endpoint("10.244.1.1:8080", false), endpoint("10.244.1.2:8080", false)],
        any_endpoint: true,
        affinity: Some(60),
        left_out: vec![LeftOut { endpoint: "10.244.0.3:8080".to_owned(), reason: "not ready".to_owned() }],
        refused: vec!["externalIP 1.2.3.4:80: taken by default/other".to_owned()],
        ..ServicePort::default()
    };
    let mut table = ServiceTable::default();
    table.ports.insert(id(), port.into());
    table.left_alone.insert(name("db").into(), "type ExternalName".to_owned());
    table
}

#[test]
fn what_is_desired_is_told_by_itself() {
    let expected = "\
default/web:http TCP IPv4: sessionAffinity ClientIP for 60 s
  ClusterIP 10.96.0.1:80
    inside and outside, Cluster
      10.244.1.1:8080
      10.244.1.2:8080
  NodePort 30080, keeps the client's address
    inside, Cluster
      10.244.1.1:8080
      10.244.1.2:8080
    outside, Local: no endpoint, connections are dropped
  left out 10.244.0.3:8080: not ready
  refused externalIP 1.2.3.4:80: taken by default/other
";
    let text = explain_desired(&table(), &name("web"));
    assert_eq!((text.to_string().as_str(), text.differences), (expected, 0));
}

#[test]
fn what_is_programmed_is_compared_endpoint_by_endpoint() {
    let some = vec![endpoint("10.244.1.1:8080", false), endpoint("10.244.9.9:8080", true)];
    let programmed = Programmed {
        frontends: vec![
            ProgrammedFrontend {
                frontend: "10.96.0.1:80 TCP".to_owned(),
                inside: some.clone(),
                outside: some,
            },
            ProgrammedFrontend { frontend: "10.96.0.9:80 TCP".to_owned(), inside: vec![], outside: vec![] },
        ],
    };
    let text = explain(&table(), &name("web"), &programmed);
    let expected = [
        "  ClusterIP 10.96.0.1:80",
        "    inside and outside, Cluster",
        "      ok      10.244.1.1:8080",
        "      missing 10.244.1.2:8080",
        "      extra   10.244.9.9:8080 (local)",
        "  NodePort 30080, keeps the client's address: missing",
    ];
    assert_eq!(text.lines[1..7], expected);
    assert_eq!(text.lines.last().unwrap(), "extra 10.96.0.9:80 TCP");
    assert_eq!(text.differences, 4);
}

#[test]
fn what_is_programmed_as_desired_has_no_differences() {
    let table = table();
    let port = &table.ports[&id()];
    let programmed = |frontend: &Frontend| ProgrammedFrontend {
        frontend: frontend_key(&id(), frontend),
        inside: port.endpoints(frontend.inside).to_vec(),
        outside: port.endpoints(frontend.outside).to_vec(),
    };
    let programmed = Programmed { frontends: port.frontends.iter().map(programmed).collect() };
    let text = explain(&table, &name("web"), &programmed);
    assert_eq!(text.differences, 0);
    assert!(text.lines.iter().all(|line| !line.contains("missing") && !line.contains("extra")));
}

#[test]
fn services_without_ports_say_why() {
    assert_eq!(explain_desired(&table(), &name("db")).lines, ["default/db is left alone: type ExternalName"]);
    assert_eq!(explain_desired(&table(), &name("x")).lines, ["default/x is not known"]);
}
