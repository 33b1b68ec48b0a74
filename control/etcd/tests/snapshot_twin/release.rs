//! The programs of one release of etcd, and a server of it on a restored snapshot.

use etcd_client::Client;
use std::{
    fmt,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

const TIMEOUT: Duration = Duration::from_secs(30);

/// Where the programs of a release are.
pub struct Release {
    name: &'static str,
    server: PathBuf,
    /// Restores and shows: etcdctl, from 3.5 on etcdutl.
    tool: PathBuf,
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Debian's etcd, which must be there, and 3.5 if it is.
pub fn releases() -> Vec<Release> {
    let of = |name, server: PathBuf, tool: PathBuf| Release { name, server, tool };
    let mut releases = vec![of("etcd 3.4", "/usr/bin/etcd".into(), "/usr/bin/etcdctl".into())];
    for program in [&releases[0].server, &releases[0].tool] {
        assert!(program.is_file(), "{} is not there: run `cargo xtask setup`", program.display());
    }
    let folder = match std::env::var_os("WEFT_ETCD35_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("etcd-3.5.1"),
    };
    if folder.join("etcd").is_file() {
        releases.push(of("etcd 3.5 by etcdctl", folder.join("etcd"), folder.join("etcdctl")));
        releases.push(of("etcd 3.5 by etcdutl", folder.join("etcd"), folder.join("etcdutl")));
    }
    releases
}

impl Release {
    /// `snapshot status` as JSON.
    pub fn snapshot_status(&self, file: &Path) -> serde_json::Value {
        let output = self.run(Command::new(&self.tool).args(["snapshot", "status", "-w", "json"]).arg(file));
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{self}: {}", String::from_utf8_lossy(&output.stderr)))
    }

    /// `snapshot restore`, and a server on what it makes; or what the tool says against it.
    pub fn restore(&self, file: &Path) -> Result<Server, String> {
        let folder = tempfile::tempdir().unwrap();
        let [client, peer] = free_ports();
        let cluster = format!("n1=http://127.0.0.1:{peer}");
        let output = self.run(
            Command::new(&self.tool)
                .args(["snapshot", "restore", "--name", "n1", "--initial-cluster", &cluster])
                .arg(format!("--initial-advertise-peer-urls=http://127.0.0.1:{peer}"))
                .arg("--data-dir")
                .arg(folder.path().join("data"))
                .arg(file),
        );
        match output.status.success() {
            true => Ok(Server::start(&self.server, folder, client, peer)),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    fn run(&self, command: &mut Command) -> Output {
        command.env("ETCDCTL_API", "3").output().unwrap()
    }
}

/// Two ports that nobody listens on, held together until both are known.
fn free_ports() -> [u16; 2] {
    let listeners = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

/// A running etcd; ends with the value.
pub struct Server {
    process: Child,
    program: PathBuf,
    folder: Option<tempfile::TempDir>,
    client: u16,
    peer: u16,
}

impl Server {
    fn start(program: &Path, folder: tempfile::TempDir, client: u16, peer: u16) -> Server {
        let (client_url, peer_url) =
            (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
        let process = Command::new(program)
            .args(["--name", "n1", "--initial-cluster", &format!("n1={peer_url}")])
            .args(["--listen-client-urls", &client_url, "--advertise-client-urls", &client_url])
            .args(["--listen-peer-urls", &peer_url, "--initial-advertise-peer-urls", &peer_url])
            .arg("--data-dir")
            .arg(folder.path().join("data"))
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        Server { process, program: program.to_owned(), folder: Some(folder), client, peer }
    }

    /// Killed, and started again on the same folder.
    pub fn restarted(mut self) -> Server {
        self.end();
        let folder = self.folder.take().unwrap();
        Server::start(&self.program, folder, self.client, self.peer)
    }

    /// A client, once the server serves.
    pub async fn client(&self) -> Client {
        let until = Instant::now() + TIMEOUT;
        loop {
            if let Ok(mut client) = Client::connect([format!("127.0.0.1:{}", self.client)], None).await
                && client.get("a", None).await.is_ok()
            {
                return client;
            }
            assert!(Instant::now() < until, "the etcd does not serve:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn log(&self) -> String {
        let log = self.folder.as_ref().map(|folder| std::fs::read(folder.path().join("log")).unwrap());
        String::from_utf8_lossy(&log.unwrap_or_default()).into_owned()
    }

    fn end(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}
