//! `--fix`: removes what is ours and surely abandoned. It looks again first: only what is found both times goes.

use super::report::{Finding, Repair, Report};
use super::{Places, examine};
use crate::ipam;
use netstate::{Kernel, Op};
use std::time::Duration;

/// An ADD that is under way makes its parts in less.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Mends what a report says can be mended; answers what was done, and what failed. What shows only then, such as
/// the address of a link that is gone now, is mended, too.
pub fn fix(places: &Places, report: &Report) -> Vec<String> {
    let mut done = mend_all(places, report);
    if !done.is_empty() {
        done.extend(mend_all(places, &examine(places)));
    }
    done
}

fn mend_all(places: &Places, report: &Report) -> Vec<String> {
    if !report.findings.iter().any(|finding| finding.fixable) {
        return Vec::new();
    }
    std::thread::sleep(LOOK_AGAIN);
    let again = examine(places);
    let still = |finding: &&Finding| again.findings.iter().any(|other| other.repair == finding.repair);
    let found = report.findings.iter().filter(|finding| finding.fixable);
    found.filter(still).filter_map(|finding| finding.repair.as_ref()).map(mend).collect()
}

fn mend(repair: &Repair) -> String {
    match repair {
        Repair::DeleteLink { name, index } => match delete(name, *index) {
            Ok(()) => format!("deleted the link {name}"),
            Err(error) => format!("could not delete the link {name}: {error}"),
        },
        Repair::Release { data_dir, network, key } => match ipam::release(data_dir, network, key) {
            Ok(freed) => {
                let freed: Vec<String> = freed.iter().map(ToString::to_string).collect();
                format!("freed {} of network {network}", freed.join(", "))
            }
            Err(error) => format!("could not free the addresses of container {}: {error}", key.container_id),
        },
    }
}

fn delete(name: &str, index: u32) -> netstate::Result<()> {
    let mut kernel = Kernel::open()?;
    match kernel.route.link(name)?.filter(|link| link.index == index) {
        Some(link) => kernel.apply_all(&[Op::DeleteLink(link.name)]),
        None => Ok(()),
    }
}
