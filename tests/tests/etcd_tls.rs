//! TLS of `weft etcd`: who is let in, and certificates that change while it runs. The same by Debian's etcd.

#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use weft_tests::etcd::{Kind, free_port};

/// Files of one authority: its certificate, and certificates that it gave.
struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn of(name: &str) -> Authority {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        Authority { certificate, issuer: Issuer::new(params, key) }
    }

    /// Writes `NAME.crt` and `NAME.key`.
    fn give(&self, dir: &Path, name: &str) {
        let mut params =
            CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.extended_key_usages =
            vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth, rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(dir.join(format!("{name}.key")), key.serialize_pem()).unwrap();
        std::fs::write(dir.join(format!("{name}.crt")), certificate.pem()).unwrap();
    }
}

struct Secured {
    dir: TempDir,
    port: u16,
    child: Child,
}

impl Drop for Secured {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Secured {
    fn start(kind: Kind) -> Secured {
        let dir = tempfile::tempdir().unwrap();
        let ours = Authority::of("ours");
        std::fs::write(dir.path().join("ca.crt"), &ours.certificate).unwrap();
        ours.give(dir.path(), "server");
        ours.give(dir.path(), "client");
        let theirs = Authority::of("theirs");
        theirs.give(dir.path(), "stranger");
        let port = free_port();
        let url = format!("https://127.0.0.1:{port}");
        let mut command = kind.command();
        command.current_dir(dir.path()).args(["--data-dir", "data"]);
        command.args(["--listen-client-urls", &url, "--advertise-client-urls", &url]);
        command.args(["--cert-file", "server.crt", "--key-file", "server.key"]);
        command.args(["--trusted-ca-file", "ca.crt", "--client-cert-auth"]);
        if kind.has_peers() {
            let peer = format!("http://127.0.0.1:{}", free_port());
            command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
            command.args(["--initial-cluster", &format!("default={peer}")]);
        }
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let server = Secured { dir, port, child };
        let started = Instant::now();
        while !server.ask("https", Some("client"), &["get", "a"]).status.success() {
            assert!(started.elapsed() < Duration::from_secs(30), "{kind:?} does not serve");
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }

    fn ask(&self, scheme: &str, who: Option<&str>, words: &[&str]) -> Output {
        let mut command = Command::new("etcdctl");
        command.current_dir(self.dir.path()).env("ETCDCTL_API", "3");
        command.args(["--dial-timeout=1s", "--command-timeout=2s"]);
        command.arg(format!("--endpoints={scheme}://127.0.0.1:{}", self.port));
        if scheme == "https" {
            command.arg("--cacert=ca.crt");
        }
        if let Some(who) = who {
            command.args([format!("--cert={who}.crt"), format!("--key={who}.key")]);
        }
        command.args(words).output().expect("etcdctl is there: `cargo xtask setup`")
    }
}

#[test]
fn only_clients_with_a_certificate_of_the_authority_are_let_in() {
    for kind in [Kind::Debian, Kind::Weft] {
        let server = Secured::start(kind);
        assert!(server.ask("https", Some("client"), &["put", "a", "1"]).status.success(), "{kind:?}");
        for (scheme, who) in [("https", None), ("https", Some("stranger")), ("http", None)] {
            let refused = server.ask(scheme, who, &["put", "a", "2"]);
            assert!(!refused.status.success(), "{kind:?}: {scheme}, {who:?} was let in");
        }
        let kept = server.ask("https", Some("client"), &["get", "a", "--print-value-only"]);
        assert_eq!(String::from_utf8_lossy(&kept.stdout), "1\n", "{kind:?}");
    }
}

#[test]
fn new_certificates_need_no_restart_and_broken_ones_change_nothing() {
    let server = Secured::start(Kind::Weft);
    let dir = server.dir.path();
    let next = Authority::of("next");
    next.give(dir, "server");
    let old = server.ask("https", Some("client"), &["get", "a"]);
    assert!(!old.status.success(), "its new certificate is of another authority");
    std::fs::write(dir.join("ca.crt"), &next.certificate).unwrap();
    next.give(dir, "client");
    let renewed = server.ask("https", Some("client"), &["get", "a"]);
    assert!(renewed.status.success(), "{renewed:?}");
    std::fs::write(dir.join("server.crt"), "no certificate").unwrap();
    let kept = server.ask("https", Some("client"), &["get", "a"]);
    assert!(kept.status.success(), "the earlier certificate stays in force: {kept:?}");
}
