//! A packet as the kernel lends it: reads, writes and checksum updates.
//!
//! Helpers work on packets whose headers are not in the linear part (GSO, fragments lists), and the verifier needs no
//! bounds from us. Direct access is for the look at everybody's packets alone. Nothing is written directly: the
//! kernel would then make every packet writable, others' as well, which means a copy of each TCP packet sent.

use aya_ebpf::{
    bindings::{__sk_buff, BPF_F_MARK_MANGLED_0, BPF_F_PSEUDO_HDR, BPF_F_RECOMPUTE_CSUM},
    helpers::{bpf_l4_csum_replace, bpf_skb_load_bytes, bpf_skb_store_bytes},
    programs::TcContext,
};
use core::mem::MaybeUninit;

/// The packet could not be changed: it is not what it was, and must not go on.
pub struct Broken;

/// The kernel's packet.
#[derive(Clone, Copy)]
pub struct Skb(*mut __sk_buff);

impl Skb {
    #[inline(always)]
    pub fn of(context: &TcContext) -> Skb {
        Skb(context.skb.skb)
    }

    /// Its length from the link header on, in bytes.
    #[inline(always)]
    pub fn len(self) -> u32 {
        // SAFETY: the pointer is the program's context, which is valid while it runs; so below.
        unsafe { (*self.0).len }
    }

    /// The protocol behind the link header, in network byte order.
    #[inline(always)]
    pub fn protocol(self) -> u32 {
        // SAFETY: as above.
        unsafe { (*self.0).protocol }
    }

    /// The interface of the hook.
    #[inline(always)]
    pub fn ifindex(self) -> u32 {
        // SAFETY: as above.
        unsafe { (*self.0).ifindex }
    }

    #[inline(always)]
    pub fn add_mark(self, mark: u32) {
        // SAFETY: as above.
        unsafe { (*self.0).mark |= mark }
    }

    /// What is at an offset of the linear part, without a helper call; `None` where that part ends before.
    #[inline(always)]
    pub fn linear<T>(self, offset: u32) -> Option<&'static T> {
        // SAFETY: as above. The kernel lets no access pass that this comparison does not cover; every T here is
        // valid for any bytes and aligned to at most 2, as headers are. No write follows while the reference lives.
        unsafe {
            let at = (*self.0).data as usize + offset as usize;
            if at + size_of::<T>() > (*self.0).data_end as usize { None } else { Some(&*(at as *const T)) }
        }
    }

    /// Reads a value made of plain bytes; `None` where the packet ends before.
    #[inline(always)]
    pub fn read<T: Copy>(self, offset: u32) -> Option<T> {
        let mut value = MaybeUninit::<T>::uninit();
        // SAFETY: the helper writes exactly that many bytes or fails; every T here is valid for any bytes.
        unsafe {
            let size = size_of::<T>() as u32;
            match bpf_skb_load_bytes(self.0.cast(), offset, value.as_mut_ptr().cast(), size) {
                0 => Some(value.assume_init()),
                _ => None,
            }
        }
    }

    /// Writes a value made of plain bytes.
    #[inline(always)]
    pub fn write<T: Copy>(self, offset: u32, value: &T) -> Result<(), Broken> {
        self.write_flags(offset, value, 0)
    }

    /// Writes a value, and takes account of it in a checksum of the whole packet that the network card has computed.
    #[inline(always)]
    pub fn write_and_sum<T: Copy>(self, offset: u32, value: &T) -> Result<(), Broken> {
        self.write_flags(offset, value, BPF_F_RECOMPUTE_CSUM as u64)
    }

    #[inline(always)]
    fn write_flags<T: Copy>(self, offset: u32, value: &T, flags: u64) -> Result<(), Broken> {
        let from = core::ptr::from_ref(value).cast();
        // SAFETY: the helper reads exactly that many bytes.
        done(unsafe { bpf_skb_store_bytes(self.0.cast(), offset, from, size_of::<T>() as u32, flags) })
    }

    /// Brings a transport checksum up to date with a difference in what it covers of the packet itself.
    #[inline(always)]
    pub fn sum_payload(self, offset: u32, difference: u32, udp: bool) -> Result<(), Broken> {
        self.sum(offset, difference, mangled_zero(udp))
    }

    /// Brings a transport checksum up to date with a difference in its pseudo header.
    #[inline(always)]
    pub fn sum_pseudo_header(self, offset: u32, difference: u32, udp: bool) -> Result<(), Broken> {
        self.sum(offset, difference, BPF_F_PSEUDO_HDR as u64 | mangled_zero(udp))
    }

    #[inline(always)]
    fn sum(self, offset: u32, difference: u32, flags: u64) -> Result<(), Broken> {
        // SAFETY: plain numbers.
        done(unsafe { bpf_l4_csum_replace(self.0.cast(), offset, 0, difference.into(), flags) })
    }
}

/// A UDP checksum of 0 means "none" and stays; one that comes out as 0 is written as its equal 0xffff (RFC 768).
#[inline(always)]
fn mangled_zero(udp: bool) -> u64 {
    if udp { BPF_F_MARK_MANGLED_0 as u64 } else { 0 }
}

#[inline(always)]
fn done(code: i64) -> Result<(), Broken> {
    if code == 0 { Ok(()) } else { Err(Broken) }
}
