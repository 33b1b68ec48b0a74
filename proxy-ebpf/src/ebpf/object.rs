//! The compiled programs, and loading them onto maps that may be there already.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use aya::programs::{Program, ProgramError, SchedClassifier};
use aya::{Ebpf, EbpfLoader, VerifierLogLevel};
use aya_obj::Object;

use super::error::EbpfError;
use super::options::EbpfOptions;
use super::pins::{Pins, Shape};

/// What `cargo xtask bpf` made of proxy-ebpf/ebpf.
static OBJECT: &[u8] = aya::include_bytes_aligned!("../../ebpf/weft-proxy.o");

/// The programs' object: another one by environment is for tests of an upgrade.
fn object() -> Result<std::borrow::Cow<'static, [u8]>, EbpfError> {
    match std::env::var_os("WEFT_PROXY_OBJECT") {
        None => Ok(OBJECT.into()),
        Some(path) => std::fs::read(&path).map(Into::into).map_err(|source| EbpfError::Pin {
            what: "read WEFT_PROXY_OBJECT",
            path: path.into(),
            source,
        }),
    }
}

/// Loads the programs onto the pinned maps, which are made where they are not there or are unlike.
pub fn load(options: &EbpfOptions, pins: &Pins) -> Result<Ebpf, EbpfError> {
    let object = object()?;
    let shapes = shapes(&object, options)?;
    pins.discard_unlike(&shapes, options.maglev_slots)?;
    let mut loader = EbpfLoader::new();
    loader.verifier_log_level(VerifierLogLevel::STATS);
    for size in options.map_sizes() {
        loader.map_max_entries(size.name, size.entries);
    }
    let paths: Vec<_> = shapes.iter().map(|shape| (shape.name.as_str(), pins.map(&shape.name))).collect();
    for (name, path) in &paths {
        loader.map_pin_path(name, path.as_path());
    }
    loader.load(&object).map_err(|e| refused("maps", &e))
}

/// The maps of the object, as they will be.
fn shapes(object: &[u8], options: &EbpfOptions) -> Result<Vec<Shape>, EbpfError> {
    let parsed = Object::parse(object).map_err(|e| refused("the object", &e))?;
    let sizes = options.map_sizes();
    let maps = parsed.maps.iter().filter(|(name, _)| !name.starts_with('.'));
    Ok(maps
        .map(|(name, map)| Shape {
            name: name.clone(),
            kind: map.map_type(),
            key: map.key_size(),
            value: map.value_size(),
            entries: sizes
                .iter()
                .find(|size| size.name == name)
                .map_or(map.max_entries(), |size| size.entries),
        })
        .collect())
}

/// A program's descriptor. It is loaded when it is first asked for: verifying one costs up to 0.2 s of CPU, and the
/// programs for interfaces without a link header are rarely needed.
pub fn program<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<BorrowedFd<'a>, EbpfError> {
    let missing = || refused(name, &"the object has no such program");
    let program = ebpf.program_mut(name).ok_or_else(missing)?;
    let fd = match program {
        Program::CgroupSockAddr(program) => {
            if program.fd().is_err() {
                program.load().map_err(|e| refused(name, &e))?;
            }
            program.fd()
        }
        Program::SchedClassifier(program) => {
            if program.fd().is_err() {
                program.load().map_err(|e| refused(name, &e))?;
            }
            program.fd()
        }
        _ => return Err(missing()),
    };
    fd.map(AsFd::as_fd).map_err(|e: ProgramError| refused(name, &e))
}

/// A packet program, loaded.
pub fn classifier<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut SchedClassifier, EbpfError> {
    program(ebpf, name)?;
    match ebpf.program_mut(name) {
        Some(Program::SchedClassifier(program)) => Ok(program),
        _ => Err(refused(name, &"the object has no such program")),
    }
}

/// The last lines of what the kernel said: the verifier's log is long.
fn refused(program: &str, error: &dyn std::fmt::Display) -> EbpfError {
    let said = error.to_string();
    let denied = !Path::new("/proc/self/ns/net").exists() || said.contains("Operation not permitted");
    let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    EbpfError::Load {
        program: program.to_owned(),
        why: lines[lines.len().saturating_sub(8)..].join("; "),
        next: if denied {
            "run it as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_SYS_ADMIN"
        } else {
            "it needs Linux 5.18 with CONFIG_CGROUP_BPF, CONFIG_BPF_SYSCALL and CONFIG_NET_CLS_ACT"
        },
    }
}
