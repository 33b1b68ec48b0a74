//! A lab of nodes and pods in network namespaces, and its load tool.

pub mod load;
