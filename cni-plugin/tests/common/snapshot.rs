//! What a node and a container have, as text by place: two that are equal mean that nothing was left and nothing lost.

use super::{Node, Pod};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// Those that the tests set.
const PARAMETERS: [&str; 2] = ["net/core/somaxconn", "net/ipv4/conf/eth0/log_martians"];

/// Everything that a plugin could leave behind.
pub fn snapshot(node: &Node, pod: &Pod) -> BTreeMap<&'static str, Vec<String>> {
    let here = |program: &str, arguments: &[&str]| said(program, arguments);
    let inside = |program: &str, arguments: &[&str]| pod.netns.run(|| said(program, arguments)).unwrap();
    let parameter = |key: &&str| {
        let value = pod.netns.run(|| netstate::sysctl::read_if_there(key).unwrap()).unwrap();
        format!("{key} {value:?}")
    };
    let mut files = Vec::new();
    list(node.dir.path(), &mut files);
    BTreeMap::from([
        ("links of the node", links(&here("ip", &["-o", "link"]))),
        ("links of the container", links(&inside("ip", &["-o", "link"]))),
        ("addresses of the node", addresses(&here("ip", &["-o", "address"]))),
        ("addresses of the container", addresses(&inside("ip", &["-o", "address"]))),
        ("routes of the node", sorted(&here("ip", &["route"]))),
        ("routes of the container", sorted(&inside("ip", &["route"]))),
        ("qdiscs of the node", qdiscs(&here("tc", &["qdisc"]))),
        ("nftables of the node", sorted(&here("nft", &["--stateless", "list", "ruleset"]))),
        ("parameters of the container", PARAMETERS.iter().map(parameter).collect()),
        ("files", files),
    ])
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    String::from_utf8(output.unwrap_or_else(|e| panic!("{program}: {e}")).stdout).unwrap()
}

fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(|line| line.trim().to_string()).collect();
    // A bridge without ports has no carrier: whether the kernel has noticed is a matter of time.
    lines.iter_mut().for_each(|line| *line = line.replace(" linkdown", ""));
    lines.sort();
    lines
}

/// Name, MTU, queue length, MAC and the flags that somebody sets.
fn links(text: &str) -> Vec<String> {
    let of = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let after =
            |key: &str| words.iter().position(|w| *w == key).and_then(|at| words.get(at + 1)).copied();
        let flags: Vec<&str> = ["PROMISC", "ALLMULTI", "UP"]
            .into_iter()
            .filter(|flag| {
                words
                    .iter()
                    .any(|w| w.starts_with('<') && w.trim_matches(['<', '>']).split(',').any(|f| f == *flag))
            })
            .collect();
        let name = words.get(1).map(|name| name.split(['@', ':']).next().unwrap_or_default());
        // A bridge is made with one by chance.
        let mac = after("link/ether").filter(|_| name != Some("cni0"));
        format!("{name:?} mtu {:?} qlen {:?} mac {mac:?} {flags:?}", after("mtu"), after("qlen"))
    };
    sorted(&text.lines().map(of).collect::<Vec<_>>().join("\n"))
}

/// Without the numbers of links, and without link-local addresses, which come and go by themselves.
fn addresses(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.contains("scope link"));
    let of = |line: &str| line.split_whitespace().skip(1).take(3).collect::<Vec<_>>().join(" ");
    sorted(&lines.map(of).collect::<Vec<_>>().join("\n"))
}

fn qdiscs(text: &str) -> Vec<String> {
    // Handles are numbers by chance.
    let of = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.iter().enumerate().filter(|(at, _)| *at != 2).map(|(_, w)| *w).collect::<Vec<_>>().join(" ")
    };
    sorted(&text.lines().map(of).collect::<Vec<_>>().join("\n"))
}

/// Names alone, without those that stay by design: locks, the last address given, the boot, empty folders.
fn list(folder: &Path, files: &mut Vec<String>) {
    const STAY: [&str; 7] =
        ["lock", ".lock", "last_reserved_ip.0", "last_reserved_ip.1", ".weft-boot-id", ".boot-id", "steps"];
    let mut entries: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !path.is_symlink() {
            list(&path, files);
        } else if !STAY.contains(&name.as_str()) {
            files.push(path.display().to_string());
        }
    }
}
