//! Standard input of the plugin, and CNI_ARGS behind a zero byte.
#![no_main]

use cni_plugin::config::{NetworkConfig, decode};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let (input, arguments) = data.split_at(data.iter().position(|b| *b == 0).unwrap_or(data.len()));
    if let Ok(raw) = decode(input) {
        let _ = NetworkConfig::read(raw, &String::from_utf8_lossy(arguments));
    }
});
