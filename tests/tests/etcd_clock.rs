//! Steps of the wall clock under `weft etcd`: nothing of it depends on that clock.

#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

use weft_tests::clock::Clock;
use weft_tests::etcd::{Ctl, Kind, Server};

#[test]
fn steps_of_the_clock_touch_no_lease_and_no_request() {
    let mut server = Server::unstarted(Kind::Weft, &[]);
    let faked = Clock::within(server.dir());
    faked.environment().iter().for_each(|(name, value)| server.set(name, value));
    server.restart();
    let ctl = Ctl::debian(&server);
    let granted = ctl.ok(&["lease", "grant", "3600"]);
    let lease = granted.split_whitespace().nth(1).unwrap().to_owned();
    ctl.ok(&["put", "kept", "1", "--lease", &lease]);
    for clock in ["+400d", "-400d", "+0"] {
        faked.step(clock);
        let value = format!("at {clock}");
        ctl.ok(&["put", "clock", &value]);
        assert_eq!(ctl.ok(&["get", "clock", "--print-value-only"]).trim(), value);
        let left = ctl.ok(&["lease", "timetolive", &lease]);
        let left: i64 = left.split("remaining(").nth(1).unwrap().split('s').next().unwrap().parse().unwrap();
        assert!((3500..=3600).contains(&left), "{left} s are left with the clock at {clock}");
        assert_eq!(ctl.ok(&["get", "kept", "--print-value-only"]).trim(), "1");
    }
    // And over a restart in another year.
    faked.step("+800d");
    server.kill();
    server.restart();
    let left = Ctl::debian(&server).ok(&["lease", "timetolive", &lease]);
    assert!(left.contains("granted with TTL(3600s)"), "{left}");
    let log = server.log();
    let years: Vec<&str> =
        log.lines().filter(|line| line.contains("serving")).map(|line| &line[..4]).collect();
    assert!(years.len() == 2 && years[0] != years[1], "the clock was not stepped: {log}");
    server.kill();
}
