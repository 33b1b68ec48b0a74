//! What upstream takes beyond RFC 6902, and clients have come to rely on.
//!
//! Indexes count from the end where they are negative, `replace` makes the key that is not there, and a test for null
//! holds for a key that is not there. Source: `github.com/evanphx/json-patch`, whose answers kubectl's `patch --local`
//! shows.

use json_patch::jsonptr::{Pointer, PointerBuf, Token};
use json_patch::{AddOperation, PatchOperation};
use serde_json::Value;

/// The operation as the standard has it; none where there is nothing to do.
pub fn lenient(operation: PatchOperation, object: &Value) -> Option<PatchOperation> {
    use PatchOperation::{Add, Copy, Move, Remove, Replace, Test};
    Some(match operation {
        Add(mut add) => {
            add.path = counted(&add.path, object, true);
            Add(add)
        }
        Remove(mut remove) => {
            remove.path = counted(&remove.path, object, false);
            Remove(remove)
        }
        Replace(mut replace) => {
            replace.path = counted(&replace.path, object, false);
            if is_open_key(&replace.path, object) {
                Add(AddOperation { path: replace.path, value: replace.value })
            } else {
                Replace(replace)
            }
        }
        Test(mut test) => {
            test.path = counted(&test.path, object, false);
            if test.value.is_null() && is_open_key(&test.path, object) {
                return None;
            }
            Test(test)
        }
        Move(mut from) => {
            from.from = counted(&from.from, object, false);
            from.path = counted(&from.path, object, true);
            Move(from)
        }
        Copy(mut copy) => {
            copy.from = counted(&copy.from, object, false);
            copy.path = counted(&copy.path, object, true);
            Copy(copy)
        }
    })
}

/// The path with indexes from the start; `adding` counts the item that is to come.
fn counted(path: &Pointer, object: &Value, adding: bool) -> PointerBuf {
    if !path.as_str().contains("/-") {
        return path.to_buf();
    }
    let (mut found, mut place, count) = (PointerBuf::new(), Some(object), path.count());
    for (at, token) in path.tokens().enumerate() {
        let word = token.decoded();
        let from_end = word.strip_prefix('-').and_then(|digits| digits.parse::<usize>().ok());
        let word = match (place, from_end) {
            (Some(Value::Array(list)), Some(back)) => {
                let length = list.len() + usize::from(adding && at + 1 == count);
                length.checked_sub(back).map_or_else(|| word.to_string(), |index| index.to_string())
            }
            _ => word.to_string(),
        };
        place = match place {
            Some(Value::Array(list)) => word.parse::<usize>().ok().and_then(|index| list.get(index)),
            Some(other) => other.get(&word),
            None => None,
        };
        found.push_back(Token::new(word));
    }
    found
}

/// Whether a path leads to a key that an object does not have.
fn is_open_key(path: &Pointer, object: &Value) -> bool {
    let Some((parent, last)) = path.split_back() else { return false };
    let parent = object.pointer(parent.as_str()).and_then(Value::as_object);
    parent.is_some_and(|parent| !parent.contains_key(last.decoded().as_ref()))
}
