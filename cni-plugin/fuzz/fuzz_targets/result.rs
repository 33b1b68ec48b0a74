//! prevResult: what is read must print in its newest form and be read the same again.
#![no_main]

use cni_plugin::types::{CniResult, SpecVersion};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(value) = serde_json::from_slice(data) else { return };
    let Ok(result) = CniResult::from_value(&value) else { return };
    let printed = result.to_value(SpecVersion::NEWEST).expect("the newest version can say everything");
    assert_eq!(CniResult::from_value(&printed).expect("what we print can be read"), result);
    for version in SpecVersion::ALL {
        let _ = result.to_value(version);
    }
});
