//! Which controllers run: `--controllers` of kube-controller-manager.
//!
//! Upstream: `cmd/kube-controller-manager/names`, `staging/src/k8s.io/controller-manager/app/helper.go`
//! (`IsControllerEnabled`).

/// A controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Controller {
    /// Ends namespaces.
    Namespace,
    /// Removes what has no owner left.
    GarbageCollector,
    /// Makes the account `default` of each namespace.
    ServiceAccount,
    /// Makes `kube-root-ca.crt` of each namespace.
    RootCa,
    /// Fills aggregated cluster roles.
    ClusterRoleAggregation,
    /// Signs approved certificate signing requests.
    CsrSigning,
    /// Removes old ones.
    CsrCleaner,
    /// Signs `cluster-info` with the tokens by which nodes join.
    BootstrapSigner,
    /// Removes such tokens when they have run out.
    TokenCleaner,
}

/// Each with its name and the name that it had before Kubernetes 1.28.
const ALL: [(Controller, &str, &str); 9] = [
    (Controller::Namespace, "namespace-controller", "namespace"),
    (Controller::GarbageCollector, "garbage-collector-controller", "garbagecollector"),
    (Controller::ServiceAccount, "serviceaccount-controller", "serviceaccount"),
    (Controller::RootCa, "root-ca-certificate-publisher-controller", "root-ca-cert-publisher"),
    (Controller::ClusterRoleAggregation, "clusterrole-aggregation-controller", "clusterrole-aggregation"),
    (Controller::CsrSigning, "certificatesigningrequest-signing-controller", "csrsigning"),
    (Controller::CsrCleaner, "certificatesigningrequest-cleaner-controller", "csrcleaner"),
    (Controller::BootstrapSigner, "bootstrap-signer-controller", "bootstrapsigner"),
    (Controller::TokenCleaner, "token-cleaner-controller", "tokencleaner"),
];

/// Those that `*` does not mean, as upstream: they are for clusters whose nodes join by token.
const BY_NAME: [Controller; 2] = [Controller::BootstrapSigner, Controller::TokenCleaner];

/// Which of them run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection(Vec<Controller>);

impl Selection {
    /// Reads the flag: `*` for all, `foo` for this one, `-foo` for not this one. The first word about one counts.
    pub fn read(words: &[String]) -> Result<Selection, String> {
        let of =
            |word: &str| ALL.iter().find(|(_, name, old)| word == *name || word == *old).map(|one| one.0);
        let mut said: Vec<(Controller, bool)> = Vec::new();
        let mut all = false;
        for word in words.iter().map(|word| word.trim()).filter(|word| !word.is_empty()) {
            if word == "*" {
                all = true;
                continue;
            }
            let (name, runs) = word.strip_prefix('-').map_or((word, true), |name| (name, false));
            let controller = of(name).ok_or_else(|| {
                let names: Vec<&str> = ALL.iter().map(|one| one.1).collect();
                format!("{name:?} is not in the list of known controllers; these are: {}", names.join(", "))
            })?;
            said.push((controller, runs));
        }
        let runs = |controller| {
            let by_star = all && !BY_NAME.contains(&controller);
            said.iter().find(|(one, _)| *one == controller).map_or(by_star, |(_, runs)| *runs)
        };
        Ok(Selection(ALL.iter().map(|one| one.0).filter(|one| runs(*one)).collect()))
    }

    /// Whether this one runs.
    pub fn has(&self, controller: Controller) -> bool {
        self.0.contains(&controller)
    }

    /// Whether none runs.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn read(words: &[&str]) -> Result<Selection, String> {
        Selection::read(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    /// `IsControllerEnabled`: "*" is all, "foo" enables, "-foo" disables.
    #[test]
    fn as_the_flag_of_upstream() {
        let all = read(&["*"]).unwrap();
        assert!(all.has(Controller::RootCa) && !all.has(Controller::TokenCleaner));
        assert!(read(&["*", "tokencleaner"]).unwrap().has(Controller::TokenCleaner));
        let without = read(&["*", "-garbagecollector"]).unwrap();
        assert!(!without.has(Controller::GarbageCollector) && without.has(Controller::Namespace));
        let one = read(&["serviceaccount-controller"]).unwrap();
        assert!(one.has(Controller::ServiceAccount) && !one.has(Controller::Namespace));
        assert!(
            read(&["-*"]).is_err() && read(&["*", "ttl-controller"]).unwrap_err().contains("ttl-controller")
        );
        assert!(read(&[]).unwrap().is_empty());
    }
}
