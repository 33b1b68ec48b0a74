//! The certificate that the listener shows: read again when its files have changed, so that a renewed one needs no
//! restart (upstream's `dynamiccertificates`). The files are looked at once a second at most, at a handshake.

use super::PkiError;
use super::tls::{NEXT, certificates};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

const LOOKED_AT: Duration = Duration::from_secs(1);

/// What tells a file from the one that was there: a time alone has ticks of some milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: SystemTime,
    inode: u64,
    size: u64,
}

/// A certificate and its key, in files.
#[derive(Debug)]
pub struct Serving {
    cert: PathBuf,
    key: PathBuf,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    looked: Instant,
    changed: [Option<Stamp>; 2],
    key: Arc<CertifiedKey>,
}

impl Serving {
    /// Reads the files.
    pub fn open(cert: PathBuf, key: PathBuf) -> Result<Serving, PkiError> {
        let changed = changed(&cert, &key);
        let current = Current { looked: Instant::now(), changed, key: read(&cert, &key)? };
        Ok(Serving { cert, key, current: Mutex::new(current) })
    }

    fn now(&self) -> Arc<CertifiedKey> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.looked.elapsed() < LOOKED_AT {
            return current.key.clone();
        }
        current.looked = Instant::now();
        let changed = changed(&self.cert, &self.key);
        if changed != current.changed {
            match read(&self.cert, &self.key) {
                Ok(key) => (current.key, current.changed) = (key, changed),
                // Half of a pair, perhaps: it is tried again.
                Err(error) => {
                    tracing::warn!(%error, "the new certificate cannot be used; the earlier one stays")
                }
            }
        }
        current.key.clone()
    }
}

impl ResolvesServerCert for Serving {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.now())
    }
}

fn changed(cert: &Path, key: &Path) -> [Option<Stamp>; 2] {
    [cert, key].map(|path| {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Stamp { modified: metadata.modified().ok()?, inode: metadata.ino(), size: metadata.size() })
    })
}

fn read(cert: &Path, key: &Path) -> Result<Arc<CertifiedKey>, PkiError> {
    let private = PrivateKeyDer::from_pem_file(key).map_err(|e| PkiError::damaged(key, e, NEXT))?;
    let pair = CertifiedKey::from_der(certificates(cert)?, private, &ring::default_provider());
    pair.map(Arc::new).map_err(|e| PkiError::damaged(cert, e, NEXT))
}

#[cfg(test)]
mod tests {
    use super::super::{Names, Pki};
    use super::*;

    #[test]
    fn a_renewed_certificate_is_shown_and_a_broken_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::open(dir.path(), &Names::default()).unwrap();
        let serving = Serving::open(pki.path("apiserver.crt"), pki.path("apiserver.key")).unwrap();
        let shown = || {
            serving.current.lock().unwrap().looked = Instant::now().checked_sub(LOOKED_AT).unwrap();
            serving.now().cert[0].to_vec()
        };
        let first = shown();
        let names = Names { more: vec!["example.com".into()], ..Names::default() };
        assert!(pki.serving(&names, SystemTime::now()).unwrap());
        let second = shown();
        assert!(first != second);
        std::fs::write(pki.path("apiserver.crt"), "rubbish").unwrap();
        assert!(shown() == second);
    }
}
