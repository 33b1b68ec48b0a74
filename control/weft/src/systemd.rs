//! Tells systemd that the daemon is ready (sd_notify(3)): one datagram to `$NOTIFY_SOCKET`.

use std::os::{
    linux::net::SocketAddrExt,
    unix::net::{SocketAddr, UnixDatagram},
};

/// Sends `READY=1` where somebody waits for it.
pub fn ready() {
    let Some(path) = std::env::var("NOTIFY_SOCKET").ok().filter(|path| !path.is_empty()) else { return };
    // A name that begins with @ is abstract: not in the file system.
    let address = match path.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&path),
    };
    let sent = address.and_then(|to| UnixDatagram::unbound()?.send_to_addr(b"READY=1", &to));
    if let Err(error) = sent {
        tracing::warn!("systemd is not told that we are ready: {path}: {error}");
    }
}
