//! The service proxy's kernel programs.

#![no_std]
#![no_main]

mod choose;
mod count;
mod maps;
mod ports;
mod socket;
mod tc;

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}

/// The licence under which the kernel lends its helpers.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
