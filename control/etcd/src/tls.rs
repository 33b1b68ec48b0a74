//! TLS of a listener: its certificate, and whose certificates it takes.
//!
//! As with etcd, a CA for clients means that every client needs a certificate of it. The files are read again when
//! they have changed, so a renewed certificate needs no restart.

use crate::error::StartError;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

/// PEM files, named as etcd's flags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// `--cert-file`.
    pub cert: PathBuf,
    /// `--key-file`.
    pub key: PathBuf,
    /// `--trusted-ca-file`: clients need a certificate of it.
    pub client_ca: Option<PathBuf>,
}

/// TLS as it is in the files now.
#[derive(Debug)]
pub struct Tls {
    files: TlsFiles,
    current: Mutex<(Vec<Option<SystemTime>>, Acceptor)>,
}

#[derive(Clone)]
struct Acceptor(TlsAcceptor);

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Acceptor")
    }
}

impl Tls {
    /// Reads the files.
    pub fn of(files: TlsFiles) -> Result<Tls, StartError> {
        let acceptor = acceptor(&files).map_err(StartError::Tls)?;
        let changed = files.changed();
        Ok(Tls { files, current: Mutex::new((changed, acceptor)) })
    }

    /// For the next connection. Files that cannot be used leave the earlier ones in force.
    pub fn acceptor(&self) -> TlsAcceptor {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = self.files.changed();
        if current.0 != changed {
            match acceptor(&self.files) {
                Ok(acceptor) => *current = (changed, acceptor),
                Err(error) => {
                    tracing::warn!(%error, "the new certificates cannot be used; the earlier ones stay")
                }
            }
        }
        current.1.0.clone()
    }
}

impl TlsFiles {
    fn changed(&self) -> Vec<Option<SystemTime>> {
        let paths = [Some(&self.cert), Some(&self.key), self.client_ca.as_ref()];
        let modified = |path: &PathBuf| std::fs::metadata(path).and_then(|m| m.modified()).ok();
        paths.into_iter().flatten().map(modified).collect()
    }
}

fn acceptor(files: &TlsFiles) -> Result<Acceptor, String> {
    let named = |path: &Path, e: String| format!("{}: {e}", path.display());
    let certificates = |path: &Path| -> Result<Vec<CertificateDer<'static>>, String> {
        let all = CertificateDer::pem_file_iter(path).map_err(|e| named(path, e.to_string()))?;
        let all: Result<Vec<_>, _> = all.collect();
        let all = all.map_err(|e| named(path, e.to_string()))?;
        if all.is_empty() { Err(named(path, "holds no certificate".into())) } else { Ok(all) }
    };
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|e| named(&files.key, e.to_string()))?;
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone());
    let builder = builder.with_safe_default_protocol_versions().map_err(|e| e.to_string())?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|e| named(path, e.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|e| named(path, e.to_string()))?)
        }
    };
    let config = builder.with_single_cert(certificates(&files.cert)?, key);
    let mut config = config.map_err(|e| named(&files.cert, e.to_string()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Acceptor(TlsAcceptor::from(Arc::new(config))))
}
