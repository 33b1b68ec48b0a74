//! Connected UDP sockets whose endpoint is gone: no hook runs for them again, so they are ended, and their processes
//! connect anew.
//!
//! Only sockets that were given that endpoint by us are ended, wherever in the cgroup they are: each network namespace
//! of the cgroup's processes is looked at once. Scales with the number of pods, at a change of a UDP service alone.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use netstate::{NetNs, SocketDiag};

/// Ends connected UDP sockets to any of these endpoints, if `ours` knows the socket; how many.
///
/// Errors of single namespaces are told in the log: pods come and go while this looks.
pub fn end(
    cgroup: &Path,
    gone: &HashSet<SocketAddr>,
    ours: &(dyn Fn(u64, SocketAddr) -> bool + Sync),
) -> usize {
    namespaces(cgroup).into_values().map(|path| end_in(&path, gone, ours)).sum()
}

fn end_in(path: &Path, gone: &HashSet<SocketAddr>, ours: &(dyn Fn(u64, SocketAddr) -> bool + Sync)) -> usize {
    let look = || -> netstate::Result<usize> {
        let mut diag = SocketDiag::open()?;
        let mut ended = 0;
        for socket in diag.connected_udp()? {
            if gone.contains(&socket.peer) && ours(socket.cookie, socket.peer) {
                ended += usize::from(diag.destroy(&socket)?);
            }
        }
        Ok(ended)
    };
    match NetNs::open(path).and_then(|namespace| namespace.run(look)).and_then(|done| done) {
        Ok(ended) => ended,
        Err(error) => {
            tracing::debug!(namespace = %path.display(), %error, "cannot look at the UDP sockets of a process");
            0
        }
    }
}

/// The network namespaces of a cgroup's processes, each by one of them.
fn namespaces(cgroup: &Path) -> HashMap<PathBuf, PathBuf> {
    let mut found = HashMap::new();
    let mut folders = vec![cgroup.to_owned()];
    while let Some(folder) = folders.pop() {
        let processes = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
        for process in processes.lines().filter(|process| *process != "0") {
            let path = PathBuf::from(format!("/proc/{process}/ns/net"));
            if let Ok(namespace) = fs::read_link(&path) {
                found.entry(namespace).or_insert(path);
            }
        }
        let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
        folders.extend(entries.filter(|e| e.file_type().is_ok_and(|kind| kind.is_dir())).map(|e| e.path()));
    }
    found
}
