//! A key below subnets/, a zero byte, its value. What is read is written back the same.
#![no_main]

use flannel_vxlan::lease::{Lease, Subnets};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let (key, value) = data.split_at(data.iter().position(|b| *b == 0).unwrap_or(data.len()));
    let value = value.get(1..).unwrap_or(&[]);
    if let Ok(lease) = Lease::parse(&String::from_utf8_lossy(key), value, 1, 1) {
        assert_eq!(Subnets::parse(&lease.subnets.key()), Some(lease.subnets));
        let again = Lease::parse(&lease.subnets.key(), lease.value.to_json().as_bytes(), 1, 1);
        assert_eq!(again.as_ref(), Ok(&lease));
    }
});
