//! Kernel parameters below `/proc/sys`, in the network namespace of the calling thread.
//!
//! A write happens only where the value differs: reading costs a third of a write, and a node's
//! sysctls are right after the first pod.

use std::{fs, io::ErrorKind, path::PathBuf};

use crate::{Error, Result};

/// The value of `key` (such as `net/ipv4/ip_forward`), without the line end.
pub fn read(key: &str) -> Result<String> {
    let path = path(key)?;
    match fs::read_to_string(&path) {
        Ok(text) => Ok(text.trim_end().to_owned()),
        Err(source) => Err(Error::Sysctl { path, source }),
    }
}

/// The value of `key`, or `None` where this kernel does not have it.
pub fn read_if_there(key: &str) -> Result<Option<String>> {
    match read(key) {
        Ok(value) => Ok(Some(value)),
        Err(Error::Sysctl { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Sets `key` to `value`; answers whether it had another value before.
pub fn write(key: &str, value: &str) -> Result<bool> {
    match read(key) {
        Ok(found) if found == value => return Ok(false),
        // Some can only be written, such as net/ipv4/route/flush.
        Err(Error::Sysctl { source, .. }) if source.kind() == ErrorKind::PermissionDenied => {}
        read => drop(read?),
    }
    let path = path(key)?;
    fs::write(&path, value).map_err(|source| Error::Sysctl { path, source })?;
    Ok(true)
}

fn path(key: &str) -> Result<PathBuf> {
    if key.is_empty() || key.starts_with('/') || key.split('/').any(|part| part == "..") {
        let reason = "it must be a path below /proc/sys".to_owned();
        return Err(Error::Invalid { what: "sysctl", value: key.to_owned(), reason });
    }
    Ok(PathBuf::from("/proc/sys").join(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_refuses() {
        assert!(!read("kernel/ostype").unwrap().is_empty());
        assert_eq!(read_if_there("kernel/no_such_key").unwrap(), None);
        assert!(matches!(read("../etc/passwd"), Err(Error::Invalid { .. })));
    }
}
