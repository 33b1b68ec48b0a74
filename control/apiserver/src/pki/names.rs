//! What the API server is called: the names of its serving certificate.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// Names and addresses at which clients reach the server, beside those that every API server has.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// This machine's name.
    pub host: String,
    /// The first address of each service range: the `kubernetes` Service's.
    pub services: Vec<IpAddr>,
    /// The addresses that it tells its clients.
    pub advertised: Vec<IpAddr>,
    /// What was asked for beside these.
    pub more: Vec<String>,
}

/// One subject alternative name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// A DNS name.
    Dns(String),
    /// An address.
    Ip(IpAddr),
}

impl Names {
    /// All of them, as kubeadm has them in `apiserver.crt`.
    pub fn all(&self) -> BTreeSet<Name> {
        let within = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"];
        let within = within.into_iter().chain(["kubernetes.default.svc.cluster.local", "localhost"]);
        let host = Some(self.host.as_str()).filter(|host| !host.is_empty());
        let more = self.more.iter().map(String::as_str);
        let mut all: BTreeSet<Name> = within.chain(host).chain(more).map(Name::of).collect();
        let local = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        let told = self.services.iter().chain(&self.advertised).filter(|ip| !ip.is_unspecified());
        all.extend(told.chain(&local).copied().map(Name::Ip));
        all
    }
}

impl Name {
    fn of(text: &str) -> Name {
        match text.parse() {
            Ok(ip) => Name::Ip(ip),
            Err(_) => Name::Dns(text.to_ascii_lowercase()),
        }
    }
}

/// The names in a certificate.
pub fn in_certificate(der: &[u8]) -> BTreeSet<Name> {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else { return BTreeSet::new() };
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return BTreeSet::new() };
    names.value.general_names.iter().filter_map(of_general).collect()
}

fn of_general(name: &GeneralName<'_>) -> Option<Name> {
    match name {
        GeneralName::DNSName(dns) => Some(Name::Dns((*dns).to_owned())),
        GeneralName::IPAddress(bytes) => {
            let four = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            four.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from)).ok().map(Name::Ip)
        }
        _ => None,
    }
}
