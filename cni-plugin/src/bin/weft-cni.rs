//! `weft-cni`: the CNI plugin. Everything is in the library; here are only the process's edges.

use std::io::{Read, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::var_os("CNI_COMMAND").is_none() {
        let version = env!("CARGO_PKG_VERSION");
        eprintln!("weft-cni {version}: a CNI plugin, run by a container runtime with CNI_COMMAND set");
        eprintln!("CNI protocol versions supported: 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0");
        return ExitCode::SUCCESS;
    }
    let mut input = Vec::with_capacity(8192);
    if let Err(error) = std::io::stdin().lock().read_to_end(&mut input) {
        eprintln!("weft-cni: cannot read the configuration from standard input: {error}");
        return ExitCode::FAILURE;
    }
    let file = std::env::args_os().next().unwrap_or_default();
    let answer = cni_plugin::plugin::serve(&file.to_string_lossy(), |name| std::env::var(name).ok(), &input);
    if std::io::stdout().lock().write_all(answer.stdout.as_bytes()).is_err() {
        return ExitCode::FAILURE;
    }
    ExitCode::from(answer.status)
}
