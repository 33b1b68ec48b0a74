//! The Kubernetes API over etcd.
//!
//! ```text
//! client ─TLS─ server: authn ─ authz ─ rest: decode, default, validate, admit ─ store: etcd txn ─ revision
//!                                        └ get, list, watch ─ cache: one per kind, encoded bytes, shared by all watchers
//! ```
//!
//! A kind is one descriptor in `kinds`; everything else is generic.

pub mod api;
pub mod authn;
pub mod authz;
pub mod bootstrap;
pub mod cache;
mod convert;
mod discovery;
pub mod kinds;
mod metrics;
pub mod object;
mod openapi;
pub mod pki;
pub mod plugins;
pub mod policy;
pub mod refusal;
pub mod request;
pub mod rest;
pub mod run;
pub mod server;
pub mod services;
pub mod status;
pub mod store;
