//! IPAM by another plugin: `ipam.type` names an executable of CNI_PATH, which gets our own input and
//! environment (specification, section 4 "Plugin delegation").

use super::{Command, Invocation};
use crate::caller::{Attachment, CallerError, find_plugin, plugin_environment, run_plugin};
use crate::config::NetworkConfig;
use crate::types::{CniError, CniResult, ErrorCode};
use serde_json::Value;

/// Runs the IPAM plugin with our command and reads its result, if it prints one.
pub(super) fn run(
    plugin: &str,
    command: Command,
    config: &NetworkConfig,
    invocation: &Invocation,
) -> Result<Option<CniResult>, CniError> {
    let name = match command {
        Command::Add => "ADD",
        Command::Del => "DEL",
        Command::Check => "CHECK",
        Command::Gc => "GC",
        Command::Status => "STATUS",
        Command::Version => "VERSION",
    };
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
    let answer = run_plugin(&path, plugin, name, &environment, &config.raw).map_err(delegate_error)?;
    answer.map(|value| read_result(plugin, value)).transpose()
}

fn read_result(plugin: &str, value: Value) -> Result<CniResult, CniError> {
    CniResult::from_value(&value).map_err(|e| {
        let msg = format!("the IPAM plugin {plugin:?} answered something else than a result: {e}");
        CniError::new(ErrorCode::Delegate, msg, "run it by hand with the same input")
    })
}

/// The plugin's own error keeps its code; that it could not be run has ours.
fn delegate_error(error: CallerError) -> CniError {
    match error {
        CallerError::Plugin { name, error, .. } => {
            CniError { msg: format!("IPAM plugin {name:?}: {}", error.msg), ..error }
        }
        other => {
            let details = "install the IPAM plugin beside this one, or set ipam.type to \"host-local\"";
            CniError::new(ErrorCode::Delegate, other.to_string(), details)
        }
    }
}
