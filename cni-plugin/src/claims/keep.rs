//! Keeping a table: a daemon's thread that looks again whenever nftables changed.
//!
//! An event says only that something changed; what is missing is found by looking. A burst of events is
//! one look, and between two looks lies a quarter of a second, so that a program that rewrites its own
//! tables without pause costs a few hundredths of a core here.

use crate::types::CniError;
use netstate::{Monitor, Topic};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::time::Duration;

/// A burst of events is over after this.
const SETTLE: Duration = Duration::from_millis(50);
const BREATH: Duration = Duration::from_millis(200);
/// A look without an event, because events can be lost.
const RESYNC: Timespec = Timespec { tv_sec: 30, tv_nsec: 0 };

/// Calls `look` now, after every change of nftables, and every half minute, for ever. It returns only if
/// events cannot be had.
pub(crate) fn keep(mut look: impl FnMut()) -> Result<std::convert::Infallible, CniError> {
    let failed = |e| super::kernel_error("events of nftables")(e);
    let mut monitor = Monitor::open(&[Topic::Tables]).map_err(failed)?;
    loop {
        look();
        std::thread::sleep(BREATH);
        let _ = poll(&mut [PollFd::new(&monitor, PollFlags::IN)], Some(&RESYNC));
        std::thread::sleep(SETTLE);
        monitor.drain().map_err(failed)?;
    }
}
