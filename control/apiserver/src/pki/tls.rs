//! TLS of the listener, and whose certificates identify a client.
//!
//! As upstream, the handshake takes any client: one without a certificate, or with one of another CA, gets a
//! connection, and is judged by its token, so that a kubeconfig with both still works. What the handshake does prove is
//! that the client holds its certificate's key; who signed it is asked at authentication (`ClientTrust::trusts`).

use super::serving::Serving;
use super::{Pki, PkiError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::rustls::client::danger::HandshakeSignatureValid;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, UnixTime};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::{
    DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig, SignatureScheme,
};

/// PEM files, named as the API server's flags; what is not named is the folder's.
#[derive(Clone, Debug, Default)]
pub struct TlsFlags {
    /// `--client-ca-file`: certificates of these CAs identify clients too.
    pub client_ca: Option<PathBuf>,
    /// `--tls-cert-file` and `--tls-private-key-file`.
    pub serving: Option<(PathBuf, PathBuf)>,
}

/// The CAs whose certificates identify a client.
#[derive(Clone, Debug)]
pub struct ClientTrust(Arc<dyn ClientCertVerifier>);

impl ClientTrust {
    /// Whether a chain (the client's certificate first) is for a TLS client, in force now, and of a CA of ours.
    pub fn trusts(&self, chain: &[CertificateDer<'_>]) -> Result<(), String> {
        let (first, rest) = chain.split_first().ok_or("no certificate")?;
        self.0.verify_client_cert(first, rest, UnixTime::now()).map(drop).map_err(|e| e.to_string())
    }
}

pub(super) const NEXT: &str =
    "give a PEM file, or leave the flag out for the certificates of the API server's own folder";

impl Pki {
    /// Whose certificates identify a client: the folder's CA, and those of `--client-ca-file`.
    pub fn client_trust(&self, flags: &TlsFlags) -> Result<ClientTrust, PkiError> {
        let mut roots = RootCertStore::empty();
        let own = self.path("ca.crt");
        let files = [Some(&own), flags.client_ca.as_ref()];
        for path in files.into_iter().flatten() {
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|e| PkiError::damaged(path, e, NEXT))?;
            }
        }
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build();
        Ok(ClientTrust(verifier.map_err(|e| PkiError::damaged(&own, e, NEXT))?))
    }

    /// For the listener, which shows a certificate that `Pki::serving` has renewed, or somebody in the flags' files, at
    /// the next handshake.
    pub fn server_config(&self, flags: &TlsFlags) -> Result<Arc<ServerConfig>, PkiError> {
        let own = || (self.path("apiserver.crt"), self.path("apiserver.key"));
        let (cert, key) = flags.serving.clone().unwrap_or_else(own);
        let serving = Serving::open(cert, key)?;
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions();
        let builder = builder.map_err(|e| PkiError::making("the listener's TLS", e))?;
        let verifier = Arc::new(AnyClient(self.client_trust(flags)?.0));
        let mut config = builder.with_client_cert_verifier(verifier).with_cert_resolver(Arc::new(serving));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, PkiError> {
    let all = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let all = all.map_err(|e| PkiError::damaged(path, e, NEXT))?;
    if all.is_empty() { Err(PkiError::damaged(path, "holds no certificate", NEXT)) } else { Ok(all) }
}

/// Takes whatever certificate a client has, once it has shown that it holds its key.
#[derive(Debug)]
struct AnyClient(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for AnyClient {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Names;
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio_rustls::rustls::ClientConfig;
    use tokio_rustls::rustls::pki_types::PrivateKeyDer;
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    fn opened() -> (tempfile::TempDir, Pki) {
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::open(dir.path(), &Names::default()).unwrap();
        (dir, pki)
    }

    /// What the server sees of a client with this certificate: the chain, and the protocol that was agreed on.
    fn shaken(pki: &Pki, client: Option<(String, String)>) -> (usize, Vec<u8>) {
        let mut roots = RootCertStore::empty();
        roots.add(certificates(&pki.path("ca.crt")).unwrap().remove(0)).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
        let mut config = match client {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => {
                let cert = CertificateDer::from_pem_slice(cert.as_bytes()).unwrap();
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                builder.with_client_auth_cert(vec![cert], key).unwrap()
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(pki.server_config(&TlsFlags::default()).unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (near, far) = duplex(1 << 16);
            let name = "kubernetes.default.svc".try_into().unwrap();
            let client = async {
                let mut stream = TlsConnector::from(Arc::new(config)).connect(name, near).await.unwrap();
                stream.write_all(b"x").await.unwrap();
                stream
            };
            let server = async {
                let mut stream = acceptor.accept(far).await.unwrap();
                stream.read_u8().await.unwrap();
                let session = stream.get_ref().1;
                let chain = session.peer_certificates().map_or(0, <[_]>::len);
                (chain, session.alpn_protocol().unwrap_or_default().to_vec())
            };
            tokio::join!(client, server).1
        })
    }

    /// Upstream's `tls.RequestClientCert`: the handshake takes any client.
    #[test]
    fn the_handshake_takes_any_client() {
        let (_dir, pki) = opened();
        let (_other_dir, other) = opened();
        assert_eq!(shaken(&pki, None), (0, b"h2".to_vec()));
        assert_eq!(shaken(&pki, Some(pki.client_certificate("jane", &["dev", "ops"]).unwrap())).0, 1);
        // It may be of any CA: told which ones identify a client, most clients send none of another.
        let shown = shaken(&pki, Some(other.client_certificate("jane", &[]).unwrap())).0;
        assert!(shown <= 1);
    }
}
