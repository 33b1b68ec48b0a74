//! `weft-cni` by its own name: the plugins that one usually chains, in one process.
//!
//! ```text
//!  ADD      bridge ► tuning ► firewall ► portmap ► bandwidth        each gets the result of the one before
//!  DEL      backwards, every one of them; the bridge, which frees the address, if nothing else failed
//! ```
//!
//! The bridge's keys stand in the object itself, the others' in blocks of their names. A block, or what the runtime
//! gives for its capability, switches a plugin on.

mod names;
mod stages;

use crate::plugin::{Call, Plugin};
use crate::types::{CniError, CniResult};
use stages::Stage;

/// The plugin.
pub(crate) struct Chain;

impl Plugin for Chain {
    fn add(&self, call: &Call) -> Result<CniResult, CniError> {
        names::refuse_aliases(call)?;
        let stages = stages::wanted(call)?;
        let mut result = call.previous.clone();
        for (number, stage) in stages.iter().enumerate() {
            match stage.add(call, result.as_ref()) {
                Ok(made) => result = Some(made),
                Err(error) => {
                    // The first error is the one to report; what cannot be undone here, DEL undoes.
                    let _ = delete(call, &stages[..number]);
                    return Err(error);
                }
            }
        }
        let mut result = result.unwrap_or_default();
        names::override_dns(call, &mut result)?;
        Ok(result)
    }

    fn del(&self, call: &Call) -> Result<(), CniError> {
        delete(call, &stages::all(call)?)
    }

    fn check(&self, call: &Call) -> Result<(), CniError> {
        let previous = call.required_previous()?;
        stages::wanted(call)?.iter().try_for_each(|stage| stage.check(call, previous))
    }

    fn gc(&self, call: &Call) -> Result<(), CniError> {
        stages::all(call)?.iter().rev().try_for_each(|stage| stage.gc(call))
    }

    fn status(&self, call: &Call) -> Result<(), CniError> {
        stages::wanted(call)?.iter().try_for_each(|stage| stage.status(call))
    }
}

/// Goes on past errors and reports the first; but an address is free only when nothing points at it any more.
fn delete(call: &Call, stages: &[Stage]) -> Result<(), CniError> {
    let mut outcome = Ok(());
    for (number, stage) in stages.iter().enumerate().rev() {
        if number == 0 && outcome.is_err() {
            break;
        }
        outcome = outcome.and(stage.del(call));
    }
    outcome
}
