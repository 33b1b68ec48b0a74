//! A plugin's error as CNI carries it: JSON on standard output and a non-zero exit status.
//!
//! Codes 1–99 are the specification's (section 5, "Error"); from 100 on they are a plugin's own, and
//! docs/reference/weft-cni.md lists ours. `msg` says what failed, `details` what to do about it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a plugin failed, as a number that callers act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// 1: the configuration's cniVersion is not supported.
    IncompatibleVersion,
    /// 2: a field of the configuration is known and not supported.
    UnsupportedField,
    /// 3: the container is unknown; the caller need not call DEL.
    UnknownContainer,
    /// 4: a CNI_ variable is missing or wrong.
    InvalidEnvironment,
    /// 5: reading or writing failed.
    Io,
    /// 6: the configuration is not JSON of the right shape.
    Decode,
    /// 7: the configuration is well-formed but wrong.
    InvalidConfig,
    /// 11: a passing condition; the caller should try again.
    TryAgainLater,
    /// 50: the plugin cannot serve ADD now (STATUS).
    NotAvailable,
    /// 51: as 50, and running containers may be cut off too (STATUS).
    NotAvailableLimited,
    /// 100: the kernel refused an operation.
    Kernel,
    /// 101: every address of a range is taken.
    NoAddress,
    /// 102: something on the node contradicts the configuration.
    Conflict,
    /// 103: CHECK found the attachment changed.
    CheckFailed,
    /// 104: a delegated IPAM plugin could not be run.
    Delegate,
    /// Any other number, as another plugin sent it.
    Other(u32),
}

const NUMBERS: [(ErrorCode, u32); 15] = [
    (ErrorCode::IncompatibleVersion, 1),
    (ErrorCode::UnsupportedField, 2),
    (ErrorCode::UnknownContainer, 3),
    (ErrorCode::InvalidEnvironment, 4),
    (ErrorCode::Io, 5),
    (ErrorCode::Decode, 6),
    (ErrorCode::InvalidConfig, 7),
    (ErrorCode::TryAgainLater, 11),
    (ErrorCode::NotAvailable, 50),
    (ErrorCode::NotAvailableLimited, 51),
    (ErrorCode::Kernel, 100),
    (ErrorCode::NoAddress, 101),
    (ErrorCode::Conflict, 102),
    (ErrorCode::CheckFailed, 103),
    (ErrorCode::Delegate, 104),
];

impl ErrorCode {
    /// The number on the wire.
    pub fn number(self) -> u32 {
        match self {
            ErrorCode::Other(number) => number,
            code => NUMBERS.iter().find(|(c, _)| *c == code).map_or(999, |(_, n)| *n),
        }
    }

    /// The code that a number stands for.
    pub fn from_number(number: u32) -> Self {
        NUMBERS.iter().find(|(_, n)| *n == number).map_or(ErrorCode::Other(number), |(c, _)| *c)
    }
}

/// An error as it is printed and read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase")]
pub struct CniError {
    /// The version of the specification that the error is written in.
    #[serde(default)]
    pub cni_version: String,
    /// See [`ErrorCode`].
    pub code: u32,
    /// What failed, on which object and why.
    #[serde(default)]
    pub msg: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub details: String,
}

impl CniError {
    /// An error with what failed and what to do next.
    pub fn new(code: ErrorCode, msg: impl Into<String>, details: impl Into<String>) -> Self {
        CniError {
            cni_version: super::SpecVersion::NEWEST.to_string(),
            code: code.number(),
            msg: msg.into(),
            details: details.into(),
        }
    }

    /// The code as a value.
    pub fn error_code(&self) -> ErrorCode {
        ErrorCode::from_number(self.code)
    }
}

impl fmt::Display for CniError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.msg)?;
        if !self.details.is_empty() {
            write!(f, "; {}", self.details)?;
        }
        write!(f, " (CNI code {})", self.code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_round_trip() {
        for (code, number) in NUMBERS {
            assert_eq!(code.number(), number);
            assert_eq!(ErrorCode::from_number(number), code);
        }
        assert_eq!(ErrorCode::from_number(999), ErrorCode::Other(999));
    }

    #[test]
    fn json_has_the_specified_keys() {
        let error = CniError::new(ErrorCode::TryAgainLater, "what", "next");
        let json = serde_json::to_value(&error).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"cniVersion": "1.1.0", "code": 11, "msg": "what", "details": "next"})
        );
        let sparse: CniError = serde_json::from_str(r#"{"code": 7}"#).unwrap();
        assert_eq!(sparse.error_code(), ErrorCode::InvalidConfig);
    }
}
