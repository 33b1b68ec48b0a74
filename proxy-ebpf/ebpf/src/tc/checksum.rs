//! Arithmetic of the Internet checksum (RFC 1071, RFC 1624): differences between old and new fields.
//!
//! A difference is a sum of 16-bit words in one's complement, in the byte order of memory, as the kernel's `__wsum`.

use weft_proxy_abi::Address;

/// What replacing an address by another does to a sum. For a mapped IPv4 address this is the difference of its four
/// bytes, as the twelve before them are equal.
#[inline(always)]
pub fn of_address(old: &Address, new: &Address) -> u32 {
    let mut sum = 0_u64;
    for at in 0..4 {
        sum += u64::from(word(new, at)) + u64::from(!word(old, at));
    }
    fold(sum)
}

/// A word of an address, read at once: the compiler, which knows of no alignment, would put it together from bytes.
#[inline(always)]
fn word(address: &Address, at: usize) -> u32 {
    // SAFETY: `at` is below 4, and all addresses here lie at multiples of 8 in map values or in a packet's key, which
    // the kernel and the compiler align to 8.
    unsafe { address.as_ptr().cast::<u32>().add(at).read() }
}

/// What replacing a 16-bit field by another does to a sum.
#[inline(always)]
pub fn of_field(old_be: u16, new_be: u16) -> u32 {
    u32::from(new_be) + u32::from(!old_be)
}

/// Two differences together.
#[inline(always)]
pub fn both(one: u32, other: u32) -> u32 {
    fold(u64::from(one) + u64::from(other))
}

/// A checksum field after a difference in what it covers.
#[inline(always)]
pub fn apply(checksum_be: u16, difference: u32) -> u16 {
    !fold16(both(u32::from(!checksum_be), difference))
}

#[inline(always)]
fn fold(sum: u64) -> u32 {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    ((sum & 0xffff_ffff) + (sum >> 32)) as u32
}

#[inline(always)]
fn fold16(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}
