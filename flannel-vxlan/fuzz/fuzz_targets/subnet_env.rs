//! An earlier run's subnet file.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = flannel_vxlan::subnet_env::parse(&String::from_utf8_lossy(data));
});
