//! The snapshot that etcd's own tools restore: a bbolt file with a SHA-256 behind it.
