//! Logs: to standard error, `info` unless `RUST_LOG` says otherwise.

use std::io::IsTerminal;

/// Sets up logging; called once, by a daemon's entrance.
pub fn set_up() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let ansi = std::io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(ansi)
        .with_target(false)
        .init();
}
