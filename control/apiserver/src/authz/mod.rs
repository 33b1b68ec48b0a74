//! Whether somebody may: a chain of authorizers, the first that allows decides.
//!
//! ```text
//! system:masters ─ Node (kubelets: what their pods need) ─ RBAC (roles and bindings)
//! ```
//!
//! None of them refuses for good; what none allows is refused, with all their reasons. Objects come in by `set`, from
//! the watch caches, and a decision touches nothing but memory.

pub mod inflight;
pub mod node;
pub mod rbac;
mod review;

pub use review::{
    local_subject_access_review, self_subject_access_review, self_subject_rules_review, subject_access_review,
};

use crate::refusal::Refusal;
use crate::request::{Attributes, User};
use node::NodeAuthorizer;
use rbac::Rbac;
use serde_json::Value;

/// The group that may do everything, whatever the roles say.
pub const MASTERS: &str = "system:masters";

/// What an authorizer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Yes, and why.
    Allow(String),
    /// Not from here, and why.
    NoOpinion(String),
}

impl Decision {
    /// Whether it is a yes.
    pub fn allows(&self) -> bool {
        matches!(self, Decision::Allow(_))
    }

    /// Why.
    pub fn reason(&self) -> &str {
        let (Decision::Allow(reason) | Decision::NoOpinion(reason)) = self;
        reason
    }
}

/// One of `--authorization-mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Node,
    Rbac,
    AlwaysAllow,
    AlwaysDeny,
}

/// The chain.
#[derive(Debug)]
pub struct Authorizer {
    modes: Vec<Mode>,
    /// Roles and bindings.
    pub rbac: Rbac,
    /// What kubelets need.
    pub node: NodeAuthorizer,
}

impl Authorizer {
    /// The chain of `--authorization-mode`: `Node,RBAC`.
    pub fn of(modes: &str) -> Result<Authorizer, String> {
        let mut chain = Vec::new();
        for name in modes.split(',') {
            let mode = match name.trim() {
                "Node" => Mode::Node,
                "RBAC" => Mode::Rbac,
                "AlwaysAllow" => Mode::AlwaysAllow,
                "AlwaysDeny" => Mode::AlwaysDeny,
                other => {
                    return Err(format!(
                        "--authorization-mode: {other:?} is not supported; give a list of Node, RBAC, AlwaysAllow, \
                         AlwaysDeny (Node,RBAC is the default)"
                    ));
                }
            };
            if chain.contains(&mode) {
                return Err(format!("--authorization-mode: {modes:?} has mode {name:?} more than once"));
            }
            chain.push(mode);
        }
        Ok(Authorizer { modes: chain, rbac: Rbac::default(), node: NodeAuthorizer::default() })
    }

    /// An object of any kind is as given now, or gone; those that no authorizer goes by are left out.
    pub fn set(&self, resource: &str, namespace: &str, name: &str, object: Option<&Value>) {
        self.rbac.set(resource, namespace, name, object);
        self.node.set(resource, namespace, name, object);
    }

    /// Whether a request is allowed, and why.
    pub fn decide(&self, asked: &Attributes<'_>) -> Decision {
        if asked.user.is_in(MASTERS) {
            return Decision::Allow(String::new());
        }
        let mut reasons = Vec::new();
        for mode in &self.modes {
            let decision = match mode {
                Mode::Node => self.node.decide(asked),
                Mode::Rbac => self.rbac.decide(asked),
                Mode::AlwaysAllow => Decision::Allow(String::new()),
                Mode::AlwaysDeny => Decision::NoOpinion("Everything is forbidden.".into()),
            };
            match decision {
                Decision::NoOpinion(reason) if reason.is_empty() => {}
                Decision::NoOpinion(reason) => reasons.push(reason),
                allowed => return allowed,
            }
        }
        Decision::NoOpinion(reasons.join("\n"))
    }

    /// `decide`, as a refusal.
    pub fn authorize(&self, asked: &Attributes<'_>) -> Result<(), Refusal> {
        match self.decide(asked) {
            Decision::Allow(_) => Ok(()),
            Decision::NoOpinion(reason) => Err(refusal(asked, &reason)),
        }
    }

    /// Whether a user is a node whose rules cannot be listed.
    fn has_unlisted_rules(&self, user: &User) -> bool {
        self.modes.contains(&Mode::Node) && node::name_of(user).is_some()
    }
}

/// A refusal in upstream's words (`endpoints/handlers/responsewriters/errors.go`).
pub fn refusal(asked: &Attributes<'_>, reason: &str) -> Refusal {
    let mut message = words(asked);
    if !reason.is_empty() {
        message = format!("{message}: {reason}");
    }
    Refusal::forbidden(&qualified(asked.group, asked.resource), asked.name, message)
}

fn words(asked: &Attributes<'_>) -> String {
    let (user, verb) = (&asked.user.name, asked.verb);
    if asked.resource.is_empty() {
        return format!("User {user:?} cannot {verb} path {:?}", asked.path);
    }
    let resource = combined(asked.resource, asked.subresource);
    let place = match asked.namespace {
        "" => "at the cluster scope".to_owned(),
        namespace => format!("in the namespace {namespace:?}"),
    };
    format!("User {user:?} cannot {verb} resource {resource:?} in API group {:?} {place}", asked.group)
}

/// `deployments.apps`.
pub fn qualified(group: &str, resource: &str) -> String {
    if group.is_empty() || resource.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") }
}

/// `pods/log`.
fn combined<'a>(resource: &'a str, subresource: &str) -> std::borrow::Cow<'a, str> {
    if subresource.is_empty() { resource.into() } else { format!("{resource}/{subresource}").into() }
}
