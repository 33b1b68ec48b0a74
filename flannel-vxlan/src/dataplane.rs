//! Looks at the kernel, plans, applies: the overlay's only hand in the kernel.
//!
//! A look compares everything; a change compares the entries of the peers that changed. Whatever a
//! change misses, the next look finds, and every change in the kernel asks for one.

use std::{
    collections::HashSet,
    path::Path,
    time::{Duration, Instant},
};

use netstate::{Conntrack, Kernel, LinkKind, Mac, Monitor, Observe, Op, Topic, plan};
use tokio::io::unix::AsyncFd;

use crate::{
    Choice, DesiredInput, Error, Metrics, Options, Uplink, choose, desired,
    desired::{device_name, entries},
    masquerade,
    metrics::Kind,
    peers::Peer,
    uplink,
};

/// Lines that one look logs of what went wrong or was repaired; the rest is counted.
const LINES_PER_LOOK: usize = 8;

/// The kernel, as the overlay uses it.
pub(crate) struct Dataplane {
    kernel: Kernel,
    routes: AsyncFd<Monitor>,
    tables: AsyncFd<Monitor>,
    /// Indexes of our devices and the uplink; events of others are not ours.
    indexes: HashSet<u32>,
    metrics: Metrics,
    looked: bool,
}

/// What a look found.
#[derive(Debug)]
pub(crate) struct Look {
    /// How many operations were needed.
    pub operations: usize,
    /// How many the kernel refused.
    pub failures: usize,
    /// How long it took.
    pub took: Duration,
}

impl Dataplane {
    pub fn open(metrics: Metrics) -> Result<Self, Error> {
        let topics = [Topic::Links, Topic::Addresses, Topic::Routes, Topic::Neighbours];
        let watch = |topics: &[Topic]| -> Result<_, Error> {
            // SAFETY: a monitor owns one descriptor from its making to its end and never swaps it.
            let monitor = unsafe { AsyncFd::register(Monitor::open(topics)?) };
            Ok(monitor
                .map_err(|source| netstate::Error::Socket { action: "watch", source: source.into() })?)
        };
        Ok(Self {
            kernel: Kernel::open()?,
            routes: watch(&topics)?,
            tables: watch(&[Topic::Tables])?,
            indexes: HashSet::new(),
            metrics,
            looked: false,
        })
    }

    /// Waits until something changed that may be ours.
    pub async fn changed(&mut self) -> Result<(), Error> {
        loop {
            let (events, tables) = tokio::select! {
                ready = self.routes.readable_mut() => (drain(ready)?, false),
                ready = self.tables.readable_mut() => (drain(ready)?, true),
            };
            let ours =
                |event: &netstate::Event| event.index.is_none_or(|index| self.indexes.contains(&index));
            if tables && !events.is_empty() || events.iter().any(ours) {
                return Ok(());
            }
        }
    }

    /// Chooses the interface that carries the overlay.
    pub fn uplink(
        &mut self,
        options: &Options,
        peer: Option<std::net::IpAddr>,
        families: (bool, bool),
    ) -> Result<Uplink, Error> {
        let state = self.kernel.observe(&Observe { addresses: true, ..Observe::default() })?;
        let route = &mut self.kernel.route;
        let mut route_to = |ip| route.route_to(ip, &state.links).ok().flatten();
        choose(options, &mut Choice { state: &state, route_to: &mut route_to, peer, families })
    }

    /// The MAC of a VXLAN device that is there already, by flannel's name and network identifier.
    pub fn existing_mac(&mut self, vni: u32, ipv6: bool) -> Result<Option<Mac>, Error> {
        let link = self.kernel.route.link(&device_name(vni, ipv6))?;
        Ok(link.and_then(|link| match &link.kind {
            LinkKind::Vxlan(vxlan) if vxlan.vni == vni => link.mac,
            _ => None,
        }))
    }

    /// Whether something on the node needs connection tracking, and what.
    pub fn tracking(&mut self) -> Result<Option<String>, Error> {
        let tables = self.kernel.nft()?.tracked_tables(masquerade::TABLE)?;
        if let Some(table) = tables.first() {
            return Ok(Some(format!("nftables table {table}")));
        }
        for names in ["/proc/thread-self/net/ip_tables_names", "/proc/thread-self/net/ip6_tables_names"] {
            // Absent on kernels without iptables; then nothing of it can be in use.
            let text = std::fs::read_to_string(Path::new(names)).unwrap_or_default();
            if let Some(table) = text.lines().find(|line| !line.is_empty()) {
                return Ok(Some(format!("iptables table {table}")));
            }
        }
        Ok(None)
    }

    /// The uplink as it is now: its MTU may have changed; `None` where it is gone or has lost an
    /// address that the overlay uses.
    pub fn refreshed(&mut self, uplink: &Uplink) -> Result<Option<Uplink>, Error> {
        let state = self.kernel.observe(&Observe { addresses: true, ..Observe::default() })?;
        Ok(uplink::refresh(uplink, &state))
    }

    /// Compares everything, and puts right what differs.
    pub fn look(&mut self, input: &DesiredInput<'_>) -> Result<Look, Error> {
        let started = Instant::now();
        let desired = desired(input);
        let wanted = Observe {
            addresses: true,
            routes: true,
            neighbours: true,
            fdb: true,
            tables: vec![masquerade::table_id()],
            sysctls: desired.sysctls.iter().map(|(key, _)| key.clone()).collect(),
            ..Observe::default()
        };
        let ops = plan(&desired, &self.kernel.observe(&wanted)?);
        let mut failures = self.apply(&ops, self.looked);
        if ops.iter().any(|op| matches!(op, Op::AddLink(_))) {
            // A device's sysctls are there only now that it is.
            let rest = plan(&desired, &self.kernel.observe(&wanted)?);
            failures += self.apply(&rest, false);
        }
        if input.ip_masq && ops.iter().any(|op| matches!(op, Op::ReplaceTable(_))) {
            // One client's flow is no reason to stop.
            if let Err(error) = forget_unmasqueraded(input) {
                tracing::warn!("UDP flows that began without masquerading stay as they are: {error}");
            }
        }
        self.metrics.looks.inc();
        self.looked = true;
        self.note_indexes(input)?;
        Ok(Look { operations: ops.len(), failures, took: started.elapsed() })
    }

    /// Turns the entries of `old` peers into those of `new` ones; answers how many failed.
    pub fn change(&mut self, input: &DesiredInput<'_>, old: &[Peer], new: &[Peer]) -> usize {
        let before: HashSet<&Peer> = old.iter().collect();
        let after: HashSet<&Peer> = new.iter().collect();
        // An entry that a peer shares with one that goes (two leases of one node) is compared too.
        let macs: HashSet<Mac> = before.symmetric_difference(&after).map(|peer| peer.mac).collect();
        let touched = |peers: &[Peer]| {
            peers.iter().filter(|peer| macs.contains(&peer.mac)).cloned().collect::<Vec<_>>()
        };
        let (wanted, _) = entries(input, &touched(new));
        let (_, there) = entries(input, &touched(old));
        self.apply(&plan(&wanted, &there), false)
    }

    /// Applies past failures; answers how many there were.
    fn apply(&mut self, ops: &[Op], repairs: bool) -> usize {
        let lost = self.kernel.route.traffic().lost;
        let results = self.kernel.apply(ops);
        self.metrics.lost_answers.inc_by(self.kernel.route.traffic().lost - lost);
        let mut failures = 0;
        for (at, (op, result)) in ops.iter().zip(results).enumerate() {
            let kind = Kind { kind: op.kind() };
            match result {
                Ok(()) if repairs => {
                    self.metrics.repairs.get_or_create(&kind).inc();
                    if at < LINES_PER_LOOK {
                        tracing::warn!("repaired: {op}");
                    }
                }
                Ok(()) => tracing::debug!("{op}"),
                Err(error) => {
                    self.metrics.netlink_errors.get_or_create(&kind).inc();
                    failures += 1;
                    if failures <= LINES_PER_LOOK {
                        tracing::error!("{error}");
                    }
                }
            }
        }
        failures
    }

    fn note_indexes(&mut self, input: &DesiredInput<'_>) -> Result<(), Error> {
        self.indexes = [input.uplink.index].into();
        for ipv6 in [false, true] {
            if let Some(link) = self.kernel.route.link(&input.dev(ipv6))? {
                self.indexes.insert(link.index);
            }
        }
        Ok(())
    }
}

/// Forgets UDP flows that are tracked as if there were no masquerading: a pod that went on asking while the table was
/// away would go on to be asked back at an address that nobody outside knows.
fn forget_unmasqueraded(input: &DesiredInput<'_>) -> Result<(), Error> {
    let mut conntrack = Conntrack::open()?;
    let stale = conntrack.udp_flows(|flow| {
        let (from, to) = (flow.source.ip(), flow.answers.ip());
        flow.seen_as == flow.source && masquerade::is_masqueraded(input.config, &input.subnets, from, to)
    })?;
    for flow in &stale {
        conntrack.delete(flow)?;
    }
    Ok(())
}

fn drain(
    ready: std::io::Result<tokio::io::unix::AsyncFdReadyMutGuard<'_, Monitor>>,
) -> Result<Vec<netstate::Event>, Error> {
    let mut ready = ready.map_err(|source| netstate::Error::Socket { action: "wait", source })?;
    let events = ready.get_inner_mut().drain()?;
    ready.clear_ready();
    Ok(events)
}
