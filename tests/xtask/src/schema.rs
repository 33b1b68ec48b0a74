//! `cargo xtask schema`: writes the table of Kubernetes' types that `control/objects` embeds.
//!
//! The work is an example of that crate, since it needs a JSON reader and this program has no dependencies. Wanted
//! only when Kubernetes' version changes: the table is committed.

use crate::error::Error;
use crate::process;
use std::process::{Command, ExitCode};

/// Runs the writer; the arguments are its own.
pub fn run(args: &[String]) -> Result<ExitCode, Error> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["run", "--quiet", "--package", "weft-objects", "--example", "schema", "--"]).args(args);
    process::succeed(&mut command, "its message above says what is missing")?;
    Ok(ExitCode::SUCCESS)
}
