//! What is on the machine outside of any lab, to be compared before and after.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where a lab could leave files.
const FILES: [&str; 5] = ["/run", "/etc/cni", "/var/lib/cni", "/var/lib/etcd", "/opt/cni"];

/// Files and cgroups of the machine's own services and sessions, which come and go by themselves.
const SERVICES: [&str; 7] =
    ["/run/systemd", "/run/udev", "/run/user", "/run/log", "system.slice", "user.slice", "init.scope"];

/// What is looked at, in the order of the comparison.
const NETWORK: [&str; 6] = ["links", "addresses", "routes", "IPv6 routes", "rules", "nftables"];

/// Links, addresses, routes, rules, nftables, mounts, named namespaces, the cgroup tree and files: lines by kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    kinds: BTreeMap<&'static str, BTreeSet<String>>,
}

impl Machine {
    /// Looks. What belongs to labs of other names is left out, because other tests have labs at the same time.
    ///
    /// # Panics
    /// When we are not root, or a tool is not installed.
    pub fn look(name: &str) -> Machine {
        crate::need_root();
        let mut kinds = BTreeMap::new();
        let tools: [&[&str]; 6] = [
            &["ip", "-o", "-br", "link"],
            &["ip", "-o", "-br", "address"],
            &["ip", "route", "show", "table", "all"],
            &["ip", "-6", "route", "show", "table", "all"],
            &["ip", "rule"],
            &["nft", "list", "ruleset"],
        ];
        for (kind, words) in NETWORK.into_iter().zip(tools) {
            kinds.insert(kind, said(words));
        }
        kinds.entry("rules").or_default().extend(said(&["ip", "-6", "rule"]));
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("/proc is mounted");
        kinds.insert("mounts", mounts.lines().map(mount).collect());
        kinds.insert("cgroups", cgroups());
        kinds.insert("namespaces", names("/run/netns"));
        let mut files = BTreeSet::new();
        FILES.iter().for_each(|dir| files_below(Path::new(dir), 4, &mut files));
        kinds.insert("files", files);
        let foreign = |line: &String| of_other_lab(line, name);
        kinds.values_mut().for_each(|lines| lines.retain(|line| !foreign(line)));
        Machine { kinds }
    }

    /// What differs, as lines: `- kind: line` for what is gone since, `+ kind: line` for what has come.
    pub fn changes(&self, after: &Machine) -> Vec<String> {
        self.changes_of(after, |_| true)
    }

    /// As `changes`, of links, addresses, routes, rules and nftables alone.
    pub fn network_changes(&self, after: &Machine) -> Vec<String> {
        self.changes_of(after, |kind| NETWORK.contains(&kind))
    }

    fn changes_of(&self, after: &Machine, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let mut changes = Vec::new();
        for (kind, before) in self.kinds.iter().filter(|(kind, _)| wanted(kind)) {
            let after = &after.kinds[kind];
            changes.extend(before.difference(after).map(|line| format!("- {kind}: {line}")));
            changes.extend(after.difference(before).map(|line| format!("+ {kind}: {line}")));
        }
        changes
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

/// What a tool prints, without what changes by itself (the time that a route has left).
fn said(words: &[&str]) -> BTreeSet<String> {
    let output = Command::new(words[0]).args(&words[1..]).output();
    let output = output.expect("ip and nft: `cargo xtask setup` installs them");
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().map(|line| line.split(" expires ").next().unwrap_or(line).trim_end().to_owned()).collect()
}

/// A line of mountinfo without its numbers: root, point, options, type, source.
fn mount(line: &str) -> String {
    let words = line.split(' ').skip(3);
    words.filter(|w| !w.starts_with("shared:") && !w.starts_with("master:")).collect::<Vec<_>>().join(" ")
}

/// Every cgroup of the v2 tree.
fn cgroups() -> BTreeSet<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let v2 = mounts.lines().filter(|line| line.contains(" - cgroup2 "));
    let mut found = BTreeSet::new();
    let mut todo: Vec<PathBuf> = v2.filter_map(|line| line.split(' ').nth(4).map(PathBuf::from)).collect();
    assert!(!todo.is_empty(), "no cgroup2 is mounted; mount one at /sys/fs/cgroup");
    while let Some(dir) = todo.pop() {
        let entries = fs::read_dir(&dir).into_iter().flatten().flatten();
        let dirs = entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path());
        todo.extend(dirs.filter(|path| !of_services(path)));
        found.insert(dir.display().to_string());
    }
    found
}

fn names(dir: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|e| e.path().display().to_string()).collect()
}

fn files_below(dir: &Path, depth: u8, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if of_services(&entry.path()) {
            continue;
        }
        found.insert(entry.path().display().to_string());
        if depth > 1 && entry.file_type().is_ok_and(|t| t.is_dir()) {
            files_below(&entry.path(), depth - 1, found);
        }
    }
}

fn of_services(path: &Path) -> bool {
    SERVICES.iter().any(|service| path.ends_with(service.trim_start_matches('/')))
}

/// Whether a line tells of a lab that is not `name`: its folder, lock, mounts or cgroups. The folder of all labs
/// comes and goes with labs of other tests.
fn of_other_lab(line: &str, name: &str) -> bool {
    if line.ends_with("/weft-lab") {
        return true;
    }
    let labs = ["weft-lab/", "weft-lab."].into_iter().filter_map(|mark| line.split_once(mark));
    let found: Vec<&str> = labs.map(|(_, rest)| rest).collect();
    let own = |rest: &&str| {
        let lab = rest.split(['/', ' ']).next().unwrap_or_default();
        lab == name || lab == format!("{name}.lock")
    };
    !found.is_empty() && !found.iter().any(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_lab_counts() {
        assert!(!of_other_lab("/run/weft-lab/a/places/x", "a"));
        assert!(!of_other_lab("/run/weft-lab/a.lock", "a"));
        assert!(of_other_lab("/run/weft-lab/ab", "a"));
        assert!(of_other_lab("/sys/fs/cgroup/weft-lab.ab/k8s-node1", "a"));
        assert!(!of_other_lab("/sys/fs/cgroup/weft-lab.a", "a"));
        assert!(of_other_lab("/run/weft-lab", "a"));
        assert!(!of_other_lab("/run/flannel/subnet.env", "a"));
    }

    #[test]
    fn a_mount_is_told_without_numbers() {
        let line = "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw";
        assert_eq!(mount(line), "/mnt1 /mnt2 rw,noatime - ext3 /dev/root rw");
    }
}
