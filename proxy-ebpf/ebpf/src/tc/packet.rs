//! What the programs know of a packet: its tuple, and where its fields are.
//!
//! ```text
//! link header │ IPv4 with options, or IPv6 with at most six extension headers │ TCP, UDP, ICMP, ICMPv6
//!             l3                                                              l4
//! ```
//!
//! All else has no [`Packet`] and goes on untouched; so does one whose headers are cut short.

use core::hint::black_box;
use core::mem::MaybeUninit;
use weft_proxy_abi::{Address, ConnectionKey, TCP, UDP};

use super::skb::Skb;

/// ICMP's protocol number.
pub const ICMP: u8 = 1;
/// ICMPv6's protocol number.
pub const ICMPV6: u8 = 58;

/// Extension headers that are skipped: no sender has a reason for more.
const EXTENSION_HEADERS: u32 = 6;
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION_OPTIONS: u8 = 60;

/// How much of a packet there is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Whole,
    /// The first fragment, which has the ports.
    First,
    /// A later fragment: data alone.
    Later,
}

/// A packet, or the one that an ICMP error tells of.
#[repr(C, align(8))]
pub struct Packet {
    /// Its tuple; the ports are 0 while unknown (ICMP, later fragments).
    pub key: ConnectionKey,
    /// Where the IP header begins.
    pub l3: u32,
    /// Where the transport header begins.
    pub l4: u32,
    /// Where the packet ends; the frame may be longer.
    pub end: u32,
    /// The identification that its fragments share.
    pub id: u32,
    /// IPv4's header checksum.
    pub sum_be: u16,
    pub part: Part,
    /// TCP's flags.
    pub flags: u8,
    pub v6: bool,
}

/// RFC 791, section 3.1.
#[repr(C, align(4))]
#[derive(Clone, Copy)]
struct Ipv4 {
    version_length: u8,
    service: u8,
    length_be: u16,
    id_be: u16,
    fragment_be: u16,
    ttl: u8,
    protocol: u8,
    checksum_be: u16,
    source: [u8; 4],
    destination: [u8; 4],
}

/// RFC 8200, section 3.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Ipv6 {
    version: u8,
    class_label: [u8; 3],
    length_be: u16,
    next: u8,
    hops: u8,
    source: Address,
    destination: Address,
}

/// RFC 8200, section 4.5.
#[repr(C, align(4))]
#[derive(Clone, Copy)]
struct Ipv6Fragment {
    next: u8,
    reserved: u8,
    offset_be: u16,
    id_be: u32,
}

/// The part of a TCP header that matters, and its length without options (RFC 9293, section 3.1).
#[repr(C, align(4))]
#[derive(Clone, Copy)]
struct Tcp {
    source_be: u16,
    destination_be: u16,
    numbers: [u32; 2],
    offset: u8,
    flags: u8,
    window_checksum_urgent: [u16; 3],
}

/// RFC 768.
#[repr(C, align(4))]
#[derive(Clone, Copy)]
struct Udp {
    source_be: u16,
    destination_be: u16,
    length_checksum: [u16; 2],
}

impl Packet {
    /// The packet whose IP header is at `l3`, as it comes to `hook`, in a place of the caller's.
    #[inline(always)]
    pub fn of(skb: Skb, l3: u32, hook: u8, place: &mut MaybeUninit<Packet>) -> Option<&mut Packet> {
        if !network(skb, l3, family(skb)?, hook, place) {
            return None;
        }
        // SAFETY: the line above has written it.
        let packet = unsafe { place.assume_init_mut() };
        if !complete(skb, packet) || !transport(skb, packet) {
            return None;
        }
        Some(packet)
    }

    /// The packet that begins `header` bytes behind an ICMP error's own header, of which there may be no more than the
    /// ports.
    #[inline(always)]
    pub fn embedded<'a>(
        skb: Skb,
        outer: &Packet,
        header: u32,
        place: &'a mut MaybeUninit<Packet>,
    ) -> Option<&'a mut Packet> {
        if !network(skb, outer.l4 + header, outer.v6, outer.key.hook, place) {
            return None;
        }
        // SAFETY: the line above has written it.
        let packet = unsafe { place.assume_init_mut() };
        if packet.part == Part::Later {
            return None;
        }
        // It says how long it was, and is here only as far as the error goes.
        packet.end = outer.end;
        if !matches!(packet.key.protocol, TCP | UDP) {
            return None;
        }
        // RFC 792: at least 64 bits of what follows the header.
        if packet.l4 + 8 > packet.end {
            return None;
        }
        let udp: Udp = skb.read(packet.l4)?;
        packet.key.source_port_be = udp.source_be;
        packet.key.destination_port_be = udp.destination_be;
        Some(packet)
    }

    #[inline(always)]
    pub fn is_icmp(&self) -> bool {
        self.key.protocol == if self.v6 { ICMPV6 } else { ICMP }
    }

    /// Where the checksum is that covers the transport's data.
    #[inline(always)]
    pub fn checksum(&self) -> u32 {
        self.l4
            + match self.key.protocol {
                TCP => 16,
                UDP => 6,
                _ => 2,
            }
    }
}

/// Whether a packet is IPv6; `None` where it is not IP.
#[inline(always)]
pub fn family(skb: Skb) -> Option<bool> {
    match (skb.protocol() as u16).to_be() {
        0x0800 => Some(false),
        0x86dd => Some(true),
        _ => None,
    }
}

/// Reads the IP header, and finds the transport header. True: the packet is written, except for what the transport
/// header tells. It is written once, as clearing it before costs more than reading it.
#[inline(never)]
fn network(skb: Skb, l3: u32, v6: bool, hook: u8, packet: &mut MaybeUninit<Packet>) -> bool {
    let mut own = MaybeUninit::uninit();
    let read = if v6 { network_v6(skb, l3, hook, &mut own) } else { network_v4(skb, l3, hook, &mut own) };
    if read.is_none() {
        return false;
    }
    // Copied by words, of which the verifier does not know each byte: else it would follow every chain of headers
    // through all that comes after.
    // SAFETY: the packet was written; a copy of its bytes is a packet.
    unsafe { black_box(own.as_ptr()).copy_to_nonoverlapping(packet.as_mut_ptr(), 1) };
    true
}

#[inline(always)]
fn network_v4(skb: Skb, l3: u32, hook: u8, packet: &mut MaybeUninit<Packet>) -> Option<()> {
    let ip: Ipv4 = skb.read(l3)?;
    let length = u32::from(ip.version_length & 0x0f) * 4;
    if ip.version_length >> 4 != 4 || length < 20 {
        return None;
    }
    let fragment = u16::from_be(ip.fragment_be);
    // SAFETY: plain fields of the packet that is being written, all of them; so below. A structure made on the stack
    // first would be copied, and the verifier allows 512 bytes of stack for all functions together.
    unsafe {
        let packet = packet.as_mut_ptr();
        write_key(&raw mut (*packet).key, mapped(ip.source), mapped(ip.destination), ip.protocol, hook);
        (*packet).l3 = l3;
        (*packet).l4 = l3 + length;
        (*packet).end = end(skb, l3, ip.length_be);
        (*packet).id = ip.id_be.into();
        (*packet).sum_be = ip.checksum_be;
        (*packet).part = part(fragment & 0x1fff, fragment & 0x2000 != 0);
        (*packet).flags = 0;
        (*packet).v6 = false;
    }
    Some(())
}

#[inline(always)]
fn network_v6(skb: Skb, l3: u32, hook: u8, packet: &mut MaybeUninit<Packet>) -> Option<()> {
    let ip: Ipv6 = skb.read(l3)?;
    if ip.version >> 4 != 6 {
        return None;
    }
    let (mut next, mut l4) = (ip.next, l3 + 40);
    let (mut whole, mut id) = (Part::Whole, 0);
    for _ in 0..EXTENSION_HEADERS {
        match next {
            HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS if whole != Part::Later => {
                let [following, length]: [u8; 2] = skb.read(l4)?;
                next = following;
                l4 += (u32::from(length) + 1) * 8;
            }
            FRAGMENT if whole == Part::Whole => {
                let fragment: Ipv6Fragment = skb.read(l4)?;
                let offset = u16::from_be(fragment.offset_be);
                whole = part(offset >> 3, offset & 1 != 0);
                id = fragment.id_be;
                next = fragment.next;
                l4 += 8;
            }
            _ => break,
        }
    }
    // SAFETY: as above.
    unsafe {
        let packet = packet.as_mut_ptr();
        write_key(&raw mut (*packet).key, ip.source, ip.destination, next, hook);
        (*packet).l3 = l3;
        (*packet).l4 = l4;
        (*packet).end = end(skb, l3 + 40, ip.length_be);
        (*packet).id = id;
        (*packet).sum_be = 0;
        (*packet).part = whole;
        (*packet).flags = 0;
        (*packet).v6 = true;
    }
    Some(())
}

/// Writes a tuple whose ports are not known yet.
///
/// # Safety
///
/// The key is memory that may be written.
#[inline(always)]
unsafe fn write_key(key: *mut ConnectionKey, source: Address, destination: Address, protocol: u8, hook: u8) {
    // SAFETY: as asked for.
    unsafe {
        (*key).source = source;
        (*key).destination = destination;
        (*key).source_port_be = 0;
        (*key).destination_port_be = 0;
        (*key).protocol = protocol;
        (*key).hook = hook;
        (*key).zero = 0;
    }
}

/// Where a packet ends that says how long it is from an offset on. One of more than 65,535 bytes (segmentation
/// offload) says 0.
#[inline(always)]
fn end(skb: Skb, from: u32, length_be: u16) -> u32 {
    if length_be == 0 { skb.len() } else { from + u32::from(u16::from_be(length_be)) }
}

/// Whether the packet is as long as it says, and long enough for its headers.
#[inline(always)]
fn complete(skb: Skb, packet: &Packet) -> bool {
    let least = match packet.key.protocol {
        _ if packet.part == Part::Later => 0,
        TCP => 20,
        _ => 8,
    };
    packet.end <= skb.len() && packet.l4 + least <= packet.end
}

/// Reads the transport header, which must be there whole.
#[inline(always)]
fn transport(skb: Skb, packet: &mut Packet) -> bool {
    if packet.is_icmp() {
        return packet.part != Part::Later && skb.read::<u64>(packet.l4).is_some();
    }
    match packet.key.protocol {
        TCP | UDP if packet.part == Part::Later => true,
        TCP => {
            let Some(tcp) = skb.read::<Tcp>(packet.l4) else {
                return false;
            };
            packet.key.source_port_be = tcp.source_be;
            packet.key.destination_port_be = tcp.destination_be;
            packet.flags = tcp.flags;
            true
        }
        UDP => {
            let Some(udp) = skb.read::<Udp>(packet.l4) else {
                return false;
            };
            packet.key.source_port_be = udp.source_be;
            packet.key.destination_port_be = udp.destination_be;
            true
        }
        _ => false,
    }
}

#[inline(always)]
fn part(offset: u16, more: bool) -> Part {
    match (offset, more) {
        (0, false) => Part::Whole,
        (0, true) => Part::First,
        _ => Part::Later,
    }
}

/// An IPv4 address mapped into an IPv6 one, made as two words: the compiler would clear the first bytes by a loop.
#[inline(always)]
fn mapped(v4: [u8; 4]) -> Address {
    let [a, b, c, d] = v4;
    let low = u64::from_le_bytes([0, 0, 0xff, 0xff, a, b, c, d]);
    (u128::from(low) << 64).to_le_bytes()
}
