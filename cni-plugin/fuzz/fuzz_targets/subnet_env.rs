//! The overlay's subnet file.
#![no_main]

use cni_plugin::config::SubnetEnv;
use std::path::Path;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(env) = SubnetEnv::parse(text, Path::new("subnet.env")) {
        let _ = (env.range_sets(), env.routes());
    }
});
