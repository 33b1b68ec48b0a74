//! A node for tests: a network namespace of this thread, containers, and a plugin to call.
//!
//! ```text
//! thread of the test ── in a fresh network namespace ("host"), left by the thread's end
//!   Pod: a network namespace held by a file descriptor; its path is /proc/<test>/fd/<n>
//! ```
//! Nothing is mounted or named, so nothing can be left behind, not even by a panic, and tests may run
//! side by side. The same assertions run with the reference plugins in place of ours.

#![allow(dead_code)] // each test binary uses a part

pub mod rows;
pub mod snapshot;

use netstate::{Address, Entered, Kernel, Link, NetNs, Route};
use serde_json::{Value, json};
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Where Debian has the reference plugins.
pub const REFERENCE: &str = "/usr/lib/cni";

/// Whose plugin is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    Ours,
    Reference,
}

impl Whose {
    pub const BOTH: [Whose; 2] = [Whose::Reference, Whose::Ours];

    pub fn binary(self) -> PathBuf {
        match self {
            Whose::Ours => env!("CARGO_BIN_EXE_weft-cni").into(),
            Whose::Reference => reference("bridge"),
        }
    }

    /// The plugin of a name, theirs or ours.
    pub fn plugin(self, name: &str) -> PathBuf {
        match self {
            Whose::Ours => installed().join(name),
            Whose::Reference => reference(name),
        }
    }

    pub fn plugin_type(self) -> &'static str {
        match self {
            Whose::Ours => "weft-cni",
            Whose::Reference => "bridge",
        }
    }
}

/// A folder with our binary under each of its names, as an operator installs it.
pub fn installed() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cni-bin");
    std::fs::create_dir_all(&folder).unwrap();
    for name in cni_plugin::plugin::PERSONALITIES {
        // Another test may have been quicker.
        let _ = std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_weft-cni"), folder.join(name));
    }
    folder
}

/// A reference plugin; fails with the command that installs it.
pub fn reference(name: &str) -> PathBuf {
    let path = Path::new(REFERENCE).join(name);
    assert!(path.is_file(), "{} is missing: apt-get install containernetworking-plugins", path.display());
    path
}

pub fn need_root() {
    assert!(
        rustix::process::geteuid().is_root(),
        "this test makes network namespaces: run it as root (sudo)"
    );
}

/// The folders in which plugins keep state by default are empty ones of this thread's own, and of the plugins that it
/// starts: whatever a configuration says, the machine's stay as they are.
fn keep_state_private() {
    // SAFETY: unshare takes no pointers. A mount namespace of this thread's own means a working folder of its own, too.
    assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNS) }, 0, "{}", std::io::Error::last_os_error());
    mount(None, c"/", libc::MS_REC | libc::MS_PRIVATE);
    for folder in [c"/var/lib", c"/run"] {
        mount(Some(c"tmpfs"), folder, 0);
    }
}

fn mount(kind: Option<&std::ffi::CStr>, on: &std::ffi::CStr, flags: libc::c_ulong) {
    let kind = kind.map_or(std::ptr::null(), |kind| kind.as_ptr());
    // SAFETY: all pointers are of strings that end with a zero byte and outlive the call, or null where mount(2) allows it.
    let done = unsafe { libc::mount(kind, on.as_ptr(), kind, flags, std::ptr::null()) };
    assert_eq!(done, 0, "{on:?}: {}", std::io::Error::last_os_error());
}

/// A host with a store; the thread is in its namespace while it lives.
pub struct Node {
    pub dir: tempfile::TempDir,
    pub host: NetNs,
    _entered: Option<Entered>,
}

/// A container's network namespace.
pub struct Pod {
    pub netns: NetNs,
}

impl Node {
    pub fn new() -> Self {
        need_root();
        keep_state_private();
        let host = NetNs::anonymous().unwrap();
        let entered = host.enter().unwrap();
        Node { dir: tempfile::tempdir().unwrap(), host, _entered: Some(entered) }
    }

    /// Everything that the kernel had of it goes; what is on its disk stays.
    pub fn restart(&mut self) {
        let host = NetNs::anonymous().unwrap();
        self._entered = None;
        self._entered = Some(host.enter().unwrap());
        self.host = host;
    }

    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("networks")
    }

    /// Names in a network's store, without those that are no addresses.
    pub fn reserved(&self, network: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.data_dir().join(network)) else { return Vec::new() };
        let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|n| n.parse::<std::net::IpAddr>().is_ok()).collect();
        names.sort();
        names
    }

    /// A configuration with the given keys over the usual ones.
    pub fn config(&self, whose: Whose, keys: Value) -> Value {
        let mut config = json!({
            "cniVersion": "1.0.0", "name": "testnet", "type": whose.plugin_type(), "bridge": "cni0",
            "ipam": {"type": "host-local", "subnet": "10.99.0.0/24", "dataDir": self.data_dir()},
        });
        for (key, value) in keys.as_object().unwrap() {
            config[key] = value.clone();
        }
        config
    }

    pub fn kernel(&self) -> Kernel {
        Kernel::open().unwrap()
    }

    pub fn link(&self, name: &str) -> Option<Link> {
        self.kernel().route.link(name).unwrap()
    }

    /// Host ends of pairs.
    pub fn veths(&self) -> Vec<Link> {
        let links = self.kernel().route.links().unwrap();
        links.into_iter().filter(|l| l.kind == netstate::LinkKind::Veth).collect()
    }

    pub fn addresses(&self, name: &str) -> Vec<Address> {
        let mut kernel = self.kernel();
        let link = kernel.route.link(name).unwrap().unwrap();
        kernel.route.addresses_of(&link).unwrap().into_iter().filter(|a| !a.link_scope).collect()
    }
}

impl Pod {
    pub fn new() -> Self {
        Pod { netns: NetNs::anonymous().unwrap() }
    }

    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.netns.as_fd().as_raw_fd())
    }

    pub fn kernel(&self) -> Kernel {
        Kernel::open_in(&self.netns).unwrap()
    }

    pub fn link(&self, name: &str) -> Option<Link> {
        self.kernel().route.link(name).unwrap()
    }

    pub fn addresses(&self, name: &str) -> Vec<Address> {
        let mut kernel = self.kernel();
        let link = kernel.route.link(name).unwrap().unwrap();
        let mut all = kernel.route.addresses_of(&link).unwrap();
        all.retain(|a| !a.link_scope);
        all.sort();
        all
    }

    /// Routes with a gateway.
    pub fn routes(&self) -> Vec<Route> {
        let mut kernel = self.kernel();
        let links = kernel.route.links().unwrap();
        kernel.route.routes(&links).unwrap().into_iter().filter(|r| r.via.is_some()).collect()
    }

    /// Runs a command in the container's namespace; its success.
    pub fn run(&self, program: &str, arguments: &[&str]) -> bool {
        let command =
            || Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
        self.netns.run(command).unwrap().unwrap_or_else(|e| panic!("{program}: {e}")).success()
    }

    pub fn pings(&self, address: &str) -> bool {
        self.run("ping", &["-c1", "-W2", address])
    }
}

/// One call of a plugin, with more of the environment than CNI's.
pub struct Call<'a> {
    pub binary: PathBuf,
    pub command: &'a str,
    pub id: &'a str,
    pub netns: &'a str,
    pub environment: Vec<(&'a str, String)>,
}

impl<'a> Call<'a> {
    pub fn new(whose: Whose, command: &'a str, id: &'a str, netns: &'a str) -> Self {
        Call { binary: whose.binary(), command, id, netns, environment: Vec::new() }
    }

    /// The plugin of a name.
    pub fn of(mut self, whose: Whose, name: &str) -> Self {
        self.binary = whose.plugin(name);
        self
    }

    pub fn with(mut self, key: &'a str, value: impl ToString) -> Self {
        self.environment.push((key, value.to_string()));
        self
    }

    pub fn start(&self, config: &Value) -> std::process::Child {
        let mut command = Command::new(&self.binary);
        command.env("CNI_COMMAND", self.command).env("CNI_CONTAINERID", self.id).env("CNI_NETNS", self.netns);
        command.env("CNI_IFNAME", "eth0").env("CNI_PATH", REFERENCE);
        command.envs(self.environment.iter().map(|(k, v)| (*k, v.as_str())));
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // A plugin that fails early or is killed doesn't read it all.
        let _ = child.stdin.take().unwrap().write_all(config.to_string().as_bytes());
        child
    }

    pub fn output(&self, config: &Value) -> Output {
        self.start(config).wait_with_output().unwrap()
    }

    /// The answer, or the error.
    pub fn run(&self, config: &Value) -> Result<Value, Value> {
        let output = self.output(config);
        let text = String::from_utf8_lossy(&output.stdout);
        let value: Value = match text.trim() {
            "" => Value::Null,
            text => serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}")),
        };
        match output.status.code() {
            Some(0) => Ok(value),
            Some(1) => {
                assert!(value["code"].is_u64(), "an error without a code: {text}");
                Err(value)
            }
            _ => panic!("{:?}: {text} {}", output.status, String::from_utf8_lossy(&output.stderr)),
        }
    }
}

pub fn add(whose: Whose, config: &Value, id: &str, pod: &Pod) -> Result<Value, Value> {
    Call::new(whose, "ADD", id, &pod.path()).run(config)
}

pub fn del(whose: Whose, config: &Value, id: &str, netns: &str) -> Result<Value, Value> {
    Call::new(whose, "DEL", id, netns).run(config)
}

/// CHECK with the result of the ADD.
pub fn check(whose: Whose, config: &Value, id: &str, pod: &Pod, result: &Value) -> Result<Value, Value> {
    let mut config = config.clone();
    config["prevResult"] = result.clone();
    Call::new(whose, "CHECK", id, &pod.path()).run(&config)
}
