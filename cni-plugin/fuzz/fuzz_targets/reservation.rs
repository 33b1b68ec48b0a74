//! A file of the address store, and the name of a container list.
#![no_main]

use cni_plugin::ipam::Key;
use cni_plugin::types::NetConfList;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = Key::from_text(text);
    let _ = NetConfList::from_text(text);
});
