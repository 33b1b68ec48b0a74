//! A lab for the length of a test.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The `weft` to test: `WEFT_BIN`, as `cargo xtask test` sets it, or the one in the target folder.
///
/// # Panics
/// When there is none.
pub fn weft() -> PathBuf {
    let beside = || std::env::current_exe().ok()?.ancestors().nth(2).map(|dir| dir.join("weft"));
    let path = std::env::var_os("WEFT_BIN").map(PathBuf::from).or_else(beside).unwrap_or_default();
    assert!(path.is_file(), "{} is not built; run `cargo xtask test`", path.display());
    path
}

/// Fails the test of an ordinary user.
///
/// # Panics
/// When we are not root.
pub fn need_root() {
    let root = Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout.starts_with(b"0\n"));
    assert!(root, "labs need root; run `cargo xtask test`, which asks sudo for it");
}

/// `weft lab …`
///
/// # Panics
/// When there is no `weft`, or we are not root.
pub fn weft_command(args: &[&str]) -> Command {
    need_root();
    let mut command = Command::new(weft());
    command.arg("lab").args(args);
    command
}

/// A lab that is up; taken down when dropped.
pub struct Lab {
    name: String,
}

impl Lab {
    /// Puts one up; the name must be this test's alone.
    ///
    /// # Panics
    /// When that fails.
    pub fn up(name: &str, args: &[&str]) -> Lab {
        let lab = Lab::unmade(name);
        let output = lab.up_command(args).output().expect("weft starts");
        assert!(output.status.success(), "up: {}", String::from_utf8_lossy(&output.stderr));
        lab
    }

    /// Only the promise to take down whatever will be there under this name.
    ///
    /// # Panics
    /// When what an earlier run left cannot be removed.
    pub fn unmade(name: &str) -> Lab {
        // Before there is a lab to be dropped: a second panic would end all tests of the program.
        need_root();
        weft();
        let lab = Lab { name: name.to_owned() };
        lab.down();
        lab
    }

    /// The command that puts it up, for tests that interrupt it.
    pub fn up_command(&self, args: &[&str]) -> Command {
        let mut command = weft_command(&["up", "--name", &self.name]);
        if let Some(dir) = std::env::var_os("WEFT_CNI_BIN_DIR") {
            command.arg("--cni-bin-dir").arg(Path::new(&dir)).args(["--cni-bin-dir", "/usr/lib/cni"]);
        }
        command.args(args);
        command
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Takes it down now.
    ///
    /// # Panics
    /// When something cannot be removed.
    pub fn down(&self) {
        let output = weft_command(&["down", "--name", &self.name]).output().expect("weft starts");
        assert!(output.status.success(), "down: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Runs a verb and expects success; its standard output.
    ///
    /// # Panics
    /// When it fails.
    pub fn run(&self, verb: &str, args: &[&str]) -> String {
        let output = weft_command(&[verb, "--name", &self.name]).args(args).output().expect("weft starts");
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{verb} {args:?}: {out}{}", String::from_utf8_lossy(&output.stderr));
        out
    }

    /// A command in a node or pod, to be started.
    pub fn exec_command(&self, place: &str, words: &[&str]) -> Command {
        let mut command = weft_command(&["exec", "--name", &self.name, place, "--"]);
        command.args(words);
        command
    }

    /// Runs a command in a node or pod.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn exec(&self, place: &str, words: &[&str]) -> Output {
        self.exec_command(place, words).output().expect("weft starts")
    }

    /// What `status --json` says.
    ///
    /// # Panics
    /// When it is no JSON.
    pub fn status(&self) -> Value {
        serde_json::from_str(&self.run("status", &["--json"])).expect("status is JSON")
    }

    /// An address of a pod.
    ///
    /// # Panics
    /// When there is no such pod.
    pub fn address(&self, pod: &str, ipv6: bool) -> String {
        let status = self.status();
        let pods = status["pods"].as_array().expect("pods");
        let found = pods.iter().find(|p| p["name"] == pod).expect("the pod is there");
        let all = found["addresses"].as_array().expect("addresses").iter().filter_map(Value::as_str);
        all.into_iter().find(|a| a.contains(':') == ipv6).expect("an address of the family").to_owned()
    }

    /// The process id of a daemon.
    ///
    /// # Panics
    /// When there is no such daemon.
    pub fn pid(&self, node: &str, daemon: &str) -> String {
        let status = self.status();
        let nodes = status["nodes"].as_array().expect("nodes");
        let found = nodes.iter().find(|n| n["name"] == node).expect("the node is there");
        let daemons = found["daemons"].as_array().expect("daemons");
        daemons.iter().find(|d| d["name"] == daemon).expect("the daemon is there")["pid"].to_string()
    }

    /// The process id of a pod.
    ///
    /// # Panics
    /// When there is no such pod.
    pub fn pod_pid(&self, pod: &str) -> String {
        let status = self.status();
        let pods = status["pods"].as_array().expect("pods");
        pods.iter().find(|p| p["name"] == pod).expect("the pod is there")["pid"].to_string()
    }

    /// Sends a signal to a daemon.
    ///
    /// # Panics
    /// When it is not there.
    pub fn signal(&self, node: &str, daemon: &str, signal: &str) {
        let sent = Command::new("kill").arg(signal).arg(self.pid(node, daemon)).status();
        assert!(sent.is_ok_and(|s| s.success()), "kill {signal} of {daemon} on {node}");
    }

    /// Starts pinging from a pod: 100 packets per second for some seconds.
    ///
    /// # Panics
    /// When ping is not installed.
    pub fn ping(&self, from: &str, to: &str, seconds: u32) -> Ping {
        let count = (seconds * 100).to_string();
        let mut command = self.exec_command(from, &["ping", "-q", "-i", "0.01", "-c", &count, "-W", "1", to]);
        let child =
            command.stdout(Stdio::piped()).spawn().expect("ping starts: `cargo xtask setup` installs it");
        Ping { child }
    }

    /// Waits until something is so.
    ///
    /// # Panics
    /// When it is not within the time.
    pub fn wait(&self, what: &str, within: Duration, mut so: impl FnMut() -> bool) {
        let start = Instant::now();
        while !so() {
            assert!(start.elapsed() < within, "{what}: not within {within:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // A second panic would hide the first.
        if let Err(e) = weft_command(&["down", "--name", &self.name]).status() {
            eprintln!("lab {} stays: {e}", self.name);
        }
    }
}

/// A ping under way.
pub struct Ping {
    child: Child,
}

impl Ping {
    /// Waits for the end: packets sent and received.
    ///
    /// # Panics
    /// When ping did not print its statistics.
    pub fn end(self) -> (u32, u32) {
        let output = self.child.wait_with_output().expect("ping ends");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().find(|l| l.contains("packets transmitted")).unwrap_or(&text);
        let numbers: Vec<u32> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
        match numbers[..] {
            [sent, received, ..] => (sent, received),
            _ => panic!("ping said: {text}"),
        }
    }
}
