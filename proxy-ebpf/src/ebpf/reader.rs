//! Reads what is programmed from the pinned maps, beside a running daemon or without one. Writes nothing.

use std::path::Path;

use aya::maps::{Array, HashMap as BpfMap, Map, MapData};
use weft_proxy_abi as abi;

use super::encode;
use super::error::EbpfError;
use super::pins::Pins;
use super::row::Row;
use super::writer::{failed, present};
use crate::explain::{ProgrammedFrontend, frontend_key};
use crate::table::{Endpoint, PortId, ServicePort};

/// The maps of a node's proxy.
pub struct Reader {
    pub(super) pins: Pins,
    services: BpfMap<MapData, Row<abi::FrontendKey>, Row<abi::Service>>,
    endpoints: Array<MapData, Row<abi::Endpoint>>,
}

impl Reader {
    /// Opens the maps below a bpffs.
    pub fn open(bpf_root: &Path) -> Result<Reader, EbpfError> {
        let pins = Pins::existing(bpf_root).ok_or_else(|| EbpfError::Pin {
            what: "find the maps of a running proxy below",
            path: bpf_root.to_owned(),
            source: std::io::ErrorKind::NotFound.into(),
        })?;
        Ok(Reader { services: open(&pins, "SERVICES")?, endpoints: open(&pins, "ENDPOINTS")?, pins })
    }

    /// What is written for the frontends that a service port should have.
    pub fn programmed(&self, id: &PortId, port: &ServicePort) -> Result<Vec<ProgrammedFrontend>, EbpfError> {
        let mut programmed = Vec::new();
        for frontend in &port.frontends {
            if let Some(service) = self.service(&encode::key(id, frontend))? {
                programmed.push(ProgrammedFrontend {
                    frontend: frontend_key(id, frontend),
                    inside: self.endpoints(service.inside)?,
                    outside: self.endpoints(service.outside)?,
                });
            }
        }
        Ok(programmed)
    }

    /// What a frontend leads to.
    pub(super) fn service(&self, key: &abi::FrontendKey) -> Result<Option<abi::Service>, EbpfError> {
        let found = present(self.services.get(&Row(*key), 0)).map_err(|e| failed("read", "SERVICES", &e))?;
        Ok(found.map(|Row(service)| service))
    }

    /// The endpoints of a block.
    pub(super) fn endpoints(&self, block: abi::Block) -> Result<Vec<Endpoint>, EbpfError> {
        let elements = block.base..block.base.saturating_add(block.count);
        let read = |at| self.endpoints.get(&at, 0).map_err(|e| failed("read", "ENDPOINTS", &e));
        elements.map(|at| read(at).map(|Row(endpoint)| encode::of_endpoint(&endpoint))).collect()
    }
}

/// A pinned map, as the type that it has.
pub(super) fn open<T: TryFrom<Map, Error = aya::maps::MapError>>(
    pins: &Pins,
    name: &'static str,
) -> Result<T, EbpfError> {
    T::try_from(pins.open_map(name)?).map_err(|e| failed("open", name, &e))
}
