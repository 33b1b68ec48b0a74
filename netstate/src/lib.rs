//! Kernel network state as values: observe, plan, apply.
