//! Entrance.

fn main() {}
