//! The `firewall` plugin: traffic of containers is accepted in the forward hook, and bridges are kept apart.
//!
//! ```text
//! table inet weft-cni-firewall {
//!   set pods4 { ipv4_addr }  set pods6 { ipv6_addr }                           each container's addresses
//!   set alone { ifname . ifname }  set together { ifname . ifname }            a bridge with itself
//!   set bridges { ifname }                                                     bridges with a policy
//!   forward   jump isolation
//!             ip saddr @pods4 accept   ip daddr @pods4 accept   (and IPv6)
//!   isolation iifname . oifname @alone drop           isolated
//!             iifname . oifname @together return      same-bridge
//!             iifname @bridges oifname @bridges drop  from one such bridge to another
//! }
//! ```
//!
//! A table of its own and not portmap's: each comes with its first container and goes with its last, and
//! the overlay tracks connections while a table needs that. This one does not. The reference accepts only
//! answers towards a container; here nothing after the rule could drop, so the state need not be known.
//!
//! In nftables an accept ends one table's look and no other's. The reference puts its rules into the very
//! chain that drops, iptables' FORWARD; this plugin cannot, and STATUS names a foreign chain whose policy
//! would drop what is accepted here.

mod config;
mod foreign;
mod guard;
mod layout;

use crate::attach::compare::differs;
use crate::attach::pod;
use crate::claims::{self, Owner, Put, Record, Records, kernel_error};
use crate::crash;
use crate::plugin::{Call, Plugin};
use crate::types::{CniError, CniResult, ErrorCode};
use config::Config;
use guard::Guard;
use layout::layout;
use netstate::nft::{HookPoint, NftSocket};
use std::path::Path;

/// Where the records are, without `dataDir`.
pub const DATA_DIR: &str = "/var/lib/cni/weft/firewall";

/// The plugin.
pub(crate) struct Firewall;

fn nft() -> Result<NftSocket, CniError> {
    NftSocket::open().map_err(kernel_error("the host's network namespace"))
}

impl Plugin for Firewall {
    fn add(&self, call: &Call) -> Result<CniResult, CniError> {
        let config = Config::read(&call.raw)?;
        let previous = call.required_previous()?;
        pod::open(&call.invocation.netns)?;
        let guard = Guard::of(&config, previous)?;
        let record = Record::new(Owner::of(call), &call.invocation.netns, guard);
        let records = Records::open(&config.data_dir)?;
        let earlier: Option<Record<Guard>> = records.of(&record.owner)?;
        records.put(&record)?;
        crash::point("firewall: the record is written");
        let before = earlier.as_ref().map(Record::elements).unwrap_or_default();
        let put = nft().and_then(|mut nft| claims::put(&mut nft, &layout(), &records, &record, &before));
        match put {
            // Keys here are never another's: the last one to claim them has them.
            Ok(Put::Done | Put::Taken(_)) => {
                crash::point("firewall: the elements are in the table");
                Ok(previous.clone())
            }
            Err(error) => {
                match &earlier {
                    Some(earlier) => records.put(earlier)?,
                    None => records.remove(&record.owner)?,
                }
                Err(error)
            }
        }
    }

    fn del(&self, call: &Call) -> Result<(), CniError> {
        let owner = Owner::of(call);
        let records = Records::open_existing(&config::data_dir_of(&call.raw)?)?;
        let gone = records.map(|records| release(&records, &owner)).transpose()?;
        match (gone, &call.previous) {
            (None | Some(false), Some(previous)) => foreign::remove(&mut nft()?, previous),
            _ => Ok(()),
        }
    }

    fn check(&self, call: &Call) -> Result<(), CniError> {
        let config = Config::read(&call.raw)?;
        let previous = call.required_previous()?;
        let (owner, mut nft) = (Owner::of(call), nft()?);
        let object = format!("firewall of {}", owner.comment());
        let records = Records::open_existing(&config.data_dir)?;
        let record = records.as_ref().map(|records| records.of::<Guard>(&owner)).transpose()?.flatten();
        let Some(record) = record else {
            return match foreign::accepts(&mut nft, previous)? {
                true => Ok(()),
                false => Err(differs(object, "there is no record of it")),
            };
        };
        if record.claims != Guard::of(&config, previous)? {
            return Err(differs(object, "addresses or ingressPolicy are not those that ADD was given"));
        }
        match claims::check(&mut nft, &layout(), &record)? {
            None => Ok(()),
            Some(why) => Err(differs(object, why)),
        }
    }

    fn gc(&self, call: &Call) -> Result<(), CniError> {
        let valid = call.valid_attachments()?;
        let Some(records) = Records::open_existing(&config::data_dir_of(&call.raw)?)? else { return Ok(()) };
        let (mut nft, layout) = (nft()?, layout());
        claims::collect::<Guard>(&mut nft, &layout, &records, &call.name, |owner| owner.is_in(&valid))?;
        claims::restore::<Guard>(&mut nft, &layout, &records).map(|_| ())
    }

    fn status(&self, call: &Call) -> Result<(), CniError> {
        let config = Config::read(&call.raw)?;
        config.policy.require_bridge_netfilter(true)?;
        let foreign = nft()?.foreign_chains("weft-").map_err(kernel_error("chains of other tables"))?;
        match foreign.iter().find(|chain| chain.point == Some(HookPoint::Forward) && chain.drops) {
            None => Ok(()),
            Some(chain) => {
                let name = format!("{} of table {} {}", chain.name, chain.family, chain.table);
                let msg = format!(
                    "chain {name} drops what no rule of its own accepts, and nothing that is accepted \
                                   elsewhere overrides that"
                );
                let details =
                    format!("accept the containers' traffic in chain {name}, or give it the policy accept");
                Err(CniError::new(ErrorCode::NotAvailable, msg, details))
            }
        }
    }
}

/// Takes away what a container has here; `false` if there is no record of it.
fn release(records: &Records, owner: &Owner) -> Result<bool, CniError> {
    match records.of::<Guard>(owner) {
        // None that is whole.
        Ok(None) => return records.remove(owner).map(|()| false),
        Ok(Some(record)) => claims::take_away(&mut nft()?, &layout(), records, &record)?,
        Err(error) if claims::is_malformed(&error) => {
            claims::take_away_unread(&mut nft()?, &layout(), records, owner)?;
        }
        Err(error) => return Err(error),
    }
    crash::point("firewall: the elements are gone");
    records.remove(owner)?;
    crash::point("firewall: the record is gone");
    Ok(true)
}

/// Puts back what the records of `dir` say and the kernel lacks. Answers what was missing, and changes nothing
/// if that is nothing.
pub fn restore(dir: &Path) -> Result<Option<String>, CniError> {
    match Records::open_existing(dir)? {
        None => Ok(None),
        Some(records) => claims::restore::<Guard>(&mut nft()?, &layout(), &records),
    }
}
