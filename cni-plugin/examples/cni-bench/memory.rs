//! The most that a process had resident: VmHWM, read in its last moment by ptrace(2).
//!
//! rusage will not do: what a process was before its exec, which is this bench, counts there too.

use std::error::Error;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// Runs a process to its end; its greatest resident memory in bytes, and what it said.
pub fn peak(mut process: Command, input: &str) -> Result<(u64, String), Box<dyn Error>> {
    // SAFETY: between fork and exec only a system call without pointers is made.
    unsafe {
        process.pre_exec(|| match ptrace(libc::PTRACE_TRACEME, 0, 0) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        })
    };
    let mut child = process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let pid = child.id() as i32;
    // It has stopped behind its exec. Input and output are shorter than a pipe is.
    stopped(pid)?;
    ptrace(libc::PTRACE_SETOPTIONS, pid, libc::PTRACE_O_TRACEEXIT | libc::PTRACE_O_EXITKILL);
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    let (mut memory, mut signal) = (0, 0);
    loop {
        ptrace(libc::PTRACE_CONT, pid, signal);
        let Some(status) = stopped(pid)? else { break };
        signal = 0;
        match status >> 8 == libc::SIGTRAP | (libc::PTRACE_EVENT_EXIT << 8) {
            true => memory = high_water(pid)?,
            // Its own signals go on to it, such as those by which Go's threads are preempted.
            false => signal = libc::WSTOPSIG(status),
        }
    }
    let mut said = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_string(&mut said)?;
    }
    Ok((memory, said))
}

fn high_water(pid: i32) -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse::<u64>()? * 1024)
}

/// How a traced process stopped; `None` when it has ended.
fn stopped(pid: i32) -> Result<Option<i32>, Box<dyn Error>> {
    let mut status = 0;
    // SAFETY: the pointer is of a live local; the child is ours and nobody else waits for it.
    if unsafe { libc::waitpid(pid, &mut status, libc::__WALL) } != pid {
        return Err(std::io::Error::last_os_error().into());
    }
    Ok(libc::WIFSTOPPED(status).then_some(status))
}

fn ptrace(request: libc::c_uint, pid: i32, data: i32) -> libc::c_long {
    // SAFETY: none of the requests that are made here reads or writes memory of this process.
    unsafe { libc::ptrace(request, pid, std::ptr::null_mut::<libc::c_void>(), data as libc::c_long) }
}
