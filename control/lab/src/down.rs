//! `weft lab down`: nothing of the lab stays.
//!
//! Order: what we wrote into an etcd that is not ours, while the way there is up; the processes, by their cgroup;
//! then the pins and the tmpfs. Namespaces, links, routes, rules and the mounts in them have no other holder and go
//! with these. Goes on past errors and tells all of them. A lab that is not there is no error.

use crate::error::{LabError, Result};
use crate::etcd::Etcd;
use crate::state::Home;

/// Takes a lab down.
pub fn down(name: &str) -> Result<()> {
    let home = Home::of(name)?;
    let _lock = home.lock()?;
    remove(&home)
}

/// The same, for who holds the lock.
pub fn remove(home: &Home) -> Result<()> {
    let steps: [(&str, Result<()>); 3] = [
        ("configuration in etcd", clear_outer_etcd(home)),
        ("processes", home.cgroup().and_then(|cgroup| cgroup.remove())),
        ("mounts and files", home.remove()),
    ];
    let left: Vec<_> =
        steps.into_iter().filter_map(|(what, done)| done.err().map(|e| format!("{what}: {e}"))).collect();
    if left.is_empty() { Ok(()) } else { Err(LabError::Left(left)) }
}

/// Removes the network's keys from an etcd outside, if the lab made them.
fn clear_outer_etcd(home: &Home) -> Result<()> {
    // A record that is not there or not whole: `up` did not get as far as etcd.
    let Ok(state) = home.load() else { return Ok(()) };
    let Some(node) = state.nodes().next().filter(|_| state.owns_configuration) else { return Ok(()) };
    Etcd { namespace: &home.place(&node.name)?.net(), endpoints: &state.endpoints }.clear()
}
