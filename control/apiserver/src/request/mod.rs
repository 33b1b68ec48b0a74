//! What a request is: who asks, and for what.

mod attributes;
mod user;

pub use attributes::Attributes;
pub use user::User;
