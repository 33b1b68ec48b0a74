//! `weft etcd` killed 200 times under load: nothing acknowledged is lost, watches resume, leases keep their time.
//!
//! `WEFT_ETCD_KILLS` is another number; `WEFT_ETCD_SERVERS=debian` runs the same against a real etcd, which shows that
//! what is asked for here is what etcd does (but for the end of leases: etcd renews them when it starts).

#![allow(clippy::unwrap_used, reason = "the file is a test")]

use etcd_client::proto::*;
use rand::Rng;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use weft_tests::etcd::crash::event::{History, Log, contradiction};
use weft_tests::etcd::crash::lease::{self, Gone};
use weft_tests::etcd::crash::uptime::Uptime;
use weft_tests::etcd::crash::watcher::Watcher;
use weft_tests::etcd::crash::writer::Writer;
use weft_tests::etcd::{Kind, Server};

const KILLS: u32 = 200;

const WRITERS: u64 = 4;

/// One kill in so many is followed by a compaction.
const COMPACT_EVERY: u32 = 15;

/// A server and what runs while it is killed.
struct Run {
    server: Server,
    runtime: Runtime,
    uptime: Arc<Uptime>,
    stop: Arc<AtomicBool>,
    /// Revisions up to here may be gone.
    compacted: Arc<AtomicI64>,
    /// The revision at which watchers are done.
    until: Arc<AtomicI64>,
    /// How far each watcher has got.
    seen: Vec<Arc<AtomicI64>>,
}

/// The tasks under way.
struct Load {
    writers: Vec<JoinHandle<Result<Log, String>>>,
    /// One for each writer, and one for everything.
    watchers: Vec<JoinHandle<Result<History, String>>>,
    keeper: JoinHandle<Result<usize, String>>,
    leaver: JoinHandle<Vec<Gone>>,
}

fn prefix(writer: u64) -> String {
    format!("writer/{writer}/")
}

impl Run {
    fn start(kind: Kind) -> Run {
        let uptime = Arc::new(Uptime::default());
        uptime.starts();
        let server = Server::start(kind, &[]);
        uptime.serves();
        Run {
            server,
            runtime: Runtime::new().unwrap(),
            uptime,
            stop: Arc::default(),
            compacted: Arc::default(),
            until: Arc::new(AtomicI64::new(i64::MAX)),
            seen: Vec::new(),
        }
    }

    fn load(&mut self) -> Load {
        let _inside = self.runtime.enter();
        let (url, stop) = (self.server.url(), || Arc::clone(&self.stop));
        let writer = |n| Writer::of(&url, &prefix(n), n, &self.compacted).run(stop());
        let writers = (0..WRITERS).map(|n| tokio::spawn(writer(n))).collect();
        let prefixes = (0..WRITERS).map(prefix).chain([String::new()]);
        let watchers: Vec<Watcher> = prefixes.map(|p| Watcher::of(&url, p.as_bytes(), 1)).collect();
        self.seen = watchers.iter().map(|watcher| Arc::clone(&watcher.last)).collect();
        let watch = |watcher: Watcher| tokio::spawn(watcher.until(Arc::clone(&self.until)));
        let watchers = watchers.into_iter().map(watch).collect();
        let keeper = tokio::spawn(lease::keep(url.clone(), stop()));
        let leaver = tokio::spawn(lease::leave(url.clone(), Arc::clone(&self.uptime), stop()));
        Load { writers, watchers, keeper, leaver }
    }

    fn kill(&mut self, kills: u32) {
        for kill in 1..=kills {
            thread::sleep(Duration::from_millis(rand::rng().random_range(1..150)));
            self.server.kill();
            self.uptime.ends();
            self.uptime.starts();
            self.server.restart();
            self.uptime.serves();
            if kill % COMPACT_EVERY == 0 {
                self.compact();
            }
        }
    }

    /// Compacts what all watchers have seen: one that resumes must find the revision after.
    fn compact(&self) {
        let revision = self.seen.iter().map(|seen| seen.load(Ordering::Relaxed)).min().unwrap() - 1;
        if revision > self.compacted.swap(revision, Ordering::Relaxed) {
            let message = PbCompactionRequest { revision, physical: false };
            self.runtime.block_on(async { self.server.client().compact(message).await }).unwrap();
        }
    }

    /// Stops the watchers with a write below each prefix; the revision before which all have seen everything.
    fn end(&self) -> i64 {
        let put = |n| PbPutRequest { key: format!("{}end", prefix(n)).into_bytes(), ..Default::default() };
        for n in 0..WRITERS {
            let put = self.runtime.block_on(async { self.server.client().put(put(n)).await });
            let revision = put.unwrap().header.unwrap().revision;
            self.until.fetch_min(revision, Ordering::Relaxed);
        }
        self.until.load(Ordering::Relaxed)
    }

    /// The history that a fresh watch tells, up to a revision.
    fn told_afresh(&self, from: i64, until: i64) -> History {
        let watcher = Watcher::of(&self.server.url(), b"", from);
        let watch = watcher.until(Arc::new(AtomicI64::new(until)));
        let watch = async { tokio::time::timeout(Duration::from_secs(60), watch).await };
        self.runtime.block_on(watch).expect("a fresh watch comes to the end").unwrap()
    }

    fn joined<T>(&self, tasks: Vec<JoinHandle<Result<T, String>>>) -> Vec<T> {
        tasks.into_iter().map(|task| self.runtime.block_on(task).unwrap().unwrap()).collect()
    }
}

/// The part of a history from one revision until before another.
fn part(history: &History, from: i64, until: i64) -> History {
    history.range(from..until).map(|(revision, effects)| (*revision, effects.clone())).collect()
}

/// The part of a history below a prefix.
fn below(history: &History, prefix: &str) -> History {
    let mut part = history.clone();
    part.retain(|_, effects| effects.keys().any(|key| key.starts_with(prefix.as_bytes())));
    part
}

fn survives(kind: Kind, kills: u32) {
    let mut run = Run::start(kind);
    let load = run.load();
    let began = Instant::now();
    run.kill(kills);
    println!("{kind:?}: {kills} kills in {:?}", began.elapsed());
    run.stop.store(true, Ordering::Relaxed);
    let logs = run.joined(load.writers);
    let kept = run.joined(vec![load.keeper])[0];
    let gone = run.runtime.block_on(load.leaver).unwrap();
    let end = run.end();
    let mut watched: Vec<History> = run.joined(load.watchers).iter().map(|h| part(h, 0, end)).collect();
    let all = watched.pop().unwrap();
    let first = run.compacted.load(Ordering::Relaxed) + 1;
    let (acknowledged, unanswered) =
        logs.iter().fold((0, 0), |(a, u), log| (a + log.acknowledged.len(), u + log.unanswered.len()));
    println!(
        "{acknowledged} writes acknowledged, {unanswered} not answered, revisions {first} to {end} not compacted"
    );
    println!("one lease kept {kept} times, others left: {gone:?}");

    assert_eq!(
        part(&all, first, end),
        part(&run.told_afresh(first, end), first, end),
        "over kills and afresh"
    );
    for (n, (log, history)) in (0..WRITERS).zip(logs.iter().zip(&watched)) {
        let prefix = prefix(n);
        assert_eq!(*history, below(&all, &prefix), "the watch of {prefix} and that of everything");
        let contradiction = contradiction(&all, prefix.as_bytes(), log);
        assert_eq!(contradiction, None, "of writer {n}");
        assert!(!log.acknowledged.is_empty(), "writer {n} has written nothing");
    }
    let expired = all.values().any(|effects| effects.get(lease::KEPT_KEY) == Some(&None));
    assert!(kept > 0 && !expired, "kept alive {kept} times, expired: {expired}");
    if kind == Kind::Weft {
        let untimely: Vec<String> = gone.iter().filter_map(lease::untimely).collect();
        assert!(untimely.is_empty(), "{untimely:#?}");
    }
}

#[test]
fn nothing_acknowledged_is_lost_when_it_is_killed() {
    let kills = std::env::var("WEFT_ETCD_KILLS").map_or(KILLS, |number| number.parse().unwrap());
    let kinds =
        if std::env::var_os("WEFT_ETCD_SERVERS").is_some() { Kind::wanted() } else { vec![Kind::Weft] };
    kinds.into_iter().for_each(|kind| survives(kind, kills));
}
