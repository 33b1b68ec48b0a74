//! Kinds that are answered and not stored: reviews of tokens and of access, bindings, the state of components.

use super::cells::named;
use super::kind::{Kind, column};
use crate::object::{list, text};

const CREATE: &[&str] = &["create"];
const AUTHENTICATION: &str = "authentication.k8s.io";
const AUTHORIZATION: &str = "authorization.k8s.io";

const fn review(
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    singular: &'static str,
) -> Kind {
    Kind::of(group, "v1", kind, plural, singular).cluster().stored("").verbs(CREATE)
}

pub(super) static SELF_SUBJECT_REVIEW: Kind =
    review(AUTHENTICATION, "SelfSubjectReview", "selfsubjectreviews", "selfsubjectreview");
pub(super) static TOKEN_REVIEW: Kind = review(AUTHENTICATION, "TokenReview", "tokenreviews", "tokenreview");
pub(super) static SUBJECT_ACCESS_REVIEW: Kind =
    review(AUTHORIZATION, "SubjectAccessReview", "subjectaccessreviews", "subjectaccessreview");
pub(super) static SELF_SUBJECT_ACCESS_REVIEW: Kind =
    review(AUTHORIZATION, "SelfSubjectAccessReview", "selfsubjectaccessreviews", "selfsubjectaccessreview");
pub(super) static SELF_SUBJECT_RULES_REVIEW: Kind =
    review(AUTHORIZATION, "SelfSubjectRulesReview", "selfsubjectrulesreviews", "selfsubjectrulesreview");
pub(super) static LOCAL_SUBJECT_ACCESS_REVIEW: Kind = Kind {
    namespaced: true,
    ..review(
        AUTHORIZATION,
        "LocalSubjectAccessReview",
        "localsubjectaccessreviews",
        "localsubjectaccessreview",
    )
};

/// `POST /bindings`, which old schedulers use in place of the subresource.
pub(super) static BINDING: Kind =
    Kind::of("", "v1", "Binding", "bindings", "binding").stored("").verbs(CREATE);

pub(super) static COMPONENT_STATUS: Kind =
    Kind::of("", "v1", "ComponentStatus", "componentstatuses", "componentstatus")
        .short(&["cs"])
        .cluster()
        .stored("")
        .verbs(&["get", "list"])
        .table(
            &[
                column("Name", "string"),
                column("Status", "string"),
                column("Message", "string"),
                column("Error", "string"),
            ],
            |one, _| {
                let healthy = list(one, "conditions").iter().find(|c| text(c, "type") == "Healthy");
                let status = match healthy.map(|c| text(c, "status")) {
                    Some("True") => "Healthy",
                    Some("False") => "Unhealthy",
                    _ => "Unknown",
                };
                let told = |key: &str| healthy.map_or("", |c| text(c, key));
                vec![named(one), status.into(), told("message").into(), told("error").into()]
            },
        );
