//! What was proved within the last seconds: the digest of a credential, and whose it is.
//!
//! Ten seconds are upstream's (`--authentication-token-webhook-cache` has others): a deleted service account's token is
//! good for at most as long. Only digests are kept, and only of credentials that were good, so that nobody fills it
//! with bad ones.

use crate::request::User;
use ring::digest::{SHA256, digest};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const KEPT: Duration = Duration::from_secs(10);
const MOST: usize = 4096;

/// The digest of a credential.
pub type Key = [u8; 32];

/// Proved credentials.
#[derive(Debug, Default)]
pub struct Cache(Mutex<HashMap<Key, (Instant, User)>>);

/// The digest of a credential.
pub fn key(credential: &[u8]) -> Key {
    let mut key = [0; 32];
    key.copy_from_slice(digest(&SHA256, credential).as_ref());
    key
}

impl Cache {
    /// Whose it is, if that was proved just now.
    pub fn get(&self, key: &Key) -> Option<User> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.get(key).filter(|(until, _)| *until > Instant::now()).map(|(_, user)| user.clone())
    }

    /// It has been proved.
    pub fn put(&self, key: Key, user: User) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if held.len() >= MOST {
            held.retain(|_, (until, _)| *until > now);
        }
        if held.len() >= MOST {
            held.clear();
        }
        held.insert(key, (now + KEPT, user));
    }
}
