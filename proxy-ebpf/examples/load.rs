//! Measures the way from manifest files to the service table: 10,000 services with 10 endpoints each.
//!
//! `cargo run -p proxy-ebpf --example load -- [yaml|json]`

use proxy_ebpf::{ManifestSource, NodeOptions, Source, Tracker};
use std::error::Error;
use std::fmt::Write;
use std::time::Instant;

const SERVICES: usize = 10_000;
const ENDPOINTS: usize = 10;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let json = std::env::args().nth(1).is_some_and(|form| form == "json");
    let folder = tempfile::tempdir()?;
    let (services, slices) =
        if json { texts(json_service, json_slice) } else { texts(yaml_service, yaml_slice) };
    let end = if json { "json" } else { "yaml" };
    std::fs::write(folder.path().join(format!("services.{end}")), &services)?;
    std::fs::write(folder.path().join(format!("slices.{end}")), &slices)?;
    let start = Instant::now();
    let batch = ManifestSource::open(folder.path())?.next().await;
    let read = start.elapsed();
    let objects = batch.updates.len();
    let mut tracker = Tracker::new(NodeOptions { name: "node-1".to_owned(), ..NodeOptions::default() });
    let start = Instant::now();
    let changes = tracker.apply(batch.updates);
    let applied = start.elapsed();
    let endpoints: usize = tracker.table().ports.values().map(|port| port.cluster.len()).sum();
    println!("{end}: {} KiB, {objects} objects read in {read:.2?}", (services.len() + slices.len()) / 1024);
    println!("table: {} ports, {endpoints} endpoints in {applied:.1?}", changes.ports.len());
    Ok(())
}

fn texts(service: fn(usize, &mut String), slice: fn(usize, &mut String)) -> (String, String) {
    let (mut services, mut slices) = (String::new(), String::new());
    for number in 0..SERVICES {
        service(number, &mut services);
        slice(number, &mut slices);
    }
    (services, slices)
}

fn cluster_ip(number: usize) -> String {
    format!("10.96.{}.{}", number / 250, number % 250 + 1)
}

fn pod(number: usize) -> String {
    format!("10.{}.{}.{}", 100 + number / 62_500, number / 250 % 250, number % 250 + 1)
}

fn yaml_service(number: usize, text: &mut String) {
    let ip = cluster_ip(number);
    let _ = write!(
        text,
        "---\napiVersion: v1\nkind: Service\nmetadata:\n  name: s{number}\n  namespace: default\nspec:\n  \
         type: ClusterIP\n  clusterIP: {ip}\n  clusterIPs:\n  - {ip}\n  ports:\n  - name: http\n    port: 80\n    \
         protocol: TCP\n    targetPort: 8080\n"
    );
}

fn yaml_slice(number: usize, text: &mut String) {
    let _ = write!(
        text,
        "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: s{number}-1\n  \
         namespace: default\n  labels:\n    kubernetes.io/service-name: s{number}\naddressType: IPv4\nports:\n- \
         name: http\n  port: 8080\n  protocol: TCP\nendpoints:\n"
    );
    for index in 0..ENDPOINTS {
        let ip = pod(number * ENDPOINTS + index);
        let _ = write!(
            text,
            "- addresses:\n  - {ip}\n  nodeName: node-{index}\n  conditions:\n    ready: true\n"
        );
    }
}

fn json_service(number: usize, text: &mut String) {
    let ip = cluster_ip(number);
    let _ = writeln!(
        text,
        r#"{{"apiVersion":"v1","kind":"Service","metadata":{{"name":"s{number}","namespace":"default"}},"spec":{{"type":"ClusterIP","clusterIP":"{ip}","clusterIPs":["{ip}"],"ports":[{{"name":"http","port":80,"protocol":"TCP","targetPort":8080}}]}}}}"#
    );
}

fn json_slice(number: usize, text: &mut String) {
    let endpoint = |index| {
        let ip = pod(number * ENDPOINTS + index);
        format!(r#"{{"addresses":["{ip}"],"nodeName":"node-{index}","conditions":{{"ready":true}}}}"#)
    };
    let endpoints: Vec<String> = (0..ENDPOINTS).map(endpoint).collect();
    let _ = writeln!(
        text,
        r#"{{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{{"name":"s{number}-1","namespace":"default","labels":{{"kubernetes.io/service-name":"s{number}"}}}},"addressType":"IPv4","ports":[{{"name":"http","port":8080,"protocol":"TCP"}}],"endpoints":[{}]}}"#,
        endpoints.join(",")
    );
}
