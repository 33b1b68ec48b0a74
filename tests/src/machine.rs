//! What is on the machine outside of any lab, to be compared before and after.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

/// Links, routes, rules, nftables, mounts, cgroups, files and what uses `name`, as lines of text.
#[derive(Debug, PartialEq, Eq)]
pub struct Machine {
    lines: BTreeSet<String>,
}

impl Machine {
    /// Looks; of mounts, cgroups and files only those that name the lab, because other tests have labs at the
    /// same time.
    ///
    /// # Panics
    /// When a tool is not installed.
    pub fn look(name: &str) -> Machine {
        let mut lines = BTreeSet::new();
        let tools: [&[&str]; 6] = [
            &["ip", "-o", "-br", "link"],
            &["ip", "-o", "-br", "address"],
            &["ip", "route", "show", "table", "all"],
            &["ip", "-6", "route", "show", "table", "all"],
            &["ip", "rule"],
            &["nft", "list", "ruleset"],
        ];
        for words in tools {
            let output = Command::new(words[0]).args(&words[1..]).output();
            let output = output.expect("ip and nft: `cargo xtask setup` installs them");
            lines.extend(String::from_utf8_lossy(&output.stdout).lines().map(|l| format!("{words:?} {l}")));
        }
        let of_lab = |line: &str| {
            line.contains(&format!("weft-lab/{name}")) || line.contains(&format!("weft-lab.{name}"))
        };
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("/proc is mounted");
        lines.extend(mounts.lines().filter(|l| of_lab(l)).map(str::to_owned));
        for dir in ["/run/weft-lab", "/sys/fs/cgroup", "/sys/fs/cgroup/unified"] {
            let entries = fs::read_dir(dir).into_iter().flatten().flatten();
            lines.extend(entries.map(|e| e.path().display().to_string()).filter(|p| of_lab(p)));
        }
        for dir in ["/etc/cni/net.d", "/var/lib/cni", "/run/flannel", "/run/netns"] {
            let entries = fs::read_dir(dir).into_iter().flatten().flatten();
            lines.extend(entries.map(|e| e.path().display().to_string()));
        }
        Machine { lines }
    }

    /// Only links, addresses, routes, rules and nftables.
    pub fn network(&self) -> Vec<&String> {
        self.lines.iter().filter(|l| l.starts_with('[')).collect()
    }

    /// Processes in the lab's cgroup: namespaces that nothing pins live as long as these.
    ///
    /// # Panics
    /// When /proc cannot be read.
    pub fn processes(name: &str) -> Vec<String> {
        let all = fs::read_dir("/proc").expect("/proc is mounted").flatten();
        let cgroup = format!("weft-lab.{name}/");
        let of_lab =
            |p: &fs::DirEntry| fs::read_to_string(p.path().join("cgroup")).is_ok_and(|c| c.contains(&cgroup));
        // One that has ended and whose parent has not asked yet has no program any more.
        let ours = all.filter(|p| of_lab(p) && p.path().join("exe").read_link().is_ok());
        ours.map(|p| p.path().display().to_string()).collect()
    }
}
