//! The folder opened: the CA, and what it has signed.

use super::leaf::{self, Leaf, Uses};
use super::names::{self, Names};
use super::{PkiError, files, kubeconfig, private_key};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose, PublicKeyData, SanType,
};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use time::OffsetDateTime;
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::{FromDer, X509Certificate};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// kubeadm's: a CA lives ten years, what it signs one.
const AUTHORITY_LIFE: Duration = Duration::from_secs(3650 * 24 * 3600);
const LIFE: Duration = Duration::from_secs(365 * 24 * 3600);
/// A serving certificate is made again this long before its end.
const RENEWED: Duration = Duration::from_secs(90 * 24 * 3600);
/// Clocks differ.
const BACKDATED: Duration = Duration::from_secs(300);

const RESTORE: &str = "restore it from a backup; or move the whole folder away for a new CA, after which every \
                       kubeconfig and every node needs new certificates";

/// A CA: its certificate, and its key.
pub struct Authority {
    /// The certificate in PEM.
    pub pem: String,
    pub(super) der: Vec<u8>,
    pub(super) key: KeyPair,
    pub(super) until: OffsetDateTime,
}

/// The folder of keys.
pub struct Pki {
    dir: PathBuf,
    /// The cluster's CA.
    pub authority: Authority,
}

impl std::fmt::Debug for Pki {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pki").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl Pki {
    /// Opens the folder, and makes what is missing in it.
    pub fn open(dir: &Path, names: &Names) -> Result<Pki, PkiError> {
        files::folder(dir)?;
        let now = SystemTime::now();
        let authority = authority(dir, now)?;
        let pki = Pki { dir: dir.to_owned(), authority };
        pki.serving(names, now)?;
        pki.service_accounts()?;
        Ok(pki)
    }

    /// A file of the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// A client's certificate and key, in PEM, for a year.
    pub fn client_certificate(&self, user: &str, groups: &[&str]) -> Result<(String, String), PkiError> {
        let key = KeyPair::generate().map_err(|e| PkiError::making(user, e))?;
        let subject = leaf::subject(user, groups);
        let uses = Uses { encipherment: true, client: true, server: false };
        let certificate = self.leaf(&subject, &key, None, uses, SystemTime::now())?;
        Ok((pem("CERTIFICATE", &certificate), key.serialize_pem()))
    }

    /// A kubeconfig for a client: a year's certificate in it.
    pub fn kubeconfig(&self, server: &str, user: &str, groups: &[&str]) -> Result<String, PkiError> {
        let (certificate, key) = self.client_certificate(user, groups)?;
        Ok(kubeconfig::kubeconfig(server, &self.authority.pem, user, &certificate, &key))
    }

    /// Makes the serving certificate again if a name is missing or its end is near; whether it did.
    pub fn serving(&self, names: &Names, now: SystemTime) -> Result<bool, PkiError> {
        let key = kept_key(&self.path("apiserver.key"))?;
        let path = self.path("apiserver.crt");
        let wanted = names.all();
        if let Some(text) = files::read(&path)?
            && self.still_serves(&text, &wanted, &key, now)
        {
            return Ok(false);
        }
        let uses = Uses { encipherment: true, client: false, server: true };
        let alternative = Some(leaf::alternative_names(&wanted));
        let subject = leaf::subject("kube-apiserver", &[]);
        let certificate = self.leaf(&subject, &key, alternative, uses, now)?;
        let written = files::replace(&path, &pem("CERTIFICATE", &certificate), files::PUBLIC);
        written.map_err(|source| PkiError::File { path, source })?;
        Ok(true)
    }

    fn still_serves(
        &self,
        text: &str,
        wanted: &std::collections::BTreeSet<names::Name>,
        key: &KeyPair,
        now: SystemTime,
    ) -> bool {
        let Ok((_, block)) = parse_x509_pem(text.as_bytes()) else { return false };
        let Ok(certificate) = block.parse_x509() else { return false };
        let Ok((_, issuer)) = X509Certificate::from_der(&self.authority.der) else { return false };
        certificate.validity().not_after.to_datetime() > OffsetDateTime::from(now + RENEWED)
            && certificate.validity().not_before.to_datetime() <= OffsetDateTime::from(now)
            && certificate.public_key().raw == key.subject_public_key_info()
            && certificate.verify_signature(Some(issuer.public_key())).is_ok()
            && names::in_certificate(&block.contents).is_superset(wanted)
    }

    fn leaf(
        &self,
        subject: &[u8],
        key: &KeyPair,
        names: Option<Vec<u8>>,
        uses: Uses,
        now: SystemTime,
    ) -> Result<Vec<u8>, PkiError> {
        let public_key = key.subject_public_key_info();
        let until = OffsetDateTime::from(now + LIFE).min(self.authority.until);
        let from = OffsetDateTime::from(now - BACKDATED);
        let leaf = Leaf { subject, public_key: &public_key, names, uses, from, until };
        leaf::sign(&leaf, &self.authority.der, &self.authority.key)
    }

    fn service_accounts(&self) -> Result<(), PkiError> {
        let path = self.path("sa.key");
        // A key of another sort (kubeadm's is RSA, in PKCS #1) is read by who signs with it.
        if files::read(&path)?.is_some() {
            return Ok(());
        }
        let key = kept_key(&path)?;
        let path = self.path("sa.pub");
        let written = files::create(&path, &key.public_key_pem(), files::PUBLIC);
        written.map_err(|source| PkiError::File { path, source })
    }
}

fn authority(dir: &Path, now: SystemTime) -> Result<Authority, PkiError> {
    let (path, key_path) = (dir.join("ca.crt"), dir.join("ca.key"));
    let missing = || PkiError::damaged(&key_path, "is missing, though ca.crt is there", RESTORE);
    if files::read(&path)?.is_some() && files::read(&key_path)?.is_none() {
        return Err(missing());
    }
    let key = kept_key(&key_path)?;
    if files::read(&path)?.is_none() {
        let text = self_signed(&key, now).map_err(|e| PkiError::making(path.display(), e))?;
        let written = files::create(&path, &text, files::PUBLIC);
        written.map_err(|source| PkiError::File { path: path.clone(), source })?;
    }
    let pem = files::read(&path)?.unwrap_or_default();
    let (der, until) = checked(&pem, &key, now).map_err(|e| PkiError::damaged(&path, e, RESTORE))?;
    Ok(Authority { pem, der, key, until })
}

/// The CA's certificate in DER, and its end.
fn checked(pem: &str, key: &KeyPair, now: SystemTime) -> Result<(Vec<u8>, OffsetDateTime), String> {
    let (_, block) = parse_x509_pem(pem.as_bytes()).map_err(|e| format!("is no PEM file: {e}"))?;
    let certificate = block.parse_x509().map_err(|e| format!("holds no certificate: {e}"))?;
    let until = certificate.validity().not_after.to_datetime();
    if !certificate.is_ca() {
        return Err("is not a CA's certificate".into());
    }
    if certificate.public_key().raw != key.subject_public_key_info() {
        return Err("is of another key than ca.key".into());
    }
    if until <= OffsetDateTime::from(now) {
        return Err(format!("expired at {until}"));
    }
    Ok((block.contents.clone(), until))
}

fn self_signed(key: &KeyPair, now: SystemTime) -> Result<String, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "kubernetes");
    params.subject_alt_names = vec![SanType::DnsName("kubernetes".try_into()?)];
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages =
        vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = OffsetDateTime::from(now - DAY);
    params.not_after = OffsetDateTime::from(now + AUTHORITY_LIFE);
    Ok(params.self_signed(key)?.pem())
}

/// The key in a file, which is made if it is not there.
fn kept_key(path: &Path) -> Result<KeyPair, PkiError> {
    if files::read(path)?.is_none() {
        let key = KeyPair::generate().map_err(|e| PkiError::making(path.display(), e))?;
        let written = files::create(path, &key.serialize_pem(), files::PRIVATE);
        written.map_err(|source| PkiError::File { path: path.to_owned(), source })?;
    }
    let text = files::read(path)?.unwrap_or_default();
    let damaged = |e| PkiError::damaged(path, format!("holds no private key that can sign: {e}"), RESTORE);
    private_key::read(&text).map_err(damaged)
}

/// A block of PEM.
pub(super) fn pem(label: &str, der: &[u8]) -> String {
    use base64::prelude::{BASE64_STANDARD, Engine};
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in BASE64_STANDARD.encode(der).as_bytes().chunks(64) {
        text.extend(line.iter().map(|byte| char::from(*byte)));
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::super::{SigningError, TlsFlags};
    use super::*;
    use tokio_rustls::rustls::pki_types::CertificateDer;
    use tokio_rustls::rustls::pki_types::pem::PemObject;

    fn opened() -> (tempfile::TempDir, Pki) {
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::open(&dir.path().join("pki"), &Names::default()).unwrap();
        (dir, pki)
    }

    fn der(pem: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
    }

    fn request(user: &str, groups: &[&str], names: &[&str]) -> Vec<u8> {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|one| (*one).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, user);
        if let Some(group) = groups.first() {
            params.distinguished_name.push(DnType::OrganizationName, *group);
        }
        params.serialize_request(&key).unwrap().pem().unwrap().into_bytes()
    }

    #[test]
    fn a_second_start_keeps_everything_and_a_new_name_renews_the_serving_certificate() {
        let (dir, pki) = opened();
        let all = ["ca.crt", "ca.key", "apiserver.crt", "apiserver.key", "sa.key", "sa.pub"];
        let texts = |pki: &Pki| all.map(|name| std::fs::read_to_string(pki.path(name)).unwrap());
        let first = texts(&pki);
        let again = Pki::open(&dir.path().join("pki"), &Names::default()).unwrap();
        assert!(texts(&again) == first, "files changed");
        let names = Names { advertised: vec!["10.1.2.3".parse().unwrap()], ..Names::default() };
        let third = texts(&Pki::open(&dir.path().join("pki"), &names).unwrap());
        assert!(third[2] != first[2], "the serving certificate stayed");
        assert_eq!(third[0], first[0]);
        let later = SystemTime::now() + LIFE - RENEWED + DAY;
        assert!(again.serving(&names, later).unwrap(), "its end is near");
    }

    #[test]
    fn a_client_certificate_carries_every_group_and_is_trusted() {
        let (_dir, pki) = opened();
        let (certificate, _) = pki.client_certificate("jane", &["system:masters", "dev"]).unwrap();
        let trust = pki.client_trust(&TlsFlags::default()).unwrap();
        trust.trusts(&[der(&certificate)]).unwrap();
        let serving = std::fs::read_to_string(pki.path("apiserver.crt")).unwrap();
        assert!(trust.trusts(&[der(&serving)]).is_err(), "a server's certificate identifies no client");
        let (_other, other) = opened();
        assert!(other.client_trust(&TlsFlags::default()).unwrap().trusts(&[der(&certificate)]).is_err());
        pki.server_config(&TlsFlags::default()).unwrap();
    }

    #[test]
    fn damage_is_told_with_the_file_and_what_to_do() {
        let (dir, pki) = opened();
        std::fs::write(pki.path("ca.crt"), "rubbish").unwrap();
        let text = Pki::open(&dir.path().join("pki"), &Names::default()).unwrap_err().to_string();
        assert!(text.contains("ca.crt") && text.contains("restore it from a backup"), "{text}");
        std::fs::remove_file(pki.path("ca.key")).unwrap();
        let text = Pki::open(&dir.path().join("pki"), &Names::default()).unwrap_err().to_string();
        assert!(text.contains("ca.key: is missing"), "{text}");
    }

    /// kubeadm's keys are RSA in PKCS #1, or with its feature gate ECDSA in SEC 1.
    #[test]
    fn a_folder_with_keys_of_kubeadms_serves_as_it_is() {
        for key in [crate::authn::RSA_KEY, crate::authn::SEC1_KEY] {
            let dir = tempfile::tempdir().unwrap();
            for name in ["ca.key", "apiserver.key", "sa.key"] {
                std::fs::write(dir.path().join(name), key).unwrap();
            }
            let pki = Pki::open(dir.path(), &Names::default()).unwrap();
            assert!(std::fs::read_to_string(pki.path("ca.key")).unwrap() == key);
            let (certificate, _) = pki.client_certificate("jane", &["dev"]).unwrap();
            pki.client_trust(&TlsFlags::default()).unwrap().trusts(&[der(&certificate)]).unwrap();
            pki.server_config(&TlsFlags::default()).unwrap();
        }
    }

    /// pkg/apis/certificates/helpers.go: ValidateKubeletClientCSR, ValidateKubeletServingCSR.
    #[test]
    fn signers_sign_what_they_may() {
        let (_dir, pki) = opened();
        let sign = |signer: &str, csr: &[u8], usages: &[&str]| {
            pki.sign(&format!("kubernetes.io/{signer}"), csr, usages, None, LIFE)
        };
        let client = ["digital signature", "client auth"];
        let server = ["digital signature", "key encipherment", "server auth"];
        let node = request("system:node:a", &["system:nodes"], &[]);
        let signed = sign("kube-apiserver-client-kubelet", &node, &client).unwrap();
        pki.client_trust(&TlsFlags::default()).unwrap().trusts(&[der(&signed)]).unwrap();
        let refused = |result: Result<String, SigningError>| result.unwrap_err().to_string();
        assert_eq!(refused(sign("kubelet-serving", &node, &server)), "DNS or IP subjectAltName is required");
        let named = request("system:node:a", &["system:nodes"], &["a", "10.0.0.1"]);
        let serving = sign("kubelet-serving", &named, &server).unwrap();
        assert_eq!(names::in_certificate(&der(&serving)).len(), 2);
        assert_eq!(
            refused(sign("kube-apiserver-client-kubelet", &named, &client)),
            "DNS subjectAltNames are not allowed"
        );
        let other = request("jane", &["dev"], &[]);
        assert!(sign("kube-apiserver-client", &other, &client).is_ok());
        assert_eq!(
            refused(sign("kube-apiserver-client-kubelet", &other, &client)),
            "subject organization is not system:nodes"
        );
        assert!(refused(sign("kube-apiserver-client", &other, &server)).starts_with("usages did not match"));
        assert!(matches!(sign("legacy-unknown", &other, &client), Err(SigningError::Signer(_))));
        assert!(matches!(sign("kube-apiserver-client", b"x", &client), Err(SigningError::Request(_))));
    }
}
