//! End to end and interoperability tests: what they share.
//!
//! Every test puts up a lab of its own under its own name with the `weft` that was built, looks at it from outside
//! with the tools that a person would use, and takes it down even when it panics. A test that lacks root or a
//! program fails and names the command that provides it. Tests of the embedded etcd put up servers instead of labs.

pub mod apiserver;
pub mod changes;
pub mod client;
pub mod clock;
pub mod etcd;
mod lab;
mod machine;
pub mod measure;
pub mod relay;
pub mod sandbox;
pub mod services;
mod stream;

pub use lab::{Lab, Ping, need_root, weft, weft_command};
pub use machine::Machine;
pub use stream::Stream;
