//! Namespaces, config maps, secrets, service accounts.
//!
//! Source: `pkg/apis/core/validation/validation.go`, the strategies in `pkg/registry/core`.

use super::Rules;
use super::metadata::told;
use super::reading::{at, default, entries, flag, has, items, remove, set, text, within};
use crate::fault::{FaultKind, Faults};
use crate::names;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value};

/// Upstream's `MaxSecretSize`.
const MOST: usize = 1 << 20;

/// Of namespaces.
pub const NAMESPACE: Rules = Rules {
    default: |object| {
        let name = text(at(object, "metadata"), "name").to_owned();
        if !name.is_empty() {
            within(object, "metadata", |meta| {
                within(meta, "labels", |labels| set(labels, "kubernetes.io/metadata.name", name));
            });
        }
        within(object, "status", |status| default(status, "phase", "Active"));
    },
    validate: |object, faults| {
        for one in items(at(object, "spec"), "finalizers").iter().filter_map(Value::as_str) {
            told(names::qualified_name(one), "spec.finalizers", one, faults);
            if !one.contains('/') && one != "kubernetes" {
                let text = "name is neither a standard finalizer name nor is it fully qualified";
                faults.invalid("spec.finalizers", one, text);
            }
        }
    },
    validate_update: |_, _, _| {},
};

/// Of config maps.
pub const CONFIG_MAP: Rules = Rules {
    default: |_| {},
    validate: config_map,
    validate_update: |new, old, faults| {
        unchanged_if_immutable(new, old, &["data", "binaryData"], faults);
        config_map(new, faults);
    },
};

/// Of secrets.
pub const SECRET: Rules = Rules {
    default: |object| {
        default(object, "type", "Opaque");
        texts_as_bytes(object);
    },
    validate: secret,
    validate_update: |new, old, faults| {
        if text(new, "type") != text(old, "type") {
            faults.invalid("type", text(new, "type"), "field is immutable");
        }
        unchanged_if_immutable(new, old, &["data"], faults);
        secret(new, faults);
    },
};

/// `stringData` is written only: it goes into `data`, over what is there.
fn texts_as_bytes(object: &mut Value) {
    let Some(Value::Object(texts)) = remove(object, "stringData") else { return };
    if texts.is_empty() {
        return;
    }
    if !has(object, "data") {
        set(object, "data", Value::Object(Map::new()));
    }
    within(object, "data", |data| {
        for (key, value) in texts {
            set(data, &key, BASE64_STANDARD.encode(value.as_str().unwrap_or_default()));
        }
    });
}

fn config_map(object: &Value, faults: &mut Faults) {
    let mut size = 0;
    for list in ["data", "binaryData"] {
        for (key, value) in entries(object, list) {
            told(names::config_key(key), &format!("{list}[{key}]"), key, faults);
            if list == "data" && has(at(object, "binaryData"), key) {
                faults.invalid(
                    format!("data[{key}]"),
                    key.as_str(),
                    "duplicate of key present in binaryData",
                );
            }
            let length = value.as_str().map_or(0, str::len);
            size += if list == "data" { length } else { length / 4 * 3 };
        }
    }
    if size > MOST {
        faults.add(FaultKind::TooLong, "", "", format!("may not be more than {MOST} bytes"));
    }
}

fn secret(object: &Value, faults: &mut Faults) {
    let data = at(object, "data");
    let mut size = 0;
    for (key, value) in entries(object, "data") {
        told(names::config_key(key), &format!("data[{key}]"), key, faults);
        size += value.as_str().map_or(0, |text| text.len() / 4 * 3);
    }
    if size > MOST {
        faults.add(FaultKind::TooLong, "data", "", format!("may not be more than {MOST} bytes"));
    }
    let mut needs = |keys: &[&str]| {
        for key in keys.iter().filter(|key| !has(data, key)) {
            faults.required(format!("data[{key}]"), "");
        }
    };
    match text(object, "type") {
        "kubernetes.io/dockercfg" => needs(&[".dockercfg"]),
        "kubernetes.io/dockerconfigjson" => needs(&[".dockerconfigjson"]),
        "kubernetes.io/tls" => needs(&["tls.crt", "tls.key"]),
        "kubernetes.io/ssh-auth" => needs(&["ssh-privatekey"]),
        "kubernetes.io/basic-auth" if !has(data, "username") && !has(data, "password") => {
            needs(&["username", "password"]);
        }
        "kubernetes.io/service-account-token" => {
            let annotations = at(at(object, "metadata"), "annotations");
            if text(annotations, "kubernetes.io/service-account.name").is_empty() {
                faults.required("metadata.annotations[kubernetes.io/service-account.name]", "");
            }
        }
        _ => {}
    }
    for (key, kind) in
        [(".dockercfg", "kubernetes.io/dockercfg"), (".dockerconfigjson", "kubernetes.io/dockerconfigjson")]
    {
        let bytes = data.get(key).and_then(Value::as_str).and_then(|text| BASE64_STANDARD.decode(text).ok());
        let json = |bytes: &Vec<u8>| serde_json::from_slice::<Map<String, Value>>(bytes).is_ok();
        if text(object, "type") == kind && bytes.is_some_and(|bytes| !json(&bytes)) {
            let text = "<secret contents redacted>";
            faults.invalid(format!("data[{key}]"), text, "must be a JSON object");
        }
    }
}

fn unchanged_if_immutable(new: &Value, old: &Value, keys: &[&str], faults: &mut Faults) {
    if !flag(old, "immutable") {
        return;
    }
    let text = "field is immutable when `immutable` is set";
    if !flag(new, "immutable") {
        faults.forbidden("immutable", text);
    }
    for key in keys {
        if at(new, key) != at(old, key) {
            faults.forbidden(*key, text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::wrong;
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets() {
        let mut object = json!({"data": {"a": "eA=="}, "stringData": {"a": "y", "b": ""}});
        (SECRET.default)(&mut object);
        assert_eq!(object, json!({"type": "Opaque", "data": {"a": "eQ==", "b": ""}}));
        assert_eq!(
            wrong(&SECRET, json!({"type": "kubernetes.io/tls", "data": {"a/b": "", "tls.crt": ""}})).len(),
            2
        );
        assert_eq!(
            wrong(
                &SECRET,
                json!({"type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": "x"}})
            ),
            ["data[.dockerconfigjson]: Invalid value: \"<secret contents redacted>\": must be a JSON object"]
        );
    }

    /// Source: TestValidateSecretUpdate, TestValidateConfigMapUpdate.
    #[test]
    fn what_is_immutable_stays() {
        let mut faults = Faults::default();
        let old = json!({"immutable": true, "data": {"a": "b"}});
        (CONFIG_MAP.validate_update)(&json!({"data": {"a": "c"}}), &old, &mut faults);
        let texts: Vec<String> = faults.0.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "immutable: Forbidden: field is immutable when `immutable` is set",
                "data: Forbidden: field is immutable when `immutable` is set",
            ]
        );
        assert_eq!(
            wrong(&CONFIG_MAP, json!({"data": {"a": ""}, "binaryData": {"a": ""}})),
            ["data[a]: Invalid value: \"a\": duplicate of key present in binaryData"]
        );
    }

    #[test]
    fn namespaces() {
        let mut object = json!({"metadata": {"name": "x"}});
        (NAMESPACE.default)(&mut object);
        let wanted = json!({"metadata": {"name": "x", "labels": {"kubernetes.io/metadata.name": "x"}},
            "status": {"phase": "Active"}});
        assert_eq!(object, wanted);
    }
}
