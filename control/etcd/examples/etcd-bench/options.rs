//! The command line.

use super::Outcome;
use std::path::PathBuf;
use std::time::Duration;

/// statfs's type of a file system in memory.
const TMPFS: i64 = 0x0102_1994;

/// What is measured, with what, how long.
pub struct Options {
    pub weft: PathBuf,
    pub etcd: PathBuf,
    pub time: Duration,
    pub rounds: usize,
    pub only: String,
    pub folder: PathBuf,
    pub json: Option<PathBuf>,
}

impl Options {
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Outcome<Options> {
        let mut options = Options {
            weft: target_dir().join("debug/weft"),
            etcd: "/usr/bin/etcd".into(),
            time: Duration::from_secs(1),
            rounds: 5,
            only: "load,watch,state".into(),
            folder: target_dir().join("bench"),
            json: None,
        };
        while let Some(flag) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{flag} needs a value"))?;
            match flag.as_str() {
                "--weft" => options.weft = value.into(),
                "--etcd" => options.etcd = value.into(),
                "--seconds" => options.time = Duration::try_from_secs_f64(value.parse()?)?,
                "--rounds" => options.rounds = value.parse::<usize>()?.max(1),
                "--only" => options.only = value,
                "--folder" => options.folder = value.into(),
                "--json" => options.json = Some(value.into()),
                _ => return Err(format!("{flag} is not a flag; see the top of etcd-bench/main.rs").into()),
            }
        }
        options.check()?;
        Ok(options)
    }

    /// Whether a part is to be measured.
    pub fn wants(&self, part: &str) -> bool {
        self.only.split(',').any(|wanted| wanted == part)
    }

    fn check(&self) -> Outcome<()> {
        for (path, next) in [(&self.weft, "cargo build -p weft"), (&self.etcd, "cargo xtask setup")] {
            if !path.is_file() {
                return Err(format!("{} is not there: {next}", path.display()).into());
            }
        }
        std::fs::create_dir_all(&self.folder)?;
        // In memory fsync costs nothing, and a put is mostly fsync.
        if rustix::fs::statfs(&self.folder)?.f_type as i64 == TMPFS {
            return Err(format!("{} is in memory; give --folder on a disk", self.folder.display()).into());
        }
        Ok(())
    }
}

/// The folder that this program was built into, three above it (target/debug/examples).
fn target_dir() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    program.ancestors().nth(3).map_or_else(|| "target".into(), PathBuf::from)
}
