//! The limit on open files: a server has one for each client.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit to the hard one, as programs in Go do when they start (`os/rlimit.go`): the soft limit of
/// 1,024 is there for programs that call select(2), and a thousand watchers would use it up.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%error, limit = ?limit.current, "the limit on open files stays as it is");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_raised_to_the_hard_one() {
        let hard = getrlimit(Resource::Nofile).maximum;
        setrlimit(Resource::Nofile, Rlimit { current: Some(512), maximum: hard }).expect("may be lowered");
        raise_open_files();
        assert_eq!(getrlimit(Resource::Nofile).current, hard);
    }
}
