//! Allocation: order, requests, idempotence, and a model that a random history is held against.

use super::*;
use crate::ipam::Range;
use std::collections::BTreeMap;

fn set(subnet: &str) -> RangeSet {
    RangeSet::new(vec![Range::new(subnet.parse().unwrap(), None, None, None).unwrap()]).unwrap()
}

fn ips(allocations: &[Allocation]) -> Vec<String> {
    allocations.iter().map(|a| a.address.to_string()).collect()
}

#[test]
fn one_address_per_set_and_the_same_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), "net").unwrap();
    let sets = [set("10.1.0.0/29"), set("fd00::/126")];
    let a = Key::new("a", "eth0");
    let first = allocate(&mut store, &a, &sets, &[]).unwrap();
    assert_eq!(ips(&first), ["10.1.0.2/29", "fd00::2/126"]);
    assert!(first.iter().all(|x| x.new));
    let again = allocate(&mut store, &a, &sets, &[]).unwrap();
    assert_eq!(ips(&again), ips(&first));
    assert!(again.iter().all(|x| !x.new));
    assert_eq!(ips(&allocate(&mut store, &Key::new("a", "eth1"), &sets, &[]).unwrap())[0], "10.1.0.3/29");
    // The second family is full (::1 is the gateway): nothing of the first stays taken.
    let before = store.taken();
    let error = allocate(&mut store, &Key::new("b", "eth0"), &sets, &[]).unwrap_err();
    assert!(matches!(&error, IpamError::Exhausted { number: 1, .. }), "{error}");
    assert_eq!(store.taken(), before);
}

#[test]
fn a_freed_address_is_the_last_to_come_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), "net").unwrap();
    let sets = [set("10.1.0.0/29")];
    let mut given = Vec::new();
    for number in 0..5 {
        let key = Key::new(&format!("c{number}"), "eth0");
        given.extend(ips(&allocate(&mut store, &key, &sets, &[]).unwrap()));
        store.release(&key).unwrap();
    }
    assert_eq!(given, ["10.1.0.2/29", "10.1.0.3/29", "10.1.0.4/29", "10.1.0.5/29", "10.1.0.6/29"]);
}

#[test]
fn requested_addresses_are_given_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), "net").unwrap();
    let sets = [set("10.1.0.0/29")];
    let ask = |store: &mut Store, id: &str, ip: &str| {
        allocate(store, &Key::new(id, "eth0"), &sets, &[ip.parse().unwrap()])
    };
    assert_eq!(ips(&ask(&mut store, "a", "10.1.0.5").unwrap()), ["10.1.0.5/29"]);
    assert!(matches!(ask(&mut store, "b", "10.1.0.5").unwrap_err(), IpamError::Taken { .. }));
    assert!(matches!(ask(&mut store, "b", "10.1.0.1").unwrap_err(), IpamError::NotInRange(_)));
    assert!(matches!(ask(&mut store, "b", "10.2.0.1").unwrap_err(), IpamError::NotInRange(_)));
    assert_eq!(store.taken(), 1);
}

#[derive(Debug, Clone)]
enum Action {
    Add(u8),
    Del(u8),
    Gc(Vec<u8>),
    Reopen,
    Reboot,
}

fn action() -> impl proptest::strategy::Strategy<Value = Action> {
    use proptest::prelude::*;
    prop_oneof![
        8 => (0u8..12).prop_map(Action::Add),
        4 => (0u8..12).prop_map(Action::Del),
        1 => prop::collection::vec(0u8..12, 0..12).prop_map(Action::Gc),
        1 => Just(Action::Reopen),
        1 => Just(Action::Reboot),
    ]
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    #[test]
    fn no_history_gives_twice_or_leaks(actions in proptest::collection::vec(action(), 1..60)) {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Some(Store::open(dir.path(), "net").unwrap());
        let sets = [set("10.1.0.0/29"), set("fd00::/124")];
        let mut model: BTreeMap<Key, Vec<String>> = BTreeMap::new();
        let key = |number: &u8| Key::new(&format!("c{number}"), "eth0");
        for action in &actions {
            let s = store.as_mut().unwrap();
            match action {
                Action::Add(id) => match allocate(s, &key(id), &sets, &[]) {
                    Ok(given) => {
                        let given = ips(&given);
                        if let Some(held) = model.get(&key(id)) {
                            proptest::prop_assert_eq!(held, &given);
                        }
                        proptest::prop_assert!(model.iter().all(|(k, v)| *k == key(id) || v[0] != given[0]));
                        model.insert(key(id), given);
                    }
                    Err(_) => proptest::prop_assert_eq!(model.len(), 5, "it says full and is not"),
                },
                Action::Del(id) => {
                    let freed = s.release(&key(id)).unwrap().len();
                    proptest::prop_assert_eq!(freed, model.remove(&key(id)).map_or(0, |v| v.len()));
                }
                Action::Gc(valid) => {
                    let valid: Vec<Key> = valid.iter().map(key).collect();
                    s.retain(|k| valid.contains(k)).unwrap();
                    model.retain(|k, _| valid.contains(k));
                }
                Action::Reopen | Action::Reboot => {
                    drop(store.take());
                    if matches!(action, Action::Reboot) {
                        std::fs::write(dir.path().join("net/.weft-boot-id"), "earlier").unwrap();
                        model.clear();
                    }
                    store = Some(Store::open(dir.path(), "net").unwrap());
                }
            }
            proptest::prop_assert_eq!(store.as_ref().unwrap().taken(), model.values().map(Vec::len).sum::<usize>());
        }
    }
}
