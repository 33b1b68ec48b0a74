//! Who the controllers are to the API.
//!
//! Watches and reads are the controller manager's own; what a controller changes it changes as its service account, as
//! upstream has it with `--use-service-account-credentials`: the default roles then bound each controller alone.

use std::fmt;
use std::sync::Arc;

/// Gives the client of a service account of `kube-system`.
pub type OfAccount = Arc<dyn Fn(&str) -> kube::Client + Send + Sync>;

/// The clients.
#[derive(Clone)]
pub struct Clients {
    /// The controller manager's own.
    pub own: kube::Client,
    of_account: Option<OfAccount>,
}

impl Clients {
    /// With accounts of their own, or one client for all.
    pub fn of(own: kube::Client, of_account: Option<OfAccount>) -> Clients {
        Clients { own, of_account }
    }

    /// The client of a controller.
    pub fn account(&self, name: &str) -> kube::Client {
        match &self.of_account {
            Some(of_account) => of_account(name),
            None => self.own.clone(),
        }
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Clients")
            .field("accounts", &self.of_account.is_some())
            .finish_non_exhaustive()
    }
}
