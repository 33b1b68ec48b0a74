//! Keys with history: the index in memory, rows on disk, and the recent past for watchers.

pub mod index;
pub mod range;
pub mod recent;
pub mod revision;
pub mod rows;
