//! Which fields the messages of etcd's rpc.proto have, as numbers and kinds.

/// A message: its fields.
pub type Shape = [(u64, Kind)];

/// What a field holds.
pub enum Kind {
    Bytes,
    /// Numbers, enumerations and booleans.
    Number,
    /// Other messages, any number of them.
    Message(&'static Shape),
}

use Kind::{Bytes, Message, Number};

static RANGE: [(u64, Kind); 13] = [
    (1, Bytes),
    (2, Bytes),
    (3, Number),
    (4, Number),
    (5, Number),
    (6, Number),
    (7, Number),
    (8, Number),
    (9, Number),
    (10, Number),
    (11, Number),
    (12, Number),
    (13, Number),
];
static PUT: [(u64, Kind); 6] = [(1, Bytes), (2, Bytes), (3, Number), (4, Number), (5, Number), (6, Number)];
static DELETE: [(u64, Kind); 3] = [(1, Bytes), (2, Bytes), (3, Number)];
static OPERATION: [(u64, Kind); 4] =
    [(1, Message(&RANGE)), (2, Message(&PUT)), (3, Message(&DELETE)), (4, Message(&TXN))];
static COMPARE: [(u64, Kind); 9] = [
    (1, Number),
    (2, Number),
    (3, Bytes),
    (4, Number),
    (5, Number),
    (6, Number),
    (7, Bytes),
    (8, Number),
    (64, Bytes),
];
static TXN: [(u64, Kind); 3] = [(1, Message(&COMPARE)), (2, Message(&OPERATION)), (3, Message(&OPERATION))];
static WATCH_CREATE: [(u64, Kind); 8] =
    [(1, Bytes), (2, Bytes), (3, Number), (4, Number), (5, Number), (6, Number), (7, Number), (8, Number)];
static NUMBER: [(u64, Kind); 1] = [(1, Number)];
static TWO_NUMBERS: [(u64, Kind); 2] = [(1, Number), (2, Number)];
static THREE_NUMBERS: [(u64, Kind); 3] = [(1, Number), (2, Number), (3, Number)];
static WATCH: [(u64, Kind); 3] = [(1, Message(&WATCH_CREATE)), (2, Message(&NUMBER)), (3, Message(&[]))];

/// The shape of a method's request; None for those whose requests say nothing.
pub fn of_method(method: &str) -> Option<&'static Shape> {
    Some(match method.rsplit('/').next()? {
        "Range" | "RangeStream" => &RANGE,
        "Put" => &PUT,
        "DeleteRange" => &DELETE,
        "Txn" => &TXN,
        "Watch" => &WATCH,
        "Compact" | "LeaseGrant" | "LeaseTimeToLive" => &TWO_NUMBERS,
        "LeaseRevoke" | "LeaseKeepAlive" | "HashKV" | "MoveLeader" | "MemberList" | "MemberRemove" => &NUMBER,
        "Alarm" => &THREE_NUMBERS,
        _ => return None,
    })
}
