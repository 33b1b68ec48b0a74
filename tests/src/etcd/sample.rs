//! A small history that has everything which is to survive a move from one server to another.

use super::Ctl;

/// The revision that [`fill`] compacts up to.
pub const COMPACTED: i64 = 9;

/// Keys with history, some deleted, some compacted, several changes in one revision; two leases.
///
/// # Panics
/// When the server refuses a part of it.
pub fn fill(ctl: &Ctl) {
    for round in 0..5 {
        for key in ["a", "b", "b/1", "c"] {
            ctl.ok(&["put", key, &format!("{key}-{round}")]);
        }
    }
    ctl.ok(&["lease", "grant", "1000"]);
    let granted = ctl.json(&["lease", "grant", "2000"]);
    let id = granted["ID"].as_u64().expect("a lease has an id");
    ctl.ok(&["put", "leased", "x", "--lease", &format!("{id:x}")]);
    ctl.ok(&["put", "leased/2", "", "--lease", &format!("{id:x}")]);
    ctl.ok(&["del", "b"]);
    ctl.ok(&["compaction", &COMPACTED.to_string(), "--physical"]);
    ctl.ok_with(&["txn"], "\nput t 1\ndel c\n\n\n");
}
