//! Random transactions: the part of the generator that nests.

use super::generate::Generator;
use super::operation::{Bytes, Compare, Put, Revision, Step, Txn, With};

/// More operations than a server takes.
const TOO_MANY: usize = 129;

impl Generator {
    pub(super) fn txn(&mut self) -> Txn {
        if self.one_in(150) {
            return self.large();
        }
        let mut txn = self.txn_of_depth(2);
        if deletes_from_a_key_on(&txn) {
            // etcd does not see that such a deletion overlaps a put, and panics when the put then finds no key.
            no_ignoring(&mut txn);
        }
        txn
    }

    fn txn_of_depth(&mut self, depth: u32) -> Txn {
        let compares = [0, 1, 1, 1, 2, 3][self.below(6)];
        let compare = (0..compares).map(|_| self.compare()).collect();
        Txn { compare, success: self.steps(depth), failure: self.steps(depth) }
    }

    /// At the limit, or just above it.
    fn large(&mut self) -> Txn {
        let number = TOO_MANY - self.below(2);
        let put = |at: usize| {
            let key = Bytes(format!("d/{}", at % 130).into_bytes());
            Step::Put(Put { key, value: Bytes(vec![b'v']), ..Put::default() })
        };
        let steps: Vec<Step> = (0..number).map(put).collect();
        if self.one_in(2) {
            Txn { success: steps, ..Txn::default() }
        } else {
            Txn { success: vec![Step::Txn(Txn { success: steps, ..Txn::default() })], ..Txn::default() }
        }
    }

    fn steps(&mut self, depth: u32) -> Vec<Step> {
        let number = [0, 1, 1, 2, 2, 3, 4][self.below(7)];
        (0..number).map(|_| self.step(depth)).collect()
    }

    fn step(&mut self, depth: u32) -> Step {
        match self.below(100) {
            0..35 => Step::Put(self.put()),
            35..55 => Step::Delete(self.delete()),
            55..88 => Step::Range(self.range()),
            88..99 if depth > 0 => Step::Txn(self.txn_of_depth(depth - 1)),
            88..99 => Step::Put(self.put()),
            _ => Step::Nothing,
        }
    }

    fn compare(&mut self) -> Compare {
        let (key, end) = self.range_of_keys();
        let target = self.number(0, 4).try_into().unwrap_or(0);
        // What does not fit the target is possible in the protocol and means zero.
        let with = if self.one_in(25) { self.below(6) } else { usize::try_from(target).unwrap_or(0) };
        let with = match with {
            0 => With::Version(self.number(0, 3)),
            1 => With::Create(self.near()),
            2 => With::Mod(self.near()),
            3 => With::Value(self.value()),
            4 => With::Lease(self.some_lease()),
            _ => With::Nothing,
        };
        Compare { key, end, result: self.number(0, 3).try_into().unwrap_or(0), target, with }
    }

    fn near(&mut self) -> Revision {
        if self.one_in(3) { Revision::Zero } else { Revision::Current(self.number(-20, 1)) }
    }
}

fn steps(txn: &Txn) -> impl Iterator<Item = &Step> {
    txn.success.iter().chain(&txn.failure)
}

fn deletes_from_a_key_on(txn: &Txn) -> bool {
    steps(txn).any(|step| match step {
        Step::Delete(delete) => delete.end.0 == [0],
        Step::Txn(txn) => deletes_from_a_key_on(txn),
        _ => false,
    })
}

fn no_ignoring(txn: &mut Txn) {
    for step in txn.success.iter_mut().chain(&mut txn.failure) {
        match step {
            Step::Put(put) => (put.ignore_value, put.ignore_lease) = (false, false),
            Step::Txn(txn) => no_ignoring(txn),
            _ => {}
        }
    }
}
