//! Certificate signing requests: whether a signer may sign, and the certificate.
//!
//! The rules are those of `pkg/apis/certificates/helpers.go` and `pkg/controller/certificates/signer/signer.go`; a
//! refusal's text is the message of the request's `Failed` condition (`SignerValidationFailure`).

use super::authority::{Pki, pem};
use super::leaf::{self, Leaf, Uses};
use std::time::{Duration, SystemTime};
use time::OffsetDateTime;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::FromDer;

const BACKDATED: Duration = Duration::from_secs(300);
/// Below this, the end is not set back with the beginning (`authority.PermissiveSigningPolicy`).
const SHORT: Duration = Duration::from_secs(8 * 3600);
const SHORTEST: Duration = Duration::from_secs(600);

/// Why a request is not signed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningError {
    /// Nobody here signs for that name.
    #[error("{0:?} is none of this cluster's signers")]
    Signer(String),
    /// It is no signing request, or one whose signature is wrong.
    #[error("unable to parse csr: {0}")]
    Request(String),
    /// The signer refuses it.
    #[error("{0}")]
    Refused(String),
    /// It could not be signed.
    #[error("signing: {0}")]
    Failed(String),
}

/// What the rules look at.
struct Asked {
    name: String,
    organizations: Vec<String>,
    dns: usize,
    ips: usize,
    emails: usize,
    uris: usize,
}

impl Pki {
    /// Signs a request for a signer, for at most `longest` (`--cluster-signing-duration`) or what the request asks
    /// for. Whether it has been approved is for the caller to know.
    pub fn sign(
        &self,
        signer: &str,
        request_pem: &[u8],
        usages: &[&str],
        expiration: Option<Duration>,
        longest: Duration,
    ) -> Result<String, SigningError> {
        let broken = |e: String| SigningError::Request(e);
        let (_, block) = parse_x509_pem(request_pem).map_err(|e| broken(e.to_string()))?;
        if !matches!(block.label.as_str(), "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST") {
            return Err(broken("PEM block type must be CERTIFICATE REQUEST".into()));
        }
        let (_, request) =
            X509CertificationRequest::from_der(&block.contents).map_err(|e| broken(e.to_string()))?;
        request.verify_signature().map_err(|e| broken(e.to_string()))?;
        let (asked, names) = asked(&request)?;
        judge(signer, &asked, usages)?;

        let life = expiration.map_or(longest, |wanted| wanted.clamp(SHORTEST, longest.max(SHORTEST)));
        let now = SystemTime::now();
        let until = if life < SHORT { now + life } else { now + life - BACKDATED };
        let info = &request.certification_request_info;
        let leaf = Leaf {
            subject: info.subject.as_raw(),
            public_key: info.subject_pki.raw,
            names,
            uses: Uses {
                encipherment: usages.contains(&"key encipherment"),
                client: usages.contains(&"client auth"),
                server: usages.contains(&"server auth"),
            },
            from: OffsetDateTime::from(now - BACKDATED),
            until: OffsetDateTime::from(until).min(self.authority.until),
        };
        let der = leaf::sign(&leaf, &self.authority.der, &self.authority.key);
        Ok(pem("CERTIFICATE", &der.map_err(|e| SigningError::Failed(e.to_string()))?))
    }
}

fn asked(request: &X509CertificationRequest<'_>) -> Result<(Asked, Option<Vec<u8>>), SigningError> {
    let text = |value: Result<&str, _>| {
        value.map(str::to_owned).map_err(|_| SigningError::Request("the subject is no text".into()))
    };
    let subject = &request.certification_request_info.subject;
    let name = subject.iter_common_name().last().map_or(Ok(String::new()), |one| text(one.as_str()))?;
    let organizations: Result<_, _> = subject.iter_organization().map(|one| text(one.as_str())).collect();
    let mut asked = Asked { name, organizations: organizations?, dns: 0, ips: 0, emails: 0, uris: 0 };
    let mut names = None;
    for extension in request.requested_extensions().into_iter().flatten() {
        let ParsedExtension::SubjectAlternativeName(alternative) = extension else { continue };
        for name in &alternative.general_names {
            match name {
                GeneralName::DNSName(_) => asked.dns += 1,
                GeneralName::IPAddress(_) => asked.ips += 1,
                GeneralName::RFC822Name(_) => asked.emails += 1,
                GeneralName::URI(_) => asked.uris += 1,
                _ => return Err(SigningError::Request("a subjectAltName of an unknown sort".into())),
            }
        }
        names = Some(written(&alternative.general_names));
    }
    Ok((asked, names))
}

fn written(names: &[GeneralName<'_>]) -> Vec<u8> {
    use yasna::Tag;
    leaf::sequence(|writer| {
        for name in names {
            let (tag, bytes): (u64, &[u8]) = match name {
                GeneralName::RFC822Name(text) => (1, text.as_bytes()),
                GeneralName::DNSName(text) => (2, text.as_bytes()),
                GeneralName::URI(text) => (6, text.as_bytes()),
                GeneralName::IPAddress(bytes) => (7, bytes),
                _ => continue,
            };
            writer.next().write_tagged_implicit(Tag::context(tag), |writer| writer.write_bytes(bytes));
        }
    })
}

fn judge(signer: &str, asked: &Asked, usages: &[&str]) -> Result<(), SigningError> {
    let refuse = |why: &str| Err(SigningError::Refused(why.to_owned()));
    let purpose = match signer {
        "kubernetes.io/kubelet-serving" => "server auth",
        "kubernetes.io/kube-apiserver-client" | "kubernetes.io/kube-apiserver-client-kubelet" => {
            "client auth"
        }
        _ => return Err(SigningError::Signer(signer.to_owned())),
    };
    let allowed = ["digital signature", "key encipherment", purpose];
    if usages.iter().any(|usage| !allowed.contains(usage)) {
        return refuse(&format!("usages did not match {allowed:?}"));
    }
    if signer == "kubernetes.io/kube-apiserver-client" {
        let any = usages.contains(&purpose);
        return if any { Ok(()) } else { refuse("usages did not contain \"client auth\"") };
    }
    // For kubelets, exactly the usages; key encipherment is for RSA keys only, and may be missing.
    if !usages.contains(&"digital signature") || !usages.contains(&purpose) {
        return refuse(&format!("usages did not match {allowed:?}"));
    }
    if asked.organizations != ["system:nodes"] {
        return refuse("subject organization is not system:nodes");
    }
    if purpose == "server auth" {
        if asked.dns + asked.ips == 0 {
            return refuse("DNS or IP subjectAltName is required");
        }
    } else {
        if asked.dns > 0 {
            return refuse("DNS subjectAltNames are not allowed");
        }
        if asked.ips > 0 {
            return refuse("IP subjectAltNames are not allowed");
        }
    }
    if asked.emails > 0 {
        return refuse("Email subjectAltNames are not allowed");
    }
    if asked.uris > 0 {
        return refuse("URI subjectAltNames are not allowed");
    }
    match asked.name.strip_prefix("system:node:") {
        Some(node) if !node.is_empty() => Ok(()),
        _ => refuse("subject common name does not begin with system:node:"),
    }
}
