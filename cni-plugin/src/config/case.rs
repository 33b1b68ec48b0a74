//! Keys in other letters than ours: Go's decoder takes any case for a key, and some callers rely on that. containerd's CNI
//! caller, for one, writes `HostPort` into `runtimeConfig.portMappings`.
//!
//! So keys that a plugin in here knows are brought into their own letters. Left alone is what is not ours to read: names
//! of kernel parameters, what other programs put into `args`, and results.

use serde_json::{Map, Value};

/// Every key of every plugin, but those inside of results.
const KEYS: &[&str] = &[
    "address",
    "addresses",
    "advmss",
    "aliases",
    "allmulti",
    "args",
    "backend",
    "bandwidth",
    "bridge",
    "capabilities",
    "cni",
    "cniVersion",
    "conditionsV4",
    "conditionsV6",
    "containerPort",
    "dataDir",
    "delegate",
    "disableContainerInterface",
    "dns",
    "domain",
    "dst",
    "egressBurst",
    "egressRate",
    "enabledad",
    "externalSetMarkChain",
    "firewall",
    "firewalldZone",
    "forceAddress",
    "gateway",
    "gw",
    "hairpinMode",
    "hostIP",
    "hostPort",
    "ingressBurst",
    "ingressPolicy",
    "ingressRate",
    "ipam",
    "ipMasq",
    "ipMasqBackend",
    "ipRanges",
    "ips",
    "iptablesAdminChainName",
    "isDefaultGateway",
    "isGateway",
    "mac",
    "macspoofchk",
    "markMasqBit",
    "masqAll",
    "mtu",
    "name",
    "namesDir",
    "nameservers",
    "options",
    "portIsolation",
    "portmap",
    "portMappings",
    "preserveDefaultVlan",
    "prevResult",
    "priority",
    "promisc",
    "promiscMode",
    "protocol",
    "rangeEnd",
    "ranges",
    "rangeStart",
    "resolvConf",
    "routes",
    "runtimeConfig",
    "scope",
    "search",
    "searches",
    "servers",
    "shapedSubnets",
    "snat",
    "subnet",
    "subnetFile",
    "sysctl",
    "table",
    "tuning",
    "txQLen",
    "type",
    "unshapedSubnets",
    "vlan",
    "vlanTrunk",
];

/// What is under these is not looked into.
const OTHERS: [&str; 3] = ["args", "prevResult", "sysctl"];

/// Brings an object's keys, and those of the objects in it, into our letters. A key that stands there in our letters as
/// well keeps its value.
pub fn ours(object: &mut Map<String, Value>) {
    let others: Vec<(String, &'static str)> =
        object.keys().filter_map(|key| Some((key.clone(), known(key)?))).collect();
    for (key, ours) in others {
        if let Some(value) = object.remove(&key) {
            object.entry(ours).or_insert(value);
        }
    }
    object.iter_mut().filter(|(key, _)| !OTHERS.contains(&key.as_str())).for_each(|(_, value)| inside(value));
}

fn inside(value: &mut Value) {
    match value {
        Value::Object(object) => ours(object),
        Value::Array(items) => items.iter_mut().for_each(inside),
        _ => {}
    }
}

/// Our letters for a key that is known in others.
fn known(key: &str) -> Option<&'static str> {
    let found = KEYS.iter().find(|known| known.eq_ignore_ascii_case(key)).copied()?;
    (found != key).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(mut value: Value) -> Value {
        ours(value.as_object_mut().unwrap());
        value
    }

    #[test]
    fn keys_of_another_case_are_ours_at_any_depth() {
        let said = json!({"MTU": 1400, "runtimeConfig": {"portMappings": [{"HostPort": 80, "HostIP": ""}]}});
        let meant = json!({"mtu": 1400, "runtimeConfig": {"portMappings": [{"hostPort": 80, "hostIP": ""}]}});
        assert_eq!(read(said), meant);
        assert_eq!(read(json!({"mtu": 1, "Mtu": 2})), json!({"mtu": 1}));
    }

    #[test]
    fn what_is_not_ours_stays() {
        for same in [
            json!({"sysctl": {"net.ipv4.conf.MAC": "1"}, "prevResult": {"IPs": []}, "args": {"X": {"MTU": 1}}}),
            json!({"Foreign": 1, "cni.dev/valid-attachments": [{"containerID": "c", "ifname": "eth0"}]}),
        ] {
            assert_eq!(read(same.clone()), same);
        }
    }

    #[test]
    fn no_two_known_keys_differ_by_case_alone() {
        assert!(KEYS.iter().all(|key| known(key).is_none()));
        let mut keys: Vec<String> = KEYS.iter().map(|key| key.to_ascii_lowercase()).collect();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), KEYS.len());
    }
}
