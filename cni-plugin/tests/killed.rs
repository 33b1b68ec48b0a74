//! Each personality killed at each of its steps: DEL, or GC, of the container leaves nothing and loses nothing.

#![allow(clippy::unwrap_used)] // a test says by its panic what is wrong

mod common;

use common::rows::{Cell, Row, rows};
use common::snapshot::snapshot;
use common::{Call, Pod, Whose};
use serde_json::{Value, json};
use std::os::unix::process::ExitStatusExt;

/// A cell in which another container has come and gone: what stays then, such as a bridge, stays by design.
fn used(row: &Row) -> Cell<'_> {
    let cell = Cell::new(row, Whose::Ours, "1.1.0");
    cell.call("ADD", &json!({})).unwrap_or_else(|e| panic!("{}: {e}", row.plugin));
    cell.call("DEL", &json!({})).unwrap_or_else(|e| panic!("{}: {e}", row.plugin));
    cell
}

/// Kills a command at step after step until it survives; `then` has to bring the node back to what it was.
fn at_each_step(
    row: &Row,
    command: &str,
    before: impl Fn(&Cell),
    how: &str,
    then: impl Fn(&Cell, &str),
) -> u32 {
    for step in 1.. {
        let cell = used(row);
        let clean = snapshot(&cell.node, &cell.pod);
        before(&cell);
        let (log, path) = (cell.node.dir.path().join("steps"), cell.pod.path());
        let call = cell.prepared(command, &path).with("WEFT_CNI_CRASH_AT", step);
        let output = call.with("WEFT_CNI_CRASH_LOG", log.display()).output(&cell.config);
        if output.status.success() {
            return step - 1;
        }
        let steps = std::fs::read_to_string(&log).unwrap_or_default();
        let when = format!("{} {command} killed after step {:?}", row.plugin, steps.lines().last());
        assert_eq!(output.status.signal(), Some(9), "{when}: {}", String::from_utf8_lossy(&output.stdout));
        then(&cell, &when);
        let now = snapshot(&cell.node, &cell.pod);
        // GC is not told of containers that are gone, and so cannot look into them.
        let looked = |place: &str| how == "DEL" || !place.ends_with("of the container");
        for (place, was) in clean.into_iter().filter(|(place, _)| looked(place)) {
            assert_eq!(now[place], was, "{when}, then {how}: {place}");
        }
    }
    unreachable!()
}

fn del(cell: &Cell, when: &str) {
    cell.call("DEL", &json!({})).unwrap_or_else(|e| panic!("{when}: {e}"));
}

/// DEL, and the container can be attached again.
fn del_and_again(cell: &Cell, when: &str) {
    del(cell, when);
    let result = cell.call("ADD", &json!({})).unwrap_or_else(|e| panic!("{when}: ADD again: {e}"));
    cell.call("CHECK", &json!({"prevResult": result})).unwrap_or_else(|e| panic!("{when}: CHECK: {e}"));
    del(cell, when);
}

#[test]
fn del_cleans_an_add_that_was_killed_at_any_step() {
    for row in rows() {
        at_each_step(&row, "ADD", |_| {}, "DEL", del_and_again);
    }
}

#[test]
fn a_second_del_finishes_one_that_was_killed_at_any_step() {
    for row in rows() {
        let add = |cell: &Cell| drop(cell.call("ADD", &json!({})).unwrap());
        at_each_step(&row, "DEL", add, "DEL", del);
    }
}

#[test]
fn gc_cleans_an_add_that_was_killed_at_any_step_and_keeps_the_others() {
    for row in rows() {
        at_each_step(
            &row,
            "ADD",
            |_| {},
            "GC",
            |cell, when| {
                let gc = |valid: Value| {
                    let keys = json!({"cni.dev/valid-attachments": valid});
                    cell.call("GC", &keys).unwrap_or_else(|e| panic!("{when}: GC: {e}"));
                };
                if !cell.row.behind {
                    let kept = Pod::new();
                    let path = kept.path();
                    let call = |command| {
                        Call::new(Whose::Ours, command, "kept", &path).of(Whose::Ours, cell.row.plugin)
                    };
                    // Two cannot have one host port.
                    let mut config = cell.config.clone();
                    config["runtimeConfig"]["portMappings"] = json!([]);
                    let result = call("ADD").run(&config).unwrap_or_else(|e| panic!("{when}: {e}"));
                    gc(json!([{"containerID": "kept", "ifname": "eth0"}]));
                    config["prevResult"] = result;
                    call("CHECK").run(&config).unwrap_or_else(|e| panic!("{when}: GC broke another: {e}"));
                }
                gc(json!([]));
            },
        );
    }
}
