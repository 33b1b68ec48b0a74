//! The jobs: lab, test, bench and dist, as sequences of set-up, building and running.

use crate::build;
use crate::elf::Elf;
use crate::error::Error;
use crate::packages::Need;
use crate::{process, setup};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

/// Name of the lab that `cargo xtask bench` puts up, apart from one that a person may have up.
const BENCH_LAB: &str = "bench";

/// `weft lab`, as root, with the static plugin first in the search path for plugins.
struct Lab {
    weft: PathBuf,
    cni_bin_dir: PathBuf,
}

impl Lab {
    fn build() -> Result<Lab, Error> {
        Ok(Lab { weft: build::weft()?, cni_bin_dir: build::static_cni()? })
    }

    fn command(&self, verb: &str) -> Result<Command, Error> {
        let mut command = process::as_root(&self.weft)?;
        command.args(["lab", verb]);
        Ok(command)
    }

    fn up(&self, name: &[String], args: &[String]) -> Result<(), Error> {
        let mut command = self.command("up")?;
        command.args(name).arg("--cni-bin-dir").arg(&self.cni_bin_dir).args(args);
        process::succeed(&mut command, "its message above says which step; the lab it left is taken down")
    }

    fn run(&self, verb: &str, name: &[String], args: &[String]) -> Result<(), Error> {
        process::succeed(self.command(verb)?.args(name).args(args), "see above; `weft lab status` shows more")
    }
}

/// `cargo xtask lab`: the demonstration, from an empty clone to two tables.
pub fn lab(args: &[String]) -> Result<ExitCode, Error> {
    let started = Instant::now();
    let keep = args.iter().any(|a| a == "--keep");
    let no_bench = args.iter().any(|a| a == "--no-bench");
    let up_args: Vec<String> =
        args.iter().filter(|a| *a != "--keep" && *a != "--no-bench").cloned().collect();
    let name = name_of(&up_args);
    setup::ensure(Need::Lab)?;
    let lab = Lab::build()?;
    let shown = lab.up(&[], &up_args).and_then(|()| {
        lab.run("status", &name, &[])?;
        lab.run("matrix", &name, &[])?;
        lab.run("services", &name, &[])?;
        if no_bench { Ok(()) } else { lab.run("bench", &name, &[]) }
    });
    if keep && shown.is_ok() {
        println!(
            "the lab is up: `weft lab exec pod1 -- CMD`, `weft lab down` ends it (weft is {})",
            lab.weft.display()
        );
    } else {
        // Taken down after a failure as well, whose own message matters more.
        let down = lab.run("down", &name, &[]);
        shown.and(down)?;
    }
    println!("cargo xtask lab took {:.0} s", started.elapsed().as_secs_f64());
    Ok(ExitCode::SUCCESS)
}

/// The `--name` among the arguments of `up`, to be repeated for the other verbs.
fn name_of(args: &[String]) -> Vec<String> {
    let Some(at) = args.iter().position(|a| a == "--name" || a.starts_with("--name=")) else {
        return Vec::new();
    };
    let words = if args[at] == "--name" { 2 } else { 1 };
    args.iter().skip(at).take(words).cloned().collect()
}

/// `cargo xtask test`: everything built, then all tests, as root; then the overlay's once more on the embedded state.
pub fn test(args: &[String]) -> Result<ExitCode, Error> {
    setup::ensure(Need::Test)?;
    let lab = Lab::build()?;
    let mut all = test_command(&lab)?;
    let passed = process::status(all.args(["--workspace"]).args(args))?;
    if !passed.success() || !args.is_empty() {
        return Ok(process::exit_code(passed));
    }
    println!("test: the overlay on the embedded state");
    let mut overlay = test_command(&lab)?;
    overlay.args(["--package", "flannel-vxlan", "--test", "overlay"]).env("WEFT_STATE_BIN", &lab.weft);
    process::status(&mut overlay).map(process::exit_code)
}

/// What property tests begin with, so that two runs of the same tree try the same cases: `cargo test` by itself tries
/// others each time, and a seed of one's own in the environment counts more.
const SEED: (&str, &str) = ("PROPTEST_RNG_SEED", "20261121");

/// `cargo test` with the programs that were just built, as root.
fn test_command(lab: &Lab) -> Result<Command, Error> {
    let mut command = build::cargo();
    command.arg("test");
    // The end-to-end tests run the programs that were just built.
    command.env("WEFT_BIN", &lab.weft).env("WEFT_CNI_BIN_DIR", &lab.cni_bin_dir);
    let seed = std::env::var(SEED.0).unwrap_or_else(|_| SEED.1.to_owned());
    command.env(SEED.0, &seed);
    if !process::is_root() {
        let host = build::host()?.to_uppercase().replace('-', "_");
        let sudo = process::as_root(Path::new("/usr/bin/env"))?;
        let runner = format!(
            "{} {}={seed} WEFT_BIN={} WEFT_CNI_BIN_DIR={}",
            process::line_of(&sudo),
            SEED.0,
            lab.weft.display(),
            lab.cni_bin_dir.display()
        );
        command.env(format!("CARGO_TARGET_{host}_RUNNER"), runner);
    }
    Ok(command)
}

/// `cargo xtask bench`: our pods beside those of the reference plugins, then the plugins' own speed, the
/// overlay's, the state beside etcd-server, services beside nftables rules, and the API server beside its floors. A
/// bench that fails does not keep the others from being run.
pub fn bench(args: &[String]) -> Result<ExitCode, Error> {
    setup::ensure(Need::Test)?;
    let lab = Lab::build()?;
    let cni = build::example("cni-plugin", "cni-bench")?;
    let overlay = build::example("flannel-vxlan", "overlay-bench")?;
    let state = build::example("weft-etcd", "etcd-bench")?;
    let services = build::example("weft-tests", "services-bench")?;
    let api = build::example("weft-tests", "apiserver-bench")?;
    let out = build::target_dir().join("bench");
    std::fs::create_dir_all(&out).map_err(|source| Error::File { path: out.clone(), source })?;
    println!("bench: pods beside those of the reference plugins");
    let pods = pods_bench(&lab, args, &out);
    println!("bench: the plugin beside the reference plugins");
    let plugin = cni_bench(&lab, &cni, &out);
    println!("bench: the overlay: start, many nodes at once, a minute idle");
    let overlay = overlay_bench(&lab, &overlay, &out);
    println!("bench: state beside etcd-server");
    let state = state_bench(&lab, &state, &out);
    println!("bench: services beside nftables rules");
    let services = services_bench(&lab, &services, &out);
    println!("bench: the API server beside its floors");
    let api = api_bench(&lab, &api, &out);
    println!("bench: figures as JSON in {}", out.display());
    pods.and(plugin).and(overlay).and(state).and(services).and(api).map(|()| ExitCode::SUCCESS)
}

/// Throughput between pods, in a lab of its own.
fn pods_bench(lab: &Lab, args: &[String], out: &Path) -> Result<(), Error> {
    let name = ["--name".to_owned(), BENCH_LAB.to_owned()];
    // A lab of this name is one that an interrupted bench left.
    lab.run("down", &name, &[])?;
    let mut all = ["--beside".to_owned(), "/usr/lib/cni".to_owned()].to_vec();
    for (flag, file) in [("--json", "pods.json"), ("--svg", "pods.svg")] {
        if !args.iter().any(|a| a == flag || a.starts_with(&format!("{flag}="))) {
            all.extend([flag.to_owned(), out.join(file).display().to_string()]);
        }
    }
    all.extend(args.iter().cloned());
    let measured = lab.up(&name, &[]).and_then(|()| lab.run("bench", &name, &all));
    let down = lab.run("down", &name, &[]);
    measured.and(down)
}

/// The plugin's own bench (ADD and DEL beside the reference plugins), an example of its package.
fn cni_bench(lab: &Lab, bench: &Path, out: &Path) -> Result<(), Error> {
    let mut command = process::as_root(bench)?;
    command.arg("--plugin").arg(lab.cni_bin_dir.join("weft-cni"));
    command.args(["--rounds", "60", "--json"]).arg(out.join("plugin.json"));
    process::succeed(&mut command, "see above")
}

/// The overlay's own bench, an example of its package.
fn overlay_bench(lab: &Lab, bench: &Path, out: &Path) -> Result<(), Error> {
    let mut command = process::as_root(bench)?;
    command.arg(&lab.weft).arg("--json").arg(out.join("overlay.json"));
    process::succeed(&mut command, "see above")
}

/// The embedded state's own bench, an example of its package. It needs no root.
fn state_bench(lab: &Lab, bench: &Path, out: &Path) -> Result<(), Error> {
    let mut command = Command::new(bench);
    command.arg("--weft").arg(&lab.weft).args(["--etcd", "/usr/bin/etcd"]);
    command.arg("--folder").arg(out).arg("--json").arg(out.join("state.json"));
    process::succeed(&mut command, "see above")
}

/// The service proxy's bench, an example of the end-to-end tests' package.
fn services_bench(lab: &Lab, bench: &Path, out: &Path) -> Result<(), Error> {
    let mut command = process::as_root(Path::new("/usr/bin/env"))?;
    command.arg(format!("WEFT_BIN={}", lab.weft.display()));
    command.arg(format!("WEFT_CNI_BIN_DIR={}", lab.cni_bin_dir.display()));
    command.arg(bench).arg("--json").arg(out.join("services.json"));
    process::succeed(&mut command, "see above")
}

/// The API server's bench, an example of the end-to-end tests' package. It needs no root, but a disk.
fn api_bench(lab: &Lab, bench: &Path, out: &Path) -> Result<(), Error> {
    let mut command = Command::new(bench);
    command.env("WEFT_BIN", &lab.weft).env("WEFT_TEST_ROOM", out);
    command.arg("--json").arg(out.join("apiserver.json"));
    process::succeed(&mut command, "see above")
}

/// `cargo xtask dist`: the programs as they are shipped, in dist/.
pub fn dist() -> Result<ExitCode, Error> {
    setup::ensure(Need::Build)?;
    let mut command = build::cargo();
    command.args(["build", "--package", "weft", "--profile", "dist"]);
    process::succeed(&mut command, "the compiler's message above says where")?;
    let cni = build::static_cni()?;
    let dist = build::workspace().join("dist");
    std::fs::create_dir_all(&dist).map_err(|source| Error::File { path: dist.clone(), source })?;
    for from in [build::target_dir().join("dist/weft"), cni.join("weft-cni")] {
        let to = dist.join(from.file_name().unwrap_or_default());
        // Beside and renamed: the one that is there may be running, and then cannot be written to.
        let part = to.with_extension("part");
        let copied =
            std::fs::copy(&from, &part).and_then(|bytes| std::fs::rename(&part, &to).map(|()| bytes));
        let bytes = copied.map_err(|source| Error::File { path: to.clone(), source })?;
        let program = std::fs::read(&to).map_err(|source| Error::File { path: to.clone(), source })?;
        let elf = Elf::of(&program).ok_or_else(|| Error::NotElf(to.clone()))?;
        if elf.symbols || (elf.interpreter && to.ends_with("weft-cni")) {
            return Err(Error::NotShippable { path: to, symbols: elf.symbols });
        }
        let linked = if elf.interpreter { "dynamic" } else { "static" };
        println!("{}  {:.1} MB, {linked}, stripped", to.display(), bytes as f64 / 1e6);
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_handed_to_every_verb() {
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(name_of(&words("--nodes 5 --name demo")), words("--name demo"));
        assert_eq!(name_of(&words("--name=demo --nodes 5")), words("--name=demo"));
        assert!(name_of(&words("--nodes 5")).is_empty());
    }
}
