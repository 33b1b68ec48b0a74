//! Keys and values of maps as aya takes them, and arrays of them in memory that is the map's own.

use std::io;
use std::os::fd::AsFd;
use std::ptr::NonNull;

use weft_proxy_abi as abi;

/// Plain data without holes: any bytes are a value of it.
///
/// # Safety
///
/// The type is `repr(C)` (or primitive), has no padding, and every bit pattern is valid.
pub unsafe trait Plain: Copy + 'static {}

macro_rules! plain {
    ($($kind:ty),* $(,)?) => {
        // SAFETY: integers, and structures of them that the layouts' assertions hold to be without holes.
        $(unsafe impl Plain for $kind {})*
    };
}

plain!(
    u32,
    u64,
    abi::Address,
    abi::FrontendKey,
    abi::Service,
    abi::Endpoint,
    abi::MaglevChunk,
    abi::AffinityKey,
    abi::Affinity,
    abi::SourceRange,
    abi::ConnectionKey,
    abi::Connection,
    abi::SocketKey,
    abi::SocketPeer,
    abi::NodeAddress,
    abi::Interface,
    abi::Config,
    abi::Counters,
);

/// A key or value of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Row<T>(pub T);

// SAFETY: `Plain` asks for the same.
unsafe impl<T: Plain> aya::Pod for Row<T> {}

/// An array map, mapped into memory: an element is written without a system call.
#[derive(Debug)]
pub struct Mapped<T> {
    base: NonNull<T>,
    length: usize,
}

// SAFETY: the memory is the process's as long as the value lives, and is written through `&mut self` alone.
unsafe impl<T: Plain + Send> Send for Mapped<T> {}

impl<T: Plain> Mapped<T> {
    /// Maps an array of `length` elements; the map has BPF_F_MMAPABLE (kernel 5.5).
    pub fn new(map: impl AsFd, length: u32) -> io::Result<Mapped<T>> {
        // The kernel rounds elements up to 8 bytes (kernel/bpf/arraymap.c).
        assert!(size_of::<T>().is_multiple_of(8), "an element would not lie where the kernel has it");
        let length = length as usize;
        let protection = rustix::mm::ProtFlags::READ | rustix::mm::ProtFlags::WRITE;
        // SAFETY: a new mapping, of a file that stays as large as it is.
        let base = unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                length * size_of::<T>(),
                protection,
                rustix::mm::MapFlags::SHARED,
                map,
                0,
            )?
        };
        match NonNull::new(base.cast()) {
            Some(base) => Ok(Mapped { base, length }),
            None => Err(io::ErrorKind::AddrNotAvailable.into()),
        }
    }

    /// Reads an element.
    pub fn get(&self, index: u32) -> Option<T> {
        // SAFETY: within the mapping; only this process writes it.
        ((index as usize) < self.length).then(|| unsafe { self.base.add(index as usize).read_volatile() })
    }

    /// Writes an element. Outside of the array nothing is written: who computes indexes asks [`Self::length`].
    pub fn set(&mut self, index: u32, value: T) {
        if (index as usize) < self.length {
            // SAFETY: within the mapping; kernel programs read elements only after a later map update names them.
            unsafe { self.base.add(index as usize).write_volatile(value) }
        }
    }
}

impl<T> Drop for Mapped<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and nothing borrows from it. It cannot fail for a mapping that exists.
        let _ = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.length * size_of::<T>()) };
    }
}

/// An address as maps have it.
pub fn address(of: std::net::IpAddr) -> abi::Address {
    match of {
        std::net::IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        std::net::IpAddr::V6(v6) => v6.octets(),
    }
}

/// An address of a map.
pub fn ip(of: &abi::Address) -> std::net::IpAddr {
    std::net::Ipv6Addr::from(*of).to_canonical()
}
