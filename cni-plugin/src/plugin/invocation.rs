//! The CNI_ variables of a call (specification, section 2 "Parameters").

use crate::caller::ifname_is_valid;
use crate::types::{CniError, ErrorCode, name_is_valid};
use std::fmt;
use std::path::PathBuf;

/// CNI_COMMAND.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Attach a container.
    Add,
    /// Detach it.
    Del,
    /// Compare an attachment with what ADD made.
    Check,
    /// Remove what no valid attachment has.
    Gc,
    /// Whether an ADD would be served.
    Status,
    /// Which versions are spoken.
    Version,
}

const COMMANDS: [(&str, Command); 6] = [
    ("ADD", Command::Add),
    ("DEL", Command::Del),
    ("CHECK", Command::Check),
    ("GC", Command::Gc),
    ("STATUS", Command::Status),
    ("VERSION", Command::Version),
];

impl Command {
    /// As CNI_COMMAND has it.
    pub fn name(self) -> &'static str {
        COMMANDS.iter().find(|(_, command)| *command == self).map_or("", |(name, _)| *name)
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Everything that the environment says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// CNI_COMMAND.
    pub command: Command,
    /// CNI_CONTAINERID; empty for GC, STATUS and VERSION.
    pub container_id: String,
    /// CNI_NETNS; may be empty or gone on DEL.
    pub netns: String,
    /// CNI_IFNAME.
    pub ifname: String,
    /// CNI_ARGS.
    pub args: String,
    /// CNI_PATH, split: where a delegated IPAM plugin is.
    pub path: Vec<PathBuf>,
}

impl Invocation {
    /// Reads and checks the variables.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, CniError> {
        let value = |name: &str| variable(name).unwrap_or_default();
        let text = value("CNI_COMMAND");
        let command = COMMANDS.iter().find(|(name, _)| *name == text).map(|(_, command)| *command);
        let known = COMMANDS.map(|(name, _)| name).join(", ");
        let command =
            command.ok_or_else(|| wrong("CNI_COMMAND", &text, &format!("it must be one of {known}")))?;
        let invocation = Invocation {
            command,
            container_id: value("CNI_CONTAINERID"),
            netns: value("CNI_NETNS"),
            ifname: value("CNI_IFNAME"),
            args: value("CNI_ARGS"),
            path: std::env::split_paths(&value("CNI_PATH")).filter(|p| !p.as_os_str().is_empty()).collect(),
        };
        invocation.validate()?;
        Ok(invocation)
    }

    fn validate(&self) -> Result<(), CniError> {
        let attaches = matches!(self.command, Command::Add | Command::Del | Command::Check);
        if !attaches {
            return Ok(());
        }
        let needs_netns = self.command != Command::Del;
        let required = [
            ("CNI_CONTAINERID", &self.container_id, true),
            ("CNI_NETNS", &self.netns, needs_netns),
            ("CNI_IFNAME", &self.ifname, true),
        ];
        let missing: Vec<&str> =
            required.iter().filter(|(_, v, needed)| *needed && v.is_empty()).map(|(n, _, _)| *n).collect();
        if !missing.is_empty() {
            let msg = format!("CNI_COMMAND {} needs {}, and it is not set", self.command, missing.join(", "));
            return Err(CniError::new(
                ErrorCode::InvalidEnvironment,
                msg,
                "the container runtime must set it",
            ));
        }
        if !name_is_valid(&self.container_id) {
            let why = "it must be letters, digits, '.', '_' and '-'";
            return Err(wrong("CNI_CONTAINERID", &self.container_id, why));
        }
        if !ifname_is_valid(&self.ifname) {
            let why = "it must have 1 to 15 characters without '/', ':' and spaces";
            return Err(wrong("CNI_IFNAME", &self.ifname, why));
        }
        Ok(())
    }
}

fn wrong(name: &str, value: &str, why: &str) -> CniError {
    let msg = format!("the environment variable {name} is {value:?}: {why}");
    CniError::new(
        ErrorCode::InvalidEnvironment,
        msg,
        "the container runtime sets it; see docs/reference/weft-cni.md",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Invocation, CniError> {
        Invocation::read(|name| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| v.to_string()))
    }

    #[test]
    fn each_command_needs_its_variables() {
        assert_eq!(read(&[("CNI_COMMAND", "VERSION")]).unwrap().command, Command::Version);
        assert_eq!(read(&[("CNI_COMMAND", "GC")]).unwrap().command, Command::Gc);
        let error = read(&[("CNI_COMMAND", "ADD")]).unwrap_err();
        assert_eq!(error.code, 4);
        assert!(error.msg.contains("CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME"), "{error}");
        let del = read(&[("CNI_COMMAND", "DEL"), ("CNI_CONTAINERID", "c"), ("CNI_IFNAME", "eth0")]).unwrap();
        assert_eq!((del.netns.as_str(), del.path.len()), ("", 0));
    }

    #[test]
    fn wrong_values_are_named() {
        let base = [("CNI_COMMAND", "DEL"), ("CNI_IFNAME", "eth0")];
        for (name, value) in
            [("CNI_CONTAINERID", "../x"), ("CNI_CONTAINERID", "a b"), ("CNI_CONTAINERID", "")]
        {
            let error = read(&[base[0], base[1], (name, value)]).unwrap_err();
            assert!(error.code == 4 && error.msg.contains(name), "{error}");
        }
        let error = read(&[base[0], ("CNI_CONTAINERID", "c"), ("CNI_IFNAME", "a/b")]).unwrap_err();
        assert!(error.msg.contains("a/b"), "{error}");
        assert!(read(&[("CNI_COMMAND", "FLY")]).unwrap_err().msg.contains("FLY"));
    }
}
