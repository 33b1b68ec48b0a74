//! From nothing to a lease: configuration, interface, identity, MACs, subnet.

use std::net::{IpAddr, Ipv4Addr};

use netstate::Mac;

use crate::{
    Error, Options, Uplink,
    acquire::{Held, Request, acquire, vtep_mac},
    config::NetworkConfig,
    dataplane::Dataplane,
    identity::Identity,
    lease::{BackendData, LeaseValue},
    store::{Snapshot, Store},
    subnet_env,
};

/// A node that has its lease.
pub(crate) struct Node {
    pub config: NetworkConfig,
    pub uplink: Uplink,
    pub macs: (Mac, Mac),
    pub identity: Identity,
    pub held: Held,
    pub snapshot: Snapshot,
}

/// Reads the configuration; `None` while there is none.
pub(crate) async fn configuration(store: &Store) -> Result<Option<NetworkConfig>, Error> {
    let key = store.config_key();
    let Some(bytes) = store.get(&key).await? else { return Ok(None) };
    let text = String::from_utf8_lossy(&bytes);
    NetworkConfig::parse(&text).map(Some).map_err(|reason| Error::Config { key, reason })
}

/// Comes to a lease. `peer` is a peer's address, where an earlier choice of the interface was wrong.
pub(crate) async fn set_up(
    store: &Store,
    options: &Options,
    config: NetworkConfig,
    peer: Option<IpAddr>,
    dataplane: &mut Dataplane,
) -> Result<Node, Error> {
    let families = (config.v4.is_some(), config.v6.is_some());
    let uplink = dataplane.uplink(options, peer, families)?;
    let mut value = LeaseValue {
        public_ip: options.public_ip.or(uplink.v4).filter(|_| families.0).unwrap_or(Ipv4Addr::UNSPECIFIED),
        public_ipv6: options.public_ipv6.or(uplink.v6).filter(|_| families.1),
        backend_type: "vxlan".into(),
        backend_data: None,
        backend_v6_data: None,
        weft_node: Some(options.node_name.clone()),
    };
    let public = value.public_address();
    tracing::info!(dev = %uplink.dev, mtu = uplink.mtu, public_ip = %public, "interface chosen: {}", uplink.reason);
    let identity = Identity::claim(store, &public, options).await?;
    let mut snapshot = store.list().await?;
    let mut macs = [Mac([0; 6]); 2];
    for (mac, ipv6) in macs.iter_mut().zip([false, true]) {
        *mac = fixed_mac(options, &value, config.backend.vni, ipv6, &snapshot, dataplane)?;
    }
    let data = |mac: Mac| BackendData { vni: config.backend.vni, vtep_mac: mac.to_string() };
    value.backend_data = families.0.then(|| data(macs[0]));
    value.backend_v6_data = families.1.then(|| data(macs[1]));
    let earlier = subnet_env::read(&options.subnet_file);
    let request = Request { store, config: &config, options, value, earlier };
    let held = acquire(&request, &mut snapshot).await?;
    tracing::info!(subnet = %held.key(), "subnet leased");
    Ok(Node { config, uplink, macs: (macs[0], macs[1]), identity, held, snapshot })
}

/// The device's MAC: of the device that is there (so that nothing changes for the peers), else of
/// our lease, else derived; never one that another node's lease names.
fn fixed_mac(
    options: &Options,
    value: &LeaseValue,
    vni: u32,
    ipv6: bool,
    snapshot: &Snapshot,
    dataplane: &mut Dataplane,
) -> Result<Mac, Error> {
    let data = |v: &LeaseValue| if ipv6 { v.backend_v6_data.clone() } else { v.backend_data.clone() };
    let leases = || snapshot.leases.iter();
    let other = |mac: &Mac| {
        let theirs = |v: &LeaseValue| {
            [&v.backend_data, &v.backend_v6_data].into_iter().flatten().any(|d| d.mac() == Some(*mac))
        };
        leases().find(|(_, lease)| !lease.value.same_node(value) && theirs(&lease.value))
    };
    let leased = leases()
        .find(|(_, l)| l.value.same_node(value))
        .and_then(|(_, l)| data(&l.value))
        .and_then(|d| d.mac());
    let derived = vtep_mac(options, &value.public_address(), vni, ipv6);
    let candidates = [dataplane.existing_mac(vni, ipv6)?, leased, Some(derived)];
    for mac in candidates.into_iter().flatten() {
        match other(&mac) {
            None => return Ok(mac),
            Some((key, lease)) => {
                tracing::warn!(%mac, "VTEP MAC is also that of {} ({key}): not used here", lease.value.public_address());
            }
        }
    }
    let (key, lease) =
        other(&derived).expect("the loop ends without a MAC only where the derived one is taken");
    Err(Error::DuplicateMac {
        mac: derived.to_string(),
        other: lease.value.public_address(),
        key: key.clone(),
    })
}
