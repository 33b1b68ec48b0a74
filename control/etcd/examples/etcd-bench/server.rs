//! A server as a process: start, end, memory, CPU.

use super::Outcome;
use etcd_client::Client;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const TIMEOUT: Duration = Duration::from_secs(60);

/// How long between two looks at a starting server.
const LOOK: Duration = Duration::from_micros(200);

/// What to start.
pub struct Program {
    path: PathBuf,
    /// etcd-server wants to know of peers as well.
    is_etcd: bool,
}

impl Program {
    pub fn of(path: &Path) -> Program {
        let is_etcd = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"etcd"));
        Program { path: path.to_owned(), is_etcd }
    }

    fn command(&self, data: &Path, [client, peer]: [u16; 2]) -> Command {
        let [client, peer] = [client, peer].map(|port| format!("http://127.0.0.1:{port}"));
        let mut command = Command::new(&self.path);
        if !self.is_etcd {
            command.arg("etcd");
        }
        command.args(["--name", "n", "--data-dir"]).arg(data);
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        if self.is_etcd {
            command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
            command.args(["--initial-cluster", &format!("n={peer}")]);
        }
        command
    }
}

/// A server that serves. Killed with the value.
pub struct Server {
    process: Child,
    folder: PathBuf,
    ports: [u16; 2],
    /// By us.
    ended: bool,
    /// From the start of the process to its first answer.
    pub start: Duration,
}

impl Server {
    /// Starts a server in a folder, which may hold the data of a former one; returns once it serves.
    pub async fn start(program: &Program, folder: &Path) -> Outcome<Server> {
        std::fs::create_dir_all(folder)?;
        Server::start_on(program, folder, free_ports()?).await
    }

    async fn start_on(program: &Program, folder: &Path, ports: [u16; 2]) -> Outcome<Server> {
        let log = File::options().create(true).append(true).open(folder.join("log"))?;
        let mut command = program.command(&folder.join("data"), ports);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let began = Instant::now();
        let process = command.spawn()?;
        let (folder, start) = (folder.to_owned(), Duration::ZERO);
        let mut server = Server { process, folder, ports, ended: false, start };
        server.answer(began + TIMEOUT).await?;
        server.start = began.elapsed();
        Ok(server)
    }

    /// Waits for the first answer. Asking begins once something listens: a client that is refused waits.
    async fn answer(&mut self, until: Instant) -> Outcome<()> {
        loop {
            if TcpStream::connect(("127.0.0.1", self.ports[0])).is_ok()
                && let Ok(mut client) = self.client().await
                && client.get("first", None).await.is_ok()
            {
                return Ok(());
            }
            if let Some(status) = self.process.try_wait()? {
                return Err(format!("{} ended with {status}: {}", self.folder.display(), self.log()).into());
            }
            if Instant::now() > until {
                return Err(format!("{} does not serve: {}", self.folder.display(), self.log()).into());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// A connection of its own.
    pub async fn client(&self) -> Outcome<Client> {
        Ok(Client::connect([format!("127.0.0.1:{}", self.ports[0])], None).await?)
    }

    /// Ends it by SIGTERM, and starts it again on its data.
    pub async fn restarted(mut self, program: &Program) -> Outcome<Server> {
        kill_process(Pid::from_child(&self.process), Signal::TERM)?;
        self.process.wait()?;
        self.ended = true;
        Server::start_on(program, &self.folder, self.ports).await
    }

    /// Ends it by SIGKILL, and starts it again on its data.
    pub async fn killed_and_restarted(mut self, program: &Program) -> Outcome<Server> {
        self.process.kill()?;
        self.process.wait()?;
        self.ended = true;
        Server::start_on(program, &self.folder, self.ports).await
    }

    /// User and system time of all its threads, in seconds; the kernel counts in hundredths.
    pub fn cpu(&self) -> Outcome<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        // The name is in brackets, and may hold blanks.
        let behind = stat.rsplit(')').next().unwrap_or_default();
        let mut fields = behind.split_whitespace().skip(11).map(str::parse::<u64>);
        let (Some(user), Some(system)) = (fields.next(), fields.next()) else {
            return Err("the kernel's stat is too short".into());
        };
        Ok((user? + system?) as f64 / 100.0)
    }

    /// VmRSS and Pss in MB.
    pub fn memory(&self) -> Outcome<[f64; 2]> {
        let line = |file: &str, name: &str| -> Outcome<f64> {
            let text = std::fs::read_to_string(format!("/proc/{}/{file}", self.process.id()))?;
            let line = text.lines().find(|line| line.starts_with(name));
            let number = line.and_then(|line| line.split_whitespace().nth(1)).ok_or("no such line")?;
            Ok(number.parse::<f64>()? / 1024.0)
        };
        Ok([line("status", "VmRSS:")?, line("smaps_rollup", "Pss:")?])
    }

    /// The last lines of what it said.
    fn log(&self) -> String {
        let text = std::fs::read(self.folder.join("log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(5)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A bench that fails says no more than that nobody answers.
        if let Ok(Some(status)) = self.process.try_wait()
            && !self.ended
        {
            eprintln!("{} had ended by itself: {status}", self.folder.display());
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Two ports that nobody listens on, held together until both are known.
fn free_ports() -> Outcome<[u16; 2]> {
    let listeners = [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
    Ok([listeners[0].local_addr()?.port(), listeners[1].local_addr()?.port()])
}
