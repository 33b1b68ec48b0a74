//! A server for the length of a test: ours, Debian's etcd or etcd 3.5.
//!
//! Each has a folder of its own on a file system in memory where there is one (the tests kill servers, not the
//! machine, so what a disk would add is only time) and a loopback port below the ephemeral ones, so that no outgoing
//! connection can take it while the server is down between two starts. A server dies with the thread that started
//! it, and when its handle is dropped, also by a panic.

use super::client::Client;
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A server that does not serve by then is broken.
const STARTS_WITHIN: Duration = Duration::from_secs(60);

/// The ports of the tests: below the ephemeral ones.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// Lines of a log that are shown.
const LINES: usize = 10;

/// And how much of each.
const WIDTH: usize = 300;

/// Which program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `weft etcd`.
    Weft,
    /// Debian's etcd-server, 3.4.
    Debian,
    /// etcd 3.5.1.
    Distro,
}

impl Kind {
    /// The program and the words before its flags.
    ///
    /// # Panics
    /// When it is not there, naming what fetches it.
    pub fn command(self) -> Command {
        let program = match self {
            Kind::Weft => crate::weft(),
            Kind::Debian => PathBuf::from("/usr/bin/etcd"),
            Kind::Distro => distro("etcd"),
        };
        assert!(program.is_file(), "{} is not there; run `cargo xtask setup`", program.display());
        let mut command = Command::new(program);
        if self == Kind::Weft {
            command.arg("etcd");
        }
        command
    }

    /// Whether its flags include those of a cluster's other members.
    pub fn has_peers(self) -> bool {
        self != Kind::Weft
    }

    /// The kinds that `WEFT_ETCD_SERVERS` names (for example `debian,distro`), else all three.
    ///
    /// # Panics
    /// When it names another.
    pub fn wanted() -> Vec<Kind> {
        let Ok(names) = std::env::var("WEFT_ETCD_SERVERS") else {
            return vec![Kind::Distro, Kind::Debian, Kind::Weft];
        };
        names
            .split(',')
            .map(|name| Kind::of(name).expect("WEFT_ETCD_SERVERS: weft, debian, distro"))
            .collect()
    }

    fn of(name: &str) -> Option<Kind> {
        match name {
            "weft" => Some(Kind::Weft),
            "debian" => Some(Kind::Debian),
            "distro" => Some(Kind::Distro),
            _ => None,
        }
    }
}

/// A program of etcd 3.5.1, in the folder that `cargo xtask setup` fills.
///
/// # Panics
/// When it is not there.
pub fn distro(program: &str) -> PathBuf {
    crate::apiserver::peer("etcd-3.5.1", program)
}

/// A server that runs, or that was killed and can be started again on its data.
pub struct Server {
    kind: Kind,
    flags: Vec<String>,
    environment: Vec<(String, String)>,
    dir: TempDir,
    port: u16,
    child: Option<Child>,
}

impl Server {
    /// Starts one and waits until it serves.
    ///
    /// # Panics
    /// When it does not.
    pub fn start(kind: Kind, flags: &[&str]) -> Server {
        let mut server = Server::unstarted(kind, flags);
        server.restart();
        server
    }

    /// A folder and a port, and nothing that runs there.
    ///
    /// # Panics
    /// When there is no free port or no room for a folder.
    pub fn unstarted(kind: Kind, flags: &[&str]) -> Server {
        let dir = tempfile::Builder::new()
            .prefix("weft-test-etcd-")
            .tempdir_in(room())
            .expect("a temporary folder");
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        Server { kind, flags, environment: Vec::new(), dir, port: free_port(), child: None }
    }

    /// Sets a variable of the next starts.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Which program it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Where clients find it.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Where other members would find it, if there were any.
    pub fn peer_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port + 1)
    }

    /// Its folder: the data in `data`, what it says in `log`.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The folder of its data.
    pub fn data_dir(&self) -> PathBuf {
        self.dir().join("data")
    }

    /// What it has said so far.
    pub fn log(&self) -> String {
        fs::read(self.dir().join("log"))
            .map(|log| String::from_utf8_lossy(&log).into_owned())
            .unwrap_or_default()
    }

    /// A connection to it; to be called inside a runtime.
    pub fn client(&self) -> Client {
        Client::lazy(&self.url())
    }

    /// Its process id.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Starts it again on the same folder and port and waits until it serves.
    ///
    /// # Panics
    /// When it does not.
    pub fn restart(&mut self) {
        self.spawn();
        let start = Instant::now();
        while !self.serves() {
            if let Some(status) = self.ended() {
                panic!("{:?} ended with {status}; it said:\n{}", self.kind, tail(&self.log()));
            }
            assert!(
                start.elapsed() < STARTS_WITHIN,
                "{:?} does not serve:\n{}",
                self.kind,
                tail(&self.log())
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Starts it without waiting.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn spawn(&mut self) {
        let mut command = self.command();
        let log =
            fs::File::options().create(true).append(true).open(self.dir().join("log")).expect("a log file");
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log file")).stderr(log);
        // SAFETY: prctl is async-signal-safe and touches no memory of the parent.
        unsafe {
            command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
        }
        self.child = Some(command.spawn().expect("the server's program starts"));
    }

    /// The command line of the next start.
    pub fn command(&self) -> Command {
        let mut command = self.kind.command();
        command.args(["--name", "test", "--data-dir"]).arg(self.data_dir());
        command.args(["--listen-client-urls", &self.url(), "--advertise-client-urls", &self.url()]);
        if self.kind.has_peers() {
            let peer = self.peer_url();
            command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
            command.args(["--initial-cluster", &format!("test={peer}")]);
        }
        command.args(&self.flags).envs(self.environment.clone());
        command
    }

    /// How it ended, if it has.
    ///
    /// # Panics
    /// When the system does not know.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut().and_then(|child| child.try_wait().expect("its state"))
    }

    /// Kills it where it then keeps what it acknowledged, and else ends it by SIGTERM: etcd 3.5.0 to 3.5.2 may put on
    /// the disk that a write is applied, and not the write (etcd#13766).
    ///
    /// # Panics
    /// When it does not run.
    pub fn crash(&mut self) {
        self.signal(if self.kind == Kind::Distro { Signal::TERM } else { Signal::KILL });
        self.wait();
    }

    /// Sends SIGKILL and waits for the end.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.wait();
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When it does not run.
    pub fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("the server runs");
        let pid = Pid::from_raw(child.id().cast_signed()).expect("a process id");
        kill_process(pid, signal).expect("the server is signalled");
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not run.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.take().expect("the server runs").wait().expect("the server ends")
    }

    /// Says how it ended, if it has, and what it said last.
    pub fn report(mut self) {
        if let Some(status) = self.ended() {
            eprintln!("{:?} ended with {status}; it said last:\n{}", self.kind, tail(&self.log()));
        }
    }

    /// Whether a read is answered now.
    fn serves(&self) -> bool {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let read = self.client();
            let key = etcd_client::proto::PbRangeRequest { key: vec![0], ..Default::default() };
            matches!(tokio::time::timeout(Duration::from_secs(5), read.range(key)).await, Ok(Ok(_)))
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Already ended is as good; a second panic would hide the first.
            drop(child.kill());
            drop(child.wait());
        }
        if thread::panicking() {
            eprintln!("{:?} said last:\n{}", self.kind, tail(&self.log()));
        }
    }
}

/// The last lines of a log, or what follows the beginning of a panic.
fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let panic = lines.iter().position(|line| line.starts_with("panic:") || line.contains("panicked at"));
    let from = panic.unwrap_or(lines.len().saturating_sub(LINES));
    let shown = lines[from..].iter().take(LINES);
    shown.map(|line| line.chars().take(WIDTH).collect::<String>()).collect::<Vec<_>>().join("\n")
}

/// Where folders go: into memory, or where WEFT_TEST_ROOM says, as benches want a disk.
pub fn room() -> PathBuf {
    if let Some(room) = std::env::var_os("WEFT_TEST_ROOM") {
        return room.into();
    }
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}

/// A port that nobody listens on, with a free one above it for the peers of a real etcd.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test programs run at the same time: each begins elsewhere.
    let places = (PORTS.end - PORTS.start) / 2;
    let first = u16::try_from(std::process::id() * 37 % u32::from(places)).expect("less than the places");
    for _ in 0..places {
        let place = (first + NEXT.fetch_add(1, Ordering::Relaxed)) % places;
        let port = PORTS.start + 2 * place;
        if [port, port + 1].iter().all(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()) {
            return port;
        }
    }
    panic!("no free port in {PORTS:?}");
}
