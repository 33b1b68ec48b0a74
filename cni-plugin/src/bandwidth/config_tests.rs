use super::*;
use crate::plugin::{Command, Invocation};
use proptest::prelude::*;
use serde_json::json;

fn call(keys: Value) -> Call {
    let raw: Map<String, Value> = keys.as_object().unwrap().clone();
    let invocation = Invocation {
        command: Command::Add,
        container_id: "c1".into(),
        netns: "/run/netns/none".into(),
        ifname: "eth0".into(),
        args: String::new(),
        path: Vec::new(),
    };
    Call { invocation, version: SpecVersion::V110, name: "net".into(), raw, previous: None }
}

fn read(keys: Value) -> Result<Option<Limits>, CniError> {
    Limits::read(&call(keys))
}

#[test]
fn own_keys_win_over_the_runtimes() {
    let runtime = json!({"ingressRate": 16, "ingressBurst": 32});
    let found = read(json!({"runtimeConfig": {"bandwidth": runtime}})).unwrap().unwrap();
    assert_eq!((found.ingress, found.egress), (Some(Limit { rate: 16, burst: 32 }), None));
    let both = json!({"egressRate": 8, "egressBurst": 9, "runtimeConfig": {"bandwidth": runtime}});
    let found = read(both).unwrap().unwrap();
    assert_eq!((found.ingress, found.egress), (None, Some(Limit { rate: 8, burst: 9 })));
    // As in the reference: one key of its own, even 0, and the runtime's are not looked at.
    assert_eq!(read(json!({"ingressRate": 0, "runtimeConfig": {"bandwidth": runtime}})).unwrap(), None);
    assert_eq!(read(json!({})).unwrap(), None);
    assert_eq!(read(json!({"runtimeConfig": {"bandwidth": null}})).unwrap(), None);
}

#[test]
fn what_is_wrong_is_named() {
    for (keys, part) in [
        (json!({"ingressRate": 8}), "ingressBurst"),
        (json!({"egressBurst": 8}), "egressRate"),
        (json!({"egressBurst": 8, "egressRate": 7}), "less than a byte"),
        (json!({"egressBurst": 7, "egressRate": 8}), "less than a byte"),
        (json!({"ingressRate": 8, "ingressBurst": 8 * u64::from(u32::MAX)}), "4 GB"),
        (json!({"ingressRate": "8", "ingressBurst": 8}), "ingressRate"),
        (json!({"ingressRate": -8, "ingressBurst": 8}), "ingressRate"),
        (json!({"ingressRate": 8, "ingressBurst": 8, "shapedSubnets": ["10.0.0.0"]}), "shapedSubnets"),
        (json!({"shapedSubnets": ["10.0.0.0/8"], "unshapedSubnets": ["10.0.0.0/9"]}), "excludes"),
        (json!({"runtimeConfig": {"bandwidth": 3}}), "runtimeConfig.bandwidth"),
        (json!({"runtimeConfig": {"bandwidth": {"ingressRate": 8}}}), "runtimeConfig.bandwidth.ingressBurst"),
    ] {
        let error = read(keys.clone()).unwrap_err();
        assert!(error.code == 7 && error.msg.contains(part), "{keys}: {error}");
    }
    let old = Call { version: SpecVersion::V020, ..call(json!({})) };
    assert_eq!(Limits::read(&old).unwrap_err().code, 1);
    assert_eq!(data_dir(&call(json!({"dataDir": "x"})).raw).unwrap_err().code, 7);
}

#[test]
fn subnets_are_networks() {
    let keys = |key: &str| json!({"ingressRate": 8, "ingressBurst": 8, key: ["10.1.2.3/8", "fd00::1/64"]});
    let nets = ["10.0.0.0/8", "fd00::/64"].map(|text| text.parse().unwrap()).to_vec();
    assert_eq!(read(keys("shapedSubnets")).unwrap().unwrap().subnets, Subnets::Only(nets.clone()));
    assert_eq!(read(keys("unshapedSubnets")).unwrap().unwrap().subnets, Subnets::Except(nets));
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        proptest::collection::vec("[0-9a-f:./]{0,20}", 0..4).prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
    ]
}

proptest! {
    #[test]
    fn no_keys_panic(
        keys in proptest::collection::btree_map(
            proptest::sample::select(vec![
                "ingressRate", "ingressBurst", "egressRate", "egressBurst", "shapedSubnets", "unshapedSubnets",
                "dataDir",
            ]),
            any_value(),
            0..7,
        ),
        runtime in any::<bool>(),
    ) {
        let block = serde_json::to_value(keys).unwrap();
        let keys = if runtime { json!({"runtimeConfig": {"bandwidth": block}}) } else { block };
        let call = call(keys);
        for error in [Limits::read(&call).err(), data_dir(&call.raw).err()].into_iter().flatten() {
            prop_assert_eq!(error.code, 7);
        }
        if let Ok(Some(limits)) = Limits::read(&call) {
            for limit in [limits.ingress, limits.egress].into_iter().flatten() {
                let tbf = crate::bandwidth::rates::tbf(limit);
                prop_assert!(tbf.rate > 0 && tbf.buffer > 0 && tbf.limit > 0);
            }
        }
    }
}
