//! What is asked for, as far as authorization looks at it.

use super::User;

/// A request to be authorized (`k8s.io/apiserver/pkg/authorization/authorizer.Attributes`).
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a> {
    /// Who asks.
    pub user: &'a User,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`, …; for a path that is no
    /// resource's, the method in small letters.
    pub verb: &'a str,
    /// The API group; empty for the core.
    pub group: &'a str,
    /// The API version.
    pub version: &'a str,
    /// The resource (`pods`); empty for a path that is no resource's.
    pub resource: &'a str,
    /// The subresource (`status`), if any.
    pub subresource: &'a str,
    /// The namespace; empty for all of them and for what is in none.
    pub namespace: &'a str,
    /// The object's name; empty for a collection.
    pub name: &'a str,
    /// The path of the URL.
    pub path: &'a str,
}
