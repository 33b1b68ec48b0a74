//! Personality × verb × version: each cell in real namespaces, by the reference plugin where it has the cell and by
//! ours, and the same answers of both. What differs is listed in docs/reference/weft-cni-plugins.md.

#![allow(clippy::unwrap_used)] // a test says by its panic what is wrong

mod common;

use cni_plugin::types::CniResult;
use common::rows::{Cell, Row, rows};
use common::{Call, Node, Whose};
use serde_json::{Value, json};

const VERSIONS: [&str; 7] = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// ADD, CHECK, DEL and DEL again of one cell; the result.
fn life(row: &Row, whose: Whose, version: &str) -> Result<Value, Value> {
    let cell = Cell::new(row, whose, version);
    let place = format!("{whose:?} {} {version}", row.plugin);
    let result = cell.call("ADD", &json!({}))?;
    assert_eq!(result["cniVersion"], *version, "{place}");
    let check = cell.call("CHECK", &json!({"prevResult": result}));
    match version {
        // It looks for the chains of IPv6, which it makes for containers with such an address alone.
        _ if whose == Whose::Reference && row.plugin == "portmap" => {}
        "0.4.0" | "1.0.0" | "1.1.0" => drop(check.unwrap_or_else(|e| panic!("{place}: CHECK: {e}"))),
        _ => assert_eq!(check.unwrap_err()["code"], 1, "{place}: CHECK came with 0.4.0"),
    }
    for _ in 0..2 {
        let deleted = cell.call("DEL", &json!({"prevResult": result}));
        assert_eq!(deleted.unwrap_or_else(|e| panic!("{place}: DEL: {e}")), Value::Null, "{place}");
    }
    assert_eq!(cell.node.reserved("testnet").len(), usize::from(row.behind), "{place}");
    Ok(cell.normal(&result))
}

#[test]
fn every_version_gives_the_reference_plugins_results() {
    for row in rows() {
        for version in VERSIONS {
            let ours = life(&row, Whose::Ours, version);
            if row.plugin == "weft-cni" && version < "0.3.0" {
                // The bandwidth plugin finds the link to shape in the result, which has none then.
                assert_eq!(ours.unwrap_err()["code"], 1, "{version}");
                continue;
            }
            if !row.reference || version == "1.1.0" {
                ours.unwrap_or_else(|e| panic!("{} {version}: {e}", row.plugin));
                continue;
            }
            match (life(&row, Whose::Reference, version), ours) {
                // The reference prints the form of 1.0.0, whatever version it says that is.
                (Ok(_), Ok(ours)) if row.plugin == "loopback" && version < "1.0.0" => {
                    let ours = CniResult::from_value(&ours).unwrap();
                    assert_eq!(ours.ips[0].address.to_string(), "127.0.0.1/8");
                }
                (Ok(theirs), Ok(ours)) => assert_eq!(ours, theirs, "{} {version}", row.plugin),
                // The reference's firewall begins with 0.4.0.
                (Err(theirs), Ok(_)) if row.plugin == "firewall" && version < "0.4.0" => {
                    assert_eq!(theirs["code"], 1)
                }
                // Words and codes differ; that something cannot be done must not.
                (theirs, ours) => {
                    assert!(theirs.is_err() && ours.is_err(), "{} {version}: {theirs:?} {ours:?}", row.plugin)
                }
            }
        }
    }
}

#[test]
fn version_tells_what_is_spoken_and_keeps_to_the_callers_version() {
    for row in rows() {
        let cell = Cell::new(&row, Whose::Ours, "1.1.0");
        let said = cell.call("VERSION", &json!({"cniVersion": "0.4.0"})).unwrap();
        assert_eq!(
            (&said["cniVersion"], said["supportedVersions"].as_array().unwrap().len()),
            (&json!("0.4.0"), 7)
        );
    }
}

#[test]
fn gc_frees_exactly_what_no_valid_attachment_names() {
    for row in rows() {
        let cell = Cell::new(&row, Whose::Ours, "1.1.0");
        let result = cell.call("ADD", &json!({})).unwrap();
        let keep = json!({"cni.dev/valid-attachments": [{"containerID": "c1", "ifname": "eth0"}]});
        assert_eq!(cell.call("GC", &keep), Ok(Value::Null), "{}", row.plugin);
        cell.call("CHECK", &json!({"prevResult": result})).unwrap_or_else(|e| panic!("{}: {e}", row.plugin));
        let nothing = json!({"cni.dev/valid-attachments": []});
        assert_eq!(cell.call("GC", &nothing), Ok(Value::Null), "{}", row.plugin);
        assert_eq!(cell.node.reserved("testnet").len(), usize::from(row.behind), "{}", row.plugin);
        assert_eq!(cell.call("GC", &json!({})).unwrap_err()["code"], 7, "{}", row.plugin);
        cell.call("DEL", &json!({})).unwrap();
    }
}

#[test]
fn status_is_well_where_an_add_would_be() {
    for row in rows() {
        let cell = Cell::new(&row, Whose::Ours, "1.1.0");
        assert_eq!(cell.call("STATUS", &json!({})), Ok(Value::Null), "{}", row.plugin);
        let older = cell.call("STATUS", &json!({"cniVersion": "1.0.0"})).unwrap_err();
        assert_eq!(older["code"], 1, "{}", row.plugin);
    }
}

#[test]
fn a_lost_namespace_and_a_missing_variable_have_their_codes() {
    for row in rows().iter().filter(|row| !["host-local", "static"].contains(&row.plugin)) {
        let cell = Cell::new(row, Whose::Ours, "1.1.0");
        let call = |command, netns| Call::new(Whose::Ours, command, "c1", netns).of(Whose::Ours, row.plugin);
        let lost = call("ADD", "/nonexistent/netns").run(&cell.config).unwrap_err();
        assert_eq!(lost["code"], 3, "{}: {lost}", row.plugin);
        assert_eq!(call("ADD", "").run(&cell.config).unwrap_err()["code"], 4, "{}", row.plugin);
        for netns in ["", "/nonexistent/netns"] {
            assert_eq!(call("DEL", netns).run(&cell.config), Ok(Value::Null), "{}", row.plugin);
        }
        assert!(cell.node.veths().len() == usize::from(row.behind), "{}", row.plugin);
    }
}

#[test]
fn a_name_that_is_another_plugins_is_refused_and_any_other_is_the_chain() {
    let node = Node::new();
    let link = |name: &str| {
        let path = node.dir.path().join(name);
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_weft-cni"), &path).unwrap();
        path
    };
    let mut call = Call::new(Whose::Ours, "VERSION", "", "");
    call.binary = link("macvlan");
    let error = call.run(&json!({"cniVersion": "1.0.0"})).unwrap_err();
    assert!(error["msg"].as_str().unwrap().contains("macvlan") && error["code"] == 4, "{error}");
    call.binary = link("weft-cni-1.2");
    call.run(&json!({"cniVersion": "1.0.0"})).unwrap();
}
