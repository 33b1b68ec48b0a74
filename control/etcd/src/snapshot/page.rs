//! The bytes of bbolt's pages.
//!
//! Every page is 4096 bytes, little endian, begins with a header, and may run on over the pages behind it
//! (`overflow`) when an element is larger than a page (bbolt's page.go, bucket.go, db.go):
//!
//! ```text
//! header, 16 bytes   0 ┌────────────────┬───────┬───────┬──────────┐
//!                      │ id: u64        │ flags │ count │ overflow │  flags: 01 branch, 02 leaf,
//!                      └────────────────┴─u16───┴─u16───┴─u32──────┘         04 meta, 10 free list
//!
//! leaf    header │ (flags pos ksize vsize: u32 each) × count │ key value key value …
//! branch  header │ (pos ksize: u32, id of child: u64) × count │ key key …
//!         pos counts from the element itself; a branch's key is the first key of the child.
//!         leaf element flags 1 = a bucket; its value:  root id: u64, sequence: u64 [, inline page]
//!         root id 0 = the bucket is that leaf page behind it (id 0), cut off behind its last byte
//!
//! meta    header │ magic ED0CDAED │ version 2 │ page size │ flags 0        u32 each
//!                │ root id │ sequence │ free list id │ next page │ txid │ FNV-1a 64 of what is before   u64
//! free    header │ ids: u64 × count
//! ```

/// Size of a page. bbolt takes it from the file; etcd's machines all have this one.
pub(super) const PAGE_SIZE: usize = 4096;

/// A page's header, and the fixed part of a leaf's or branch's element: 16 bytes each.
pub(super) const HEADER: usize = 16;

/// The leaf element's flag of a bucket.
pub(super) const BUCKET_FLAG: u32 = 1;

const BRANCH: u16 = 0x01;
const LEAF: u16 = 0x02;
const META: u16 = 0x04;
const FREE_LIST: u16 = 0x10;

const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;

/// A leaf page being filled. May grow beyond a page by one large entry.
#[derive(Default)]
pub(super) struct LeafPage {
    /// Flags, length of the key, length of the value.
    elements: Vec<(u32, u32, u32)>,
    data: Vec<u8>,
}

impl LeafPage {
    pub(super) fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    /// Bytes with one more entry of `more` bytes of key and value.
    pub(super) fn size_with(&self, more: usize) -> usize {
        self.size() + HEADER + more
    }

    pub(super) fn size(&self) -> usize {
        HEADER * (1 + self.elements.len()) + self.data.len()
    }

    pub(super) fn push(&mut self, flags: u32, key: &[u8], value: &[u8]) {
        self.elements.push((flags, key.len() as u32, value.len() as u32));
        self.data.extend_from_slice(key);
        self.data.extend_from_slice(value);
    }

    /// The first key; of an empty page the empty one.
    pub(super) fn first_key(&self) -> &[u8] {
        self.elements.first().map_or(&[], |(_, ksize, _)| &self.data[..*ksize as usize])
    }

    pub(super) fn has_buckets(&self) -> bool {
        self.elements.iter().any(|(flags, ..)| *flags == BUCKET_FLAG)
    }

    /// The page as an inline bucket holds it: id 0, nothing behind the last value.
    pub(super) fn inline(&self) -> Vec<u8> {
        let mut bytes = header(0, LEAF, self.elements.len(), 0).to_vec();
        let mut at = 0;
        for (number, (flags, ksize, vsize)) in self.elements.iter().enumerate() {
            let pos = position(number, self.elements.len(), at);
            bytes.extend([*flags, pos, *ksize, *vsize].into_iter().flat_map(u32::to_le_bytes));
            at += *ksize as usize + *vsize as usize;
        }
        bytes.extend_from_slice(&self.data);
        bytes
    }

    /// The page under an id, filled up to whole pages.
    pub(super) fn encode(&self, id: u64) -> Vec<u8> {
        whole_pages(self.inline(), id)
    }
}

/// A branch page being filled.
#[derive(Default)]
pub(super) struct BranchPage {
    /// The child's first key, and its id.
    pub(super) children: Vec<(Vec<u8>, u64)>,
}

impl BranchPage {
    pub(super) fn size(&self) -> usize {
        HEADER + self.children.iter().map(|(key, _)| HEADER + key.len()).sum::<usize>()
    }

    /// The page under an id, filled up to whole pages.
    pub(super) fn encode(&self, id: u64) -> Vec<u8> {
        let mut bytes = header(0, BRANCH, self.children.len(), 0).to_vec();
        let mut at = 0;
        for (number, (key, child)) in self.children.iter().enumerate() {
            bytes.extend(position(number, self.children.len(), at).to_le_bytes());
            bytes.extend((key.len() as u32).to_le_bytes());
            bytes.extend(child.to_le_bytes());
            at += key.len();
        }
        bytes.extend(self.children.iter().flat_map(|(key, _)| key));
        whole_pages(bytes, id)
    }
}

/// What a meta page says.
pub(super) struct MetaPage {
    /// The page in which the root bucket begins.
    pub(super) root: u64,
    pub(super) free_list: u64,
    /// The first page that is not in use: the file's length in pages.
    pub(super) next: u64,
    /// The newer of the two meta pages is the valid one.
    pub(super) txid: u64,
}

impl MetaPage {
    pub(super) fn encode(&self, id: u64) -> Vec<u8> {
        const FLAGS: u32 = 0;
        const SEQUENCE: u64 = 0;
        let mut meta = Vec::with_capacity(64);
        meta.extend([MAGIC, VERSION, PAGE_SIZE as u32, FLAGS].into_iter().flat_map(u32::to_le_bytes));
        let fields = [self.root, SEQUENCE, self.free_list, self.next, self.txid];
        meta.extend(fields.into_iter().flat_map(u64::to_le_bytes));
        meta.extend(fnv1a(&meta).to_le_bytes());
        let mut bytes = header(id, META, 0, 0).to_vec();
        bytes.extend(meta);
        whole_pages(bytes, id)
    }
}

/// A free list that says that no page is free.
pub(super) fn empty_free_list(id: u64) -> Vec<u8> {
    whole_pages(header(id, FREE_LIST, 0, 0).to_vec(), id)
}

/// Where an element's data begin, from the element itself.
fn position(number: usize, count: usize, at: usize) -> u32 {
    ((count - number) * HEADER + at) as u32
}

fn header(id: u64, flags: u16, count: usize, overflow: u32) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    bytes[..8].copy_from_slice(&id.to_le_bytes());
    bytes[8..10].copy_from_slice(&flags.to_le_bytes());
    // An element takes 16 bytes, and only the last one may exceed the page: at most 256 are in one.
    bytes[10..12].copy_from_slice(&(count as u16).to_le_bytes());
    bytes[12..].copy_from_slice(&overflow.to_le_bytes());
    bytes
}

/// Fills up to whole pages, and puts their number and the id into the header.
fn whole_pages(mut bytes: Vec<u8>, id: u64) -> Vec<u8> {
    let pages = bytes.len().div_ceil(PAGE_SIZE);
    bytes.resize(pages * PAGE_SIZE, 0);
    bytes[..8].copy_from_slice(&id.to_le_bytes());
    bytes[12..HEADER].copy_from_slice(&(pages as u32 - 1).to_le_bytes());
    bytes
}

/// FNV-1a with 64 bits. A copy of netstate's four lines: the state needs no netlink.
pub(super) fn fnv1a(bytes: &[u8]) -> u64 {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    bytes.iter().fold(OFFSET_BASIS, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME))
}
