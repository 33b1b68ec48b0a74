//! Writes service ports into the maps.
//!
//! A port's endpoints go into blocks that nobody reads yet, then each of its frontends is pointed at them by one map
//! update: a connection finds the old endpoints or the new ones. What an earlier process wrote is found again by its
//! frontends, and stays where it is the same.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use aya::Ebpf;
use aya::maps::lpm_trie::LpmTrie;
use aya::maps::{HashMap as BpfMap, MapData, MapError, PerCpuArray, PerCpuValues};
use ipnetwork::IpNetwork;
use weft_proxy_abi as abi;

use super::blocks::Blocks;
use super::encode::{self, Wanted};
use super::error::EbpfError;
use super::maglev;
use super::options::EbpfOptions;
use super::row::{Mapped, Row};
use crate::table::{Endpoint, PortId, ServicePort};

/// What is in the maps for a service port.
#[derive(Clone, Debug, Default)]
struct Written {
    id: u32,
    generation: u32,
    frontends: HashMap<abi::FrontendKey, abi::Service>,
    blocks: Vec<abi::Block>,
    /// A Maglev table, and the block that it is over.
    maglev: Option<(u32, abi::Block)>,
    ranges: BTreeSet<IpNetwork>,
}

/// The maps of the service table.
pub struct Writer {
    services: BpfMap<MapData, Row<abi::FrontendKey>, Row<abi::Service>>,
    endpoints: Mapped<abi::Endpoint>,
    maglev: Mapped<abi::MaglevChunk>,
    ports: Mapped<u64>,
    ranges: LpmTrie<MapData, Row<abi::SourceRange>, u32>,
    counters: PerCpuArray<MapData, Row<abi::Counters>>,
    options: EbpfOptions,
    endpoint_blocks: Blocks,
    maglev_tables: Blocks,
    ids: Blocks,
    /// The last one that was given; it begins with the time, so that no earlier process gave a later one.
    generation: u32,
    written: HashMap<PortId, Written>,
}

/// Takes a map out of the object, as the type that it has.
pub fn take<T: TryFrom<aya::maps::Map, Error = MapError>>(
    ebpf: &mut Ebpf,
    name: &'static str,
) -> Result<T, EbpfError> {
    let map = ebpf.take_map(name).ok_or(EbpfError::Map {
        what: "find",
        map: name,
        why: "it is not in the object".into(),
    })?;
    T::try_from(map).map_err(|e| failed("open", name, &e))
}

pub fn failed(what: &'static str, map: &'static str, error: &dyn std::error::Error) -> EbpfError {
    // What the system call said is the source of what aya says.
    let why = error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
    EbpfError::Map { what, map, why }
}

/// Maps an array of the object into memory. The map stays the object's: programs may be loaded later.
fn mapped<T: super::row::Plain>(ebpf: &Ebpf, name: &'static str) -> Result<Mapped<T>, EbpfError> {
    let map_error = |e: std::io::Error| failed("map into memory", name, &e);
    match ebpf.map(name) {
        Some(aya::maps::Map::Array(data)) => {
            let length = data.info().map_err(|e| failed("look at", name, &e))?.max_entries();
            Mapped::new(std::os::fd::AsFd::as_fd(data.fd()), length).map_err(map_error)
        }
        _ => Err(EbpfError::Map { what: "find", map: name, why: "the object has no such array".into() }),
    }
}

impl Writer {
    /// Opens the maps, with what an earlier process wrote: it is free to be taken over by [`Self::recover`].
    pub fn open(ebpf: &mut Ebpf, options: &EbpfOptions) -> Result<Writer, EbpfError> {
        let nothing = BTreeSet::new();
        let blocks = |capacity| {
            Blocks::new(capacity, &nothing).map_err(|_| EbpfError::Map {
                what: "divide",
                map: "ENDPOINTS",
                why: "an empty array is free".into(),
            })
        };
        Ok(Writer {
            services: take(ebpf, "SERVICES")?,
            endpoints: mapped(ebpf, "ENDPOINTS")?,
            maglev: mapped(ebpf, "MAGLEV")?,
            ports: mapped(ebpf, "PORTS")?,
            ranges: take(ebpf, "SOURCE_RANGES")?,
            counters: take(ebpf, "COUNTERS")?,
            endpoint_blocks: blocks(options.sizes.endpoints)?,
            maglev_tables: blocks(options.sizes.maglev_tables)?,
            ids: blocks(options.sizes.services)?,
            generation: rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec as u32,
            options: options.clone(),
            written: HashMap::new(),
        })
    }

    /// Finds what an earlier process wrote for these ports, and removes what it wrote for others once all is written:
    /// what this gives back is handed to [`Self::forget`].
    pub fn recover<'a>(
        &mut self,
        ports: impl Iterator<Item = (&'a PortId, &'a ServicePort)>,
    ) -> Result<Vec<PortId>, EbpfError> {
        let mut by_id: HashMap<u32, Written> = HashMap::new();
        let mut owners: HashMap<abi::FrontendKey, u32> = HashMap::new();
        for entry in self.services.iter() {
            let (Row(key), Row(service)) = entry.map_err(|e| failed("read", "SERVICES", &e))?;
            owners.insert(key, service.id);
            let written = by_id.entry(service.id).or_default();
            (written.id, written.generation) = (service.id, written.generation.max(service.generation));
            for block in [service.inside, service.outside] {
                if block.count > 0 && !written.blocks.contains(&block) {
                    written.blocks.push(block);
                }
            }
            if service.maglev != abi::NO_MAGLEV {
                written.maglev = Some((service.maglev, service.outside));
            }
            written.frontends.insert(key, service);
        }
        if let Err(what) = self.reserve(&by_id) {
            tracing::warn!(what, "the service table of an earlier process does not add up: writing it anew");
            return self.clear(&owners).map(|()| Vec::new());
        }
        for entry in self.ranges.iter() {
            let (key, _) = entry.map_err(|e| failed("read", "SOURCE_RANGES", &e))?;
            if let (Some(written), Some(range)) =
                (by_id.get_mut(&key.data().0.service), encode::network_of(&key))
            {
                written.ranges.insert(range);
            }
        }
        for (id, port) in ports {
            let number = encode::keys(id, port).find_map(|key| owners.get(&key).copied());
            if let Some(written) = number.and_then(|number| by_id.remove(&number)) {
                self.written.insert(id.clone(), written);
            }
        }
        // Those that nobody wants are kept under names that no service can have, to be forgotten at the end.
        Ok(by_id
            .into_values()
            .map(|written| {
                let left = encode::left_over(written.id);
                self.written.insert(left.clone(), written);
                left
            })
            .collect())
    }

    /// Marks what is in use.
    fn reserve(&mut self, by_id: &HashMap<u32, Written>) -> Result<(), &'static str> {
        let all = || by_id.values();
        let blocks: BTreeSet<_> =
            all().flat_map(|w| &w.blocks).map(|block| (block.base, block.count)).collect();
        let tables: BTreeSet<_> = all().filter_map(|w| w.maglev).map(|(table, _)| (table, 1)).collect();
        let ids: BTreeSet<_> = all().map(|w| (w.id, 1)).collect();
        let sizes = &self.options.sizes;
        let endpoint_blocks = Blocks::new(sizes.endpoints, &blocks).map_err(|_| "blocks of endpoints")?;
        let maglev_tables = Blocks::new(sizes.maglev_tables, &tables).map_err(|_| "Maglev tables")?;
        self.ids = Blocks::new(sizes.services, &ids).map_err(|_| "numbers of services")?;
        (self.endpoint_blocks, self.maglev_tables) = (endpoint_blocks, maglev_tables);
        Ok(())
    }

    /// Removes all frontends, and source ranges, which know services by their numbers.
    fn clear(&mut self, keys: &HashMap<abi::FrontendKey, u32>) -> Result<(), EbpfError> {
        for key in keys.keys() {
            absent_is_fine(self.services.remove(&Row(*key))).map_err(|e| failed("remove", "SERVICES", &e))?;
        }
        let ranges: Vec<_> = self.ranges.iter().flatten().map(|(key, _)| key).collect();
        for key in ranges {
            absent_is_fine(self.ranges.remove(&key)).map_err(|e| failed("remove", "SOURCE_RANGES", &e))?;
        }
        Ok(())
    }

    /// Brings a service port to what it shall be.
    pub fn write(&mut self, id: &PortId, port: &ServicePort, now: Instant) -> Result<(), EbpfError> {
        let old = self.written.get(id).cloned();
        let mut fresh = Vec::new();
        let staged = self.stage(id, port, old.as_ref(), &mut fresh, now);
        let written = staged.inspect_err(|_| {
            // Nothing names these blocks yet.
            fresh
                .iter()
                .for_each(|block: &abi::Block| self.endpoint_blocks.give(block.base, block.count, now));
        })?;
        let old = old.unwrap_or_default();
        for key in old.frontends.keys().filter(|key| !written.frontends.contains_key(*key)) {
            self.remove_frontend(key, old.id)?;
        }
        for range in old.ranges.difference(&written.ranges) {
            let key = encode::range_key(written.id, range);
            absent_is_fine(self.ranges.remove(&key)).map_err(|e| failed("remove", "SOURCE_RANGES", &e))?;
        }
        for block in old.blocks.iter().filter(|block| !written.blocks.contains(block)) {
            self.endpoint_blocks.give(block.base, block.count, now);
        }
        if let Some((table, _)) = old.maglev.filter(|(table, _)| written.maglev.map(|m| m.0) != Some(*table))
        {
            self.maglev_tables.give(table, 1, now);
        }
        self.written.insert(id.clone(), written);
        Ok(())
    }

    /// Writes blocks, tables and ranges, then the frontends.
    fn stage(
        &mut self,
        id: &PortId,
        port: &ServicePort,
        old: Option<&Written>,
        fresh: &mut Vec<abi::Block>,
        now: Instant,
    ) -> Result<Written, EbpfError> {
        let mut written = Written { generation: old.map_or(0, |old| old.generation), ..Written::default() };
        written.id = match old {
            Some(old) => old.id,
            None => self.number(id, now)?,
        };
        let wanted = Wanted::of(id, port);
        let mut placed = HashMap::new();
        for policy in wanted.policies() {
            let held = old.map_or(&[][..], |old| &old.blocks);
            let block = self.place(id, port.endpoints(policy), held, fresh, now)?;
            placed.insert(policy, block);
            if block.count > 0 && !written.blocks.contains(&block) {
                written.blocks.push(block);
            }
        }
        if old.is_none_or(|old| old.blocks != written.blocks) {
            self.generation = self.generation.wrapping_add(1);
            written.generation = self.generation;
        }
        if let Some(policy) = wanted.maglev {
            let block = placed.get(&policy).copied().unwrap_or(encode::EMPTY);
            if block.count > 0 {
                written.maglev = Some(self.spread(id, port.endpoints(policy), block, old, now)?);
            }
        }
        for range in &wanted.ranges {
            self.ranges
                .insert(&encode::range_key(written.id, range), 1, 0)
                .map_err(|e| self.full("SOURCE_RANGES", id, &e))?;
        }
        written.ranges = wanted.ranges.clone();
        self.mark_ports(id, port);
        for (key, frontend) in wanted.frontends {
            let maglev = written.maglev.filter(|_| frontend.external).map(|(table, _)| table);
            let service = frontend.service(&placed, (written.id, written.generation), maglev);
            if old.and_then(|old| old.frontends.get(&key)) != Some(&service)
                && let Err(error) = self.services.insert(Row(key), Row(service), 0)
            {
                self.restore(old, &written);
                return Err(self.full("SERVICES", id, &error));
            }
            written.frontends.insert(key, service);
        }
        Ok(written)
    }

    /// Points frontends back to where they were: a service port that does not fit stays whole, as it was.
    fn restore(&mut self, old: Option<&Written>, staged: &Written) {
        for key in staged.frontends.keys() {
            // What this fails to write is told by the error that led here.
            let _ = match old.and_then(|old| old.frontends.get(key)) {
                Some(service) => self.services.insert(Row(*key), Row(*service), 0),
                None => self.services.remove(&Row(*key)),
            };
        }
    }

    /// A number for a new service port, its counters at zero.
    fn number(&mut self, id: &PortId, now: Instant) -> Result<u32, EbpfError> {
        let number = self.ids.take(1, now).ok_or_else(|| self.no_room("COUNTERS", id))?;
        let cpus = aya::util::nr_cpus().unwrap_or(1);
        // SAFETY: all zero is a value of the plain structure.
        let zero: abi::Counters = unsafe { std::mem::zeroed() };
        let zeros =
            PerCpuValues::try_from(vec![Row(zero); cpus]).map_err(|e| failed("write", "COUNTERS", &e))?;
        self.counters.set(number, zeros, 0).map_err(|e| failed("write", "COUNTERS", &e))?;
        Ok(number)
    }

    /// The block with these endpoints: one that is held already, or a new one.
    fn place(
        &mut self,
        id: &PortId,
        endpoints: &[Endpoint],
        held: &[abi::Block],
        fresh: &mut Vec<abi::Block>,
        now: Instant,
    ) -> Result<abi::Block, EbpfError> {
        let count = endpoints.len() as u32;
        if count == 0 {
            return Ok(encode::EMPTY);
        }
        let same = |block: &abi::Block| {
            let mut elements = (block.base..).zip(endpoints);
            block.count == count
                && elements.all(|(at, e)| self.endpoints.get(at) == Some(encode::endpoint(e)))
        };
        if let Some(block) = held.iter().chain(fresh.iter()).find(|block| same(block)) {
            return Ok(*block);
        }
        if count > u32::from(u16::MAX) {
            return Err(self.no_room("ENDPOINTS", id));
        }
        let base = self.endpoint_blocks.take(count, now).ok_or_else(|| self.no_room("ENDPOINTS", id))?;
        (base..).zip(endpoints).for_each(|(at, e)| self.endpoints.set(at, encode::endpoint(e)));
        let block = abi::Block { base, count };
        fresh.push(block);
        Ok(block)
    }

    /// The Maglev table over a block.
    fn spread(
        &mut self,
        id: &PortId,
        endpoints: &[Endpoint],
        block: abi::Block,
        old: Option<&Written>,
        now: Instant,
    ) -> Result<(u32, abi::Block), EbpfError> {
        if let Some(held) = old.and_then(|old| old.maglev).filter(|(_, over)| *over == block) {
            return Ok(held);
        }
        let table = self.maglev_tables.take(1, now).ok_or_else(|| self.no_room("MAGLEV", id))?;
        let slots = maglev::table(endpoints, self.options.maglev_slots);
        let first = table * self.options.chunks();
        for (at, part) in (first..).zip(slots.chunks(abi::MAGLEV_CHUNK)) {
            let mut chunk = abi::MaglevChunk { slots: [0; abi::MAGLEV_CHUNK] };
            chunk.slots[..part.len()].copy_from_slice(part);
            self.maglev.set(at, chunk);
        }
        Ok((table, block))
    }

    /// Sets the bits of a port's frontends and endpoints. They are never cleared: connections may outlive both.
    fn mark_ports(&mut self, id: &PortId, port: &ServicePort) {
        let (frontends, endpoints) = encode::bitmaps(id.protocol);
        let of_endpoints = port.cluster.iter().chain(&port.local).map(|e| (endpoints, e.port));
        for (bitmap, number) in port.frontends.iter().map(|f| (frontends, f.port)).chain(of_endpoints) {
            let at = bitmap * abi::PORT_WORDS + u32::from(number) / 64;
            let (word, bit) = (self.ports.get(at).unwrap_or(0), 1 << (number % 64));
            if word & bit == 0 {
                self.ports.set(at, word | bit);
            }
        }
    }

    /// Removes all that is written for a service port.
    pub fn forget(&mut self, id: &PortId, now: Instant) -> Result<(), EbpfError> {
        let Some(written) = self.written.get(id).cloned() else { return Ok(()) };
        for key in written.frontends.keys() {
            self.remove_frontend(key, written.id)?;
        }
        for range in &written.ranges {
            let key = encode::range_key(written.id, range);
            absent_is_fine(self.ranges.remove(&key)).map_err(|e| failed("remove", "SOURCE_RANGES", &e))?;
        }
        written.blocks.iter().for_each(|block| self.endpoint_blocks.give(block.base, block.count, now));
        if let Some((table, _)) = written.maglev {
            self.maglev_tables.give(table, 1, now);
        }
        self.ids.give(written.id, 1, now);
        self.written.remove(id);
        Ok(())
    }

    /// Removes a frontend, unless another service port has taken it over.
    fn remove_frontend(&mut self, key: &abi::FrontendKey, owner: u32) -> Result<(), EbpfError> {
        let there = present(self.services.get(&Row(*key), 0)).map_err(|e| failed("read", "SERVICES", &e))?;
        match there {
            Some(Row(service)) if service.id == owner => {
                absent_is_fine(self.services.remove(&Row(*key))).map_err(|e| failed("remove", "SERVICES", &e))
            }
            _ => Ok(()),
        }
    }

    /// Service ports that are written, and their numbers.
    pub fn numbers(&self) -> impl Iterator<Item = (&PortId, u32)> {
        self.written.iter().map(|(id, written)| (id, written.id))
    }

    /// The counters of a number, by CPU.
    pub fn counters(&self, number: u32) -> Result<PerCpuValues<Row<abi::Counters>>, EbpfError> {
        self.counters.get(&number, 0).map_err(|e| failed("read", "COUNTERS", &e))
    }

    /// How full the maps are that the daemon fills: name, entries in use, entries.
    pub fn usage(&self) -> Vec<(&'static str, u32, u32)> {
        let frontends: usize = self.written.values().map(|written| written.frontends.len()).sum();
        let ranges: usize = self.written.values().map(|written| written.ranges.len()).sum();
        let blocks = |name, blocks: &Blocks| (name, blocks.used(), blocks.capacity());
        vec![
            ("SERVICES", frontends as u32, self.options.sizes.frontends),
            ("SOURCE_RANGES", ranges as u32, self.options.sizes.source_ranges),
            blocks("ENDPOINTS", &self.endpoint_blocks),
            blocks("MAGLEV", &self.maglev_tables),
            blocks("COUNTERS", &self.ids),
        ]
    }

    fn no_room(&self, map: &'static str, id: &PortId) -> EbpfError {
        let size = self.options.map_sizes().into_iter().find(|size| size.name == map);
        let (capacity, flag) = size.map_or((0, ""), |size| (size.entries, size.flag));
        EbpfError::Full { map, capacity, object: id.to_string(), flag }
    }

    fn full(&self, map: &'static str, id: &PortId, error: &MapError) -> EbpfError {
        let code = match error {
            MapError::SyscallError(e) => e.io_error.raw_os_error(),
            _ => None,
        };
        match code {
            Some(libc::E2BIG | libc::ENOSPC | libc::ENOMEM) => self.no_room(map, id),
            _ => failed("write", map, error),
        }
    }
}

/// An entry that is gone already is gone.
pub fn absent_is_fine(done: Result<(), MapError>) -> Result<(), MapError> {
    match done {
        Err(MapError::KeyNotFound) => Ok(()),
        Err(MapError::SyscallError(e)) if e.io_error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        other => other,
    }
}

pub fn present<T>(found: Result<T, MapError>) -> Result<Option<T>, MapError> {
    match found {
        Ok(value) => Ok(Some(value)),
        Err(MapError::KeyNotFound) => Ok(None),
        Err(e) => Err(e),
    }
}
