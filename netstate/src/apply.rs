//! Applies operations: rtnetlink in batches, nftables in transactions, sysctls by file.
//!
//! Operations are done in order. Consecutive rtnetlink operations travel together; a batch ends
//! where an operation names a device that is not known yet (it may be made by one before it).

use std::collections::HashMap;

use crate::{
    DevName, Error, NetNs, Op, Result, RouteSocket,
    channel::{Answer, Request},
    nft::NftSocket,
    sysctl,
};

/// The kernel's network state in one namespace, to change it.
///
/// Sysctls are those of the thread that calls [`Kernel::apply`].
#[derive(Debug)]
pub struct Kernel {
    /// Links, addresses, routes, rules, neighbours, FDB.
    pub route: RouteSocket,
    nft: Option<NftSocket>,
}

impl Kernel {
    /// Of the calling thread's namespace.
    pub fn open() -> Result<Self> {
        Ok(Self { route: RouteSocket::open()?, nft: None })
    }

    /// Of `namespace`.
    pub fn open_in(namespace: &NetNs) -> Result<Self> {
        let _entered = namespace.enter()?;
        let mut kernel = Self::open()?;
        kernel.nft()?; // its socket, too, belongs to where it was opened
        Ok(kernel)
    }

    /// The nftables socket, opened at first use: the CNI plugin seldom needs it.
    pub fn nft(&mut self) -> Result<&mut NftSocket> {
        if self.nft.is_none() {
            self.nft = Some(NftSocket::open()?);
        }
        Ok(self.nft.as_mut().expect("the line above set it"))
    }

    /// Applies all operations in order, past failures; one result for each.
    pub fn apply(&mut self, ops: &[Op]) -> Vec<Result<()>> {
        let mut run = Run {
            kernel: self,
            indexes: HashMap::new(),
            batch: Vec::new(),
            owners: Vec::new(),
            results: Vec::new(),
        };
        run.results.resize_with(ops.len(), || Ok(()));
        for (at, op) in ops.iter().enumerate() {
            run.push(at, op, ops);
        }
        run.flush(ops);
        run.results
    }

    /// Applies all operations in order, past failures, and answers the first failure.
    pub fn apply_all(&mut self, ops: &[Op]) -> Result<()> {
        self.apply(ops).into_iter().collect()
    }
}

/// One call of [`Kernel::apply`].
struct Run<'a> {
    kernel: &'a mut Kernel,
    indexes: HashMap<DevName, u32>,
    batch: Vec<Request>,
    owners: Vec<usize>,
    results: Vec<Result<()>>,
}

impl Run<'_> {
    fn push(&mut self, at: usize, op: &Op, ops: &[Op]) {
        let mut index = [0; 2];
        for (slot, dev) in index.iter_mut().zip(op.devices()) {
            let Some(dev) = dev else { continue };
            match self.resolve(dev, ops) {
                Ok(Some(found)) => *slot = found,
                Ok(None) if op.deletes() => return,
                Ok(None) => {
                    self.results[at] = Err(Error::NoDevice { op: op.to_string(), dev: dev.to_string() });
                    return;
                }
                Err(error) => {
                    self.results[at] = Err(error);
                    return;
                }
            }
        }
        match op.request(index) {
            Some(request) => {
                self.batch.push(request);
                self.owners.push(at);
            }
            None => {
                self.flush(ops);
                self.results[at] = self.other(op);
            }
        }
        if let Some(request) = op.follow_up() {
            self.flush(ops);
            if self.results[at].is_ok() {
                self.batch.push(request);
                self.owners.push(at);
            }
        }
        // Names may mean another device from here on.
        if let Op::DeleteLink(dev) = op {
            self.indexes.remove(dev);
        }
        if matches!(op, Op::ChangeLink(change) if change.name.is_some() || change.netns.is_some()) {
            self.flush(ops);
            self.indexes.clear();
        }
    }

    fn resolve(&mut self, dev: &DevName, ops: &[Op]) -> Result<Option<u32>> {
        if let Some(index) = self.indexes.get(dev) {
            return Ok(Some(*index));
        }
        self.flush(ops);
        let found = self.kernel.route.link(dev)?;
        Ok(found.map(|link| *self.indexes.entry(dev.clone()).or_insert(link.index)))
    }

    fn other(&mut self, op: &Op) -> Result<()> {
        match op {
            Op::WriteSysctl { key, value } => sysctl::write(key, value).map(|_| ()),
            Op::ReplaceTable(table) => self.kernel.nft()?.replace(table),
            Op::DeleteTable(id) => self.kernel.nft()?.delete(id),
            _ => Ok(()), // every other operation has an rtnetlink request
        }
    }

    fn flush(&mut self, ops: &[Op]) {
        if self.batch.is_empty() {
            return;
        }
        let mut batch = std::mem::take(&mut self.batch);
        let owners = std::mem::take(&mut self.owners);
        match self.kernel.route.channel.exchange(&mut batch) {
            Ok(answers) => {
                for (at, answer) in owners.into_iter().zip(answers) {
                    self.results[at] = outcome(&ops[at], answer);
                }
            }
            Err(error) => {
                let text = error.to_string();
                let mut first = Some(error);
                for at in owners {
                    self.results[at] =
                        Err(first.take().unwrap_or_else(|| ops[at].refused(libc::EIO, text.clone())));
                }
            }
        }
    }
}

fn outcome(op: &Op, answer: Answer) -> Result<()> {
    match answer {
        Answer::Done => Ok(()),
        Answer::Refused(refusal) if op.already(refusal.errno) => Ok(()),
        Answer::Refused(refusal) => Err(op.refused(refusal.errno, refusal.said)),
        Answer::Lost => Err(Error::AnswerLost { op: op.to_string() }),
    }
}
