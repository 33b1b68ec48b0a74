//! How much a JSON patch may copy and nest.

use super::PatchError;
use crate::body::Limits;
use json_patch::PatchOperation;
use serde_json::Value;

/// Upstream's bound on what `copy` may add in one patch: copies of copies grow without end otherwise.
const MAX_COPIED: usize = 3 << 20;

/// What operations may add: copies of copies grow without end, and moves into each other nest without end, whereas
/// what walks an object later takes stack for each level.
pub struct Bounds {
    copied: usize,
    /// No value is deeper than that.
    deepest: usize,
    /// Values that may still be looked at to tell their depth.
    looks: usize,
}

impl Bounds {
    /// Those of a patch of this object.
    pub fn new(object: &Value) -> Bounds {
        let mut looks = usize::MAX;
        Bounds { copied: 0, deepest: depth(object, &mut looks), looks: 20_000_000 }
    }

    /// Refuses an operation that would go beyond them.
    pub fn admit(&mut self, operation: &PatchOperation, object: &Value) -> Result<(), PatchError> {
        match operation {
            PatchOperation::Add(add) => self.place(add.path.count(), 0, &add.value),
            PatchOperation::Replace(replace) => self.place(replace.path.count(), 0, &replace.value),
            PatchOperation::Copy(copy) => {
                let source = object.pointer(copy.from.as_str()).unwrap_or(&Value::Null);
                self.copied += size(source);
                if self.copied > MAX_COPIED {
                    return Err(PatchError::TooLarge(format!(
                        "Unable to complete the copy, the accumulated size increase of copy is {}, exceeding the limit \
                         {MAX_COPIED}",
                        self.copied
                    )));
                }
                self.place(copy.path.count(), copy.from.count(), source)
            }
            PatchOperation::Move(from) => {
                let source = object.pointer(from.from.as_str()).unwrap_or(&Value::Null);
                self.place(from.path.count(), from.from.count(), source)
            }
            PatchOperation::Remove(_) | PatchOperation::Test(_) => Ok(()),
        }
    }

    /// A value from `from` levels down comes to stand `to` levels down (from the patch where `from` is 0).
    fn place(&mut self, to: usize, from: usize, value: &Value) -> Result<(), PatchError> {
        let most = Limits::default().depth;
        let bound = to + self.deepest.saturating_sub(from);
        if from > 0 && bound <= most {
            self.deepest = self.deepest.max(bound);
            return Ok(());
        }
        let found = to + depth(value, &mut self.looks);
        if found > most || self.looks == 0 {
            return Err(PatchError::TooLarge(format!("the patch nests values more than {most} deep")));
        }
        self.deepest = self.deepest.max(found);
        Ok(())
    }
}

/// How deep a value is; it stops when no looks are left.
fn depth(value: &Value, looks: &mut usize) -> usize {
    *looks = looks.saturating_sub(1);
    let deepest = match value {
        _ if *looks == 0 => return 0,
        Value::Array(list) => list.iter().map(|item| depth(item, looks)).max(),
        Value::Object(map) => map.values().map(|item| depth(item, looks)).max(),
        _ => return 0,
    };
    1 + deepest.unwrap_or(0)
}

/// The length of a value as JSON, nearly: what it costs to hold.
fn size(value: &Value) -> usize {
    match value {
        Value::Array(list) => 2 + list.iter().map(|item| size(item) + 1).sum::<usize>(),
        Value::Object(map) => 2 + map.iter().map(|(key, value)| key.len() + 4 + size(value)).sum::<usize>(),
        Value::String(text) => text.len() + 2,
        _ => 8,
    }
}
