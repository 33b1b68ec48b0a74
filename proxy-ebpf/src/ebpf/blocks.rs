//! Blocks of an array map: which elements are in use.
//!
//! Blocks have sizes of powers of two, and free ones are kept by size; a block that is needed and not there is cut
//! from a larger one. A block that was given back can be read by a program that still has the old service in its
//! hand, so it is taken again only after [`GRACE`]. Constant time per block.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// How long a program may still read a block that is given back; programs run for microseconds.
const GRACE: Duration = Duration::from_secs(1);

/// Which elements of an array are free.
#[derive(Debug)]
pub struct Blocks {
    /// Bases of free blocks, by the logarithm of their size.
    free: Vec<BTreeSet<u32>>,
    /// Given back, and not to be used before this moment.
    resting: VecDeque<(Instant, u32, u32)>,
    capacity: u32,
    used: u32,
}

/// The size of the block that holds `count` elements.
fn size_of_block(count: u32) -> u32 {
    count.max(1).next_power_of_two()
}

impl Blocks {
    /// An array of `capacity` elements, of which those in `taken` (base, count) are in use.
    ///
    /// A taken block that overlaps another, or lies outside, is told by its base; nothing is made of it.
    pub fn new(capacity: u32, taken: &BTreeSet<(u32, u32)>) -> Result<Blocks, u32> {
        let classes = 32 - capacity.leading_zeros() as usize;
        let mut blocks =
            Blocks { free: vec![BTreeSet::new(); classes], resting: VecDeque::new(), capacity, used: 0 };
        let mut at = 0;
        for (base, count) in taken {
            let size = size_of_block(*count);
            if *base < at || base % size != 0 || base.checked_add(size).is_none_or(|end| end > capacity) {
                return Err(*base);
            }
            blocks.give_range(at, *base);
            blocks.used += size;
            at = base + size;
        }
        blocks.give_range(at, capacity);
        Ok(blocks)
    }

    /// Takes a block for `count` elements; `None` when the array is full.
    pub fn take(&mut self, count: u32, now: Instant) -> Option<u32> {
        self.wake(now);
        let size = size_of_block(count);
        let wanted = size.trailing_zeros() as usize;
        let class = (wanted..self.free.len()).find(|class| !self.free[*class].is_empty())?;
        let base = self.free[class].pop_first()?;
        self.give_range(base + size, base + (1 << class));
        self.used += size;
        Some(base)
    }

    /// Gives a block of `count` elements back.
    pub fn give(&mut self, base: u32, count: u32, now: Instant) {
        self.resting.push_back((now + GRACE, base, size_of_block(count)));
    }

    /// Elements that are taken or resting.
    pub fn used(&self) -> u32 {
        self.used
    }

    /// Elements of the array.
    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    fn wake(&mut self, now: Instant) {
        while let Some((_, base, size)) = self.resting.front().copied().filter(|(until, ..)| *until <= now) {
            self.resting.pop_front();
            self.used -= size;
            self.give_block(base, size.trailing_zeros() as usize);
        }
    }

    /// Puts a free block with its free neighbours together.
    fn give_block(&mut self, mut base: u32, mut class: usize) {
        while class + 1 < self.free.len() {
            let buddy = base ^ (1 << class);
            if !self.free[class].remove(&buddy) {
                break;
            }
            base = base.min(buddy);
            class += 1;
        }
        self.free[class].insert(base);
    }

    /// Cuts `[from, to)` into aligned blocks.
    fn give_range(&mut self, mut from: u32, to: u32) {
        while from < to {
            let aligned = if from == 0 { u32::MAX } else { 1 << from.trailing_zeros() };
            let fits = 1 << (31 - (to - from).leading_zeros());
            let size = aligned.min(fits);
            self.give_block(from, size.trailing_zeros() as usize);
            from += size;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_block_rests_before_it_is_taken_again() {
        let start = Instant::now();
        let mut blocks = Blocks::new(8, &BTreeSet::new()).unwrap();
        assert_eq!(blocks.take(5, start), Some(0));
        assert_eq!(blocks.take(1, start), None, "the array is full");
        blocks.give(0, 5, start);
        assert_eq!(blocks.take(1, start), None);
        assert_eq!(blocks.take(1, start + GRACE), Some(0));
    }

    #[test]
    fn what_an_earlier_process_wrote_stays() {
        let taken = BTreeSet::from([(4, 3), (16, 1)]);
        let mut blocks = Blocks::new(20, &taken).unwrap();
        let now = Instant::now();
        let mut got: Vec<u32> = std::iter::from_fn(|| blocks.take(1, now)).collect();
        got.sort_unstable();
        assert_eq!(got, [0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 15, 17, 18, 19]);
        assert_eq!(Blocks::new(20, &BTreeSet::from([(0, 4), (2, 2)])).unwrap_err(), 2);
        assert_eq!(Blocks::new(20, &BTreeSet::from([(16, 5)])).unwrap_err(), 16);
    }

    proptest! {
        #[test]
        fn taken_blocks_never_overlap(steps in prop::collection::vec((any::<bool>(), 1_u32..20), 1..200)) {
            let mut now = Instant::now();
            let mut blocks = Blocks::new(100, &BTreeSet::new()).unwrap();
            let mut taken: Vec<(u32, u32)> = Vec::new();
            for (take, count) in steps {
                now += GRACE;
                if take {
                    if let Some(base) = blocks.take(count, now) {
                        let end = base + size_of_block(count);
                        prop_assert!(end <= 100);
                        prop_assert!(taken.iter().all(|(b, c)| end <= *b || b + size_of_block(*c) <= base));
                        taken.push((base, count));
                    }
                } else if !taken.is_empty() {
                    let (base, count) = taken.swap_remove(count as usize % taken.len());
                    blocks.give(base, count, now);
                }
            }
            for (base, count) in taken.drain(..) {
                blocks.give(base, count, now);
            }
            blocks.wake(now + GRACE);
            prop_assert_eq!(blocks.used(), 0);
            prop_assert_eq!(blocks.take(64, now + GRACE), Some(0), "free neighbours were put together");
        }
    }
}
