//! An API server for the length of a test: `weft apiserver`, with its state within or over Debian's etcd.
//!
//! It has a folder, a port and an admin's kubeconfig of its own, and dies with the thread that started it and with its
//! handle, also by a panic.

use crate::etcd::server::{Kind, Server, free_port, room};
use rustix::process::{Signal, set_parent_process_death_signal};
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A server that is not ready by then is broken.
const STARTS_WITHIN: Duration = Duration::from_secs(60);
/// A kubectl that has not ended by then hangs.
const PATIENCE: &str = "60";

/// Where the state is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// In the server's process.
    Within,
    /// Debian's etcd-server.
    Debian,
}

/// The server.
pub struct Apiserver {
    dir: TempDir,
    port: u16,
    flags: Vec<String>,
    environment: Vec<(String, String)>,
    etcd: Option<Server>,
    child: Option<Child>,
}

impl Apiserver {
    /// Starts one and waits until it is ready.
    ///
    /// # Panics
    /// When it is not in time.
    pub fn start(state: State, flags: &[&str]) -> Apiserver {
        let mut server = Apiserver::unstarted(state, flags);
        server.restart();
        server
    }

    /// A folder and a port, and the etcd if there is one; no server yet.
    ///
    /// # Panics
    /// When there is no free port or no room for a folder.
    pub fn unstarted(state: State, flags: &[&str]) -> Apiserver {
        let dir =
            tempfile::Builder::new().prefix("weft-test-api-").tempdir_in(room()).expect("a temporary folder");
        let etcd = (state == State::Debian).then(|| Server::start(Kind::Debian, &[]));
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        Apiserver { dir, port: free_port(), flags, environment: Vec::new(), etcd, child: None }
    }

    /// Sets a variable of the next starts.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Gives it other flags from the next start on.
    pub fn set_flags(&mut self, flags: &[&str]) {
        self.flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
    }

    /// Starts it again on the same folder and port.
    ///
    /// # Panics
    /// When it is not ready in time.
    pub fn restart(&mut self) {
        self.spawn();
        let start = Instant::now();
        while !self.is_ready() {
            if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
                panic!("the API server ended with {status}; it said:\n{}", self.log());
            }
            assert!(start.elapsed() < STARTS_WITHIN, "the API server is not ready:\n{}", self.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Starts it without waiting.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn spawn(&mut self) {
        let mut command = Command::new(crate::weft());
        command.arg("apiserver").arg("--data-dir").arg(self.data_dir()).envs(self.environment.clone());
        command.args(["--bind-address", "127.0.0.1", "--secure-port", &self.port.to_string()]);
        command.arg("--write-kubeconfig").arg(self.kubeconfig()).args(&self.flags);
        if let Some(etcd) = &self.etcd {
            command.args(["--etcd-servers", &etcd.url()]);
        }
        let log = fs::File::options().create(true).append(true).open(self.log_path()).expect("a log file");
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log file")).stderr(log);
        // SAFETY: prctl is async-signal-safe and touches no memory of the parent.
        unsafe {
            command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
        }
        self.child = Some(command.spawn().expect("`cargo build` makes weft"));
    }

    /// Sends SIGKILL and waits for the end.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("the server runs");
        child.kill().expect("the server is killed");
        child.wait().expect("the server ends");
    }

    /// Its process.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// The etcd behind it.
    pub fn etcd(&mut self) -> Option<&mut Server> {
        self.etcd.as_mut()
    }

    /// A folder for a test's files.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The folder of its data.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The admin's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.path().join("admin.kubeconfig")
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// What it has said so far.
    pub fn log(&self) -> String {
        fs::read(self.log_path()).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }

    /// Whether it says that it is ready: without a credential, as anybody may ask.
    fn is_ready(&self) -> bool {
        let url = format!("https://127.0.0.1:{}/readyz", self.port);
        let output = Command::new("curl").args(["-sk", "--max-time", "5", &url]).output();
        output.is_ok_and(|output| output.stdout == b"ok")
    }

    /// Calls kubectl of a version (`1.37`) as the admin.
    ///
    /// # Panics
    /// When it is not there, or hangs.
    pub fn kubectl(&self, version: &str, words: &[&str], input: &str) -> Output {
        let mut command = Command::new("timeout");
        command.arg(PATIENCE).arg(peer(&format!("kubectl-{version}"), "kubectl"));
        // What one version learns of the server is not for the next one.
        command.arg("--cache-dir").arg(self.dir.path().join(format!("cache-{version}")));
        command.arg("--kubeconfig").arg(self.kubeconfig()).args(words);
        run(command, input)
    }
}

impl Drop for Apiserver {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Already ended is as good; a second panic would hide the first.
            drop(child.kill());
            drop(child.wait());
        }
        if thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().rev().take(20).collect();
            eprintln!("the API server said last, newest first:\n{}", lines.join("\n"));
        }
    }
}

/// Runs a command with input.
///
/// # Panics
/// When it cannot be run.
pub fn run(mut command: Command, input: &str) -> Output {
    use std::io::Write as _;
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("`cargo xtask setup` fetches the program");
    // One that reads nothing has closed it.
    drop(child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes())));
    child.wait_with_output().expect("the program ends")
}

/// A program that `cargo xtask setup` fetched.
///
/// # Panics
/// When it is not there.
pub fn peer(folder: &str, program: &str) -> PathBuf {
    let exe = std::env::current_exe().unwrap_or_default();
    let target = exe.ancestors().nth(3).map(Path::to_owned).unwrap_or_default();
    let path = target.join(folder).join(program);
    assert!(path.is_file(), "{} is not there; run `cargo xtask setup`", path.display());
    path
}
