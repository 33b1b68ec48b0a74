//! Steps of the wall clock under `weft etcd`: nothing of it depends on that clock.

#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

use std::path::{Path, PathBuf};
use std::time::Duration;
use weft_tests::etcd::{Ctl, Kind, Server};

/// libfaketime, by Debian's multiarch folders.
fn faketime() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").unwrap().flatten();
    let mut found = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    found.find(|path| path.is_file()).expect("libfaketime is there: `cargo xtask setup`")
}

fn step(file: &Path, to: &str) {
    std::fs::write(file, to).unwrap();
    // It looks at the file again every so often.
    std::thread::sleep(Duration::from_millis(300));
}

#[test]
fn steps_of_the_clock_touch_no_lease_and_no_request() {
    let mut server = Server::unstarted(Kind::Weft, &[]);
    let file = server.dir().join("clock");
    std::fs::write(&file, "+0").unwrap();
    server.set("LD_PRELOAD", &faketime().display().to_string());
    server.set("FAKETIME_TIMESTAMP_FILE", &file.display().to_string());
    server.set("FAKETIME_NO_CACHE", "1");
    server.set("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    server.restart();
    let ctl = Ctl::debian(&server);
    let granted = ctl.ok(&["lease", "grant", "3600"]);
    let lease = granted.split_whitespace().nth(1).unwrap().to_owned();
    ctl.ok(&["put", "kept", "1", "--lease", &lease]);
    for clock in ["+400d", "-400d", "+0"] {
        step(&file, clock);
        let value = format!("at {clock}");
        ctl.ok(&["put", "clock", &value]);
        assert_eq!(ctl.ok(&["get", "clock", "--print-value-only"]).trim(), value);
        let left = ctl.ok(&["lease", "timetolive", &lease]);
        let left: i64 = left.split("remaining(").nth(1).unwrap().split('s').next().unwrap().parse().unwrap();
        assert!((3500..=3600).contains(&left), "{left} s are left with the clock at {clock}");
        assert_eq!(ctl.ok(&["get", "kept", "--print-value-only"]).trim(), "1");
    }
    // And over a restart in another year.
    step(&file, "+800d");
    server.kill();
    server.restart();
    let left = Ctl::debian(&server).ok(&["lease", "timetolive", &lease]);
    assert!(left.contains("granted with TTL(3600s)"), "{left}");
    let log = server.log();
    let years: Vec<&str> =
        log.lines().filter(|line| line.contains("serving")).map(|line| &line[..4]).collect();
    assert!(years.len() == 2 && years[0] != years[1], "the clock was not stepped: {log}");
}
