//! `enabledad`: waits until the kernel has tested the container's IPv6 addresses for duplicates.
//!
//! ```text
//! /proc/<thread>/net/if_inet6, one line per address:
//! fd990000000000000000000000000002 02 40 00 80    eth0
//! address                          index  length  scope  flags  name     (numbers in hexadecimal)
//! ```
//! A test takes about a second; the reference plugin waits up to ten, and so does this.

use super::kernel_error;
use crate::types::{CniError, ErrorCode};
use netstate::NetNs;
use std::time::{Duration, Instant};

/// Of `ifa_flags` in linux/if_addr.h.
const DADFAILED: u32 = 0x08;
const TENTATIVE: u32 = 0x40;

const LIMIT: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_millis(10);

/// Returns when no address of the link is tentative any more.
pub(crate) fn wait(netns: &NetNs, ifname: &str) -> Result<(), CniError> {
    let _inside = netns.enter().map_err(kernel_error("network namespace of the container"))?;
    let path = "/proc/thread-self/net/if_inet6";
    let start = Instant::now();
    loop {
        let text = std::fs::read_to_string(path).map_err(|e| {
            CniError::new(ErrorCode::Io, format!("cannot read {path}: {e}"), "check that /proc is mounted")
        })?;
        let states: Vec<(&str, u32)> = text.lines().filter_map(|line| state_of(line, ifname)).collect();
        if let Some((address, _)) = states.iter().find(|(_, flags)| flags & DADFAILED != 0) {
            let msg = format!("the IPv6 address {address} of {ifname} is in use by another host of the link");
            let details =
                "find it by its neighbour entry; a second node with this subnet is the usual reason";
            return Err(CniError::new(ErrorCode::Conflict, msg, details));
        }
        if states.iter().all(|(_, flags)| flags & TENTATIVE == 0) {
            return Ok(());
        }
        if start.elapsed() > LIMIT {
            let msg =
                format!("the IPv6 addresses of {ifname} are still being tested after {} s", LIMIT.as_secs());
            return Err(CniError::new(
                ErrorCode::Kernel,
                msg,
                "look at the bridge's ports, or drop enabledad",
            ));
        }
        std::thread::sleep(STEP);
    }
}

/// Address and flags, if the line is of the link.
fn state_of<'a>(line: &'a str, ifname: &str) -> Option<(&'a str, u32)> {
    let mut words = line.split_whitespace();
    let (address, flags) = (words.next()?, words.nth(3)?);
    (words.next()? == ifname).then_some(())?;
    Some((address, u32::from_str_radix(flags, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_kernel_are_read() {
        let line = "fd990000000000000000000000000002 02 40 00 c0    eth0";
        assert_eq!(state_of(line, "eth0"), Some(("fd990000000000000000000000000002", 0xc0)));
        assert_eq!(state_of(line, "eth1"), None);
        assert_eq!(state_of("nonsense", "eth0"), None);
    }
}
