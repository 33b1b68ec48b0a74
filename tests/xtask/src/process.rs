//! Starting programs: as the user who typed the command, or as root.
//!
//! Programs inherit the terminal, so what they print is seen as it happens. Root parts go through sudo, which
//! asks for the password itself; the few variables that they read are handed over by name.

use crate::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};

/// Variables that a program run by sudo keeps.
const KEPT_BY_SUDO: &str = "PATH,HOME,RUST_LOG,RUST_BACKTRACE,CARGO_TARGET_DIR,TERM,NO_COLOR,WEFT_STATE_BIN";

/// Whether this process is root: the effective user id in /proc/self/status.
pub fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("Uid:"))
        .and_then(|ids| ids.split_whitespace().nth(1))
        .is_some_and(|effective| effective == "0")
}

/// A command that runs `program` as root: itself when we are root, else under sudo.
pub fn as_root(program: &Path) -> Result<Command, Error> {
    if is_root() {
        return Ok(Command::new(program));
    }
    if !on_path("sudo") {
        return Err(Error::NoSudo(program.display().to_string()));
    }
    let mut command = Command::new("sudo");
    command.arg(format!("--preserve-env={KEPT_BY_SUDO}")).arg("--").arg(program);
    Ok(command)
}

/// Whether a program of this name is on PATH.
pub fn on_path(name: &str) -> bool {
    find_on_path(name).is_some()
}

/// The first program of this name on PATH.
pub fn find_on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// What a program prints; it must succeed.
pub fn output(command: &mut Command) -> Result<String, Error> {
    let output = command.output().map_err(|source| Error::Start { command: line_of(command), source })?;
    if !output.status.success() {
        return Err(Error::Failed { command: line_of(command), advice: "it printed no version or path" });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The command line as a person would type it.
pub fn line_of(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|w| w.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Runs to the end and gives the status, whatever it is.
pub fn status(command: &mut Command) -> Result<ExitStatus, Error> {
    let started = command.status();
    started.map_err(|source| Error::Start { command: line_of(command), source })
}

/// Runs to the end; anything but success is an error that carries `advice`.
pub fn succeed(command: &mut Command, advice: &'static str) -> Result<(), Error> {
    if status(command)?.success() {
        return Ok(());
    }
    Err(Error::Failed { command: line_of(command), advice })
}

/// A program's exit status as ours; killed by a signal is 1.
pub fn exit_code(status: ExitStatus) -> ExitCode {
    match status.code().and_then(|code| u8::try_from(code).ok()) {
        Some(code) => ExitCode::from(code),
        None => ExitCode::FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_program_carries_the_advice() {
        let error = succeed(&mut Command::new("false"), "look above").unwrap_err();
        assert_eq!(error.to_string(), "`false` failed; look above");
    }

    #[test]
    fn an_absent_program_says_so() {
        let error = succeed(&mut Command::new("/nonexistent/program"), "").unwrap_err();
        assert!(matches!(error, Error::Start { .. }), "{error}");
    }
}
