//! The Debian packages that building, the lab and the tests need, each with its reason, and which are there.
//!
//! dpkg's status file is read directly (a few milliseconds; starting `dpkg-query` for each package takes
//! longer than everything else together when all is installed, which is the usual case).

use crate::error::Error;
use std::collections::HashSet;
use std::path::Path;

/// How much of the machine a command needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// To compile the workspace.
    Build,
    /// To put up a lab as well.
    Lab,
    /// To run the tests as well.
    Test,
    /// To compile the kernel programs; nobody else needs that, as the object is committed.
    Bpf,
}

impl Need {
    /// Whether it includes another one.
    pub fn includes(self, other: Need) -> bool {
        match self {
            Need::Build => other == Need::Build,
            Need::Lab => matches!(other, Need::Build | Need::Lab),
            Need::Test => matches!(other, Need::Build | Need::Lab | Need::Test),
            Need::Bpf => matches!(other, Need::Build | Need::Bpf),
        }
    }
}

/// A package and what it is for.
#[derive(Clone, Copy, Debug)]
pub struct Package {
    /// Debian's name of it.
    pub name: &'static str,
    /// The need that it is wanted for, and for those that include it.
    pub need: Need,
    /// Why, in a few words, shown before it is installed.
    pub why: &'static str,
}

const fn package(name: &'static str, need: Need, why: &'static str) -> Package {
    Package { name, need, why }
}

/// All packages, in the order in which they are shown.
pub const PACKAGES: &[Package] = &[
    package("gcc", Need::Build, "links programs and compiles the cryptography"),
    package("libc6-dev", Need::Build, "the C library's headers and its static form"),
    package("pkg-config", Need::Build, "finds libraries"),
    package("protobuf-compiler", Need::Build, "compiles etcd's messages"),
    package("libprotobuf-dev", Need::Build, "the messages that those import"),
    package("etcd-server", Need::Test, "the embedded state's twin"),
    package("etcd-client", Need::Test, "etcdctl, to look at the state from outside"),
    package("faketime", Need::Test, "steps of the clock, for one program alone"),
    package("iproute2", Need::Test, "ip, bridge, tc: check the kernel's state from outside"),
    package("nftables", Need::Test, "nft: checks the rules from outside"),
    package("iptables", Need::Test, "what the reference plugins portmap and firewall execute"),
    package("util-linux", Need::Test, "nsenter and unshare"),
    package("iputils-ping", Need::Test, "ping, as a person would"),
    package("containernetworking-plugins", Need::Test, "the reference CNI plugins, our twins"),
    package("containerd", Need::Test, "a real caller of CNI plugins"),
    package("runc", Need::Test, "runs its containers"),
    package("crun", Need::Test, "runs podman's"),
    package("podman", Need::Test, "another real caller"),
    package("curl", Need::Test, "speaks to containerd's CRI"),
    package("python3-pip", Need::Test, "fetches etcd 3.5, a peer of the embedded etcd"),
    package("python3-kubernetes", Need::Test, "Kubernetes' Python client, one of the API server's"),
    package("busybox-static", Need::Test, "fills test containers"),
    package("rustc-web", Need::Bpf, "compiles the kernel programs"),
    package("libstd-rust-web-dev-bpf", Need::Bpf, "the core library for the kernel"),
    package("llvm", Need::Bpf, "llvm-objcopy: strips the object"),
];

/// Where dpkg keeps what is installed.
pub const STATUS_FILE: &str = "/var/lib/dpkg/status";

/// Packages wanted for `need` that dpkg's status file does not list as installed.
pub fn missing(need: Need, status: &Path) -> Result<Vec<Package>, Error> {
    let text = match std::fs::read_to_string(status) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(Error::NotDebian),
        Err(source) => return Err(Error::File { path: status.to_owned(), source }),
    };
    let installed = installed(&text);
    Ok(PACKAGES.iter().filter(|p| need.includes(p.need) && !installed.contains(p.name)).copied().collect())
}

/// Names of the packages whose status is "installed" and configured.
fn installed(status: &str) -> HashSet<&str> {
    let mut names = HashSet::new();
    for paragraph in status.split("\n\n") {
        let field = |key: &str| paragraph.lines().find_map(|line| line.strip_prefix(key));
        let complete = field("Status: ").is_some_and(|s| s.split(' ').nth(2) == Some("installed"));
        if let (Some(name), true) = (field("Package: "), complete) {
            names.insert(name);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Package: gcc\nStatus: install ok installed\nVersion: 1\n\n\
        Package: runc\nStatus: deinstall ok config-files\n\nPackage: crun\nStatus: install ok half-configured\n";

    #[test]
    fn only_complete_packages_count() {
        assert_eq!(installed(STATUS), HashSet::from(["gcc"]));
    }

    #[test]
    fn needs_include_one_another() {
        let path = std::env::temp_dir().join(format!("xtask-status-{}", std::process::id()));
        std::fs::write(&path, STATUS).unwrap();
        let names = |need| missing(need, &path).unwrap().iter().map(|p| p.name).collect::<Vec<_>>();
        assert!(!names(Need::Build).contains(&"gcc"));
        assert!(!names(Need::Build).contains(&"etcd-server"));
        assert!(!names(Need::Lab).contains(&"etcd-server"), "the lab has its own state");
        assert!(names(Need::Test).contains(&"etcd-server"));
        assert!(names(Need::Test).contains(&"crun") && names(Need::Test).contains(&"etcd-server"));
        assert!(names(Need::Bpf).contains(&"rustc-web") && names(Need::Bpf).contains(&"pkg-config"));
        assert!(!names(Need::Bpf).contains(&"podman") && !names(Need::Test).contains(&"rustc-web"));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(missing(Need::Build, &path), Err(Error::NotDebian)));
    }

    #[test]
    fn each_package_is_listed_once() {
        let names: HashSet<_> = PACKAGES.iter().map(|p| p.name).collect();
        assert_eq!(names.len(), PACKAGES.len());
    }
}
