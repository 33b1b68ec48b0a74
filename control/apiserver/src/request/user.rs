//! Who asks.

use std::collections::BTreeMap;

/// A user as it was authenticated (`k8s.io/apiserver/pkg/authentication/user`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// The name: a certificate's common name, `system:serviceaccount:<namespace>:<name>`, …
    pub name: String,
    /// A name that no later user has, where there is one.
    pub uid: String,
    /// The groups.
    pub groups: Vec<String>,
    /// What else the authenticator knows: `authentication.kubernetes.io/pod-name`, …
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// A user of a name and groups.
    pub fn of(name: &str, groups: &[&str]) -> User {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        User { name: name.to_owned(), groups, ..User::default() }
    }

    /// Whether the user is in a group.
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|own| own == group)
    }
}
