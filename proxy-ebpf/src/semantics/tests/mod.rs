//! Tests: each rule by name, and properties over random objects.

mod conflicts;
mod endpoints;
mod frontends;
mod objects;
mod properties;
mod services;
mod topology;
mod tracker;
