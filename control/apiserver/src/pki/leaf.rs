//! A certificate that the cluster's CA signs, written field by field.
//!
//! rcgen's name type keeps one value per attribute, and a user of Kubernetes has one organization for each group; so
//! names, and with them certificates, are written here with the DER writer that rcgen uses. RFC 5280, section 4.1.

use super::PkiError;
use super::names::Name;
use rcgen::{KeyPair, SigningKey};
use std::net::IpAddr;
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509Certificate};
use yasna::models::{GeneralizedTime, ObjectIdentifier, UTCTime};
use yasna::{DERWriter, DERWriterSeq, Tag};

/// What a certificate's key is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uses {
    /// Key encipherment (beside signatures, which every key is for).
    pub encipherment: bool,
    /// TLS clients.
    pub client: bool,
    /// TLS servers.
    pub server: bool,
}

/// What to write.
pub struct Leaf<'a> {
    /// The subject, in DER.
    pub subject: &'a [u8],
    /// The public key (SubjectPublicKeyInfo), in DER.
    pub public_key: &'a [u8],
    /// The value of the subject alternative names' extension, in DER.
    pub names: Option<Vec<u8>>,
    /// What for.
    pub uses: Uses,
    /// From when.
    pub from: OffsetDateTime,
    /// Until when.
    pub until: OffsetDateTime,
}

/// A DER sequence.
pub fn sequence(write: impl FnOnce(&mut DERWriterSeq<'_>)) -> Vec<u8> {
    yasna::construct_der(|writer| writer.write_sequence(write))
}

/// A subject as Go writes it: the organizations as one set, then the common name.
pub fn subject(user: &str, groups: &[&str]) -> Vec<u8> {
    let attribute = |writer: DERWriter<'_>, kind: u64, value: &str| {
        writer.write_sequence(|writer| {
            writer.next().write_oid(&ObjectIdentifier::from_slice(&[2, 5, 4, kind]));
            writer.next().write_utf8_string(value);
        });
    };
    sequence(|writer| {
        if !groups.is_empty() {
            writer.next().write_set_of(|set| groups.iter().for_each(|one| attribute(set.next(), 10, one)));
        }
        writer.next().write_set_of(|set| attribute(set.next(), 3, user));
    })
}

/// The value of the extension for these names.
pub fn alternative_names<'a>(names: impl IntoIterator<Item = &'a Name>) -> Vec<u8> {
    sequence(|writer| {
        for name in names {
            match name {
                Name::Dns(dns) => writer
                    .next()
                    .write_tagged_implicit(Tag::context(2), |writer| writer.write_ia5_string(dns)),
                Name::Ip(ip) => writer.next().write_tagged_implicit(Tag::context(7), |writer| match ip {
                    IpAddr::V4(ip) => writer.write_bytes(&ip.octets()),
                    IpAddr::V6(ip) => writer.write_bytes(&ip.octets()),
                }),
            }
        }
    })
}

/// Signs it: the certificate in DER.
pub fn sign(leaf: &Leaf<'_>, authority: &[u8], key: &KeyPair) -> Result<Vec<u8>, PkiError> {
    let failed = |problem: String| PkiError::making("a certificate", problem);
    let (_, issuer) = X509Certificate::from_der(authority).map_err(|e| failed(e.to_string()))?;
    let algorithm = algorithm(key).ok_or_else(|| failed("the CA's key is of an unknown sort".into()))?;
    let content = sequence(|writer| {
        writer.next().write_tagged(Tag::context(0), |writer| writer.write_u8(2));
        // Random, positive and of one length: 16 bytes with the topmost bits 01.
        let mut serial: [u8; 16] = rand::random();
        serial[0] = serial[0] & 0x3f | 0x40;
        writer.next().write_bigint_bytes(&serial, true);
        writer.next().write_der(&algorithm);
        writer.next().write_der(issuer.subject().as_raw());
        writer.next().write_sequence(|writer| {
            moment(writer.next(), leaf.from);
            moment(writer.next(), leaf.until);
        });
        writer.next().write_der(leaf.subject);
        writer.next().write_der(leaf.public_key);
        writer.next().write_tagged(Tag::context(3), |writer| extensions(writer, leaf, &issuer));
    });
    let signature = key.sign(&content).map_err(|e| failed(e.to_string()))?;
    Ok(sequence(|writer| {
        writer.next().write_der(&content);
        writer.next().write_der(&algorithm);
        writer.next().write_bitvec_bytes(&signature, signature.len() * 8);
    }))
}

fn extensions(writer: DERWriter<'_>, leaf: &Leaf<'_>, issuer: &X509Certificate<'_>) {
    writer.write_sequence(|writer| {
        // digitalSignature is bit 0, keyEncipherment bit 2.
        let usage = if leaf.uses.encipherment { (0b1010_0000, 3) } else { (0b1000_0000, 1) };
        let usage = yasna::construct_der(|writer| writer.write_bitvec_bytes(&[usage.0], usage.1));
        extension(writer.next(), &[2, 5, 29, 15], true, &usage);
        let purposes = sequence(|writer| {
            let wanted = [(leaf.uses.server, 1), (leaf.uses.client, 2)];
            for (_, purpose) in wanted.into_iter().filter(|(wanted, _)| *wanted) {
                let oid = ObjectIdentifier::from_slice(&[1, 3, 6, 1, 5, 5, 7, 3, purpose]);
                writer.next().write_oid(&oid);
            }
        });
        if leaf.uses.client || leaf.uses.server {
            extension(writer.next(), &[2, 5, 29, 37], false, &purposes);
        }
        extension(writer.next(), &[2, 5, 29, 19], true, &sequence(|_| ()));
        if let Some(id) = key_id(issuer) {
            let authority = sequence(|writer| {
                writer.next().write_tagged_implicit(Tag::context(0), |writer| writer.write_bytes(id));
            });
            extension(writer.next(), &[2, 5, 29, 35], false, &authority);
        }
        if let Some(names) = &leaf.names {
            extension(writer.next(), &[2, 5, 29, 17], false, names);
        }
    });
}

fn extension(writer: DERWriter<'_>, oid: &[u64], critical: bool, value: &[u8]) {
    writer.write_sequence(|writer| {
        writer.next().write_oid(&ObjectIdentifier::from_slice(oid));
        if critical {
            writer.next().write_bool(true);
        }
        writer.next().write_bytes(value);
    });
}

fn key_id<'a>(issuer: &'a X509Certificate<'_>) -> Option<&'a [u8]> {
    issuer.iter_extensions().find_map(|one| match one.parsed_extension() {
        x509_parser::extensions::ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0),
        _ => None,
    })
}

/// RFC 5280, section 4.1.2.5: two digits of the year until 2049.
fn moment(writer: DERWriter<'_>, time: OffsetDateTime) {
    let time = time.replace_nanosecond(0).unwrap_or(time);
    if (1950..2050).contains(&time.year()) {
        writer.write_utctime(&UTCTime::from_datetime(time));
    } else {
        writer.write_generalized_time(&GeneralizedTime::from_datetime(time));
    }
}

fn algorithm(key: &KeyPair) -> Option<Vec<u8>> {
    let rsa = key.algorithm() == &rcgen::PKCS_RSA_SHA256;
    let oid: &[u64] = match key.algorithm() {
        one if one == &rcgen::PKCS_ECDSA_P256_SHA256 => &[1, 2, 840, 10045, 4, 3, 2],
        one if one == &rcgen::PKCS_ECDSA_P384_SHA384 => &[1, 2, 840, 10045, 4, 3, 3],
        one if one == &rcgen::PKCS_ED25519 => &[1, 3, 101, 112],
        _ if rsa => &[1, 2, 840, 113549, 1, 1, 11],
        _ => return None,
    };
    Some(sequence(|writer| {
        writer.next().write_oid(&ObjectIdentifier::from_slice(oid));
        if rsa {
            writer.next().write_null();
        }
    }))
}
