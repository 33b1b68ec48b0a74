//! Versions of the CNI specification that this library speaks, in order.
//!
//! A closed list and not three numbers: what a version means (has CHECK, has GC, how a result looks)
//! is only known for those that exist, and an unknown one must be refused by name.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A published version of the CNI specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SpecVersion {
    /// 0.1.0: one address per family.
    V010,
    /// 0.2.0: one address per family, VERSION command.
    V020,
    /// 0.3.0: lists of interfaces and addresses.
    V030,
    /// 0.3.1: chaining of plugins.
    V031,
    /// 0.4.0: CHECK, prevResult on DEL.
    V040,
    /// 1.0.0: addresses without a version field.
    V100,
    /// 1.1.0: GC and STATUS, interface MTU, route attributes.
    V110,
}

impl SpecVersion {
    /// Every version, oldest first.
    pub const ALL: [SpecVersion; 7] = [
        SpecVersion::V010,
        SpecVersion::V020,
        SpecVersion::V030,
        SpecVersion::V031,
        SpecVersion::V040,
        SpecVersion::V100,
        SpecVersion::V110,
    ];

    /// The newest version known.
    pub const NEWEST: SpecVersion = SpecVersion::V110;

    /// The version as it is written in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            SpecVersion::V010 => "0.1.0",
            SpecVersion::V020 => "0.2.0",
            SpecVersion::V030 => "0.3.0",
            SpecVersion::V031 => "0.3.1",
            SpecVersion::V040 => "0.4.0",
            SpecVersion::V100 => "1.0.0",
            SpecVersion::V110 => "1.1.0",
        }
    }

    /// CHECK, and prevResult on DEL, exist from 0.4.0.
    pub fn has_check(self) -> bool {
        self >= SpecVersion::V040
    }

    /// GC and STATUS exist from 1.1.0.
    pub fn has_gc_and_status(self) -> bool {
        self >= SpecVersion::V110
    }
}

impl fmt::Display for SpecVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for SpecVersion {
    type Err = String;

    /// An absent version means 0.1.0, as libcni reads it.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(SpecVersion::V010);
        }
        SpecVersion::ALL.into_iter().find(|v| v.as_str() == text).ok_or_else(|| {
            format!(
                "cniVersion {text:?} is not one of {}",
                SpecVersion::ALL.map(SpecVersion::as_str).join(", ")
            )
        })
    }
}

/// The answer to VERSION (specification, section 2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VersionInfo {
    /// The version that the answer itself is written in.
    pub cni_version: String,
    /// What the plugin accepts in a configuration.
    #[serde(default)]
    pub supported_versions: Vec<String>,
}

impl VersionInfo {
    /// What this library's plugin supports, answered in the caller's version.
    pub fn ours(asked_in: SpecVersion) -> Self {
        VersionInfo {
            cni_version: asked_in.to_string(),
            supported_versions: SpecVersion::ALL.iter().map(|v| v.to_string()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_and_round_trip() {
        for pair in SpecVersion::ALL.windows(2) {
            assert!(pair[0] < pair[1]);
        }
        for version in SpecVersion::ALL {
            assert_eq!(version.as_str().parse::<SpecVersion>().unwrap(), version);
        }
        assert_eq!("".parse::<SpecVersion>().unwrap(), SpecVersion::V010);
        let error = "2.0.0".parse::<SpecVersion>().unwrap_err();
        assert!(error.contains("\"2.0.0\"") && error.contains("1.1.0"), "{error}");
    }

    #[test]
    fn check_and_gc_come_with_their_versions() {
        assert!(!SpecVersion::V031.has_check());
        assert!(SpecVersion::V040.has_check());
        assert!(!SpecVersion::V100.has_gc_and_status());
        assert!(SpecVersion::V110.has_gc_and_status());
    }
}
