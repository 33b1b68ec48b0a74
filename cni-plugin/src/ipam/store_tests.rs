//! The store's form, its repair of what others leave, and the reboot.

use super::*;

fn open(dir: &Path) -> Store {
    Store::open(dir, "net").unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn files_are_the_originals_to_the_byte() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    assert!(store.reserve(&Key::new("c1", "eth0"), ip("10.1.0.2"), 0).unwrap());
    assert!(!store.reserve(&Key::new("c2", "eth0"), ip("10.1.0.2"), 0).unwrap());
    assert!(store.reserve(&Key::new("c1", "eth0"), ip("fd00:0:0::2"), 1).unwrap());
    let read = |name: &str| std::fs::read_to_string(dir.path().join("net").join(name)).unwrap();
    assert_eq!(read("10.1.0.2"), "c1\r\neth0");
    assert_eq!(read("fd00::2"), "c1\r\neth0");
    assert_eq!(read("last_reserved_ip.0"), "10.1.0.2");
    assert_eq!(read("last_reserved_ip.1"), "fd00::2");
    assert!(!dir.path().join("net").join(TEMPORARY).exists());
    drop(store);
    assert_eq!(open(dir.path()).release(&Key::new("c1", "eth0")).unwrap().len(), 2);
    assert_eq!(open(dir.path()).taken(), 0);
}

#[test]
fn the_originals_files_are_continued() {
    let dir = tempfile::tempdir().unwrap();
    let net = dir.path().join("net");
    std::fs::create_dir_all(&net).unwrap();
    std::fs::write(net.join("10.1.0.7"), "c7\r\neth0").unwrap();
    std::fs::write(net.join("10.1.0.8"), "c8").unwrap();
    std::fs::write(net.join("10.1.0.9"), "").unwrap();
    std::fs::write(net.join("last_reserved_ip.0"), "10.1.0.8").unwrap();
    let mut store = open(dir.path());
    assert_eq!(store.taken(), 2, "the half reservation of .9 is dropped");
    assert_eq!(store.last_reserved(0).unwrap(), Some(ip("10.1.0.8")));
    assert_eq!(store.addresses_of(&Key::new("c7", "eth0")).unwrap(), [ip("10.1.0.7")]);
    assert_eq!(
        store.release(&Key::new("c8", "eth0")).unwrap(),
        [ip("10.1.0.8")],
        "a file of before interfaces"
    );
    assert_eq!(store.release(&Key::new("c7", "eth1")).unwrap(), [] as [IpAddr; 0]);
    assert_eq!(store.release(&Key::new("c7", "eth0")).unwrap(), [ip("10.1.0.7")]);
}

#[test]
fn an_index_that_lies_is_found_out() {
    let dir = tempfile::tempdir().unwrap();
    let key = Key::new("a", "eth0");
    open(dir.path()).reserve(&key, ip("10.1.0.2"), 0).unwrap();
    // Somebody removed the file by hand and the original gave the address to another container.
    let file = dir.path().join("net/10.1.0.2");
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, "b\r\neth0").unwrap();
    let mut store = open(dir.path());
    assert!(store.release(&key).unwrap().is_empty());
    assert_eq!(store.release(&Key::new("b", "eth0")).unwrap(), [ip("10.1.0.2")]);
    drop(store);
    // Removed by hand, and nobody has it: the entry goes, the address is free.
    open(dir.path()).reserve(&key, ip("10.1.0.2"), 0).unwrap();
    std::fs::remove_file(&file).unwrap();
    let mut store = open(dir.path());
    assert!(store.reserve(&Key::new("c", "eth0"), ip("10.1.0.2"), 0).unwrap());
    assert!(store.addresses_of(&key).unwrap().is_empty());
}

#[test]
fn gc_keeps_exactly_what_is_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    for (number, id) in ["a", "b", "c"].iter().enumerate() {
        store.reserve(&Key::new(id, "eth0"), ip(&format!("10.1.0.{}", number + 2)), 0).unwrap();
    }
    let freed = store.retain(|key| key.container_id == "b").unwrap();
    assert_eq!(freed, [ip("10.1.0.2"), ip("10.1.0.4")]);
    assert_eq!(store.taken_addresses().iter().copied().collect::<Vec<_>>(), [ip("10.1.0.3")]);
    assert_eq!(std::fs::read_dir(dir.path().join("net").join(index::INDEX_DIR)).unwrap().count(), 1);
}

#[test]
fn a_reboot_frees_what_was_seen_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let net = dir.path().join("net");
    open(dir.path()).reserve(&Key::new("a", "eth0"), ip("10.1.0.2"), 0).unwrap();
    assert_eq!(open(dir.path()).taken(), 1);
    std::fs::write(net.join(BOOT_ID), "another boot\n").unwrap();
    // Made by the original since the reboot: not ours to judge.
    std::fs::write(net.join("10.1.0.9"), "new\r\neth0").unwrap();
    let store = open(dir.path());
    assert_eq!(store.taken_addresses().iter().copied().collect::<Vec<_>>(), [ip("10.1.0.9")]);
    assert_eq!(store.last_reserved(0).unwrap(), Some(ip("10.1.0.2")), "the round goes on");
    drop(store);
    std::fs::write(net.join(BOOT_ID), "yet another\n").unwrap();
    assert_eq!(open(dir.path()).taken(), 0, "by then it was seen");
}

#[test]
fn a_store_without_a_boot_id_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("net")).unwrap();
    std::fs::write(dir.path().join("net/10.1.0.2"), "a\r\neth0").unwrap();
    assert_eq!(open(dir.path()).taken(), 1);
}

#[test]
fn nothing_is_made_only_to_free() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Store::open_existing(dir.path(), "net").unwrap().is_none());
    assert!(!dir.path().join("net").exists());
}

proptest::proptest! {
    #[test]
    fn no_content_of_a_file_panics(bytes: Vec<u8>, last: Vec<u8>) {
        let dir = tempfile::tempdir().unwrap();
        let net = dir.path().join("net");
        std::fs::create_dir_all(&net).unwrap();
        std::fs::write(net.join("10.1.0.2"), &bytes).unwrap();
        std::fs::write(net.join("last_reserved_ip.0"), &last).unwrap();
        let mut store = open(dir.path());
        let _ = store.last_reserved(0).unwrap();
        let _ = store.owner(ip("10.1.0.2")).unwrap();
        store.retain(|_| false).unwrap();
        proptest::prop_assert_eq!(store.taken(), 0);
    }
}
