//! What the tests of the embedded etcd share: servers of three kinds, raw messages, sequences and histories.
//!
//! The peers are Debian's etcd-server (3.4) and etcd 3.5.1, both fetched by `cargo xtask setup`. Every test is
//! written over a server handle and runs alike against a peer and against ours, so that a wrong test shows up as a
//! failure against the real etcd. Messages are the raw ones of the protocol: a client library would hide what a
//! server really answers. Nothing here scales with more than the length of a test's own sequence or history.

pub mod answer;
pub mod client;
pub mod contend;
pub mod crash;
pub mod ctl;
pub mod differences;
pub mod disk;
pub mod generate;
pub mod history;
pub mod linear;
pub mod operation;
pub mod peer;
pub mod replay;
pub mod request;
pub mod sample;
pub mod server;
pub mod shorten;
mod ties;
mod transaction;
pub mod watching;
pub mod wire;

pub use client::Client;
pub use ctl::{Ctl, on_each};
pub use server::{Kind, Server, free_port};
