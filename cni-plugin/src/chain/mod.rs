//! `weft-cni` by its own name: the plugins that one usually chains, in one process.
//!
//! ```text
//!  ADD      bridge ► tuning ► firewall ► portmap ► bandwidth        each gets the result of the one before
//!  DEL      backwards, every one of them; the bridge, which frees the address, if nothing else failed
//! ```
//!
//! The bridge's keys stand in the object itself, the others' in blocks of their names. A block, or what the runtime
//! gives for its capability, switches a plugin on.

mod aliases;
mod dns;
mod stages;

use crate::plugin::{Call, Plugin};
use crate::types::{CniError, CniResult};
use stages::Stage;

/// The plugin.
pub(crate) struct Chain;

/// Runs the stages; `done` counts those that succeeded.
fn add(call: &Call, stages: &[Stage], done: &mut usize) -> Result<CniResult, CniError> {
    let mut result = call.previous.clone();
    for stage in stages {
        result = Some(stage.add(call, result.as_ref())?);
        *done += 1;
    }
    let mut result = result.unwrap_or_default();
    dns::override_by_runtime(call, &mut result)?;
    aliases::add(call, &result)?;
    Ok(result)
}

impl Plugin for Chain {
    fn add(&self, call: &Call) -> Result<CniResult, CniError> {
        aliases::check_request(call)?;
        let stages = stages::wanted(call)?;
        let mut done = 0;
        add(call, &stages, &mut done).inspect_err(|_| {
            // The first error is the one to report; what cannot be undone here, DEL undoes.
            let _ = delete(call, &stages[..done]);
        })
    }

    fn del(&self, call: &Call) -> Result<(), CniError> {
        aliases::remove(call)?;
        delete(call, &stages::all(call)?)
    }

    fn check(&self, call: &Call) -> Result<(), CniError> {
        let previous = call.required_previous()?;
        stages::wanted(call)?.iter().try_for_each(|stage| stage.check(call, previous))?;
        aliases::check(call, previous)
    }

    fn gc(&self, call: &Call) -> Result<(), CniError> {
        aliases::retain(call, &call.valid_attachments()?)?;
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
