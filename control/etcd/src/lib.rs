//! Embedded state: a single-node server that speaks etcd v3.

pub mod snapshot;
