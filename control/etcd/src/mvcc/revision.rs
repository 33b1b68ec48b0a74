//! Revisions and their form in the table of rows, which is etcd's own.
//!
//! ```text
//! 0        8   9        17  18
//! ┌────────┬───┬────────┬───┐
//! │ main   │ _ │ sub    │ t │   both big endian, so that rows lie in the order of history;
//! └────────┴───┴────────┴───┘   the `t` marks a deletion (its row holds the key alone)
//! ```
//!
//! Source: `server/storage/mvcc/revision.go`.

/// Length of a row's key, without the mark.
pub const LENGTH: usize = 17;

/// A place in history: the transaction, and the change in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Revision {
    /// Counts transactions that changed something.
    pub main: i64,
    /// Counts changes within one.
    pub sub: i64,
}

/// A row's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowKey {
    bytes: [u8; LENGTH + 1],
    length: usize,
}

impl RowKey {
    /// Of a change.
    pub fn of(revision: Revision, deletion: bool) -> RowKey {
        let mut bytes = [b't'; LENGTH + 1];
        bytes[..8].copy_from_slice(&revision.main.to_be_bytes());
        bytes[8] = b'_';
        bytes[9..LENGTH].copy_from_slice(&revision.sub.to_be_bytes());
        RowKey { bytes, length: if deletion { LENGTH + 1 } else { LENGTH } }
    }

    /// As stored.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Reads one back: the revision, and whether it is a deletion. `None`: this is no row's key.
    pub fn read(bytes: &[u8]) -> Option<(Revision, bool)> {
        let (main, rest) = bytes.split_first_chunk::<8>()?;
        let (b'_', rest) = rest.split_first()? else { return None };
        let (sub, mark) = rest.split_first_chunk::<8>()?;
        let revision = Revision { main: i64::from_be_bytes(*main), sub: i64::from_be_bytes(*sub) };
        match mark {
            [] => Some((revision, false)),
            [b't'] => Some((revision, true)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_key_is_read_back() {
        for (main, sub, deletion) in [(1, 0, false), (2, 7, true), (i64::MAX, i64::MAX, false)] {
            let revision = Revision { main, sub };
            assert_eq!(RowKey::read(RowKey::of(revision, deletion).bytes()), Some((revision, deletion)));
        }
        assert_eq!(RowKey::read(b"short"), None);
        assert_eq!(RowKey::read(&[b'x'; 18]), None);
    }

    #[test]
    fn rows_lie_in_the_order_of_history() {
        let key = |main, sub, deletion| RowKey::of(Revision { main, sub }, deletion).bytes().to_vec();
        assert!(key(1, 9, true) < key(2, 0, false) && key(2, 0, false) < key(2, 1, false));
    }
}
