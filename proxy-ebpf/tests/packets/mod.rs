//! Packets for the tests of the packet path, and the bed that they run in.
#![allow(dead_code, reason = "each test file takes what it needs")]
#![allow(missing_docs, reason = "tests' own building blocks")]

pub mod bed;
pub mod build;
pub mod check;
pub mod node;
