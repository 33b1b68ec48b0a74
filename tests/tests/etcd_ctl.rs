//! Debian's `etcdctl` with a real etcd and with ours: every command that a person uses.
//!
//! Each test runs on a server of each kind, so that what is asserted here is what the real etcd does.

#![allow(clippy::unwrap_used, reason = "the file is a test")]

use weft_tests::etcd::{Ctl, Kind, Server, on_each};

#[test]
fn keys_are_put_got_and_deleted() {
    on_each(|server, ctl| {
        assert_eq!(ctl.ok(&["put", "a", "1"]), "OK");
        assert_eq!(ctl.ok(&["put", "--prev-kv", "a", "2"]), "OK\na\n1");
        assert_eq!(ctl.ok_with(&["put", "a/b"], "from stdin"), "OK");
        assert_eq!(ctl.ok(&["put", "empty", ""]), "OK");
        assert_eq!(ctl.ok(&["get", "a"]), "a\n2");
        assert_eq!(ctl.ok(&["get", "a", "--rev", "2"]), "a\n1");
        assert_eq!(ctl.ok(&["get", "--prefix", "a", "--print-value-only"]), "2\nfrom stdin");
        assert_eq!(ctl.ok(&["get", "", "--from-key", "--keys-only"]), "a\n\na/b\n\nempty");
        assert_eq!(ctl.ok(&["get", "", "--prefix", "--limit", "1"]), "a\n2");
        assert_eq!(
            ctl.ok(&["get", "", "--prefix", "--order", "DESCEND", "--sort-by", "CREATE", "--limit", "1"]),
            "empty"
        );
        let counted = Ctl::distro(server).ok(&["get", "a", "b", "--count-only", "-w", "fields"]);
        assert_eq!(counted.lines().last(), Some("\"Count\" : 2"));
        assert_eq!(ctl.ok(&["get", "--consistency", "s", "nothing"]), "");
        assert_eq!(ctl.ok(&["put", "a", "--ignore-value"]), "OK");
        assert!(ctl.fails(&["put", "nothing", "--ignore-value"]).contains("etcdserver: key not found"));
        assert!(ctl.fails(&["get", "a", "--rev", "99"]).contains("required revision is a future revision"));
        assert_eq!(ctl.ok(&["del", "--prev-kv", "a"]), "1\na\n2");
        assert_eq!(ctl.ok(&["del", "a"]), "0");
        assert_eq!(ctl.ok(&["del", "--prefix", ""]), "2");
    });
}

#[test]
fn json_carries_revisions_and_versions() {
    on_each(|_, ctl| {
        ctl.ok(&["put", "k", "v"]);
        ctl.ok(&["put", "k", "w"]);
        let got = ctl.json(&["get", "k"]);
        assert_eq!(got["header"]["revision"], 3);
        assert!(got["header"]["cluster_id"].as_u64().is_some_and(|id| id > 0));
        assert!(got["header"]["member_id"].as_u64().is_some_and(|id| id > 0));
        assert!(got["header"]["raft_term"].as_u64().is_some_and(|term| term > 0));
        let kv = &got["kvs"][0];
        assert_eq!(
            (&kv["create_revision"], &kv["mod_revision"], &kv["version"]),
            (&2.into(), &3.into(), &2.into())
        );
        assert_eq!((&kv["key"], &kv["value"]), (&"aw==".into(), &"dw==".into()));
    });
}

#[test]
fn transactions_are_read_from_stdin() {
    on_each(|_, ctl| {
        ctl.ok(&["put", "k", "old"]);
        let script = "value(\"k\") = \"old\"\nversion(\"k\") = \"1\"\n\nput k new\nget k\n\nput k never\n\n";
        assert_eq!(ctl.ok_with(&["txn"], script), "SUCCESS\n\nOK\n\nk\nnew");
        assert_eq!(ctl.ok_with(&["txn"], script), "FAILURE\n\nOK");
        let typed = "mod(\"k\") > \"1\"\ncreate(\"none\") = \"0\"\n\ndel k\n\n\n";
        let said = ctl.ok_with(&["txn", "-i"], typed);
        assert!(said.contains("compares:") && said.contains("SUCCESS\n\n1"), "{said}");
        assert_eq!(ctl.ok(&["get", "k"]), "");
        let twice = "\nput k 1\nput k 2\n\n\n";
        let refused = ctl.run_with(&["txn"], twice);
        assert!(
            !refused.status.success() && refused.error.contains("duplicate key given in txn request"),
            "{refused:?}"
        );
    });
}

/// The id in "lease ID granted with …".
fn granted(said: &str) -> String {
    said.split(' ').nth(1).unwrap().to_owned()
}

#[test]
fn leases_are_granted_kept_and_revoked() {
    on_each(|_, ctl| {
        let said = ctl.ok(&["lease", "grant", "100"]);
        let id = granted(&said);
        assert_eq!(said, format!("lease {id} granted with TTL(100s)"));
        ctl.ok(&["put", "a", "1", "--lease", &id]);
        ctl.ok(&["put", "b", "2", "--lease", &id]);
        let rest = ctl.ok(&["lease", "timetolive", "--keys", &id]);
        assert!(rest.starts_with(&format!("lease {id} granted with TTL(100s), remaining(")), "{rest}");
        // The order is a Go map's in etcd, another at each call.
        assert!(
            ["[a b])", "[b a])"].iter().any(|keys| rest.ends_with(&format!("attached keys({keys}"))),
            "{rest}"
        );
        assert_eq!(
            ctl.ok(&["lease", "keep-alive", "--once", &id]),
            format!("lease {id} keepalived with TTL(100)")
        );
        assert_eq!(ctl.ok(&["lease", "list"]), format!("found 1 leases\n{id}"));
        assert!(ctl.fails(&["put", "c", "3", "--lease", "1234"]).contains("requested lease not found"));
        assert_eq!(ctl.ok(&["lease", "revoke", &id]), format!("lease {id} revoked"));
        assert_eq!(ctl.ok(&["get", "--prefix", ""]), "");
        assert_eq!(ctl.ok(&["lease", "list"]), "found 0 leases");
        assert!(ctl.fails(&["lease", "revoke", &id]).contains("requested lease not found"));
        assert_eq!(ctl.ok(&["lease", "timetolive", &id]), format!("lease {id} already expired"));
    });
}

#[test]
fn a_lease_that_is_kept_alive_stays_and_one_that_is_not_goes() {
    on_each(|_, ctl| {
        let kept = granted(&ctl.ok(&["lease", "grant", "5"]));
        let left = granted(&ctl.ok(&["lease", "grant", "5"]));
        ctl.ok(&["put", "kept", "", "--lease", &kept]);
        ctl.ok(&["put", "left", "", "--lease", &left]);
        let watch = ctl.start(&["watch", "", "--prefix"]);
        let keeper = ctl.start(&["lease", "keep-alive", &kept]);
        assert_eq!(keeper.line(), format!("lease {kept} keepalived with TTL(5)"));
        assert_eq!(watch.lines(2), ["DELETE", "left"]);
        assert_eq!(ctl.ok(&["get", "--prefix", "", "--keys-only"]), "kept");
    });
}

#[test]
fn one_watch_sees_history_and_what_comes() {
    on_each(|_, ctl| {
        ctl.ok(&["put", "w/a", "1"]);
        ctl.ok(&["put", "w/a", "2"]);
        let watch = ctl.start(&["watch", "--prefix", "w/", "--rev", "2", "--prev-kv"]);
        assert_eq!(watch.lines(3), ["PUT", "w/a", "1"]);
        assert_eq!(watch.lines(5), ["PUT", "w/a", "1", "w/a", "2"]);
        ctl.ok(&["del", "w/a"]);
        assert_eq!(watch.lines(4), ["DELETE", "w/a", "2", "w/a"]);
        ctl.ok(&["put", "other", ""]);
        assert!(watch.is_silent());
    });
}

#[test]
fn several_watches_are_typed_into_one_etcdctl() {
    on_each(|_, ctl| {
        ctl.ok(&["put", "i/a", "0"]);
        let mut watch = ctl.start(&["watch", "-i"]);
        watch.types("watch i/a --rev 2");
        assert_eq!(watch.lines(3), ["PUT", "i/a", "0"]);
        watch.types("watch --prefix i/b --prev-kv");
        watch.types("progress");
        // One answer for all watches, and each says so.
        assert_eq!(watch.lines(2), ["progress notify: 2"; 2]);
        ctl.ok(&["put", "i/b1", "1"]);
        assert_eq!(watch.lines(3), ["PUT", "i/b1", "1"]);
        ctl.ok(&["put", "i/a", "2"]);
        assert_eq!(watch.lines(3), ["PUT", "i/a", "2"]);
    });
}

#[test]
fn a_compacted_past_is_gone() {
    on_each(|_, ctl| {
        for value in ["1", "2", "3"] {
            ctl.ok(&["put", "k", value]);
        }
        assert_eq!(ctl.ok(&["compaction", "3"]), "compacted revision 3");
        assert!(ctl.fails(&["get", "k", "--rev", "2"]).contains("required revision has been compacted"));
        assert_eq!(ctl.ok(&["get", "k", "--rev", "3"]), "k\n2");
        assert!(ctl.fails(&["compaction", "3"]).contains("required revision has been compacted"));
        assert!(ctl.fails(&["compaction", "9"]).contains("required revision is a future revision"));
        assert_eq!(ctl.ok(&["compaction", "4", "--physical"]), "compacted revision 4");
        assert!(ctl.fails(&["watch", "k", "--rev", "1"]).contains("required revision has been compacted"));
        let finished = ctl.ok(&["defrag"]);
        assert!(finished.starts_with("Finished defragmenting etcd member["), "{finished}");
        assert_eq!(ctl.ok(&["get", "k"]), "k\n3");
    });
}

#[test]
fn the_endpoint_is_known_and_healthy() {
    on_each(|server, ctl| {
        ctl.ok(&["put", "k", "v"]);
        let health = ctl.run(&["endpoint", "health"]);
        let told = health.out + &health.error;
        assert!(
            told.contains(&format!("{} is healthy: successfully committed proposal", server.url())),
            "{told}"
        );
        let status = &ctl.json(&["endpoint", "status"])[0]["Status"];
        assert_eq!(status["header"]["revision"], 2);
        assert!(status["dbSize"].as_u64().is_some_and(|size| size > 0), "{status}");
        assert_eq!(status["leader"], status["header"]["member_id"]);
        assert!(status["version"].as_str().is_some_and(|version| version.starts_with("3.")), "{status}");
        let table = ctl.ok(&["endpoint", "status", "-w", "table"]);
        assert!(table.contains("IS LEADER") && table.contains(" true "), "{table}");
        let hashed = &ctl.json(&["endpoint", "hashkv"])[0]["HashKV"];
        assert!(hashed["hash"].as_u64().is_some_and(|hash| hash > 0), "{hashed}");
        assert!(ctl.ok(&["endpoint", "hashkv", "-w", "table"]).contains("HASH"));
        let newer = Ctl::distro(server);
        assert_eq!(newer.json(&["endpoint", "hashkv"])[0]["HashKV"]["hash"], hashed["hash"]);
        assert!(newer.json(&["endpoint", "status"])[0]["Status"]["dbSizeInUse"].as_u64().is_some());
    });
}

#[test]
fn the_only_member_is_listed_and_has_no_alarm() {
    on_each(|server, ctl| {
        let members = ctl.json(&["member", "list"]);
        assert_eq!(members["members"].as_array().map(Vec::len), Some(1));
        let member = &members["members"][0];
        assert_eq!(member["name"], "test");
        assert_eq!(member["clientURLs"][0], server.url());
        assert_eq!(member["ID"], members["header"]["member_id"]);
        assert!(ctl.ok(&["member", "list"]).contains(", started, test, "));
        assert_eq!(ctl.ok(&["alarm", "list"]), "");
        assert_eq!(ctl.ok(&["alarm", "disarm"]), "");
    });
}

#[test]
fn a_lock_is_held_by_one_at_a_time() {
    on_each(|_, ctl| {
        let first = ctl.start(&["lock", "mutex"]);
        assert!(first.line().starts_with("mutex/"));
        let second = ctl.start(&["lock", "mutex"]);
        assert!(second.is_silent());
        first.interrupt();
        assert!(second.line().starts_with("mutex/"));
        second.interrupt();
        assert_eq!(ctl.ok(&["lock", "mutex", "echo", "inside"]), "inside");
    });
}

#[test]
fn an_election_has_one_winner_that_is_observed() {
    on_each(|_, ctl| {
        let first = ctl.start(&["elect", "office", "alice"]);
        let won = first.lines(2);
        assert!(won[0].starts_with("office/") && won[1] == "alice", "{won:?}");
        let observer = ctl.start(&["elect", "-l", "office"]);
        assert_eq!(observer.lines(2), won);
        let second = ctl.start(&["elect", "office", "bob"]);
        assert!(second.is_silent());
        first.interrupt();
        assert_eq!(second.lines(2)[1], "bob");
        assert_eq!(observer.lines(2)[1], "bob");
    });
}

/// Ours has no users: it must say so instead of taking a password that protects nothing.
#[test]
fn users_are_refused_by_ours() {
    for kind in Kind::wanted() {
        let server = Server::start(kind, &[]);
        let ctl = Ctl::debian(&server);
        if kind == Kind::Weft {
            for words in [&["user", "add", "root:secret"][..], &["auth", "enable"], &["role", "add", "r"]] {
                let said = ctl.fails(words);
                assert!(said.contains("has no users and roles"), "{words:?}: {said}");
            }
        } else {
            assert_eq!(ctl.ok(&["user", "add", "root:secret"]), "User root created");
        }
        assert_eq!(ctl.ok(&["put", "k", "v"]), "OK");
    }
}
