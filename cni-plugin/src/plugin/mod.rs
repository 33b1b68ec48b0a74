//! The frame of every plugin in here: one call, from environment and standard input to an answer.
//!
//! ```text
//!  file's name ─► personality          bridge, host-local, portmap, …: crate::<its name>
//!  environment ─► Invocation ─┐
//!  standard input ────────────┴► Call ─► add, del, check, gc, status ─► answer
//! ```
//!
//! One process does all of it: the reference plugins start two Go runtimes or more for each ADD, which is half
//! of what it costs. The kernel's own work dominates what is left, so messages go in batches and nothing
//! that grows with the number of pods is listed on ADD or DEL.

mod call;
mod invocation;
mod personality;

pub(crate) use call::Call;
pub use invocation::{Command, Invocation};
pub use personality::PERSONALITIES;
pub(crate) use personality::{Plugin, of_type};

use crate::types::{CniError, CniResult, ErrorCode, SpecVersion, VersionInfo};
use serde_json::{Map, Value};

/// What a call prints on standard output, and its exit status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// JSON, or nothing.
    pub stdout: String,
    /// 0 or 1.
    pub status: u8,
}

/// Serves one call: `file` is the name that the program was started by, `variable` looks up the environment,
/// `input` is standard input.
pub fn serve(file: &str, variable: impl Fn(&str) -> Option<String>, input: &[u8]) -> Answer {
    let mut version = SpecVersion::NEWEST;
    let served =
        Invocation::read(variable).and_then(|invocation| dispatch(file, invocation, input, &mut version));
    match served {
        Ok(value) => Answer { stdout: value.map(|v| pretty(&v)).unwrap_or_default(), status: 0 },
        Err(mut error) => {
            error.cni_version = version.to_string();
            let value = serde_json::to_value(&error).unwrap_or_default();
            Answer { stdout: pretty(&value), status: 1 }
        }
    }
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

fn dispatch(
    file: &str,
    invocation: Invocation,
    input: &[u8],
    version: &mut SpecVersion,
) -> Result<Option<Value>, CniError> {
    let plugin = personality::of_file(file)?;
    if invocation.command == Command::Version {
        return answer_version(input).map(Some);
    }
    let raw = crate::config::decode(input)?;
    *version = crate::config::version_of(&raw)?;
    refuse_too_new(invocation.command, *version)?;
    let call = Call::read(invocation, *version, raw)?;
    match run(plugin, &call)? {
        Some(result) => print_result(&result, *version).map(Some),
        None => Ok(None),
    }
}

/// The verb of a call, done by a plugin; VERSION has no result of this kind.
pub(crate) fn run(plugin: &dyn Plugin, call: &Call) -> Result<Option<CniResult>, CniError> {
    match call.invocation.command {
        Command::Add => plugin.add(call).map(Some),
        Command::Del => plugin.del(call).map(|()| None),
        Command::Check => plugin.check(call).map(|()| None),
        Command::Gc => plugin.gc(call).map(|()| None),
        Command::Status => plugin.status(call).map(|()| None),
        Command::Version => Ok(None),
    }
}

/// VERSION says which versions there are; its input may be empty, as libcni's was before 0.4.0.
fn answer_version(input: &[u8]) -> Result<Value, CniError> {
    let raw: Map<String, Value> = match input.trim_ascii() {
        [] => Map::new(),
        input => crate::config::decode(input)?,
    };
    let asked = raw.get("cniVersion").and_then(Value::as_str).unwrap_or_default();
    // A newer caller must still learn what it may use.
    let info = VersionInfo::ours(asked.parse().unwrap_or(SpecVersion::NEWEST));
    serde_json::to_value(info)
        .map_err(|e| CniError::new(ErrorCode::Io, e.to_string(), "report this as a bug"))
}

/// A command must exist in the configuration's version (specification, "CNI operations").
fn refuse_too_new(command: Command, version: SpecVersion) -> Result<(), CniError> {
    let since = match command {
        Command::Check if !version.has_check() => SpecVersion::V040,
        Command::Gc | Command::Status if !version.has_gc_and_status() => SpecVersion::V110,
        _ => return Ok(()),
    };
    let msg = format!("CNI_COMMAND {command} came with CNI {since}, and the configuration is of {version}");
    Err(CniError::new(ErrorCode::IncompatibleVersion, msg, format!("set cniVersion to {since} or newer")))
}

/// A result in the version of the configuration.
pub(crate) fn print_result(result: &CniResult, version: SpecVersion) -> Result<Value, CniError> {
    result.to_value(version).map_err(|e| {
        CniError::new(ErrorCode::InvalidConfig, e.to_string(), "set a newer cniVersion in the network's file")
    })
}

/// The kernel refused something; `object` says on what.
pub(crate) fn kernel_error(object: impl std::fmt::Display) -> impl FnOnce(netstate::Error) -> CniError {
    move |error| {
        let details =
            "the line above names the operation; `dmesg` may say more, and calling DEL removes what was made";
        CniError::new(ErrorCode::Kernel, format!("{object}: {error}"), details)
    }
}
