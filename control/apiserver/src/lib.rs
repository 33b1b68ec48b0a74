//! The Kubernetes API over etcd.
//!
//! ```text
//! client ─TLS─ server: authn ─ authz ─ rest: decode, default, validate, admit ─ store: etcd txn ─ revision
//!                                        └ get, list, watch ─ cache: one per kind, encoded bytes, shared by all watchers
//! ```
//!
//! A kind is one descriptor in `kinds`; everything else is generic.

pub mod authn;
pub mod authz;
pub mod pki;
pub mod policy;
pub mod refusal;
pub mod request;
