//! What `dist` promises of a program, read from its ELF headers: no symbols, no dynamic linker.

/// `p_type` of a segment that names the dynamic linker.
const PT_INTERP: u32 = 3;
/// `sh_type` of a section with symbols.
const SHT_SYMTAB: u32 = 2;

/// What the headers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elf {
    /// It names a dynamic linker.
    pub interpreter: bool,
    /// It has a symbol table.
    pub symbols: bool,
}

impl Elf {
    /// Reads a 64-bit little-endian program; none if it is no such.
    pub fn of(bytes: &[u8]) -> Option<Elf> {
        if !bytes.starts_with(b"\x7fELF\x02\x01") {
            return None;
        }
        let segments = Table::at(bytes, 0x20, 0x36)?;
        let sections = Table::at(bytes, 0x28, 0x3a)?;
        let interpreter = segments.entries(bytes)?.any(|e| word(e, 0) == Some(PT_INTERP));
        let symbols = sections.entries(bytes)?.any(|e| word(e, 4) == Some(SHT_SYMTAB));
        Some(Elf { interpreter, symbols })
    }
}

/// A table of headers in the file.
struct Table {
    start: usize,
    size: usize,
    count: usize,
}

impl Table {
    /// The header has the table's place in one field, the size and number of its entries in two others.
    fn at(bytes: &[u8], place: usize, sizes: usize) -> Option<Table> {
        let start = u64::from_le_bytes(bytes.get(place..place + 8)?.try_into().ok()?);
        let half = |at: usize| Some(usize::from(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?)));
        Some(Table { start: usize::try_from(start).ok()?, size: half(sizes)?, count: half(sizes + 2)? })
    }

    fn entries<'a>(&self, bytes: &'a [u8]) -> Option<impl Iterator<Item = &'a [u8]>> {
        let end = self.start.checked_add(self.size.checked_mul(self.count)?)?;
        Some(bytes.get(self.start..end)?.chunks(self.size.max(1)))
    }
}

fn word(entry: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(entry.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_is_dynamic_and_has_symbols() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(Elf::of(&own), Some(Elf { interpreter: true, symbols: true }));
    }

    #[test]
    fn what_is_cut_off_or_no_elf_is_none() {
        assert_eq!(Elf::of(b"#!/bin/sh"), None);
        assert_eq!(Elf::of(b"\x7fELF\x02\x01"), None);
    }
}
