//! `etcdctl`, as a person types it: Debian's, or that of etcd 3.5.

use super::server::{Kind, Server, distro};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// A line that has not come by then does not come.
const PATIENCE: Duration = Duration::from_secs(60);

/// An etcdctl and the server that it talks to.
pub struct Ctl {
    program: PathBuf,
    url: String,
}

/// How a command ended.
#[derive(Debug)]
pub struct Said {
    /// Its exit status.
    pub status: ExitStatus,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub error: String,
}

impl Ctl {
    /// Debian's.
    ///
    /// # Panics
    /// When it is not installed.
    pub fn debian(server: &Server) -> Ctl {
        Ctl::debian_at(&server.url())
    }

    /// Debian's, of a server by its URL.
    ///
    /// # Panics
    /// When it is not installed.
    pub fn debian_at(url: &str) -> Ctl {
        let program = PathBuf::from("/usr/bin/etcdctl");
        assert!(program.is_file(), "{} is not there; run `cargo xtask setup`", program.display());
        Ctl { program, url: url.to_owned() }
    }

    /// That of etcd 3.5.
    pub fn distro(server: &Server) -> Ctl {
        Ctl { program: distro("etcdctl"), url: server.url() }
    }

    /// A command, to be started.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.env("ETCDCTL_API", "3").args(["--endpoints", &self.url]).args(words);
        command
    }

    /// Runs a command.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn run(&self, words: &[&str]) -> Said {
        self.run_with(words, "")
    }

    /// Runs a command with something to read.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn run_with(&self, words: &[&str], input: &str) -> Said {
        let mut command = self.command(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("etcdctl starts");
        child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("etcdctl reads");
        let output = child.wait_with_output().expect("etcdctl ends");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said { status: output.status, out: text(&output.stdout), error: text(&output.stderr) }
    }

    /// Runs a command that must succeed; its output without the last line's end.
    ///
    /// # Panics
    /// When it fails.
    pub fn ok(&self, words: &[&str]) -> String {
        self.ok_with(words, "")
    }

    /// Runs a command that must succeed with something to read.
    ///
    /// # Panics
    /// When it fails.
    pub fn ok_with(&self, words: &[&str], input: &str) -> String {
        let said = self.run_with(words, input);
        assert!(said.status.success(), "etcdctl {words:?}: {said:?}");
        said.out.trim_end().to_owned()
    }

    /// Runs a command that must succeed and print JSON.
    ///
    /// # Panics
    /// When it does not.
    pub fn json(&self, words: &[&str]) -> serde_json::Value {
        let out = self.ok(&[words, &["-w", "json"]].concat());
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("etcdctl {words:?} printed no JSON: {e}: {out}"))
    }

    /// Runs a command that must fail; what it said.
    ///
    /// # Panics
    /// When it succeeds.
    pub fn fails(&self, words: &[&str]) -> String {
        let said = self.run(words);
        assert!(!said.status.success(), "etcdctl {words:?} did not fail: {said:?}");
        said.out + &said.error
    }

    /// Starts a command that goes on.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(&self, words: &[&str]) -> Running {
        let mut command = self.command(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("etcdctl starts");
        let (sender, lines) = channel();
        let out = BufReader::new(child.stdout.take().expect("a pipe"));
        thread::spawn(move || {
            let read = out.lines().map_while(Result::ok);
            // Nobody who waits for lines any more ends the reading.
            read.map(|line| sender.send(line)).take_while(Result::is_ok).count()
        });
        let input = child.stdin.take().expect("a pipe");
        Running { child, input, lines }
    }
}

/// A command that goes on; killed when dropped.
pub struct Running {
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
}

impl Running {
    /// The next line that is not empty.
    ///
    /// # Panics
    /// When none comes.
    pub fn line(&self) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).expect("another line of etcdctl");
            if !line.is_empty() {
                return line;
            }
        }
    }

    /// The next lines that are not empty.
    ///
    /// # Panics
    /// When they do not come.
    pub fn lines(&self, number: usize) -> Vec<String> {
        (0..number).map(|_| self.line()).collect()
    }

    /// Whether no line that is not empty comes for a moment.
    pub fn is_silent(&self) -> bool {
        thread::sleep(Duration::from_millis(300));
        self.lines.try_iter().all(|line| line.is_empty())
    }

    /// Types a line.
    ///
    /// # Panics
    /// When it does not read.
    pub fn types(&mut self, line: &str) {
        writeln!(self.input, "{line}").expect("etcdctl reads");
    }

    /// Sends SIGINT and waits for the end.
    ///
    /// # Panics
    /// When it cannot be signalled.
    pub fn interrupt(mut self) -> ExitStatus {
        let pid = rustix::process::Pid::from_raw(self.child.id().cast_signed()).expect("a process id");
        rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("etcdctl is signalled");
        self.child.wait().expect("etcdctl ends")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already ended is as good.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Runs a test on a fresh server of each kind.
pub fn on_each(test: impl Fn(&Server, &Ctl)) {
    for kind in Kind::wanted() {
        println!("on {kind:?}");
        let server = Server::start(kind, &[]);
        test(&server, &Ctl::debian(&server));
    }
}
