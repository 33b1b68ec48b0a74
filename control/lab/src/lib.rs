//! A lab of nodes and pods in network namespaces on one machine, and its load tool.
//!
//! | file | concept |
//! | --- | --- |
//! | `topology` | places, cables and addresses, as plain values |
//! | `cgroup`, `state` | what makes `down` certain: one cgroup, one tmpfs, a lock and a record |
//! | `view`, `holder`, `enter` | a node's namespaces: made, held, pinned, entered |
//! | `network` | lays the network through `netstate` |
//! | `etcd`, `api`, `relay`, `daemons` | the programs of the nodes |
//! | `pods` | sandboxes wired by CNI plugins, as a runtime does it |
//! | `up`, `down`, `status`, `matrix`, `bench` | the verbs |
//! | `load` | the load tool |
//!
//! Nothing in the machine's own network namespace is made or changed, so labs do not disturb it or each other.

mod api;
pub mod bench;
mod cgroup;
mod command;
mod daemons;
mod down;
mod enter;
mod error;
mod etcd;
mod holder;
pub mod load;
mod matrix;
mod network;
mod pods;
mod progress;
mod relay;
mod services;
mod state;
mod status;
mod topology;
mod up;
mod view;

pub use command::LabCommand;
pub use error::{LabError, Result};
