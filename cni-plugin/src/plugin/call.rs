//! One call: what the environment and standard input say, as far as every plugin reads it alike.
//!
//! A personality decodes its own keys out of [`Call::raw`]; nobody else's keys can then make it fail.

use super::Invocation;
use crate::config;
use crate::types::{Attachment, CniError, CniResult, ErrorCode, SpecVersion};
use serde_json::{Map, Value};

/// A call of a plugin.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// The CNI_ variables.
    pub invocation: Invocation,
    /// The version in which to answer.
    pub version: SpecVersion,
    /// The network's name.
    pub name: String,
    /// The configuration as it was given, with `runtimeConfig`, `args` and `prevResult`.
    pub raw: Map<String, Value>,
    /// The result of the plugin before (ADD), or of the whole chain's ADD (CHECK, DEL).
    pub previous: Option<CniResult>,
}

impl Call {
    /// Checks what all plugins share; `raw` is in the version that was read from it.
    pub fn read(
        invocation: Invocation,
        version: SpecVersion,
        raw: Map<String, Value>,
    ) -> Result<Self, CniError> {
        let name = config::name_of(&raw)?;
        let previous = config::previous_of(&raw)?;
        Ok(Call { invocation, version, name, raw, previous })
    }

    /// What the runtime gives for a capability: `runtimeConfig.<key>`; null is nothing.
    pub fn runtime(&self, key: &str) -> Option<&Value> {
        self.raw.get("runtimeConfig")?.get(key).filter(|value| !value.is_null())
    }

    /// prevResult where the command cannot do without it.
    pub fn required_previous(&self) -> Result<&CniResult, CniError> {
        self.previous.as_ref().ok_or_else(|| {
            let command = self.invocation.command;
            CniError::new(
                ErrorCode::InvalidConfig,
                format!("{command} came without prevResult, which says what was made before"),
                "this plugin runs behind another one of a list; the container runtime must send the cached \
                 result of ADD",
            )
        })
    }

    /// What GC must keep.
    pub fn valid_attachments(&self) -> Result<Vec<Attachment>, CniError> {
        config::valid_of(&self.raw)?.ok_or_else(|| {
            CniError::new(
                ErrorCode::InvalidConfig,
                "GC came without cni.dev/valid-attachments, which is what it must keep",
                "the container runtime must send the list, an empty one if need be",
            )
        })
    }
}
