//! Running one plugin: its environment, its configuration on standard input, its answer.
//!
//! Exit status 0 means success; anything else means that standard output holds an error in JSON.
//! A plugin that dies without one is reported with what it wrote to standard error.

use super::{Attachment, CallerError};
use crate::types::CniError;
use serde_json::{Map, Value};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// The executable of a plugin: the first of the directories that has it.
pub fn find_plugin(name: &str, bin_dirs: &[PathBuf]) -> Result<PathBuf, CallerError> {
    let candidates = bin_dirs.iter().map(|dir| dir.join(name));
    candidates
        .into_iter()
        .find(|path| path.is_file())
        .ok_or_else(|| CallerError::NoPlugin { name: name.to_string(), searched: join_paths(bin_dirs) })
}

/// The CNI_ variables of a call; the rest of the environment is inherited.
pub fn plugin_environment(
    command: &str,
    attachment: Option<&Attachment>,
    bin_dirs: &[PathBuf],
) -> Vec<(&'static str, String)> {
    let text = |field: fn(&Attachment) -> String| attachment.map(field).unwrap_or_default();
    let args = |a: &Attachment| a.args.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(";");
    vec![
        ("CNI_COMMAND", command.to_string()),
        ("CNI_CONTAINERID", text(|a| a.container_id.clone())),
        ("CNI_NETNS", text(|a| a.netns.clone())),
        ("CNI_ARGS", text(args)),
        ("CNI_IFNAME", text(|a| a.ifname.clone())),
        ("CNI_PATH", join_paths(bin_dirs)),
    ]
}

/// Runs a plugin to its end; what it printed, if it succeeded and printed something.
pub fn run_plugin(
    path: &Path,
    name: &str,
    command: &'static str,
    environment: &[(&'static str, String)],
    config: &Map<String, Value>,
) -> Result<Option<Value>, CallerError> {
    let fail = |why: String| CallerError::Run { path: path.to_path_buf(), command, why };
    let input = serde_json::to_vec(config).map_err(|e| fail(e.to_string()))?;
    let output = run(path, environment, &input).map_err(|e| fail(e.to_string()))?;
    let stdout = output.stdout.trim_ascii();
    if output.status.success() {
        if stdout.is_empty() {
            return Ok(None);
        }
        return serde_json::from_slice(stdout)
            .map(Some)
            .map_err(|e| fail(format!("its answer is not JSON: {e}")));
    }
    match serde_json::from_slice::<CniError>(stdout) {
        Ok(error) => Err(CallerError::Plugin { name: name.to_string(), command, error }),
        Err(_) => {
            let said = |bytes: &[u8]| String::from_utf8_lossy(bytes.trim_ascii()).into_owned();
            Err(fail(format!("{}: {} {}", output.status, said(stdout), said(&output.stderr))))
        }
    }
}

/// Writes the input and collects both outputs; a plugin that is just being replaced (ETXTBSY) is tried again.
fn run(path: &Path, environment: &[(&'static str, String)], input: &[u8]) -> std::io::Result<Output> {
    let mut busy = 0;
    let mut child = loop {
        let mut command = Command::new(path);
        command.envs(environment.iter().map(|(k, v)| (*k, v.as_str())));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        match command.spawn() {
            Err(e) if e.raw_os_error() == Some(libc::ETXTBSY) && busy < 50 => {
                busy += 1;
                std::thread::sleep(Duration::from_millis(20));
            }
            started => break started?,
        }
    };
    if let Some(mut stdin) = child.stdin.take() {
        // A plugin may fail before it reads everything: its own answer says more than our broken pipe.
        let _ = stdin.write_all(input);
    }
    child.wait_with_output()
}

fn join_paths(dirs: &[PathBuf]) -> String {
    dirs.iter().map(|d| d.to_string_lossy()).collect::<Vec<_>>().join(":")
}
