//! GC: removes links and addresses of a network that no valid attachment has. First the links, as an address is free
//! only when nothing uses it any more; addresses of the store are this network's whoever took them.
//!
//! Lists all links of the host: the one command that grows with the node. Links are known by alias, or by name
//! where a crash left one without. Those of other networks, and those that the reference plugins made, are not
//! touched.

use super::addressing::{self, Source};
use super::links::{LinkOwner, alias_prefix, name_prefix};
use super::{delegate, kernel_error, masquerade};
use crate::config::{Ipam, NetworkConfig};
use crate::plugin::Call;
use crate::types::{Attachment, CniError};
use netstate::{Kernel, Link, LinkKind, Op};
use std::collections::HashSet;

/// Removes what no valid attachment has.
pub(crate) fn collect(config: &NetworkConfig, call: &Call) -> Result<(), CniError> {
    let valid = call.valid_attachments()?;
    let mut kernel = Kernel::open().map_err(kernel_error("the host's network namespace"))?;
    delete_links(&mut kernel, &config.name, &valid)?;
    match &config.ipam {
        Ipam::None => Ok(()),
        Ipam::Delegated(plugin) => delegate::ipam(plugin, call).map(|_| ()),
        Ipam::HostLocal(block) => {
            addressing::retain(&block.data_dir, &config.name, &valid)?;
            match (valid.is_empty(), Source::of(block)) {
                // Nobody is left to be masqueraded.
                (true, Ok(source)) => masquerade::remove(&mut kernel, &config.name, &source.subnets()),
                _ => Ok(()),
            }
        }
    }
}

fn delete_links(kernel: &mut Kernel, network: &str, valid: &[Attachment]) -> Result<(), CniError> {
    let links = kernel.route.links().map_err(kernel_error("links"))?;
    let stale = Stale::new(network, valid);
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
