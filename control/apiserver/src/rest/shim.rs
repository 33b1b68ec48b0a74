//! To be replaced.
use serde_json::Value;
use weft_objects::Faults;
pub fn metadata(_: &Value, _: bool, _: &mut Faults) {}
pub fn metadata_update(_: &Value, _: &Value, _: &mut Faults) {}
