//! Private keys in the three forms that there are: PKCS #8, and what kubeadm and openssl write, PKCS #1 and SEC 1.
//!
//! The signing library reads the first alone; the other two are what it has inside.

use rcgen::KeyPair;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use yasna::models::ObjectIdentifier;

const RSA: &[u64] = &[1, 2, 840, 113549, 1, 1, 1];
const ELLIPTIC: &[u64] = &[1, 2, 840, 10045, 2, 1];
/// P-256 and P-384.
pub const CURVES: [&[u64]; 2] = [&[1, 2, 840, 10045, 3, 1, 7], &[1, 3, 132, 0, 34]];

/// The key of a PEM text.
pub fn read(pem: &str) -> Result<KeyPair, String> {
    let der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|e| e.to_string())?;
    let forms = match &der {
        PrivateKeyDer::Pkcs1(key) => vec![rsa(key.secret_pkcs1_der())],
        PrivateKeyDer::Sec1(key) => CURVES.map(|curve| elliptic(key.secret_sec1_der(), curve)).into(),
        other => vec![other.secret_der().to_vec()],
    };
    let mut problem = String::new();
    for form in forms {
        match KeyPair::try_from(&PrivatePkcs8KeyDer::from(form)) {
            Ok(key) => return Ok(key),
            Err(e) => problem = e.to_string(),
        }
    }
    Err(problem)
}

fn rsa(pkcs1: &[u8]) -> Vec<u8> {
    wrapped(pkcs1, |writer| {
        writer.next().write_oid(&ObjectIdentifier::from_slice(RSA));
        writer.next().write_null();
    })
}

/// A SEC 1 key of a curve as PKCS #8.
pub fn elliptic(sec1: &[u8], curve: &[u64]) -> Vec<u8> {
    wrapped(sec1, |writer| {
        writer.next().write_oid(&ObjectIdentifier::from_slice(ELLIPTIC));
        writer.next().write_oid(&ObjectIdentifier::from_slice(curve));
    })
}

fn wrapped(key: &[u8], algorithm: impl FnOnce(&mut yasna::DERWriterSeq<'_>)) -> Vec<u8> {
    super::leaf::sequence(|writer| {
        writer.next().write_u8(0);
        writer.next().write_sequence(algorithm);
        writer.next().write_bytes(key);
    })
}
