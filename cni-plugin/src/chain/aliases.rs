//! The capability `aliases`: names for a container, as files in hosts(5)'s form for a name server of the network.
//!
//! ```text
//! <namesDir>/<network>/<container>_<interface>       "10.244.1.5 web db\nfd00::5 web db\n"
//! ```
//!
//! One file for each attachment, so that nobody waits for a lock, whole by rename. `dnsmasq --hostsdir` reads such a
//! folder and notices new files by itself. The files are for everybody to read: a name server is not root.

use crate::config::{self, invalid};
use crate::crash;
use crate::plugin::{Call, Invocation};
use crate::record::{self, io_error};
use crate::types::{Attachment, CniError, CniResult};
use serde_json::Value;
use std::fmt::Write;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// Where the files are, unless `namesDir` says otherwise.
const NAMES_DIR: &str = "/run/cni-names";

fn folder(call: &Call) -> Result<PathBuf, CniError> {
    let dir = config::folder(call.raw.get("namesDir"), "namesDir", NAMES_DIR)?;
    Ok(dir.join(&call.name))
}

fn file(call: &Call) -> Result<PathBuf, CniError> {
    let Invocation { container_id, ifname, .. } = &call.invocation;
    Ok(folder(call)?.join(format!("{container_id}_{ifname}")))
}

/// What is asked for; each must be a host name (RFC 1123, section 2.1).
fn wanted(call: &Call) -> Result<Vec<String>, CniError> {
    let Some(list) = call.runtime("aliases") else { return Ok(Vec::new()) };
    let wrong = |why: String| invalid("runtimeConfig.aliases", why);
    let list = list.as_array().ok_or_else(|| wrong("it is not a list".into()))?;
    let name = |item: &Value| match item.as_str() {
        Some(name) if is_host_name(name) => Ok(name.to_string()),
        _ => Err(wrong(format!("{item} is not a host name"))),
    };
    list.iter().map(name).collect()
}

fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let inside = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(inside)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

/// The file's text; nothing without names or addresses.
fn text(names: &[String], call: &Call, result: &CniResult) -> String {
    let mut text = String::new();
    let on_link = |at: usize| result.interfaces.get(at).is_none_or(|i| i.name == call.invocation.ifname);
    for ip in result.ips.iter().filter(|ip| !names.is_empty() && ip.interface.is_none_or(on_link)) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{} {}", ip.address.ip(), names.join(" "));
    }
    text
}

/// Checks what is asked for, before anything is made.
pub(super) fn check_request(call: &Call) -> Result<(), CniError> {
    wanted(call)?;
    folder(call).map(|_| ())
}

/// Writes a container's file.
pub(super) fn add(call: &Call, result: &CniResult) -> Result<(), CniError> {
    let text = text(&wanted(call)?, call, result);
    if text.is_empty() {
        return Ok(());
    }
    let (path, folder) = (file(call)?, folder(call)?);
    record::write(&path, &text)?;
    let above = folder.parent().unwrap_or(&folder);
    for (path, mode) in [(path.as_path(), 0o644), (&folder, 0o755), (above, 0o755)] {
        std::fs::set_permissions(path, Permissions::from_mode(mode))
            .map_err(|error| io_error("let everybody read", path, error))?;
    }
    crash::point("aliases: the names are written");
    Ok(())
}

/// Removes a container's file.
pub(super) fn remove(call: &Call) -> Result<(), CniError> {
    record::remove(&file(call)?)
}

/// Compares the file with what the result and the request say.
pub(super) fn check(call: &Call, result: &CniResult) -> Result<(), CniError> {
    let path = file(call)?;
    let there = record::read(&path)?.unwrap_or_default();
    match there == text(&wanted(call)?, call, result) {
        true => Ok(()),
        false => {
            let object = format!("names of container {}", call.invocation.container_id);
            let why = format!("{} is not what was asked for", path.display());
            Err(crate::attach::compare::differs(object, why))
        }
    }
}

/// Removes the files of containers that are not valid.
pub(super) fn retain(call: &Call, valid: &[Attachment]) -> Result<(), CniError> {
    let folder = folder(call)?;
    let is_valid = |name: &String| valid.iter().any(|a| *name == format!("{}_{}", a.container_id, a.ifname));
    record::names(&folder)?
        .into_iter()
        .filter(|name| !is_valid(name))
        .try_for_each(|name| record::remove(&folder.join(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_are_told_from_others() {
        for good in ["web", "a.b-c.d1", "1"] {
            assert!(is_host_name(good), "{good}");
        }
        for bad in ["", "-a", "a-", "a..b", "a b", "a\nb", "ä", &"a".repeat(64), "a_b"] {
            assert!(!is_host_name(bad), "{bad}");
        }
    }
}
