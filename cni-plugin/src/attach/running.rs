//! Whether a link is running (`IFF_RUNNING`): up, with carrier, and the kernel has acted on that.
//!
//! Carrier alone (`IFF_LOWER_UP`) is there as soon as the other end is up; that a bridge port forwards
//! follows by the kernel's link watch. One ioctl of netdevice(7), because rtnetlink's answer for the same
//! bit is 1.5 KB.

use crate::types::{CniError, ErrorCode};
use rustix::net::{AddressFamily, SocketType};
use std::io;
use std::os::fd::AsRawFd;

/// Asks about a link of this thread's namespace; one that is gone is not running.
pub(crate) fn is_running(name: &str) -> Result<bool, CniError> {
    match flags(name) {
        Ok(flags) => Ok(flags & libc::IFF_RUNNING != 0),
        Err(e) if e.raw_os_error() == Some(libc::ENODEV) => Ok(false),
        Err(e) => {
            let msg = format!("cannot read the flags of {name}: {e}");
            Err(CniError::new(ErrorCode::Kernel, msg, "calling DEL removes what was made"))
        }
    }
}

fn flags(name: &str) -> io::Result<i32> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    // SAFETY: ifreq is plain bytes and numbers, for which zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays zero: names have at most 15.
    let room = request.ifr_name.len() - 1;
    for (to, from) in request.ifr_name[..room].iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    // SAFETY: SIOCGIFFLAGS reads the name of a live ifreq and writes its flags.
    let answer = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS as _, &mut request) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call above succeeded, so it is the flags that are set in the union.
    Ok(i32::from(unsafe { request.ifr_ifru.ifru_flags }))
}
