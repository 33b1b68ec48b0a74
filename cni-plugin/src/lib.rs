//! The CNI plugin weft-cni, and the CNI types and caller as a library.
