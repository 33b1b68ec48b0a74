//! What tests do to the proxy of a node, and how they see that services go on.

use super::bed::{Bed, MANIFESTS};
use super::case::{Dial, Dialled, Way};
use crate::weft;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Output};
use std::time::Duration;

/// How long healing may take where a test waits for it.
pub const HEALED: Duration = Duration::from_secs(30);

/// A proxy that the test has started in place of the lab's; ended when it is dropped.
pub struct Daemon {
    child: Child,
    log: PathBuf,
    _folder: tempfile::TempDir,
}

impl Bed {
    /// TCP connections from a client, one after the other.
    pub fn dial_tcp(&self, from: &str, to: SocketAddr, times: u32) -> Vec<Dialled> {
        self.dial(from, &[Dial { to, way: Way::Tcp, times, patience_ms: 5000, from_port: 0 }]).remove(0)
    }

    /// Whether a dozen connections are all answered.
    pub fn answers(&self, from: &str, to: SocketAddr) -> bool {
        self.dial_tcp(from, to, 12).iter().all(|one| one.host().is_some())
    }

    /// Runs `weft proxy` on a node to its end.
    pub fn proxy(&self, node: &str, arguments: &[&str]) -> Output {
        let weft = weft().display().to_string();
        self.lab.exec(node, &[&[weft.as_str(), "proxy"], arguments].concat())
    }

    /// Ends the lab's proxy on a node by SIGKILL.
    ///
    /// # Panics
    /// When it does not end.
    pub fn kill_proxy(&self, node: &str) {
        let pid = self.lab.pid(node, "proxy");
        self.lab.signal(node, "proxy", "-KILL");
        self.lab.wait("the proxy ends", HEALED, || {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']))
        });
    }

    /// Starts a proxy of the test's own on a node, with the lab's manifests, and waits until services are in the datapath.
    ///
    /// # Panics
    /// When they are not.
    pub fn start_proxy(&self, node: &str, environment: &[&str], flags: &[&str]) -> Daemon {
        self.start_proxy_from(node, environment, &[&["--manifests", MANIFESTS], flags].concat())
    }

    /// The same, with a source that its flags name.
    ///
    /// # Panics
    /// When services are not in the datapath in time.
    pub fn start_proxy_from(&self, node: &str, environment: &[&str], flags: &[&str]) -> Daemon {
        let weft = weft().display().to_string();
        let words = [&["env"], environment, &[&weft, "proxy"], flags].concat();
        self.start_daemon(node, &words, "services are in the datapath")
    }

    /// Starts a daemon on a node, and waits until it says something.
    ///
    /// # Panics
    /// When it does not.
    pub fn start_daemon(&self, node: &str, words: &[&str], says: &str) -> Daemon {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("log");
        let output = std::fs::File::create(&log).expect("a file");
        let mut command = self.lab.exec_command(node, words);
        let command = command.stdout(output.try_clone().expect("a descriptor")).stderr(output);
        let daemon = Daemon { child: command.spawn().expect("`weft lab exec` starts"), log, _folder: folder };
        self.lab.wait(&format!("{words:?} says {says:?}"), HEALED, || daemon.log().contains(says));
        daemon
    }
}

impl Daemon {
    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its process: the one that `weft lab exec` waits for, if it is not that itself.
    pub fn pid(&self) -> String {
        let pid = self.child.id();
        let children =
            std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        children.split(' ').next().filter(|pid| !pid.is_empty()).map_or(pid.to_string(), str::to_owned)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let killed = Command::new("kill").args(["-KILL", &self.pid()]).status();
        let ended = killed.and_then(|_| self.child.wait());
        // A second panic would hide the first.
        ended.map_or_else(|e| eprintln!("a proxy of the test stays: {e}"), drop);
    }
}
