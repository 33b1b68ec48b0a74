//! What Kubernetes objects mean, apart from any server: schemas, bodies, patches, selectors, quantities, defaults,
//! validation.
//!
//! Objects are `serde_json` values, and what their fields are is data (`schema`): one table serves decoding, pruning,
//! protobuf bodies, strategic merge patches and the OpenAPI documents, where a type per kind would compile each of
//! these once per kind. Everything here is pure.

pub mod body;
pub mod fault;
pub mod moment;
pub mod names;
pub mod openapi;
pub mod patch;
pub mod quantity;
pub mod rules;
pub mod schema;
pub mod selector;

pub use fault::{Fault, FaultKind, Faults};
