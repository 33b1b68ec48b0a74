//! CertificateApproval, CertificateSigning, CertificateSubjectRestriction: who may approve and sign for a signer, and
//! that nobody asks to be a master.
//!
//! Source: `plugin/pkg/admission/certificates`.

use super::{Write, text};
use crate::authz::{Authorizer, MASTERS};
use crate::refusal::Refusal;
use crate::request::Attributes;
use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::Value;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::FromDer;

/// What is refused of a write to a signing request.
pub fn check(write: &Write<'_>, request: &Value, authorizer: &Authorizer) -> Result<(), Refusal> {
    match (write.subresource, write.old) {
        ("approval", Some(old)) => {
            allowed(write, request, authorizer, "approve", text(&old["spec"], "signerName"))
        }
        ("status", Some(old)) => {
            let changed = |key: &str| old["status"][key] != request["status"][key];
            if !changed("certificate") && !changed("conditions") {
                return Ok(());
            }
            allowed(write, request, authorizer, "sign", text(&old["spec"], "signerName"))
        }
        ("", None) => subject(write, request),
        _ => Ok(()),
    }
}

/// By the signer's name, or by its domain (`example.com/*`).
fn allowed(
    write: &Write<'_>,
    request: &Value,
    authorizer: &Authorizer,
    verb: &str,
    signer: &str,
) -> Result<(), Refusal> {
    let may = |name: &str| {
        let asked = Attributes {
            user: write.user,
            verb,
            group: "certificates.k8s.io",
            version: "*",
            resource: "signers",
            subresource: "",
            namespace: "",
            name,
            path: "",
        };
        authorizer.decide(&asked).allows()
    };
    let domain = signer.split_once('/').map_or(signer, |(domain, _)| domain);
    if may(signer) || may(&format!("{domain}/*")) {
        return Ok(());
    }
    Err(write.forbidden(request, format!("user not permitted to {verb} requests with signerName {signer:?}")))
}

fn subject(write: &Write<'_>, request: &Value) -> Result<(), Refusal> {
    const SIGNER: &str = "kubernetes.io/kube-apiserver-client";
    if request["spec"]["signerName"] != SIGNER {
        return Ok(());
    }
    let unreadable = || write.forbidden(request, "failed to parse CSR");
    let pem = BASE64_STANDARD.decode(text(&request["spec"], "request")).map_err(|_| unreadable())?;
    let (_, block) = parse_x509_pem(&pem).map_err(|_| unreadable())?;
    let (_, parsed) = X509CertificationRequest::from_der(&block.contents).map_err(|_| unreadable())?;
    let mut groups = parsed.certification_request_info.subject.iter_organization();
    if groups.any(|group| group.as_str().is_ok_and(|group| group == MASTERS)) {
        let why = format!("use of {SIGNER} signer with {MASTERS} group is not allowed");
        return Err(write.forbidden(request, why));
    }
    Ok(())
}
