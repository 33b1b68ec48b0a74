//! Keys of service accounts' tokens: RSA and ECDSA, from PEM files as kubeadm and openssl write them.
//!
//! A key's id is the digest of its public half, as upstream (`pkg/serviceaccount/jwt.go`, `keyIDFromPublicKey`), so
//! that tokens of another apiserver with the same key are good here.

use crate::pki::private_key;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, KeyPair, RsaKeyPair, UnparsedPublicKey};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;
use yasna::models::ObjectIdentifier;

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}; give a PEM file of RSA (2048 bits or more) or ECDSA (P-256, P-384) keys", path.display())]
pub struct KeyError {
    path: PathBuf,
    problem: String,
}

/// How it signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA, PKCS #1 v1.5, SHA-256.
    Rs256,
    /// ECDSA, P-256, SHA-256.
    Es256,
    /// ECDSA, P-384, SHA-384.
    Es384,
}

impl Algorithm {
    /// The name in a token's header.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Rs256 => "RS256",
            Algorithm::Es256 => "ES256",
            Algorithm::Es384 => "ES384",
        }
    }
}

/// A public key.
#[derive(Clone)]
pub struct VerifyingKey {
    /// Its id.
    pub id: String,
    /// How it signs.
    pub algorithm: Algorithm,
    /// As a JSON web key.
    pub jwk: Value,
    bytes: Vec<u8>,
}

/// A private key.
pub struct SigningKey {
    /// Its public half.
    pub public: VerifyingKey,
    private: Private,
}

enum Private {
    Rsa(Box<RsaKeyPair>),
    Ecdsa(Box<EcdsaKeyPair>),
}

impl VerifyingKey {
    fn of(spki_der: &[u8]) -> Result<VerifyingKey, String> {
        let (_, spki) = SubjectPublicKeyInfo::from_der(spki_der).map_err(|e| e.to_string())?;
        let id = BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, spki_der));
        let bytes = spki.subject_public_key.data.to_vec();
        let (algorithm, mut jwk) = match spki.parsed().map_err(|e| e.to_string())? {
            PublicKey::RSA(rsa) => {
                (Algorithm::Rs256, json!({"kty": "RSA", "n": number(rsa.modulus), "e": number(rsa.exponent)}))
            }
            PublicKey::EC(_) => elliptic(&bytes)?,
            _ => return Err("holds a key of another sort".into()),
        };
        jwk["use"] = "sig".into();
        jwk["kid"] = id.as_str().into();
        jwk["alg"] = algorithm.name().into();
        Ok(VerifyingKey { id, algorithm, jwk, bytes })
    }

    /// Whether it has signed this.
    pub fn has_signed(&self, content: &[u8], signed: &[u8]) -> bool {
        let how: &dyn signature::VerificationAlgorithm = match self.algorithm {
            Algorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
            Algorithm::Es256 => &signature::ECDSA_P256_SHA256_FIXED,
            Algorithm::Es384 => &signature::ECDSA_P384_SHA384_FIXED,
        };
        UnparsedPublicKey::new(how, &self.bytes).verify(content, signed).is_ok()
    }
}

impl SigningKey {
    /// The private key of a file: PKCS #8, PKCS #1 or SEC 1.
    pub fn open(path: &Path) -> Result<SigningKey, KeyError> {
        let failed = |problem: String| KeyError { path: path.to_owned(), problem };
        let der = PrivateKeyDer::from_pem_file(path).map_err(|e| failed(e.to_string()))?;
        SigningKey::of(&der).map_err(failed)
    }

    fn of(der: &PrivateKeyDer<'_>) -> Result<SigningKey, String> {
        let bytes = der.secret_der();
        let rsa = match der {
            PrivateKeyDer::Pkcs1(_) => RsaKeyPair::from_der(bytes).ok(),
            PrivateKeyDer::Pkcs8(_) => RsaKeyPair::from_pkcs8(bytes).ok(),
            _ => None,
        };
        if let Some(pair) = rsa {
            let public = VerifyingKey::of(&rsa_spki(pair.public_key().as_ref()))?;
            return Ok(SigningKey { public, private: Private::Rsa(Box::new(pair)) });
        }
        let curves = [
            (&signature::ECDSA_P256_SHA256_FIXED_SIGNING, private_key::CURVES[0]),
            (&signature::ECDSA_P384_SHA384_FIXED_SIGNING, private_key::CURVES[1]),
        ];
        for (how, curve) in curves {
            let wrapped = match der {
                PrivateKeyDer::Sec1(_) => private_key::elliptic(bytes, curve),
                _ => bytes.to_vec(),
            };
            if let Ok(pair) = EcdsaKeyPair::from_pkcs8(how, &wrapped, &SystemRandom::new()) {
                let public = VerifyingKey::of(&elliptic_spki(pair.public_key().as_ref(), curve))?;
                return Ok(SigningKey { public, private: Private::Ecdsa(Box::new(pair)) });
            }
        }
        Err("holds no private key that can sign tokens".into())
    }

    /// Signs.
    pub fn sign(&self, content: &[u8]) -> Result<Vec<u8>, String> {
        let random = SystemRandom::new();
        let failed = |_| "the service account key could not sign".to_owned();
        match &self.private {
            Private::Ecdsa(pair) => {
                pair.sign(&random, content).map(|one| one.as_ref().to_vec()).map_err(failed)
            }
            Private::Rsa(pair) => {
                let mut signed = vec![0; pair.public().modulus_len()];
                let how = &signature::RSA_PKCS1_SHA256;
                pair.sign(how, &random, content, &mut signed).map(|()| signed).map_err(failed)
            }
        }
    }
}

/// All public keys of a file: public, private (their public half), or in certificates.
pub fn public_keys(path: &Path) -> Result<Vec<VerifyingKey>, KeyError> {
    let failed = |problem: String| KeyError { path: path.to_owned(), problem };
    let text = std::fs::read(path).map_err(|e| failed(e.to_string()))?;
    let mut keys = Vec::new();
    for block in Pem::iter_from_buffer(&text) {
        let block = block.map_err(|e| failed(e.to_string()))?;
        let key = match block.label.as_str() {
            "PUBLIC KEY" => VerifyingKey::of(&block.contents),
            "RSA PUBLIC KEY" => VerifyingKey::of(&rsa_spki(&block.contents)),
            "CERTIFICATE" => match block.parse_x509() {
                Ok(certificate) => VerifyingKey::of(certificate.public_key().raw),
                Err(e) => Err(e.to_string()),
            },
            "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" => private(&block).map(|key| key.public),
            // openssl writes a curve's parameters before its key.
            "EC PARAMETERS" => continue,
            other => Err(format!("holds a block of {other:?}")),
        };
        keys.push(key.map_err(failed)?);
    }
    if keys.is_empty() { Err(failed("holds no key".into())) } else { Ok(keys) }
}

fn private(block: &Pem) -> Result<SigningKey, String> {
    let bytes = block.contents.clone();
    let der = match block.label.as_str() {
        "PRIVATE KEY" => PrivateKeyDer::Pkcs8(bytes.into()),
        "RSA PRIVATE KEY" => PrivateKeyDer::Pkcs1(bytes.into()),
        _ => PrivateKeyDer::Sec1(bytes.into()),
    };
    SigningKey::of(&der)
}

fn number(bytes: &[u8]) -> String {
    let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    BASE64_URL_SAFE_NO_PAD.encode(&bytes[first..])
}

fn elliptic(point: &[u8]) -> Result<(Algorithm, Value), String> {
    let (algorithm, curve, half) = match point.len() {
        65 => (Algorithm::Es256, "P-256", 32),
        97 => (Algorithm::Es384, "P-384", 48),
        _ => return Err("holds a key of a curve other than P-256 and P-384".into()),
    };
    let (x, y) = point[1..].split_at(half);
    let text = |bytes| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    Ok((algorithm, json!({"kty": "EC", "crv": curve, "x": text(x), "y": text(y)})))
}

fn rsa_spki(public: &[u8]) -> Vec<u8> {
    yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_sequence(|writer| {
                writer.next().write_oid(&ObjectIdentifier::from_slice(&[1, 2, 840, 113549, 1, 1, 1]));
                writer.next().write_null();
            });
            writer.next().write_bitvec_bytes(public, public.len() * 8);
        });
    })
}

fn elliptic_spki(point: &[u8], curve: &[u64]) -> Vec<u8> {
    yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_der(&elliptic_algorithm(curve));
            writer.next().write_bitvec_bytes(point, point.len() * 8);
        });
    })
}

fn elliptic_algorithm(curve: &[u64]) -> Vec<u8> {
    yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_oid(&ObjectIdentifier::from_slice(&[1, 2, 840, 10045, 2, 1]));
            writer.next().write_oid(&ObjectIdentifier::from_slice(curve));
        });
    })
}
