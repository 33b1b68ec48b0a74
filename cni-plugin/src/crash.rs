//! Crash points: numbered places at which a test can kill the plugin.
//!
//! Every step that changes state calls [`point`] behind it. In a build with debug assertions the
//! environment variable `WEFT_CNI_CRASH_AT=n` ends the process at the n-th call by SIGKILL, so that
//! nothing is cleaned up, and `WEFT_CNI_CRASH_LOG=file` collects the names that were passed. The
//! binaries of `cargo xtask dist` have none of it.

/// Marks that the named step is done.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn point(_step: &str) {}

/// Marks that the named step is done.
#[cfg(debug_assertions)]
pub fn point(step: &str) {
    use std::sync::atomic::{AtomicU32, Ordering};
    static PASSED: AtomicU32 = AtomicU32::new(0);
    let number = PASSED.fetch_add(1, Ordering::Relaxed) + 1;
    if let Ok(log) = std::env::var("WEFT_CNI_CRASH_LOG") {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(log);
        if let Ok(mut file) = file {
            let _ = std::io::Write::write_all(&mut file, format!("{number} {step}\n").as_bytes());
        }
    }
    if std::env::var("WEFT_CNI_CRASH_AT").is_ok_and(|at| at == number.to_string()) {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        std::process::abort();
    }
}

/// The file with the kernel's boot id; a test may name another.
pub fn boot_id_file() -> std::path::PathBuf {
    #[cfg(debug_assertions)]
    if let Some(path) = std::env::var_os("WEFT_CNI_BOOT_ID_FILE") {
        return path.into();
    }
    "/proc/sys/kernel/random/boot_id".into()
}
