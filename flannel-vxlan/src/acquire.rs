//! How a node comes to its lease, and keeps it.
//!
//! Every write is a compare-and-swap; a lost one means that somebody else was quicker, and the
//! whole decision is made again on what the state now holds. It ends: each round that we lose,
//! another node has won a subnet.

use netstate::Mac;
use rand::Rng;

use crate::{
    Error, Options,
    config::NetworkConfig,
    lease::{Lease, LeaseValue, Subnets},
    peers::Leases,
    store::{SUBNET_TTL, Snapshot, Store, Swap},
    subnet,
};

/// What the decision rests on.
pub(crate) struct Request<'a> {
    pub store: &'a Store,
    pub config: &'a NetworkConfig,
    pub options: &'a Options,
    /// What is to stand in the lease, with the device's MAC.
    pub value: LeaseValue,
    /// The subnets of an earlier `subnet.env`.
    pub earlier: Option<Subnets>,
}

/// Our lease, as it stands in the state.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub lease: Lease,
}

impl Held {
    pub fn key(&self) -> String {
        self.lease.subnets.key()
    }
}

/// What to do next. Pure.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// The lease is ours: renew it, and rewrite it if its value differs.
    Keep(Lease),
    /// Make one.
    Create(Subnets),
    /// Another node made it.
    Foreign(Lease),
    /// Nothing is free.
    Full,
}

/// The lease that the state holds for this node, if it fits the configuration.
fn ours<'a>(leases: &'a Leases, value: &LeaseValue, config: &NetworkConfig) -> Option<&'a Lease> {
    let fits = |lease: &&Lease| lease.value.same_node(value) && subnet::fits(config, &lease.subnets);
    // Several can be left over from address changes: the oldest is what the pods live in.
    leases.values().filter(fits).min_by_key(|lease| lease.created)
}

fn next(leases: &Leases, request: &Request<'_>, draw: impl FnMut(usize) -> usize) -> Step {
    if let Some(lease) = ours(leases, &request.value, request.config) {
        let foreign = lease.value.weft_node.as_ref().is_some_and(|node| *node != request.options.node_name);
        return if foreign && !request.options.take_over {
            Step::Foreign(lease.clone())
        } else {
            Step::Keep(lease.clone())
        };
    }
    let taken: Vec<Subnets> = leases.values().map(|lease| lease.subnets).collect();
    let free =
        |wanted: &Subnets| subnet::fits(request.config, wanted) && taken.iter().all(|t| !t.overlaps(wanted));
    match request.earlier.filter(free).or_else(|| subnet::pick(request.config, &taken, draw)) {
        Some(subnets) => Step::Create(subnets),
        None => Step::Full,
    }
}

/// Acquires, adopts or renews this node's lease. `snapshot` is brought up to date.
pub(crate) async fn acquire(request: &Request<'_>, snapshot: &mut Snapshot) -> Result<Held, Error> {
    loop {
        // One draw for both families: a key names a pair, so two nodes that drew the same IPv4 subnet
        // with different IPv6 ones would both win their compare-and-swap.
        let drawn: usize = rand::rng().random_range(0..usize::from(u16::MAX));
        let step = next(&snapshot.leases, request, |n| drawn % n);
        let done = match step {
            Step::Keep(lease) => keep(request, lease).await?,
            Step::Create(subnets) => create(request, subnets).await?,
            Step::Foreign(lease) => {
                return Err(Error::ForeignLease {
                    key: lease.subnets.key(),
                    public_ip: request.value.public_address(),
                    other: lease.value.weft_node.unwrap_or_default(),
                    ours: request.options.node_name.clone(),
                });
            }
            Step::Full => {
                let network = request.config.v4.as_ref().map(|p| (p.network.to_string(), p.subnet_length));
                let (network, length) = network.unwrap_or_default();
                let taken = snapshot.leases.len();
                return Err(Error::NoSubnet { network, length, taken, key: request.store.config_key() });
            }
        };
        if let Some(held) = done {
            snapshot.leases.insert(held.key(), held.lease.clone());
            return Ok(held);
        }
        *snapshot = request.store.list().await?;
    }
}

/// Renews a lease of ours and makes its value right. flanneld's renewal makes a new etcd lease and
/// leaves the old one behind; we start the same one's time again. A reservation stays one.
async fn keep(request: &Request<'_>, lease: Lease) -> Result<Option<Held>, Error> {
    let reservation = lease.etcd_lease == 0;
    let alive = reservation || request.store.keep_alive(lease.etcd_lease).await?;
    if alive && lease.value == request.value {
        return Ok(Some(Held { lease }));
    }
    let etcd_lease = if alive { lease.etcd_lease } else { request.store.grant(SUBNET_TTL).await? };
    if request.store.update(&lease, &request.value, etcd_lease).await? == Swap::Lost {
        return Ok(None);
    }
    Ok(Some(Held { lease: Lease { value: request.value.clone(), etcd_lease, ..lease } }))
}

async fn create(request: &Request<'_>, subnets: Subnets) -> Result<Option<Held>, Error> {
    let etcd_lease = request.store.grant(SUBNET_TTL).await?;
    if request.store.create(&subnets, &request.value, etcd_lease).await? == Swap::Lost {
        tracing::info!(subnet = %subnets.key(), "another node took the subnet first: taking another");
        request.store.revoke(etcd_lease).await?;
        return Ok(None);
    }
    let lease = Lease { subnets, value: request.value.clone(), etcd_lease, created: i64::MAX };
    Ok(Some(Held { lease }))
}

/// The MAC that this node's device has when nothing else fixes it: the same after every reboot,
/// another one on a copy of the machine that has another address.
pub(crate) fn vtep_mac(options: &Options, public_address: &str, vni: u32, ipv6: bool) -> Mac {
    let text = format!("weft vtep {} {public_address} {vni} {ipv6}", options.machine_id);
    let mut bytes = [0; 6];
    // Hashed once per byte so that all six depend on the whole text.
    for (salt, byte) in bytes.iter_mut().enumerate() {
        let hash = netstate::fnv1a(text.bytes().chain([salt as u8]));
        *byte = (hash ^ (hash >> 32)) as u8;
    }
    Mac::local(bytes)
}
