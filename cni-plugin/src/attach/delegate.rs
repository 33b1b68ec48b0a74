//! Delegation (specification, section 4 "Plugin delegation"): another plugin gets our own input and environment.
//!
//! One that is in here is called in this process; any other is an executable of CNI_PATH.

use crate::caller::{Attachment, CallerError, find_plugin, plugin_environment, run_plugin};
use crate::config::invalid;
use crate::plugin::{self, Call, Command};
use crate::types::{CniError, CniResult, ErrorCode};
use serde_json::Value;

/// Plugins in here that give addresses; the others' own IPAM block would call them for ever.
const GIVE_ADDRESSES: [&str; 2] = ["host-local", "static"];

/// Runs an IPAM plugin with the call's command; its result, if it has one.
pub(crate) fn ipam(plugin: &str, call: &Call) -> Result<Option<CniResult>, CniError> {
    ipam_as(plugin, call.invocation.command, call)
}

/// Runs an IPAM plugin with another command.
pub(crate) fn ipam_as(plugin: &str, command: Command, call: &Call) -> Result<Option<CniResult>, CniError> {
    if plugin::of_type(plugin).is_some() && !GIVE_ADDRESSES.contains(&plugin) {
        return Err(invalid("ipam.type", format!("{plugin:?} gives no addresses")));
    }
    run_as(plugin, command, call)
}

/// Runs a plugin with the call's command and configuration; its result, if it has one.
pub(crate) fn run(plugin: &str, call: &Call) -> Result<Option<CniResult>, CniError> {
    run_as(plugin, call.invocation.command, call)
}

fn run_as(plugin: &str, command: Command, call: &Call) -> Result<Option<CniResult>, CniError> {
    let Some(ours) = plugin::of_type(plugin) else {
        return execute(plugin, command, call);
    };
    let mut call = call.clone();
    call.invocation.command = command;
    plugin::run(ours, &call)
}

fn execute(plugin: &str, command: Command, call: &Call) -> Result<Option<CniResult>, CniError> {
    let name = command.name();
    let invocation = &call.invocation;
    let attachment = Attachment {
        container_id: invocation.container_id.clone(),
        netns: invocation.netns.clone(),
        ifname: invocation.ifname.clone(),
        ..Attachment::default()
    };
    let mut environment = plugin_environment(name, Some(&attachment), &invocation.path);
    if let Some(args) = environment.iter_mut().find(|(key, _)| *key == "CNI_ARGS") {
        args.1.clone_from(&invocation.args);
    }
    let path = find_plugin(plugin, &invocation.path).map_err(delegate_error)?;
    let answer = run_plugin(&path, plugin, name, &environment, &call.raw).map_err(delegate_error)?;
    answer.map(|value| read_result(plugin, value)).transpose()
}

fn read_result(plugin: &str, value: Value) -> Result<CniResult, CniError> {
    CniResult::from_value(&value).map_err(|e| {
        let msg = format!("the plugin {plugin:?} answered something else than a result: {e}");
        CniError::new(ErrorCode::Delegate, msg, "run it by hand with the same input")
    })
}

/// The plugin's own error keeps its code; that it could not be run has ours.
fn delegate_error(error: CallerError) -> CniError {
    match error {
        CallerError::Plugin { name, error, .. } => {
            CniError { msg: format!("plugin {name:?}: {}", error.msg), ..error }
        }
        other => {
            let details = "install that plugin beside this one, or name another in the configuration";
            CniError::new(ErrorCode::Delegate, other.to_string(), details)
        }
    }
}
