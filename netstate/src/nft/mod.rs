//! nftables tables as values: one table per component, replaced whole in one transaction.
//!
//! ```text
//! Table ── Chain (hook, priority) ── Rule (text + expressions)
//!              each rule carries a comment "weft <hash of its text>" in the kernel
//! ```
//!
//! What is in the kernel is compared by that comment, by order and by the chains' hooks: the kernel
//! does not give expressions back as they were put in, but a rule that anyone adds, removes or
//! rewrites no longer carries the right comment in the right place.

mod expression;
mod rule;
mod socket;
mod table;

pub use expression::Expression;
pub use rule::Rule;
pub use socket::{ForeignChain, NftSocket};
pub use table::{Chain, ChainKind, Family, Fingerprint, Hook, HookPoint, Table, TableId};
