//! Connected UDP sockets whose endpoint is gone: no hook runs for them again, so they are ended, and their processes
//! connect anew.
//!
//! Only sockets that were given that endpoint by that service are ended, wherever in the cgroup they are: each network namespace
//! of the cgroup's processes is looked at once. Scales with the number of pods, at the start and at a change of a UDP
//! service alone.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use netstate::{NetNs, SocketDiag};
use weft_proxy_abi as abi;

use super::encode::keys;
use super::row::address;
use crate::table::{PortId, Protocol, ServicePort};

/// Endpoints of UDP services, by the frontends through which a socket gets them.
#[derive(Debug, Default)]
pub struct ByFrontend(HashMap<abi::FrontendKey, HashSet<SocketAddr>>);

impl ByFrontend {
    /// Adds endpoints of a service port; those of TCP are left out.
    pub fn add(&mut self, id: &PortId, port: &ServicePort, endpoints: &HashSet<SocketAddr>) {
        if id.protocol == Protocol::Udp && !endpoints.is_empty() {
            keys(id, port).for_each(|key| self.0.entry(key).or_default().extend(endpoints));
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a socket that dialled this gets such an endpoint.
    pub fn has(&self, dialled: &abi::SocketPeer, endpoint: &SocketAddr) -> bool {
        let any =
            if endpoint.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        // At its address, or at a node's by its port.
        [dialled.address, address(any)].into_iter().any(|address| {
            let key = abi::FrontendKey { address, port_be: dialled.port_be, protocol: abi::UDP, zero: 0 };
            self.0.get(&key).is_some_and(|endpoints| endpoints.contains(endpoint))
        })
    }
}

/// A service port's endpoints, under both policies.
pub fn endpoints(port: &ServicePort) -> HashSet<SocketAddr> {
    let all = port.cluster.iter().chain(&port.local);
    all.map(|endpoint| SocketAddr::new(endpoint.address, endpoint.port)).collect()
}

/// Whether the socket of this cookie, connected to this endpoint, shall end.
type Ends<'a> = &'a (dyn Fn(u64, SocketAddr) -> bool + Sync);

/// Ends connected UDP sockets; how many.
///
/// Errors of single namespaces are told in the log: pods come and go while this looks.
pub fn end(cgroup: &Path, ends: Ends<'_>) -> usize {
    namespaces(cgroup).into_values().map(|path| end_in(&path, ends)).sum()
}

fn end_in(path: &Path, ends: Ends<'_>) -> usize {
    let look = || -> netstate::Result<usize> {
        let mut diag = SocketDiag::open()?;
        let mut ended = 0;
        for socket in diag.connected_udp()? {
            if ends(socket.cookie, socket.peer) {
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
