//! Runs plugins and bare netlink calls, and measures them.

use netstate::{
    Address, DevName, Kernel, LinkChange, NetNs, NetNsTarget, NewLink, NewLinkKind, Op, Route, VethPeer,
};
use std::error::Error;
use std::io::{Read, Write};
use std::ops::AddAssign;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What one call cost.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    /// From start to end.
    pub wall: Duration,
    /// User and system time of the process and its children.
    pub cpu: Duration,
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Cost) {
        self.wall += other.wall;
        self.cpu += other.cpu;
    }
}

/// Runs the bare netlink calls of an ADD or DEL, in a process as a plugin would.
pub fn bare(command: &str, netns: &str) -> Result<Cost, Box<dyn Error>> {
    let start = Instant::now();
    let mut process = Command::new(std::env::current_exe()?);
    process.args(["bare", command, netns]);
    Ok(run(start, process, "")?.0)
}

/// Runs a process to its end; what it cost and what it said.
pub fn run(start: Instant, mut process: Command, input: &str) -> Result<(Cost, String), Box<dyn Error>> {
    let mut child = process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    let mut output = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_string(&mut output)?;
    }
    let (status, cpu) = wait(child.id())?;
    match status {
        0 => Ok((Cost { wall: start.elapsed(), cpu }, output)),
        _ => Err(format!("{process:?} failed: {output}").into()),
    }
}

/// Waits for a child; its exit status and CPU time.
fn wait(pid: u32) -> Result<(i32, Duration), Box<dyn Error>> {
    let mut status = 0;
    // SAFETY: rusage is plain numbers, for which zero bytes are a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are of live locals; the child is ours and nobody else waits for it.
    let waited = unsafe { libc::wait4(pid as i32, &mut status, 0, &mut usage) };
    if waited != pid as i32 {
        return Err(std::io::Error::last_os_error().into());
    }
    let time = |t: libc::timeval| Duration::new(t.tv_sec as u64, t.tv_usec as u32 * 1000);
    Ok((status, time(usage.ru_utime) + time(usage.ru_stime)))
}

/// Network namespaces of containers; they die with the value.
pub struct Pods(Vec<NetNs>);

impl Pods {
    /// Fresh namespaces.
    pub fn new(count: usize) -> Result<Self, Box<dyn Error>> {
        Ok(Pods((0..count).map(|_| NetNs::anonymous()).collect::<Result<_, _>>()?))
    }

    /// A path by which a plugin can open one.
    pub fn path(&self, at: usize) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0[at].as_fd().as_raw_fd())
    }
}

/// Starts all calls at once, each on a thread in this thread's namespace; wall time until the last has ended.
pub fn in_parallel(
    count: usize,
    call: impl Fn(usize) -> Result<Cost, Box<dyn Error>> + Sync,
) -> Result<Cost, Box<dyn Error>> {
    let start = Instant::now();
    let costs: Vec<Result<Cost, String>> = std::thread::scope(|scope| {
        let call = &call;
        let threads: Vec<_> =
            (0..count).map(|at| scope.spawn(move || call(at).map_err(|e| e.to_string()))).collect();
        threads.into_iter().map(|t| t.join().unwrap_or_else(|_| Err("a call panicked".into()))).collect()
    });
    let wall = start.elapsed();
    let mut total = Cost::default();
    costs.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().for_each(|cost| total += cost);
    Ok(Cost { wall, ..total })
}

const BARE: &str = "bare0";

/// What an ADD asks of the kernel, without IPAM.
pub fn bare_add(netns: &str, bridge: &str) -> Result<(), Box<dyn Error>> {
    let pod = NetNs::open(Path::new(netns))?;
    let target = Some(NetNsTarget::Fd(pod.as_fd().as_raw_fd()));
    let peer = VethPeer { name: "eth0".into(), mac: None, mtu: None, netns: target };
    let veth =
        NewLink { up: true, master: Some(bridge.into()), ..NewLink::of(BARE, NewLinkKind::Veth(peer)) };
    Kernel::open()?.apply_all(&[Op::AddLink(veth)])?;
    let dev: DevName = "eth0".into();
    let up = LinkChange { up: Some(true), ..LinkChange::of(dev.clone()) };
    let address = Address::of(dev.clone(), "10.77.255.2/16".parse()?);
    let route = Route::of("0.0.0.0/0".parse()?, dev).via("10.77.0.1".parse()?);
    let ops = [Op::ChangeLink(up), Op::AddAddress(address), Op::ReplaceRoute(route)];
    Ok(Kernel::open_in(&pod)?.apply_all(&ops)?)
}

/// What a DEL asks of the kernel.
pub fn bare_del() -> Result<(), Box<dyn Error>> {
    Ok(Kernel::open()?.apply_all(&[Op::DeleteLink(BARE.into())])?)
}
