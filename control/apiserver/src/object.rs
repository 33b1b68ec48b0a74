//! Reading and writing what every object has.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

static NOTHING: Value = Value::Null;

/// A value by a path of keys; null where there is none.
pub fn at<'a>(object: &'a Value, path: &str) -> &'a Value {
    path.split('.').try_fold(object, |value, key| value.get(key)).unwrap_or(&NOTHING)
}

/// A text by a path of keys; empty where there is none.
pub fn text<'a>(object: &'a Value, path: &str) -> &'a str {
    at(object, path).as_str().unwrap_or_default()
}

/// A number by a path of keys; 0 where there is none.
pub fn number(object: &Value, path: &str) -> i64 {
    at(object, path).as_i64().unwrap_or_default()
}

/// A list by a path of keys; empty where there is none.
pub fn list<'a>(object: &'a Value, path: &str) -> &'a [Value] {
    at(object, path).as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The name.
pub fn name(object: &Value) -> &str {
    text(object, "metadata.name")
}

/// The namespace; empty for what is in none.
pub fn namespace(object: &Value) -> &str {
    text(object, "metadata.namespace")
}

/// The uid.
pub fn uid(object: &Value) -> &str {
    text(object, "metadata.uid")
}

/// The finalizers.
pub fn finalizers(object: &Value) -> impl Iterator<Item = &str> {
    list(object, "metadata.finalizers").iter().filter_map(Value::as_str)
}

/// Whether the object is being deleted.
pub fn is_going(object: &Value) -> bool {
    !at(object, "metadata.deletionTimestamp").is_null()
}

/// The object's fields; an object that is none becomes one.
pub fn map(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = json!({});
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("it was made an object above"),
    }
}

/// The metadata, made where there is none.
pub fn metadata(object: &mut Value) -> &mut Map<String, Value> {
    map(map(object).entry("metadata").or_insert_with(|| json!({})))
}

/// Puts a value at a path of keys, or takes it away where it is null.
pub fn put(object: &mut Value, path: &str, value: Value) {
    let Some((way, last)) = path.rsplit_once('.') else {
        return put_key(map(object), path, value);
    };
    let mut place = object;
    for key in way.split('.') {
        place = map(place).entry(key).or_insert_with(|| json!({}));
    }
    put_key(map(place), last, value);
}

fn put_key(map: &mut Map<String, Value>, key: &str, value: Value) {
    match value {
        Value::Null => drop(map.remove(key)),
        value => drop(map.insert(key.to_owned(), value)),
    }
}

/// Now, as `metav1.Time` is printed.
pub fn now() -> String {
    time(Timestamp::now())
}

/// A time, as `metav1.Time` is printed: whole seconds.
pub fn time(at: Timestamp) -> String {
    let whole = Timestamp::from_second(at.as_second()).unwrap_or(at);
    whole.to_string()
}

/// How long ago a time is, as kubectl prints ages (`duration.HumanDuration`); `<unknown>` for none.
pub fn age(time: &str, now: Timestamp) -> String {
    match time.parse::<Timestamp>() {
        Ok(then) => human(now.as_second() - then.as_second()),
        Err(_) => "<unknown>".to_owned(),
    }
}

/// Seconds in the words of `k8s.io/apimachinery/pkg/util/duration.HumanDuration`.
pub fn human(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let with = |big: i64, unit: &str, rest: i64, small: &str| match rest {
        0 => format!("{big}{unit}"),
        rest => format!("{big}{unit}{rest}{small}"),
    };
    match seconds {
        i64::MIN..-1 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        120..600 => with(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => with(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => with(days, "d", hours % 24, "h"),
        691_200..63_072_000 => format!("{days}d"),
        63_072_000..252_288_000 => with(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_kubectls() {
        let cases = [(0, "0s"), (119, "119s"), (120, "2m"), (150, "2m30s"), (700, "11m"), (10_800, "3h")];
        for (seconds, words) in cases {
            assert_eq!(human(seconds), words);
        }
        assert_eq!(human(3 * 86_400 + 7_200), "3d2h");
        assert_eq!(human(800 * 86_400), "2y70d");
        assert_eq!(human(-5), "<invalid>");
    }

    #[test]
    fn paths_are_made_and_emptied() {
        let mut object = json!({});
        put(&mut object, "metadata.labels.a", "b".into());
        assert_eq!(text(&object, "metadata.labels.a"), "b");
        put(&mut object, "metadata.labels.a", Value::Null);
        assert_eq!(object, json!({"metadata": {"labels": {}}}));
    }
}
