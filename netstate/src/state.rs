//! What the kernel has, as one value.
//!
//! Listing costs in proportion to everything that is there, so each kind is listed only when it is
//! asked for. The lists are not one snapshot: between two of them the kernel can change. The plan
//! made from them is then repaired by the next look, which the change itself asks for.

use std::collections::BTreeMap;

use crate::{Address, FdbEntry, Kernel, Link, Neighbour, Result, Route, Rule, nft, sysctl};

/// Which kinds to list.
#[derive(Debug, Clone, Default)]
pub struct Observe {
    /// Addresses of all devices.
    pub addresses: bool,
    /// Routes.
    pub routes: bool,
    /// Policy rules.
    pub rules: bool,
    /// Neighbours.
    pub neighbours: bool,
    /// Forwarding database.
    pub fdb: bool,
    /// These nftables tables.
    pub tables: Vec<nft::TableId>,
    /// These sysctls, where the kernel has them.
    pub sysctls: Vec<String>,
}

/// What was observed. Links are always there: names come from them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// All links, by index.
    pub links: Vec<Link>,
    /// Addresses.
    pub addresses: Vec<Address>,
    /// Routes.
    pub routes: Vec<Route>,
    /// Policy rules.
    pub rules: Vec<Rule>,
    /// Neighbours.
    pub neighbours: Vec<Neighbour>,
    /// Forwarding database.
    pub fdb: Vec<FdbEntry>,
    /// The tables that exist among those asked for.
    pub tables: BTreeMap<nft::TableId, nft::Fingerprint>,
    /// The sysctls that exist among those asked for.
    pub sysctls: BTreeMap<String, String>,
}

impl State {
    /// The link of that name.
    pub fn link(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| &*link.name == name)
    }

    /// The link of that index.
    pub fn link_at(&self, index: u32) -> Option<&Link> {
        self.links.binary_search_by_key(&index, |l| l.index).ok().map(|at| &self.links[at])
    }
}

impl Kernel {
    /// Lists what `wanted` asks for.
    pub fn observe(&mut self, wanted: &Observe) -> Result<State> {
        let mut state = State { links: self.route.links()?, ..State::default() };
        state.links.sort_by_key(|link| link.index);
        let links = &state.links;
        if wanted.addresses {
            state.addresses = self.route.addresses(links)?;
        }
        if wanted.routes {
            state.routes = self.route.routes(links)?;
        }
        if wanted.rules {
            state.rules = self.route.rules()?;
        }
        if wanted.neighbours {
            state.neighbours = self.route.neighbours(links)?;
        }
        if wanted.fdb {
            state.fdb = self.route.fdb(links)?;
        }
        for id in &wanted.tables {
            if let Some(fingerprint) = self.nft()?.fingerprint(id)? {
                state.tables.insert(id.clone(), fingerprint);
            }
        }
        for key in &wanted.sysctls {
            if let Some(value) = sysctl::read_if_there(key)? {
                state.sysctls.insert(key.clone(), value);
            }
        }
        Ok(state)
    }
}
