//! A changed object's way from the API server into the datapath.
//!
//! ```text
//! this process ── PUT ──► weft apiserver ── watch ──► weft proxy ──► the map      all on one node of a lab
//! ```
//!
//! The client is one that is connected already: the start of a kubectl, its discovery and its first connection are some
//! tens of milliseconds before the object is changed at all.

use crate::datapath::{self, MAPS};
use crate::world::crowd;
use futures_util::future::join_all;
use kube::config::{KubeConfigOptions, Kubeconfig};
use netstate::NetNs;
use serde_json::Value;
use std::cell::Cell;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use weft_tests::Lab;
use weft_tests::measure::megabytes;

const NODE: &str = "k8s-node1";
const ADMIN: &str = "/run/weft/admin.kubeconfig";
const SERVICES: &str = "/api/v1/namespaces/default/services";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
/// Clients that make the services.
const WRITERS: usize = 16;

/// Makes so many services of ten endpoints by the API, then times changes of one slice.
pub fn measure(count: usize) -> Value {
    println!("services from the API: {count}, 10 endpoints each");
    let lab = Lab::up("services-bench-api", &["--nodes", "1", "--pods-per-node", "1"]);
    let process = PathBuf::from(format!("/proc/{}", lab.pid(NODE, "load")));
    let namespace = NetNs::open(&process.join("ns/net")).unwrap();
    let kubeconfig = Kubeconfig::read_from(process.join(format!("root{ADMIN}"))).unwrap();
    let maps = process.join(format!("root{MAPS}"));
    let pid = lab.pid(NODE, "apiserver");
    namespace
        .run(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let start = Instant::now();
            let client = runtime.block_on(fill(kubeconfig, count));
            println!(
                "  made in {:.1} s; API server {:.1} MB",
                start.elapsed().as_secs_f64(),
                megabytes(&pid, "VmRSS")
            );
            // The last of them is in the datapath: nothing is on its way.
            std::thread::sleep(Duration::from_secs(2));
            let path = format!("{SLICES}/crowd-{count}");
            let change = |_: Value, slice: Value| {
                runtime.block_on(send(&client, "PUT", &path, &slice));
            };
            datapath::timed(&maps, count, "a slice changed by the API in the datapath", change)
        })
        .unwrap()
}

async fn fill(kubeconfig: Kubeconfig, count: usize) -> kube::Client {
    let config =
        kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    let clients: Vec<_> = (0..WRITERS).map(|_| kube::Client::try_from(config.clone()).unwrap()).collect();
    let next = Cell::new(0);
    join_all(clients.iter().map(async |client| {
        while next.get() <= count {
            let [service, slice] = crowd(next.replace(next.get() + 1));
            send(client, "POST", SERVICES, &service).await;
            send(client, "POST", SLICES, &slice).await;
        }
    }))
    .await;
    clients[0].clone()
}

async fn send(client: &kube::Client, method: &str, path: &str, object: &Value) {
    let request =
        http::Request::builder().method(method).uri(path).header("content-type", "application/json");
    let request = request.body(object.to_string().into_bytes()).unwrap();
    client.request::<Value>(request).await.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
}
