//! Which links are ours, and whose.
//!
//! The host's end of a pair is named `veth` + 3 characters of the network's hash + 8 of the
//! attachment's: DEL finds it without listing anything, and a second ADD of one attachment meets it.
//! Its alias says the same in words. The kernel takes no alias while it makes a link, so between two
//! operations of ADD there is a link without: the network's 3 characters let GC know it all the same.

use crate::plugin::{Call, Invocation};
use std::fmt::Write;

/// An attachment of a network, as links are named after it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LinkOwner<'a> {
    pub network: &'a str,
    pub container_id: &'a str,
    pub ifname: &'a str,
}

impl<'a> LinkOwner<'a> {
    /// The attachment of a call.
    pub fn of(call: &'a Call) -> Self {
        let Invocation { container_id, ifname, .. } = &call.invocation;
        LinkOwner { network: &call.name, container_id, ifname }
    }

    /// The host end's name, 15 characters.
    pub fn host_name(&self) -> String {
        let key = format!("{}\n{}\n{}", self.network, self.container_id, self.ifname);
        let mut name = name_prefix(self.network);
        push_base32(&mut name, fnv(&key), 8);
        name
    }

    /// The host end's alias.
    pub fn alias(&self) -> String {
        netstate::owned_alias("cni", &format!("{}/{}/{}", self.network, self.container_id, self.ifname))
    }
}

/// What the alias of every link of a network begins with.
pub(crate) fn alias_prefix(network: &str) -> String {
    netstate::owned_alias("cni", &format!("{network}/"))
}

/// What the name of every host end of a network begins with.
pub(crate) fn name_prefix(network: &str) -> String {
    let mut name = String::from("veth");
    push_base32(&mut name, fnv(network), 3);
    name
}

fn push_base32(text: &mut String, mut hash: u64, characters: usize) {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    for _ in 0..characters {
        // Writing to a String cannot fail.
        let _ = write!(text, "{}", ALPHABET[(hash & 31) as usize] as char);
        hash >>= 5;
    }
}

/// FNV-1a with a final mix, because short names differ in their last bytes only.
fn fnv(text: &str) -> u64 {
    let hash = netstate::fnv1a(text.bytes());
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_fit_the_kernel_and_do_not_meet() {
        let mut names = BTreeSet::new();
        for number in 0..100_000 {
            let id = format!("c{number}");
            let owner = LinkOwner { network: "cbr0", container_id: &id, ifname: "eth0" };
            let name = owner.host_name();
            assert_eq!(name.len(), 15);
            assert!(name.starts_with(&name_prefix("cbr0")));
            names.insert(name);
        }
        assert_eq!(names.len(), 100_000);
        assert_ne!(name_prefix("cbr0"), name_prefix("cbr1"));
    }

    #[test]
    fn the_alias_says_it_in_words() {
        let owner = LinkOwner { network: "cbr0", container_id: "abc", ifname: "eth0" };
        assert_eq!(owner.alias(), "weft:cni:cbr0/abc/eth0");
        assert!(owner.alias().starts_with(&alias_prefix("cbr0")));
        assert!(!owner.alias().starts_with(&alias_prefix("cbr")));
    }
}
