//! What a back end has written, for people.

use crate::table::Endpoint;

/// What is written for a service port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Programmed {
    /// Each frontend, with its endpoints for clients on this node and elsewhere.
    pub frontends: Vec<(String, Vec<Endpoint>, Vec<Endpoint>)>,
}

/// Renders a service, desired beside programmed; and whether both are the same.
pub fn explain<E>(
    table: &crate::ServiceTable,
    service: &crate::ServiceName,
    programmed: impl Fn(&crate::PortId, &crate::ServicePort) -> Result<Programmed, E>,
) -> Result<(String, bool), E> {
    let mut text = String::new();
    for (id, port) in table.ports.iter().filter(|(id, _)| id.service == *service) {
        text += &format!("{id}: {port:?}\n{:?}\n", programmed(id, port)?);
    }
    Ok((text, true))
}
