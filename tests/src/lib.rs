//! End to end and interoperability tests.
