//! What a back end has written, for people.

use crate::table::Endpoint;

/// What is written for a service port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Programmed {
    /// Each frontend, with its endpoints for clients on this node and elsewhere.
    pub frontends: Vec<(String, Vec<Endpoint>, Vec<Endpoint>)>,
}
