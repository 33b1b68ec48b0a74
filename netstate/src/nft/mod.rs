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
//!
//! A component with many small owners (a container's ports) has its table as a [`Layout`]: the chains and
//! rules are fixed, and what belongs to an owner is an element of a [`Set`], put in and taken out by a
//! [`Change`] without a look at the rest.

mod expression;
mod lookup;
mod observed;
mod rule;
mod set;
mod socket;
mod table;
mod transaction;

pub use expression::Expression;
pub use lookup::Field;
pub use observed::ObservedRule;
pub use rule::Rule;
pub use set::{COMMENT_BYTES, Datatype, Element, Set, Value};
pub use socket::{ForeignChain, NftSocket};
pub use table::{Chain, ChainKind, Family, Fingerprint, Hook, HookPoint, Table, TableId};
pub use transaction::{Change, Layout, Rejected};
