//! Bits into the kernel's units, by the reference plugin's arithmetic: `tc qdisc show` prints the same, and each
//! side's CHECK accepts what the other made.
//!
//! ```text
//!  rate    bits / 8                                           bytes per second
//!  buffer  burst in bytes / rate, in microseconds, in ticks   how long the bucket takes to fill
//!  limit   rate × 25 ms + burst in bytes                      what may wait
//! ```
//!
//! The reference's values wrap at 32 bits, silently: a burst that takes longer than 275 seconds to fill, such
//! as containerd's 512 MB for 1 Mbit/s, becomes whatever is left over. We wrap, too, unless no packet fits into
//! what is left (then the pod would be cut off): then it is the largest value there is.

use super::config::Limit;
use netstate::tc::{TICK_NS, Tbf};

/// What waits at most: the reference's `latencyInMillis`.
const LATENCY_US: f64 = 25_000.0;
const US_PER_SECOND: f64 = 1_000_000.0;
const TICKS_PER_US: f64 = 1000.0 / TICK_NS as f64;
/// The largest packet, and what a wrapped value must hold.
const LARGEST_PACKET: u64 = 65_536;

/// A float as Go makes a uint32 of it on 64-bit machines: by way of an int64, cut to 32 bits.
fn wrapped(value: f64) -> u32 {
    value as i64 as u32
}

/// The bucket's depth in ticks.
pub(super) fn buffer(limit: Limit) -> u32 {
    let (rate, burst) = (limit.rate / 8, limit.burst / 8);
    let us = burst as f64 * US_PER_SECOND / rate as f64;
    let ticks = f64::from(wrapped(us)) * TICKS_PER_US;
    let buffer = wrapped(ticks);
    let overflowed = us >= f64::from(u32::MAX) || ticks >= f64::from(u32::MAX);
    let holds = u128::from(rate) * u128::from(buffer) * u128::from(TICK_NS) / 1_000_000_000;
    match overflowed && holds < u128::from(LARGEST_PACKET.min(burst)) {
        true => u32::MAX,
        false => buffer.max(1),
    }
}

/// A token bucket of a limit.
pub(super) fn tbf(limit: Limit) -> Tbf {
    let (rate, burst) = (limit.rate / 8, limit.burst / 8);
    let waiting = wrapped(rate as f64 * LATENCY_US / US_PER_SECOND);
    // The configuration has burst / 8 fit 32 bits.
    let sum = waiting.wrapping_add(burst as u32);
    let overflowed = u64::from(waiting) + burst > u64::from(u32::MAX);
    let most = if overflowed && u64::from(sum) < LARGEST_PACKET { u32::MAX } else { sum };
    Tbf { rate, buffer: buffer(limit), limit: most }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_references_numbers() {
        // What release 1.1.1 made of these, as the kernel listed it.
        let small = tbf(Limit { rate: 8000, burst: 80_000 });
        assert_eq!(small, Tbf { rate: 1000, buffer: 156_250_000, limit: 10_025 });
        let wraps = tbf(Limit { rate: 1_000_000, burst: u64::from(u32::MAX) });
        assert_eq!(wraps.rate, 125_000);
        let burst = u64::from(wraps.buffer) * TICK_NS * wraps.rate / 1_000_000_000;
        assert!((21_474_830..=21_474_840).contains(&burst), "{burst}");
    }

    #[test]
    fn a_wrapped_bucket_still_holds_a_packet() {
        for rate in 8..20_000u64 {
            let limit = Limit { rate: rate * 997, burst: u64::from(u32::MAX) };
            let depth = u128::from(buffer(limit)) * u128::from(TICK_NS) * u128::from(limit.rate / 8);
            assert!(depth / 1_000_000_000 >= u128::from(LARGEST_PACKET.min(limit.rate / 8 * 200)), "{rate}");
        }
    }
}
