//! North-south: packets on the node's interfaces.

use aya_ebpf::{bindings::TC_ACT_PIPE, macros::classifier, programs::TcContext};

use crate::maps;

/// Packets that come in.
#[classifier]
pub fn ingress(_context: TcContext) -> i32 {
    match maps::CONFIG.get(0) {
        Some(config) if config.layout == 77 => 2,
        _ => TC_ACT_PIPE as i32,
    }
}
