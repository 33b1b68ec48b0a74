//! Many objects and many watchers: memory, what a change costs, and when the last watcher has it.

use crate::client::{Stream, Target};
use crate::object;
use crate::report::{Report, memory};
use futures_util::future::join_all;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use weft_tests::measure::cpu_seconds;

/// Clients that fill the store.
const WRITERS: usize = 16;
/// Nobody waits longer for an event.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sends so many requests with bodies; the seconds of each quarter.
pub async fn fill(api: &Target, path: &str, count: usize, body: impl Fn(usize) -> String) -> [f64; 4] {
    let next = Cell::new(0);
    let (start, quarters) = (Instant::now(), Cell::new([0.0; 4]));
    let mut sessions = api.open_all(WRITERS).await;
    join_all(sessions.iter_mut().map(async |session| {
        while next.get() < count {
            let number = next.replace(next.get() + 1);
            session.send("POST", path, body(number)).await;
            let mut at = quarters.get();
            at[number * 4 / count] = start.elapsed().as_secs_f64();
            quarters.set(at);
        }
    }))
    .await;
    let at = quarters.get();
    [at[0], at[1] - at[0], at[2] - at[1], at[3] - at[2]]
}

/// Watchers that count what they are told, together.
pub struct Watchers {
    seen: Arc<AtomicUsize>,
    goal: Arc<AtomicUsize>,
    reached: Arc<Notify>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Watchers {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Watchers {
    /// Starts one for each path, each with a connection of its own; together they are told so many events first.
    pub async fn start(target: &Target, paths: impl Iterator<Item = String>, first: usize) -> Watchers {
        let mut watchers = Watchers {
            seen: Arc::default(),
            goal: Arc::new(AtomicUsize::new(first)),
            reached: Arc::default(),
            tasks: Vec::new(),
        };
        for path in paths {
            let stream = target.open().await.stream(&path).await;
            let task = tokio::spawn(watchers.count(stream));
            watchers.tasks.push(task);
        }
        watchers
    }

    fn count(&self, mut stream: Stream) -> impl Future<Output = ()> + use<> {
        let (seen, goal, reached) = (self.seen.clone(), self.goal.clone(), self.reached.clone());
        async move {
            while let Some(lines) = stream.lines().await {
                let before = seen.fetch_add(lines, Ordering::SeqCst);
                if before + lines >= goal.load(Ordering::SeqCst) {
                    reached.notify_one();
                }
            }
        }
    }

    /// From now on, so many events are awaited.
    pub fn expect(&self, events: usize) {
        self.goal.store(self.seen.load(Ordering::SeqCst) + events, Ordering::SeqCst);
    }

    /// Waits until they have come.
    pub async fn wait(&self) {
        let all = async {
            while self.seen.load(Ordering::SeqCst) < self.goal.load(Ordering::SeqCst) {
                self.reached.notified().await;
            }
        };
        tokio::time::timeout(PATIENCE, all).await.unwrap_or_else(|_| {
            panic!("{:?} of {:?} events came", self.seen, self.goal);
        });
    }

    /// Milliseconds of each of so many changes, one after another, until the last watcher has it.
    pub async fn changes(
        &self,
        target: &Target,
        count: usize,
        each: usize,
        change: impl AsyncFn(&Target, usize),
    ) -> Vec<f64> {
        let mut times = Vec::new();
        for number in 0..count {
            self.expect(each);
            let start = Instant::now();
            change(target, number).await;
            self.wait().await;
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
        times
    }
}

/// The pods, and the memory of the server with watchers of all of them.
pub async fn pods(api: &Target, pid: u32, count: usize, report: &mut Report) {
    let quarters = fill(api, object::PODS, count, |number| object::pod(number, 4_096)).await;
    let seconds: f64 = quarters.iter().sum();
    let bytes = api.open().await.read(&format!("{}/web-7d4b9c6f8-00007", object::PODS)).await;
    report.note(&format!("{count} pods of {bytes} bytes, {:.0} creates/s", count as f64 / seconds));
    report.figure("memory with the pods", "MB", memory(pid)[0], None);
    let paths = (0..100).map(|_| format!("{}?watch=true&resourceVersion=0", object::PODS));
    let watchers = Watchers::start(api, paths, 100 * count).await;
    watchers.wait().await;
    report.figure("memory with the pods and 100 watchers", "MB", memory(pid)[0], Some(200.0));
    report.figure("its peak", "MB", memory(pid)[1], None);
}

/// Times of a change until the last of so many watchers has it, the API's beside the floor's.
pub async fn fan_out(api: &Target, floor: &Target, pid: u32, watchers: usize, report: &mut Report) {
    const CHANGES: usize = 50;
    let path = format!("{}/watched", object::MAPS);
    api.open().await.send("POST", object::MAPS, object::config_map("watched", 1_000)).await;
    let revision = {
        let list: serde_json::Value = serde_json::from_slice(
            &api.open().await.send("GET", &format!("{}?limit=1", object::MAPS), "").await,
        )
        .unwrap();
        list["metadata"]["resourceVersion"].as_str().unwrap().to_owned()
    };
    let line = format!("{}\n", object::config_map("watched", 1_400));
    let one = format!(
        "{}?watch=true&resourceVersion={revision}&fieldSelector=metadata.name%3Dwatched",
        object::MAPS
    );
    let ours = Watchers::start(api, (0..watchers).map(|_| one.clone()), 0).await;
    let theirs = Watchers::start(floor, (0..watchers).map(|_| "/stream".to_owned()), 0).await;
    report.figure(&format!("memory with {watchers} watchers of one object"), "MB", memory(pid)[0], None);
    let (session, of_floor) =
        (tokio::sync::Mutex::new(api.open().await), tokio::sync::Mutex::new(floor.open().await));
    let before = cpu_seconds(&pid.to_string());
    let of_ours = ours
        .changes(api, CHANGES, watchers, async |_, number| {
            let body = format!("{{\"data\":{{\"changed\":\"{number}\"}}}}");
            session.lock().await.send("PATCH", &path, body).await;
        })
        .await;
    let cpu = (cpu_seconds(&pid.to_string()) - before) / (CHANGES * watchers) as f64;
    let of_theirs = theirs
        .changes(floor, CHANGES, watchers, async |_, _| {
            of_floor.lock().await.send("POST", "/stream", line.clone()).await;
        })
        .await;
    for (mine, floor) in of_ours.iter().zip(&of_theirs) {
        let name = format!("a change to the last of {watchers} watchers");
        report.rates(&name, "the floor", [1e3 / mine, 1e3 / floor]);
        report.cpu(&name, cpu * watchers as f64);
    }
    report.tell();
}

/// What a change costs while so many watch other objects of the kind.
pub async fn unconcerned(api: &Target, pid: u32, watchers: usize, report: &mut Report) {
    const CHANGES: usize = 500;
    let path = format!("{}/web-7d4b9c6f8-00007", object::PODS);
    let mut session = api.open().await;
    let mut costs = Vec::new();
    for crowd in [0, watchers] {
        let other = format!("{}?watch=true&fieldSelector=spec.nodeName%3Dnode-none", object::PODS);
        let started = Watchers::start(api, (0..crowd).map(|_| other.clone()), 0).await;
        let before = cpu_seconds(&pid.to_string());
        for number in 0..CHANGES {
            let body = format!("{{\"metadata\":{{\"annotations\":{{\"n\":\"{crowd}-{number}\"}}}}}}");
            session.send("PATCH", &path, body).await;
        }
        costs.push((cpu_seconds(&pid.to_string()) - before) / CHANGES as f64 * 1e6);
        drop(started);
    }
    report.figure("CPU of a change with nobody watching pods", "µs", costs[0], None);
    report.figure(
        &format!("CPU of a change with {watchers} watching other nodes' pods"),
        "µs",
        costs[1],
        None,
    );
}
