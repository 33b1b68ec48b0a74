//! What a packet does to the state of a connection, and how long each state is remembered.
//!
//! ```text
//! NEW ─ a packet of the other direction ─► ESTABLISHED ─ FIN, seen by the entry of its direction ─► CLOSING
//! both CLOSING ─► CLOSED      any ─ RST ─► CLOSED      CLOSED: a new SYN chooses afresh
//! ```
//!
//! A connection has two entries at each place where it is rewritten, one for each direction, and each has its own
//! state: CLOSING says that *this* direction has sent FIN. There are no windows as in netfilter's tracking, so a RST
//! out of window closes as well; an entry that is CLOSED therefore goes on to rewrite while packets come.
//! The kernel programs and the daemon's tables share this, and tests run it without a kernel.

use crate::{STATE_CLOSED, STATE_CLOSING, STATE_ESTABLISHED, STATE_NEW, TCP};

/// TCP's flag FIN (RFC 9293, section 3.1, byte 13 of the header).
pub const FIN: u8 = 0x01;
/// TCP's flag SYN.
pub const SYN: u8 = 0x02;
/// TCP's flag RST.
pub const RST: u8 = 0x04;
/// TCP's flag ACK.
pub const ACK: u8 = 0x10;

/// How long a connection of which no endpoint has been found is remembered, for its refusal to be translated.
pub const REFUSED_SECONDS: u32 = 10;

/// How long an entry in a state is remembered after the connection's last packet, in seconds.
///
/// Near netfilter's, except that idle TCP connections have 6 hours instead of 5 days, and that CLOSED has 60 seconds
/// as an endpoint that closed first remembers the tuple that long (TCP_TIMEWAIT_LEN).
#[inline(always)]
pub fn seconds(protocol: u8, state: u8) -> u32 {
    match (protocol, state) {
        (TCP, STATE_NEW) => 60,
        (TCP, STATE_ESTABLISHED) => 21_600,
        (TCP, STATE_CLOSING) => 120,
        (TCP, _) => 60,
        (_, STATE_NEW) => 30,
        _ => 120,
    }
}

/// Whether a packet begins a TCP connection.
#[inline(always)]
pub fn opens(flags: u8) -> bool {
    flags & (SYN | ACK | RST | FIN) == SYN
}

/// Whether a packet concerns more than the entry of its own direction, which is in state `own`.
#[inline(always)]
pub fn concerns_pair(own: u8, reply: bool, flags: u8) -> bool {
    flags & (FIN | RST) != 0 || (reply && own == STATE_NEW)
}

/// The states of a packet's own direction and of the other one after it. UDP has no flags.
#[inline(always)]
pub fn next(own: u8, other: u8, reply: bool, flags: u8) -> (u8, u8) {
    let (mut own, mut other) = (own, other);
    if flags & RST != 0 {
        return (STATE_CLOSED, STATE_CLOSED);
    }
    if reply && own == STATE_NEW {
        own = STATE_ESTABLISHED;
        if other == STATE_NEW {
            other = STATE_ESTABLISHED;
        }
    }
    if flags & FIN != 0 {
        if other >= STATE_CLOSING {
            return (STATE_CLOSED, STATE_CLOSED);
        }
        own = own.max(STATE_CLOSING);
    }
    (own, other)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [u8; 4] = [STATE_NEW, STATE_ESTABLISHED, STATE_CLOSING, STATE_CLOSED];

    #[test]
    fn a_connection_from_syn_to_the_last_fin() {
        let (out, back) = next(STATE_NEW, STATE_NEW, false, SYN);
        assert_eq!((out, back), (STATE_NEW, STATE_NEW));
        let (back, out) = next(back, out, true, SYN | ACK);
        assert_eq!((out, back), (STATE_ESTABLISHED, STATE_ESTABLISHED));
        let (out, back) = next(out, back, false, FIN | ACK);
        assert_eq!((out, back), (STATE_CLOSING, STATE_ESTABLISHED));
        let (out, back) = next(out, back, false, FIN | ACK);
        assert_eq!((out, back), (STATE_CLOSING, STATE_ESTABLISHED), "a FIN sent again is one FIN");
        let (back, out) = next(back, out, true, FIN | ACK);
        assert_eq!((out, back), (STATE_CLOSED, STATE_CLOSED));
        assert_eq!(next(out, back, false, ACK), (STATE_CLOSED, STATE_CLOSED));
    }

    #[test]
    fn only_rst_or_two_fins_close() {
        for own in ALL {
            for other in ALL {
                for flags in 0..32 {
                    for reply in [false, true] {
                        let (after, after_other) = next(own, other, reply, flags);
                        assert!(after >= own && after_other >= other, "states only advance");
                        let closed = after == STATE_CLOSED && own != STATE_CLOSED;
                        let fins = flags & FIN != 0 && other >= STATE_CLOSING;
                        assert_eq!(closed, own != STATE_CLOSED && (flags & RST != 0 || fins));
                        let changed = (after, after_other) != (own, other);
                        assert!(!changed || concerns_pair(own, reply, flags), "the pair is told of changes");
                    }
                }
            }
        }
    }

    #[test]
    fn only_a_bare_syn_opens() {
        assert!(opens(SYN));
        for flags in [SYN | ACK, ACK, RST, FIN | SYN, SYN | RST, 0] {
            assert!(!opens(flags));
        }
        assert!(opens(SYN | 0x40 | 0x80), "with ECN's flags");
    }
}
