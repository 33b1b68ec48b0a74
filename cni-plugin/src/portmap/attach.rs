//! A container's ports: put, taken away, compared.

use super::config::Config;
use super::mapping::Mapping;
use super::ports::Ports;
use super::{foreign, layout::layout, stale};
use crate::attach::compare::differs;
use crate::attach::pod;
use crate::claims::{self, Owner, Put, Record, Records, Taken, kernel_error};
use crate::crash;
use crate::plugin::Call;
use crate::types::{CniError, ErrorCode};
use netstate::nft::NftSocket;
use netstate::{Kernel, sysctl};
use std::net::IpAddr;
use std::path::Path;

/// Makes the ports of a container lead to it.
pub(super) fn attach(call: &Call, config: &Config, mappings: Vec<Mapping>) -> Result<(), CniError> {
    pod::open(&call.invocation.netns)?;
    let mut kernel = Kernel::open().map_err(kernel_error("the host's network namespace"))?;
    let ports = Ports {
        device4: device(&mut kernel, &mappings, false)?,
        device6: device(&mut kernel, &mappings, true)?,
        mappings,
        snat: config.snat,
        masq_all: config.masq_all,
    };
    let record = Record::new(Owner::of(call), &call.invocation.netns, ports);
    let records = Records::open(&config.data_dir)?;
    let earlier: Option<Record<Ports>> = records.of(&record.owner)?;
    records.put(&record)?;
    crash::point("portmap: the record is written");
    let nft = kernel.nft().map_err(kernel_error("the host's network namespace"))?;
    let done = route_localnet(&record.claims).and_then(|()| put(nft, &records, &record, earlier.as_ref()));
    if let Err(error) = done {
        // Nothing was changed in the kernel: what was recorded before is true again.
        match &earlier {
            Some(earlier) => records.put(earlier)?,
            None => records.remove(&record.owner)?,
        }
        return Err(error);
    }
    crash::point("portmap: the elements are in the table");
    stale::forget(&record.claims.mappings, stale::When::New);
    Ok(())
}

fn put(
    nft: &mut NftSocket,
    records: &Records,
    record: &Record<Ports>,
    earlier: Option<&Record<Ports>>,
) -> Result<(), CniError> {
    let before = earlier.map(Record::elements).unwrap_or_default();
    match claims::put(nft, &layout(), records, record, &before)? {
        Put::Done => Ok(()),
        Put::Taken(Taken { claim, owner }) => {
            let mapping = record.claims.mappings.iter().find(|mapping| {
                let one = Ports { mappings: vec![**mapping], ..record.claims.clone() };
                claims::Body::claims(&one, &record.owner).contains(&claim)
            });
            let port = mapping.map_or_else(|| format!("an element of {}", claim.set), describe);
            let msg = format!("{port} is taken by {owner} (network/container/interface), which is running");
            let details = "give one of them another hostPort or hostIP, or delete the other container";
            Err(CniError::new(ErrorCode::Conflict, msg, details))
        }
    }
}

fn describe(mapping: &Mapping) -> String {
    let protocol = format!("{:?}", mapping.protocol).to_lowercase();
    match mapping.host_ip {
        Some(ip) => format!("host port {}/{protocol} of {ip}", mapping.host_port),
        None => format!("host port {}/{protocol}", mapping.host_port),
    }
}

/// The device that leads to the container's address of a family.
fn device(kernel: &mut Kernel, mappings: &[Mapping], ipv6: bool) -> Result<Option<String>, CniError> {
    let ip = mappings.iter().map(|m| m.container_ip).find(|ip: &IpAddr| ip.is_ipv6() == ipv6);
    let Some(ip) = ip else { return Ok(None) };
    let found = kernel.route.device_to(ip).map_err(kernel_error(format!("the route to {ip}")))?;
    Ok(found.map(|dev| dev.to_string()))
}

/// Lets packets from 127.0.0.0/8 leave by the device, where they are masqueraded.
fn route_localnet(ports: &Ports) -> Result<(), CniError> {
    let Some(dev) = ports.device4.as_ref().filter(|dev| ports.snat && *dev != "lo") else { return Ok(()) };
    let key = format!("net/ipv4/conf/{dev}/route_localnet");
    let changed = sysctl::write(&key, "1").map_err(kernel_error(format!("127.0.0.1 by {dev}")))?;
    if changed {
        crash::point("portmap: 127.0.0.0/8 may leave by the device");
    }
    Ok(())
}

/// Takes a container's ports away; `false` if there is no record of it.
pub(super) fn detach(data_dir: &Path, owner: &Owner) -> Result<bool, CniError> {
    let Some(records) = Records::open_existing(data_dir)? else { return Ok(false) };
    let record = match records.of::<Ports>(owner) {
        // None that is whole.
        Ok(None) => return records.remove(owner).map(|()| false),
        Ok(Some(record)) => record,
        Err(error) if claims::is_malformed(&error) => {
            claims::take_away_unread(&mut super::nft()?, &layout(), &records, owner)?;
            records.remove(owner)?;
            return Ok(true);
        }
        Err(error) => return Err(error),
    };
    claims::take_away(&mut super::nft()?, &layout(), &records, &record)?;
    crash::point("portmap: the elements are gone");
    records.remove(owner)?;
    crash::point("portmap: the record is gone");
    stale::forget(&record.claims.mappings, stale::When::Gone);
    Ok(true)
}

/// Compares what is asked with the record, and that with the kernel.
pub(super) fn check(config: &Config, owner: &Owner, wanted: &[Mapping]) -> Result<(), CniError> {
    let records = Records::open_existing(&config.data_dir)?;
    let record = records.as_ref().map(|records| records.of::<Ports>(owner)).transpose()?.flatten();
    let mut nft = super::nft()?;
    let object = format!("ports of {}", owner.comment());
    let Some(record) = record else {
        return match wanted.is_empty() || foreign::has(&mut nft, owner)? {
            true => Ok(()),
            false => Err(differs(object, "there is no record of them")),
        };
    };
    if record.claims.mappings != wanted {
        return Err(differs(object, "runtimeConfig.portMappings are not those that ADD was given"));
    }
    match claims::check(&mut nft, &layout(), &record)? {
        None => Ok(()),
        Some(why) => Err(differs(object, why)),
    }
}
