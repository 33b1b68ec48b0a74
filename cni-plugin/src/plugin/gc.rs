//! GC: removes links and addresses of this network that no valid attachment has.
//!
//! Lists all links of the host and reads all reservations: the one command that grows with the node.
//! Links are known by alias, or by name where a crash left one without. Those of other networks, and
//! those that the reference plugins made, are not touched; addresses of the store are this network's
//! whoever took them.

use super::addressing::Source;
use super::links::{LinkOwner, alias_prefix, name_prefix};
use super::{Command, Invocation, addressing, delegate, kernel_error, masquerade};
use crate::config::{Ipam, NetworkConfig};
use crate::ipam::{Key, Store};
use crate::types::{Attachment, CniError, ErrorCode};
use netstate::{Kernel, Link, LinkKind, Op};
use std::collections::HashSet;

/// Removes what no valid attachment has.
pub(super) fn gc(config: &NetworkConfig, invocation: &Invocation) -> Result<(), CniError> {
    let valid = config.valid_attachments.as_ref().ok_or_else(|| {
        let msg = "GC came without cni.dev/valid-attachments, which is what it must keep";
        CniError::new(
            ErrorCode::InvalidConfig,
            msg,
            "the container runtime must send the list, an empty one if need be",
        )
    })?;
    // First the links: an address is free only when nothing uses it any more.
    let mut kernel = Kernel::open().map_err(kernel_error("the host's network namespace"))?;
    delete_links(&mut kernel, config, valid)?;
    match &config.ipam {
        Ipam::None => Ok(()),
        Ipam::Delegated(plugin) => delegate::run(plugin, Command::Gc, config, invocation).map(|_| ()),
        Ipam::HostLocal(block) => {
            let store =
                Store::open_existing(&block.data_dir, &config.name).map_err(addressing::ipam_error)?;
            if let Some(mut store) = store {
                store.retain(|key| is_valid(valid, key)).map_err(addressing::ipam_error)?;
            }
            match (valid.is_empty(), Source::of(block)) {
                // Nobody is left to be masqueraded.
                (true, Ok(source)) => masquerade::remove(&mut kernel, &config.name, &source.subnets()),
                _ => Ok(()),
            }
        }
    }
}

/// Very old files name no interface: then any of the container's counts.
fn is_valid(valid: &[Attachment], key: &Key) -> bool {
    valid
        .iter()
        .any(|a| a.container_id == key.container_id && (a.ifname == key.ifname || key.ifname.is_empty()))
}

fn delete_links(kernel: &mut Kernel, config: &NetworkConfig, valid: &[Attachment]) -> Result<(), CniError> {
    let links = kernel.route.links().map_err(kernel_error("links"))?;
    let stale = Stale::new(&config.name, valid);
    let ops: Vec<Op> =
        links.into_iter().filter(|link| stale.has(link)).map(|link| Op::DeleteLink(link.name)).collect();
    // All are tried; the first failure is reported.
    kernel
        .apply(&ops)
        .into_iter()
        .collect::<Result<Vec<_>, _>>()
        .map(|_| ())
        .map_err(kernel_error("stale veth"))
}

/// Tells links of this network without a valid attachment.
struct Stale {
    alias_prefix: String,
    name_prefix: String,
    valid_names: HashSet<String>,
}

impl Stale {
    fn new(network: &str, valid: &[Attachment]) -> Self {
        let name = |a: &Attachment| {
            LinkOwner { network, container_id: &a.container_id, ifname: &a.ifname }.host_name()
        };
        Stale {
            alias_prefix: alias_prefix(network),
            name_prefix: name_prefix(network),
            valid_names: valid.iter().map(name).collect(),
        }
    }

    fn has(&self, link: &Link) -> bool {
        let ours = match &link.alias {
            Some(alias) => alias.starts_with(&self.alias_prefix),
            None => link.name.len() == 15 && link.name.starts_with(&self.name_prefix),
        };
        ours && link.kind == LinkKind::Veth && !self.valid_names.contains(&*link.name)
    }
}
