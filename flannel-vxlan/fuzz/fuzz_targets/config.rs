//! flannel's network configuration; with what is accepted, a subnet is drawn.
#![no_main]

use flannel_vxlan::{config::NetworkConfig, subnet};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(config) = NetworkConfig::parse(&String::from_utf8_lossy(data)) {
        let subnets = subnet::pick(&config, &[], |n| n - 1).expect("an empty network has a free subnet");
        assert!(subnet::fits(&config, &subnets));
    }
});
