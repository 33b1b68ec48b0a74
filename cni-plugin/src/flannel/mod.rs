//! flannel's CNI plugin: takes the node's subnet from the overlay's file, and has another plugin attach.
//!
//! ```text
//!  /run/flannel/subnet.env ─┐
//!  configuration, delegate ─┴► rendered configuration ─► bridge (or delegate.type)
//!                                      └─► /var/lib/cni/flannel/<container id>     what DEL goes by
//! ```
//!
//! The file of a container is flannel's own: either program's DEL undoes the other's ADD. DEL works without it, and
//! without the overlay's file: what is to be freed is known by network and container.

mod render;
mod scratch;

use crate::attach::delegate;
use crate::config::{SUBNET_FILE, SubnetEnv, invalid};
use crate::plugin::{Call, Command, Plugin};
use crate::types::{CniError, CniResult, ErrorCode};
use render::Conf;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// Where the original keeps its files.
const DATA_DIR: &str = "/var/lib/cni/flannel";

/// The plugin.
pub(crate) struct Flannel;

fn path_of(call: &Call, key: &str, default: &str) -> Result<PathBuf, CniError> {
    match call.raw.get(key) {
        None | Some(Value::Null) => Ok(default.into()),
        Some(Value::String(path)) if !path.is_empty() => Ok(path.into()),
        Some(other) => Err(invalid(key, format!("{other} is not a path"))),
    }
}

fn subnet_file(call: &Call) -> Result<PathBuf, CniError> {
    path_of(call, "subnetFile", SUBNET_FILE)
}

fn data_dir(call: &Call) -> Result<PathBuf, CniError> {
    path_of(call, "dataDir", DATA_DIR)
}

fn environment(path: &Path, code: ErrorCode) -> Result<SubnetEnv, CniError> {
    SubnetEnv::read(path).map_err(|error| {
        let hint = crate::attach::addressing::overlay_hint();
        CniError::new(code, format!("no subnet to give addresses of: {error}"), hint)
    })
}

/// Has the delegate do the call's command on a rendered configuration.
fn delegate_to(call: &Call, rendered: Map<String, Value>) -> Result<Option<CniResult>, CniError> {
    let plugin = rendered.get("type").and_then(Value::as_str).unwrap_or_default().to_string();
    let mut raw = rendered;
    for key in ["prevResult", "cni.dev/valid-attachments"] {
        if let Some(value) = call.raw.get(key) {
            raw.insert(key.into(), value.clone());
        }
    }
    let call = Call { raw, ..call.clone() };
    delegate::run(&plugin, &call)
}

/// What was rendered at ADD; or, where that is lost, what is enough to find the attachment.
fn remembered(call: &Call) -> Result<Map<String, Value>, CniError> {
    match scratch::read(&data_dir(call)?, &call.invocation.container_id)? {
        Some(rendered) => Ok(rendered),
        None => Conf::read(call)?.without_subnet(&subnet_file(call)?),
    }
}

impl Plugin for Flannel {
    fn add(&self, call: &Call) -> Result<CniResult, CniError> {
        let conf = Conf::read(call)?;
        let env = environment(&subnet_file(call)?, ErrorCode::TryAgainLater)?;
        let rendered = conf.with_subnet(&env)?;
        let kept = scratch::keep(&data_dir(call)?, &call.invocation.container_id, &rendered)?;
        let added = delegate_to(call, rendered);
        if added.is_err() {
            // The delegate has undone its own part. The error to report is its.
            let _ = kept.undo();
        }
        added.map(Option::unwrap_or_default)
    }

    fn del(&self, call: &Call) -> Result<(), CniError> {
        let mut rendered = remembered(call)?;
        // As the original: what the runtime says now.
        if let Some(runtime) = call.raw.get("runtimeConfig") {
            rendered.insert("runtimeConfig".into(), runtime.clone());
        }
        delegate_to(call, rendered)?;
        scratch::forget(&data_dir(call)?, &call.invocation.container_id)
    }

    fn check(&self, call: &Call) -> Result<(), CniError> {
        delegate_to(call, remembered(call)?).map(|_| ())
    }

    /// The delegate's part first: a file is what DEL would go by.
    fn gc(&self, call: &Call) -> Result<(), CniError> {
        let valid = call.valid_attachments()?;
        let conf = Conf::read(call)?;
        let rendered = match SubnetEnv::read(&subnet_file(call)?) {
            Ok(env) => conf.with_subnet(&env)?,
            Err(_) => conf.without_subnet(&subnet_file(call)?)?,
        };
        delegate_to(call, rendered)?;
        let is_valid = |container: &str| valid.iter().any(|a| a.container_id == container);
        scratch::retain(&data_dir(call)?, &call.name, is_valid)
    }

    fn status(&self, call: &Call) -> Result<(), CniError> {
        debug_assert_eq!(call.invocation.command, Command::Status);
        let env = environment(&subnet_file(call)?, ErrorCode::NotAvailable)?;
        delegate_to(call, Conf::read(call)?.with_subnet(&env)?).map(|_| ())
    }
}
