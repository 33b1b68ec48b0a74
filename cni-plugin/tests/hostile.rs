//! Damaged configurations, environments, prevResults and state files, for every personality and verb: an error with a code,
//! never a panic, and never a half change.

#![allow(clippy::unwrap_used)] // a test says by its panic what is wrong

mod common;

use common::rows::{Cell, Row, rows};
use common::snapshot::snapshot;
use common::{Node, Whose};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Values that nobody expects.
fn odd() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        Just(json!("../../etc/passwd")),
        Just(json!("a".repeat(5000))),
        Just(json!([])),
        Just(json!({})),
        Just(json!([null, {"address": 5}])),
        Just(json!({"type": "host-local", "ranges": [[{"subnet": "0.0.0.0/0"}]]})),
        Just(json!("10.99.0.300/24")),
        Just(json!("::/0")),
    ]
}

/// Where in a configuration something is put: by numbers, taken modulo what is there.
fn damage() -> impl Strategy<Value = (Vec<usize>, Value)> {
    (prop::collection::vec(0usize..64, 1..5), odd())
}

/// Replaces one value of a tree.
fn put(tree: &mut Value, way: &[usize], value: Value) {
    let Some((first, rest)) = way.split_first() else {
        *tree = value;
        return;
    };
    match tree {
        Value::Object(map) if !map.is_empty() => {
            let key = map.keys().nth(first % map.len()).unwrap().clone();
            put(&mut map[&key], rest, value);
        }
        Value::Array(list) if !list.is_empty() => {
            let at = first % list.len();
            put(&mut list[at], rest, value);
        }
        other => *other = value,
    }
}

/// Calls every verb; an answer is nothing, a result, or an error with a code: [`common::Call::run`] panics otherwise.
fn call_all(cell: &Cell, config: &Value, netns: &str) -> Vec<Result<Value, Value>> {
    let verbs = ["ADD", "CHECK", "STATUS", "VERSION", "DEL", "GC"];
    verbs.map(|verb| cell.prepared(verb, netns).run(config)).to_vec()
}

fn with_result(cell: &Cell, result: &Value) -> Value {
    let mut config = cell.config.clone();
    config["prevResult"] = result.clone();
    config["cni.dev/valid-attachments"] = json!([]);
    config
}

/// As many cases for each personality.
fn runner() -> TestRunner {
    TestRunner::new(Config { cases: 25, failure_persistence: None, ..Config::default() })
}

fn used(row: &Row) -> (Cell<'_>, Value) {
    let cell = Cell::new(row, Whose::Ours, "1.1.0");
    let result = cell.call("ADD", &json!({})).unwrap_or_else(|e| panic!("{}: {e}", row.plugin));
    cell.call("DEL", &json!({})).unwrap();
    (cell, result)
}

#[test]
fn damaged_configurations_and_prevresults_are_errors_that_change_nothing() {
    for row in rows() {
        let (cell, result) = used(&row);
        let whole = with_result(&cell, &result);
        let case = |(way, value): (Vec<usize>, Value)| {
            let mut config = whole.clone();
            put(&mut config, &way, value);
            // Folders that a damaged key names are not to be made on this machine.
            keep_inside(&mut config, cell.node.dir.path());
            let path = cell.pod.path();
            let clean = snapshot(&cell.node, &cell.pod);
            let added = cell.prepared("ADD", &path).run(&config);
            if added.is_err() {
                for (place, now) in snapshot(&cell.node, &cell.pod) {
                    prop_assert_eq!(&now, &clean[place], "{} {}: {}", row.plugin, place, &config);
                }
            }
            call_all(&cell, &config, &path);
            // Whatever it made goes by the whole configuration.
            cell.prepared("DEL", &path).run(&config).ok();
            cell.call("DEL", &json!({})).unwrap();
            remove_others(&cell);
            // A case that was served may have given the empty bridge another address; the next ADD that gets as far
            // as the bridge gives it back, whatever becomes of that ADD.
            cell.call("ADD", &json!({})).unwrap_or_else(|e| panic!("{} after {config}: {e}", row.plugin));
            cell.call("DEL", &json!({})).unwrap();
            Ok(())
        };
        runner().run(&damage(), case).unwrap_or_else(|e| panic!("{}: {e}", row.plugin));
    }
}

/// Paths of state stay in the test's folder, and the bridge is the test's.
fn keep_inside(config: &mut Value, folder: &Path) {
    fn walk(value: &mut Value, folder: &Path) {
        match value {
            Value::Object(map) => {
                for (key, value) in map.iter_mut() {
                    let of_state = ["dataDir", "subnetFile"].contains(&key.as_str());
                    let outside = value.as_str().is_none_or(|path| !Path::new(path).starts_with(folder));
                    if of_state && outside && value.is_string() {
                        *value = json!(folder.join("elsewhere"));
                    }
                    walk(value, folder);
                }
            }
            Value::Array(list) => list.iter_mut().for_each(|value| walk(value, folder)),
            _ => {}
        }
    }
    walk(config, folder);
}

/// What a damaged name had made: links and files of other networks.
fn remove_others(cell: &Cell) {
    let mut kernel = cell.node.kernel();
    let keep = |name: &str| ["lo", "cni0"].contains(&name) || cell.row.behind;
    for link in kernel.route.links().unwrap().into_iter().filter(|link| !keep(&link.name)) {
        let _ = kernel.apply_all(&[netstate::Op::DeleteLink(link.name)]);
    }
    let _ = std::fs::remove_dir_all(cell.node.dir.path().join("elsewhere"));
}

#[test]
fn damaged_environments_are_errors_with_a_code() {
    let odd = prop_oneof![
        "\\PC{0,20}",
        Just("../x".to_string()),
        Just("a=b;c".to_string()),
        Just("IP=::".to_string())
    ];
    for row in rows() {
        let (cell, result) = used(&row);
        let clean = snapshot(&cell.node, &cell.pod);
        let whole = with_result(&cell, &result);
        let names = prop::sample::select(vec![
            "CNI_COMMAND",
            "CNI_CONTAINERID",
            "CNI_NETNS",
            "CNI_IFNAME",
            "CNI_ARGS",
            "CNI_PATH",
        ]);
        let case = |(name, value): (&'static str, String)| {
            prop_assume!(!value.contains('\0'));
            let path = cell.pod.path();
            for verb in ["ADD", "DEL", "CHECK"] {
                let answer = cell.prepared(verb, &path).with(name, &value).run(&whole);
                if verb == "ADD" && answer.is_err() {
                    for (place, now) in snapshot(&cell.node, &cell.pod) {
                        prop_assert_eq!(&now, &clean[place], "{} {}: {}={}", row.plugin, place, name, value);
                    }
                }
            }
            cell.call("DEL", &json!({})).unwrap();
            Ok(())
        };
        let cases = Config { cases: 12, failure_persistence: None, ..Config::default() };
        TestRunner::new(cases).run(&(names, &odd), case).unwrap_or_else(|e| panic!("{}: {e}", row.plugin));
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        match entry.is_dir() && !entry.is_symlink() {
            true => found.extend(files(&entry)),
            false => found.push(entry),
        }
    }
    found
}

fn damage_files(node: &Node, bytes: &[u8]) {
    for file in files(node.dir.path()).into_iter().filter(|file| file.file_name().unwrap() != "subnet.env") {
        // A link of the index that leads nowhere is damage as well.
        let _ = std::fs::write(&file, bytes);
    }
}

#[test]
fn damaged_state_files_are_errors_or_lost_and_never_a_panic() {
    let junk = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        Just(b"{}".to_vec()),
        Just(b"[1]".to_vec()),
        Just(b"{\"version\": 99}".to_vec()),
        Just(Vec::new()),
    ];
    for row in rows() {
        let case = |bytes: Vec<u8>| {
            let cell = Cell::new(&row, Whose::Ours, "1.1.0");
            let result = cell.call("ADD", &json!({})).unwrap();
            damage_files(&cell.node, &bytes);
            let whole = with_result(&cell, &result);
            for verb in ["CHECK", "STATUS", "DEL", "GC", "ADD", "DEL"] {
                let _ = cell.prepared(verb, &cell.pod.path()).run(&whole);
            }
            Ok(())
        };
        let cases = Config { cases: 8, failure_persistence: None, ..Config::default() };
        TestRunner::new(cases).run(&junk, case).unwrap_or_else(|e| panic!("{}: {e}", row.plugin));
    }
}
