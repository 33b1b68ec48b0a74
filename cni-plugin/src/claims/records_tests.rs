//! Records on disk.

use super::*;
use crate::claims::Claim;
use std::os::unix::fs::PermissionsExt;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Nothing {
    number: u32,
}

impl Body for Nothing {
    const EXCLUSIVE: bool = true;

    fn claims(&self, _: &Owner) -> Vec<Claim> {
        Vec::new()
    }
}

fn owner(container: &str) -> Owner {
    Owner { network: "net".into(), container: container.into(), ifname: "eth0".into() }
}

fn record(container: &str, number: u32) -> Record<Nothing> {
    Record::new(owner(container), "/proc/self/ns/net", Nothing { number })
}

#[test]
fn what_is_put_is_found_by_owner_and_by_comment() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("records");
    assert!(Records::open_existing(&path).unwrap().is_none());
    let records = Records::open(&path).unwrap();
    assert_eq!(records.of::<Nothing>(&owner("a")).unwrap(), None);
    records.put(&record("a", 1)).unwrap();
    assert!(!records.has_others(&owner("a")).unwrap() && records.has_others(&owner("b")).unwrap());
    records.put(&record("b", 2)).unwrap();
    let found = records.of_comment::<Nothing>("net/a/eth0").unwrap().unwrap();
    assert_eq!((found.claims.number, found.is_alive()), (1, true));
    assert_eq!(records.all::<Nothing>().unwrap().len(), 2);
    let mode = std::fs::metadata(path.join("net:a:eth0.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    records.remove(&owner("a")).unwrap();
    records.remove(&owner("a")).unwrap();
    assert_eq!(records.of_comment::<Nothing>("../../etc/passwd").unwrap(), None);
}

#[test]
fn a_namespace_that_is_another_is_not_alive() {
    let gone = Record { netns: "/nonexistent".into(), ..record("a", 1) };
    let other = Record { netns_inode: 1, ..record("a", 1) };
    assert!(!gone.is_alive() && !other.is_alive());
}

#[test]
fn long_names_keep_apart_in_the_kernels_comment() {
    let long = |tail: &str| Owner { container: format!("{}{tail}", "c".repeat(130)), ..owner("") };
    let (one, two) = (long("1").comment(), long("2").comment());
    assert!(one.len() <= netstate::nft::COMMENT_BYTES && one.starts_with("net/"), "{one}");
    assert_ne!(one, two);
}

#[test]
fn a_record_that_is_none_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let records = Records::open(dir.path()).unwrap();
    for text in ["", "{", "[]", r#"{"version":2}"#] {
        std::fs::write(dir.path().join("net:a:eth0.json"), text).unwrap();
        let error = records.of::<Nothing>(&owner("a")).unwrap_err();
        assert!(error.code == 6 && error.msg.contains("net:a:eth0.json"), "{error}");
    }
}
