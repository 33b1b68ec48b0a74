//! Sysctls of the container's namespace: which file a key means, which keys are allowed, writing and comparing.
//!
//! The kernel shows each thread the /proc/sys/net of its own namespace, so the thread goes inside for each use.
//! Nothing restores them on DEL, as in the reference: they end with the namespace.

use crate::attach::compare::differs;
use crate::attach::kernel_error;
use crate::config::invalid;
use crate::record::io_error;
use crate::types::{CniError, ErrorCode};
use netstate::{NetNs, sysctl};
use regex_lite::Regex;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

/// Which keys may be set, one regular expression a line; without the file, all.
const ALLOWLIST: &str = "/etc/cni/tuning/allowlist.conf";
/// Stands for the interface's name in a key.
const PLACEHOLDER: &str = "IFNAME";

/// The file below /proc/sys that a key means: dots are slashes, but those of the interface's name.
pub(super) fn path_of(key: &str, ifname: &str) -> Result<String, CniError> {
    let path = key.replace('.', "/").replacen(PLACEHOLDER, ifname, 1);
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    // A part that is nothing but dots was made by the interface's name alone, and that cannot be one.
    let inside = parts.next() == Some("net") && parts.clone().count() > 0 && !parts.any(|part| part == "..");
    match inside && !path.contains('\0') {
        true => Ok(path.split('/').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")),
        false => {
            let why = format!(
                "invalid net sysctl key: {key:?}: only keys below net belong to a container's namespace"
            );
            Err(invalid("sysctl", why))
        }
    }
}

/// Refuses a key that the node's administrator does not allow.
pub(super) fn allowed<'a>(keys: impl Iterator<Item = &'a String>) -> Result<(), CniError> {
    let file = Path::new(ALLOWLIST);
    match std::fs::read_to_string(file) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(()),
        Err(error) => Err(io_error("read", file, error)),
        Ok(text) => allowed_by(&text, keys),
    }
}

fn allowed_by<'a>(text: &str, keys: impl Iterator<Item = &'a String>) -> Result<(), CniError> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let expression = |line: &str| {
        Regex::new(line).map_err(|error| {
            let msg = format!("{ALLOWLIST} has {line:?}, which is no regular expression: {error}");
            CniError::new(ErrorCode::InvalidConfig, msg, "correct the line; each is one expression")
        })
    };
    let expressions: Vec<Regex> = lines.clone().map(expression).collect::<Result<_, _>>()?;
    for key in keys {
        if !expressions.iter().any(|expression| expression.is_match(key)) {
            let list = lines.clone().collect::<Vec<_>>().join(", ");
            let msg = format!("Sysctl {key} is not allowed. Only the following sysctls are allowed: {list}");
            let details = format!("take it out of the network's file, or add it to {ALLOWLIST}");
            return Err(CniError::new(ErrorCode::InvalidConfig, msg, details));
        }
    }
    Ok(())
}

/// What was written, with the value before.
pub(super) type Written = Vec<(String, String)>;

/// Sets all, in the container; on failure those that were set go back.
pub(super) fn write(
    netns: &NetNs,
    ifname: &str,
    sysctls: &BTreeMap<String, String>,
) -> Result<Written, CniError> {
    if sysctls.is_empty() {
        return Ok(Vec::new());
    }
    let _inside = netns.enter().map_err(kernel_error("network namespace of the container"))?;
    let mut written = Vec::new();
    for (key, value) in sysctls {
        let path = path_of(key, ifname)?;
        // Some can only be written, such as net/ipv4/route/flush.
        let before = sysctl::read(&path).ok();
        if let Err(error) = sysctl::write(&path, value) {
            put_back(&written);
            return Err(kernel_error(format!("sysctl {key} = {value:?} in the container"))(error));
        }
        written.extend(before.map(|before| (path, before)));
    }
    Ok(written)
}

/// Undoes [`write`] behind a later failure.
pub(super) fn undo(netns: &NetNs, written: &Written) {
    if let Ok(_inside) = netns.enter() {
        put_back(written);
    }
}

fn put_back(written: &Written) {
    for (path, before) in written.iter().rev() {
        // The failure that led here is the one to report.
        let _ = sysctl::write(path, before);
    }
}

/// Compares all, in the container. The kernel prints lists with tabs, and people write them with spaces.
pub(super) fn check(netns: &NetNs, ifname: &str, sysctls: &BTreeMap<String, String>) -> Result<(), CniError> {
    let _inside = netns.enter().map_err(kernel_error("network namespace of the container"))?;
    for (key, wanted) in sysctls {
        let path = path_of(key, ifname)?;
        let found = match sysctl::read(&path) {
            Ok(found) => found,
            Err(netstate::Error::Sysctl { source, .. }) if source.kind() == ErrorKind::PermissionDenied => {
                continue;
            }
            Err(error) => return Err(differs(format!("sysctl {key} in the container"), error)),
        };
        if !found.split_whitespace().eq(wanted.split_whitespace()) {
            let why = format!("it is {found:?}, configured is {wanted:?}");
            return Err(differs(format!("sysctl {key} in the container"), why));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_files_below_net() {
        for (key, path) in [
            ("net.ipv4.conf.IFNAME.arp_filter", "net/ipv4/conf/eth0.5/arp_filter"),
            ("net/core/somaxconn", "net/core/somaxconn"),
            ("net.ipv4.conf.all.log_martians", "net/ipv4/conf/all/log_martians"),
        ] {
            assert_eq!(path_of(key, "eth0.5").unwrap(), path);
        }
        for key in ["kernel.shmmax", "net", "net.", "", "networks.x", "/../kernel/x", "net/x\0"] {
            assert_eq!(path_of(key, "eth0").unwrap_err().code, 7, "{key}");
        }
        assert_eq!(path_of("net.ipv4.conf.IFNAME.IFNAME.x", "..").unwrap_err().code, 7);
    }

    #[test]
    fn the_list_holds_expressions() {
        let keys = |text: &str| vec![text.to_owned()];
        let list = "^net.ipv4.conf.IFNAME.[a-z_]*$\n\n  net.core \n";
        allowed_by(list, keys("net.ipv4.conf.IFNAME.arp_filter").iter()).unwrap();
        allowed_by(list, keys("net.core.somaxconn").iter()).unwrap();
        let error = allowed_by(list, keys("net.ipv6.x").iter()).unwrap_err();
        assert!(
            error.code == 7 && error.msg.contains("net.ipv6.x") && error.msg.contains("net.core"),
            "{error}"
        );
        let error = allowed_by("net[", keys("net.core").iter()).unwrap_err();
        assert!(error.msg.contains("net["), "{error}");
    }
}
