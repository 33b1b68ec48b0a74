//! `weft cni`: tools for a node's container networks.

use std::{io::Write, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use cni_plugin::doctor::{Places, examine, fix};

/// Tools for a node's container networks.
#[derive(Debug, Args)]
pub struct Command {
    #[command(subcommand)]
    tool: Tool,
}

#[derive(Debug, Subcommand)]
enum Tool {
    /// Look for what keeps pods of this node from their network, and say what to do next.
    ///
    /// Exit code 0: nothing was found; 1: something was; 2: the command line is wrong.
    Doctor(Doctor),
}

/// Flags of `weft cni doctor`.
#[derive(Debug, Args)]
struct Doctor {
    /// Where networks are.
    #[arg(long, default_value = "/etc/cni/net.d")]
    conf_dir: PathBuf,
    /// Where plugins are, in the order in which they are looked for; may be given several times.
    #[arg(long, default_value = "/opt/cni/bin")]
    bin_dir: Vec<PathBuf>,
    /// libcni's directory, with the results of the pods that run.
    #[arg(long, default_value = "/var/lib/cni")]
    cache_dir: PathBuf,
    /// host-local's reservations.
    #[arg(long, default_value = "/var/lib/cni/networks")]
    data_dir: PathBuf,
    /// Where the overlay writes this node's subnet.
    #[arg(long, default_value = "/run/flannel/subnet.env")]
    subnet_file: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Remove what is ours and surely abandoned: tagged links, addresses of containers that are gone.
    #[arg(long)]
    fix: bool,
}

/// Runs a tool.
pub fn main(command: &Command) -> anyhow::Result<ExitCode> {
    match &command.tool {
        Tool::Doctor(flags) => doctor(flags),
    }
}

fn doctor(flags: &Doctor) -> anyhow::Result<ExitCode> {
    let places = Places {
        conf_dir: flags.conf_dir.clone(),
        bin_dirs: flags.bin_dir.clone(),
        cache_dir: flags.cache_dir.clone(),
        data_dir: flags.data_dir.clone(),
        subnet_file: flags.subnet_file.clone(),
        ..Places::default()
    };
    let mut report = examine(&places);
    let mut done = Vec::new();
    if flags.fix {
        done = fix(&places, &report);
        if !done.is_empty() {
            report = examine(&places);
        }
    }
    let text = match flags.json {
        true => {
            let mut value = serde_json::to_value(&report).context("the report as JSON")?;
            value["done"] = done.into();
            format!("{value:#}\n")
        }
        false => done.iter().map(|line| format!("fixed: {line}\n")).collect::<String>() + &report.to_string(),
    };
    // A reader that has seen enough is no failure.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(ExitCode::from(u8::from(!report.findings.is_empty())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        command: Command,
    }

    fn parse(arguments: &[&str]) -> Option<Doctor> {
        let line = Line::try_parse_from(["cni", "doctor"].iter().chain(arguments)).ok()?;
        let Tool::Doctor(flags) = line.command.tool;
        Some(flags)
    }

    #[test]
    fn the_flags_defaults_are_the_librarys() {
        let (flags, places) = (parse(&[]).expect("no flag is needed"), Places::default());
        assert_eq!((flags.conf_dir, flags.bin_dir), (places.conf_dir, places.bin_dirs));
        assert_eq!((flags.cache_dir, flags.data_dir), (places.cache_dir, places.data_dir));
        assert_eq!(flags.subnet_file, places.subnet_file);
        assert!(!flags.fix && !flags.json);
        assert!(parse(&["--fixx"]).is_none());
        let two = parse(&["--bin-dir", "/a", "--bin-dir", "/b"]).expect("several directories");
        assert_eq!(two.bin_dir, ["/a", "/b"].map(PathBuf::from));
    }
}
