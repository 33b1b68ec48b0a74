//! The API server's bench: how soon it serves, what it takes, and how fast it answers beside what cannot be done without.
//!
//! | floor | what it is |
//! |---|---|
//! | the state alone | `weft etcd`, to which the bytes of an object are put, on the same disk, with the same flushes |
//! | the floor | a server of the same HTTP and TLS libraries that answers from memory; a process of its own |
//!
//! Each round measures ours and the floor one after another, and ratios are taken within a round. Client and servers
//! share the machine's processors: rates are lower than a client elsewhere would see, ratios and CPU are what counts.
//!
//! `cargo run -p weft-tests --example apiserver-bench -- --json FILE`, with WEFT_BIN, and WEFT_TEST_ROOM on a disk.

#![allow(clippy::unwrap_used, reason = "a bench ends where something is not as it should be")]

mod client;
mod crowd;
mod floor;
mod load;
mod object;
mod report;

use client::Target;
use report::{Report, memory};
use std::time::{Duration, Instant};
use weft_tests::apiserver::{Apiserver, State};
use weft_tests::etcd::server::{Kind, Server};
use weft_tests::measure::{Median, flag};

const PODS: usize = 10_000;
const SERVICES: usize = 10_000;
const WATCHERS: usize = 1_000;
const STARTS: usize = 20;

fn main() {
    if std::env::args().nth(1).as_deref() == Some(floor::WORD) {
        return floor::serve();
    }
    let plan = Plan {
        rounds: flag("--rounds").map_or(7, |text| text.parse().unwrap()),
        time: Duration::from_secs_f64(flag("--seconds").map_or(0.5, |text| text.parse().unwrap())),
        parts: flag("--only"),
        state: Server::start(Kind::Weft, &[]),
        floor: floor::Floor::start(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut report = Report::default();
    runtime.block_on(async {
        if plan.wants("start") {
            start(&mut report).await;
        }
        if plan.wants("rates") {
            rates(&plan, &mut report).await;
        }
        if plan.wants("crowd") {
            // Of its own, as the rates leave many thousand objects: what memory is for is known.
            crowded(&plan, &mut report).await;
        }
    });
    if let Some(path) = flag("--json") {
        std::fs::write(path, serde_json::to_string_pretty(&report.json()).unwrap()).unwrap();
    }
}

/// What is measured, and beside what.
struct Plan {
    rounds: usize,
    time: Duration,
    parts: Option<String>,
    state: Server,
    floor: floor::Floor,
}

impl Plan {
    fn wants(&self, part: &str) -> bool {
        self.parts.as_deref().is_none_or(|parts| parts.split(',').any(|one| one == part))
    }

    fn load<'a>(&'a self, api: &'a Target, pid: u32) -> load::Load<'a> {
        let Plan { rounds, time, state, floor, .. } = self;
        load::Load { api, pid, state, floor, rounds: *rounds, time: *time }
    }
}

/// Creates and gets of small objects.
async fn rates(plan: &Plan, report: &mut Report) {
    let server = Apiserver::start(State::Within, &[]);
    let api = Target::of_kubeconfig(&server.kubeconfig(), server.port()).await;
    let load = plan.load(&api, server.pid().unwrap());
    load.creates(report).await;
    load.gets(report).await;
    report.tell();
}

/// Memory, lists and watches with many objects and watchers, and a start with all of them.
async fn crowded(plan: &Plan, report: &mut Report) {
    let mut server = Apiserver::start(State::Within, &[]);
    let pid = server.pid().unwrap();
    let api = Target::of_kubeconfig(&server.kubeconfig(), server.port()).await;
    let load = plan.load(&api, pid);
    // The controllers have made what they make in an empty cluster.
    tokio::time::sleep(Duration::from_secs(3)).await;
    report.figure("memory, idle", "MB", memory(pid)[0], Some(40.0));
    crowd::pods(&api, pid, PODS, report).await;
    load.lists("list of 500", &format!("{}?limit=500", object::PODS), report).await;
    load.lists("list of 10,000", object::PODS, report).await;
    report.tell();
    report.figure("the peak of memory after the lists", "MB", memory(pid)[1], None);
    crowd::unconcerned(&api, pid, WATCHERS, report).await;
    crowd::fan_out(&api, &plan.floor.target, pid, WATCHERS, report).await;
    services(&api, report).await;
    restart(&mut server, report).await;
}

/// From the start of the process with an empty folder until `/readyz` says ok.
async fn start(report: &mut Report) {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        times.push(started(&mut Apiserver::unstarted(State::Within, &[])).await);
    }
    let median = Median::of(times);
    report.note(&format!("start to ready, {STARTS} times: {median} ms"));
    report.figure("start to ready", "ms", median.median, Some(300.0));
}

/// Milliseconds from the start of the process until it is ready.
async fn started(server: &mut Apiserver) -> f64 {
    let start = Instant::now();
    server.spawn();
    while !ready(server).await {
        assert!(start.elapsed() < Duration::from_secs(60), "{}", server.log());
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
    start.elapsed().as_secs_f64() * 1e3
}

/// Killed with all that was made before, and started again.
async fn restart(server: &mut Apiserver, report: &mut Report) {
    let mut times = Vec::new();
    for _ in 0..5 {
        server.kill();
        times.push(started(server).await);
    }
    let median = Median::of(times);
    report.figure("start to ready with all that, after kill -9", "ms", median.median, None);
    tokio::time::sleep(Duration::from_secs(3)).await;
    report.figure("memory after that", "MB", memory(server.pid().unwrap())[0], None);
}

async fn ready(server: &Apiserver) -> bool {
    if std::fs::read(server.kubeconfig()).is_ok_and(|text| text.ends_with(b"\n")) {
        let target = Target::of_kubeconfig(&server.kubeconfig(), server.port()).await;
        if let Ok(mut session) = target.try_open().await {
            return session.is_ok("/readyz").await;
        }
    }
    false
}

/// So many Services, each given an address.
async fn services(api: &Target, report: &mut Report) {
    let quarters = crowd::fill(api, object::SERVICES, SERVICES, object::service).await;
    let rates = quarters.map(|seconds| SERVICES as f64 / 4.0 / seconds);
    report.note(&format!("quarters of {SERVICES} Services: {rates:.0?} a second"));
    report.figure("creates of Services", "/s", SERVICES as f64 / quarters.iter().sum::<f64>(), None);
    report.figure("the last quarter's time to the first's", "", quarters[3] / quarters[0], None);
}
