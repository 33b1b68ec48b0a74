//! One bucket's tree of pages, built from sorted entries in one pass.
//!
//! A leaf page that is full is written at once, and its first key and id go up to the branch page above it,
//! which is written when that one is full, and so on:
//!
//! ```text
//! push ──> leaf ──full──> file          held in memory: one page of each level
//!            └─(first key, id)─> branch ──full──> file
//!                                  └─(first key, id)─> branch …
//! ```
//!
//! bbolt removes a page that has become empty from its branch page and panics if it was the only child
//! (node.go, "parent must have at least 2 children"). So a branch page keeps its last two children back when
//! it is written: what is left over at the end can never be a single one.

use super::Error;
use super::file::Pages;
use super::page::{BranchPage, LeafPage, PAGE_SIZE};
use std::io::{Seek, Write};

/// A bucket whose one leaf page is not larger than this lies within its parent's page (bucket.go).
const INLINE_MAX: usize = PAGE_SIZE / 4;

/// Where a finished tree begins.
pub(super) enum Root {
    Page(u64),
    Inline(Vec<u8>),
}

impl Root {
    /// The value of the bucket's entry in its parent: root id, sequence, and an inline page.
    pub(super) fn bucket_value(&self) -> Vec<u8> {
        let (id, inline): (u64, &[u8]) = match self {
            Root::Page(id) => (*id, &[]),
            Root::Inline(page) => (0, page),
        };
        let mut value = id.to_le_bytes().to_vec();
        value.extend([0; 8]);
        value.extend_from_slice(inline);
        value
    }
}

/// The tree so far.
#[derive(Default)]
pub(super) struct Tree {
    leaf: LeafPage,
    /// From the lowest level up.
    branches: Vec<BranchPage>,
}

impl Tree {
    /// Adds an entry behind all others.
    pub(super) fn push<F: Write + Seek>(
        &mut self,
        pages: &mut Pages<F>,
        flags: u32,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), Error> {
        if !self.leaf.is_empty() && self.leaf.size_with(key.len() + value.len()) > PAGE_SIZE {
            self.end_leaf(pages)?;
        }
        self.leaf.push(flags, key, value);
        Ok(())
    }

    /// Writes what is left, from the bottom up; a small tree may go into its parent's page.
    pub(super) fn finish<F: Write + Seek>(
        mut self,
        pages: &mut Pages<F>,
        may_inline: bool,
    ) -> Result<Root, Error> {
        if self.branches.is_empty() {
            let small = self.leaf.size() <= INLINE_MAX && !self.leaf.has_buckets();
            return match may_inline && small {
                true => Ok(Root::Inline(self.leaf.inline())),
                false => Ok(Root::Page(pages.append(|id| self.leaf.encode(id))?)),
            };
        }
        self.end_leaf(pages)?;
        let mut level = 0;
        while level + 1 < self.branches.len() {
            let branch = std::mem::take(&mut self.branches[level]);
            self.end_branch(pages, level, branch)?;
            level += 1;
        }
        Ok(Root::Page(pages.append(|id| self.branches[level].encode(id))?))
    }

    fn end_leaf<F: Write + Seek>(&mut self, pages: &mut Pages<F>) -> Result<(), Error> {
        let leaf = std::mem::take(&mut self.leaf);
        let id = pages.append(|id| leaf.encode(id))?;
        self.add_child(pages, 0, leaf.first_key().to_vec(), id)
    }

    fn end_branch<F: Write + Seek>(
        &mut self,
        pages: &mut Pages<F>,
        level: usize,
        branch: BranchPage,
    ) -> Result<(), Error> {
        let id = pages.append(|id| branch.encode(id))?;
        let first = branch.children.into_iter().next().map(|(key, _)| key).unwrap_or_default();
        self.add_child(pages, level + 1, first, id)
    }

    fn add_child<F: Write + Seek>(
        &mut self,
        pages: &mut Pages<F>,
        level: usize,
        key: Vec<u8>,
        id: u64,
    ) -> Result<(), Error> {
        if level == self.branches.len() {
            self.branches.push(BranchPage::default());
        }
        let branch = &mut self.branches[level];
        branch.children.push((key, id));
        // With long keys a page may have to hold four, for which bbolt has overflow pages as well.
        if branch.size() <= PAGE_SIZE || branch.children.len() < 4 {
            return Ok(());
        }
        let kept = branch.children.split_off(branch.children.len() - 2);
        let full = std::mem::replace(branch, BranchPage { children: kept });
        self.end_branch(pages, level, full)
    }
}
