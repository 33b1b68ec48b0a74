//! The programs that run for the lab: etcd, each node's overlay, load servers, and the relay to an outer etcd.
//!
//! Each is a process of its own in its node's namespaces and cgroup, with a log in the lab's folder. The lab does
//! not watch over them: what a killed daemon does to the traffic is what one wants to see here. `start` starts one
//! again with the same arguments.

use crate::api;
use crate::enter;
use crate::error::{LabError, Result, Tried};
use crate::state::{Daemon, Home, PlaceState, ServicesFrom, Spec, State};
use crate::topology::Role;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Where the overlay says which subnet a node has, in the node's view.
pub const SUBNET_FILE: &str = "/run/flannel/subnet.env";

/// Client port of etcd.
pub const ETCD_PORT: u16 = 2379;

/// How long the overlay may take to have its subnet.
const OVERLAY_WITHIN: Duration = Duration::from_secs(20);

/// Starts a daemon in its place and notes it.
pub fn start(home: &Home, state: &mut State, place: &str, daemon: &str) -> Result<u32> {
    let arguments = arguments(&state.spec, &state.endpoints, state.place(home, place)?, daemon)?;
    let (program, arguments) = (&arguments[0], &arguments[1..]);
    let mut command = home.place(place)?.command(program)?;
    command.args(arguments);
    let log = home.log(place, daemon);
    let pid = spawn(&mut command, &log).tried(|| format!("start {program} in {place}"))?;
    let place = state.place_mut(home, place)?;
    place.daemons.retain(|d| d.name != daemon);
    place.daemons.push(Daemon { name: daemon.to_owned(), pid });
    Ok(pid)
}

/// Starts a program that outlives us, its output appended to a log.
pub fn spawn(command: &mut Command, log: &Path) -> std::io::Result<u32> {
    let out = File::options().create(true).append(true).open(log)?;
    command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
    enter::detached(command);
    command.spawn().map(|child| child.id())
}

/// The command line of a daemon.
fn arguments(spec: &Spec, endpoints: &[String], place: &PlaceState, daemon: &str) -> Result<Vec<String>> {
    let own = |path: &Path| path.display().to_string();
    match (daemon, place.role) {
        ("etcd", Role::Node) => Ok(match &spec.etcd_bin {
            None => [vec![own(&spec.weft), "etcd".into()], etcd_arguments(place)].concat(),
            Some(etcd) => [vec![own(etcd)], etcd_arguments(place), peer_arguments(place)].concat(),
        }),
        ("apiserver", Role::Node) if spec.services_from == ServicesFrom::Api => {
            Ok([vec![own(&spec.weft)], api::arguments(place)].concat())
        }
        ("flannel", Role::Node) => {
            let mut all: Vec<String> = spec.flannel.iter().map(|p| own(p)).collect();
            all.push(format!("--etcd-endpoints={}", endpoints.join(",")));
            all.push("--ip-masq".into());
            Ok(all)
        }
        ("proxy", Role::Node) => {
            let source = match spec.services_from {
                ServicesFrom::Api => ["--kubeconfig", api::PROXY],
                ServicesFrom::Manifests => ["--manifests", crate::services::MANIFESTS],
            };
            Ok([vec![own(&spec.weft), "proxy".into()], source.map(str::to_owned).to_vec()].concat())
        }
        ("load", _) => Ok([own(&spec.weft), "lab".into(), "load".into(), "server".into()].to_vec()),
        _ => {
            let why = format!("{}: there is no daemon {daemon:?} for it", place.name);
            Err(LabError::Flag { flag: "DAEMON", why })
        }
    }
}

/// Flags that a real etcd and `weft etcd` have in common.
fn etcd_arguments(place: &PlaceState) -> Vec<String> {
    let own = place.addresses.first().map(ToString::to_string).unwrap_or_default();
    let clients = format!("http://{own}:{ETCD_PORT},http://127.0.0.1:{ETCD_PORT}");
    [
        "--name",
        &place.name,
        "--data-dir",
        "/var/lib/etcd",
        "--listen-client-urls",
        &clients,
        "--advertise-client-urls",
        &format!("http://{own}:{ETCD_PORT}"),
    ]
    .map(str::to_owned)
    .to_vec()
}

/// Flags that only a real etcd has: it may have peers.
fn peer_arguments(place: &PlaceState) -> Vec<String> {
    [
        "--listen-peer-urls",
        "http://127.0.0.1:2380",
        "--initial-advertise-peer-urls",
        "http://127.0.0.1:2380",
        "--initial-cluster",
        &format!("{}=http://127.0.0.1:2380", place.name),
    ]
    .map(str::to_owned)
    .to_vec()
}

/// Waits until a node's overlay has written its subnet, and gives the file's text.
pub fn wait_for_subnet(home: &Home, node: &str, pid: u32) -> Result<String> {
    let start = Instant::now();
    let log = home.log(node, "flannel");
    while start.elapsed() < OVERLAY_WITHIN {
        if let Some(text) = read_in(home, node, SUBNET_FILE)? {
            return Ok(text);
        }
        if !runs(pid) {
            let said = last_line(&log);
            return Err(LabError::Program {
                what: "the overlay".into(),
                place: node.into(),
                said,
                log: Some(log),
            });
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let what = format!("{SUBNET_FILE} of the overlay on {node}");
    Err(LabError::Late { what, seconds: OVERLAY_WITHIN.as_secs(), log: Some(log) })
}

/// Reads a file in a node's view, if it is there: through a process that is in it.
pub fn read_in(home: &Home, node: &str, path: &str) -> Result<Option<String>> {
    let mut command = home.place(node)?.command("cat")?;
    let output = command.arg(path).output().tried(|| format!("read {path} of {node}"))?;
    Ok(output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned()))
}

/// Makes a folder in a node's view.
pub fn make_dir_in(home: &Home, node: &str, path: &str) -> Result<()> {
    let mut command = home.place(node)?.command("mkdir")?;
    command.args(["-p", path]).status().tried(|| format!("make {path} of {node}")).map(drop)
}

/// Writes a file in a node's view.
pub fn write_in(home: &Home, node: &str, path: &str, text: &str) -> Result<()> {
    let mut command = home.place(node)?.command("tee")?;
    command.arg(path);
    feed(command, node, path, text)
}

/// Writes a file that nobody but root may read, in a node's view.
pub fn write_secret_in(home: &Home, node: &str, path: &str, text: &str) -> Result<()> {
    let mut command = home.place(node)?.command("install")?;
    command.args(["--mode=0600", "/dev/stdin", path]);
    feed(command, node, path, text)
}

fn feed(mut command: Command, node: &str, path: &str, text: &str) -> Result<()> {
    command.stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn().tried(|| format!("write {path} of {node}"))?;
    if let Some(mut input) = child.stdin.take() {
        std::io::Write::write_all(&mut input, text.as_bytes()).tried(|| format!("write {path} of {node}"))?;
    }
    let status = child.wait().tried(|| format!("write {path} of {node}"))?;
    let said = status.to_string();
    let what = format!("writing {path}");
    if status.success() {
        Ok(())
    } else {
        Err(LabError::Program { what, place: node.into(), said, log: None })
    }
}

/// Writes a file in a node's view beside the one that is there, and puts it in its place.
pub fn replace_in(home: &Home, node: &str, path: &str, text: &str) -> Result<()> {
    // A name that readers of the folder pass over.
    let part = match path.rsplit_once('/') {
        Some((folder, name)) => format!("{folder}/.{name}"),
        None => format!(".{path}"),
    };
    write_in(home, node, &part, text)?;
    let mut command = home.place(node)?.command("mv")?;
    let status = command.args(["-f", &part, path]).status().tried(|| format!("write {path} of {node}"))?;
    match status.success() {
        true => Ok(()),
        false => Err(LabError::Program {
            what: format!("writing {path}"),
            place: node.into(),
            said: status.to_string(),
            log: None,
        }),
    }
}

/// Waits until a node's proxy has written its services, or has ended.
pub fn wait_for_proxy(home: &Home, node: &str, pid: u32) -> Result<()> {
    let start = Instant::now();
    let log = home.log(node, "proxy");
    while start.elapsed() < OVERLAY_WITHIN {
        let said = fs::read_to_string(&log).unwrap_or_default();
        if said.contains("services are in the datapath") {
            return Ok(());
        }
        if !runs(pid) {
            let said = last_line(&log);
            let what = "the service proxy".into();
            return Err(LabError::Program { what, place: node.into(), said, log: Some(log) });
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let what = format!("services on {node}");
    Err(LabError::Late { what, seconds: OVERLAY_WITHIN.as_secs(), log: Some(log) })
}

/// Whether a process is there and no zombie (our own children are not waited for).
pub fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// The last thing that a daemon said.
pub fn last_line(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("(it said nothing)").to_owned()
}

impl State {
    fn place(&self, home: &Home, name: &str) -> Result<&PlaceState> {
        match self.places.iter().find(|p| p.name == name) {
            Some(place) => Ok(place),
            None => Err(self.no_place(home, name)),
        }
    }

    fn place_mut(&mut self, home: &Home, name: &str) -> Result<&mut PlaceState> {
        let missing = self.no_place(home, name);
        self.places.iter_mut().find(|p| p.name == name).ok_or(missing)
    }

    fn no_place(&self, home: &Home, name: &str) -> LabError {
        let have = self.places.iter().map(|p| p.name.clone()).collect();
        LabError::NoPlace { lab: home.name().to_owned(), name: name.to_owned(), have }
    }
}
