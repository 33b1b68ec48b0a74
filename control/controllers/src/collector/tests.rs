//! The graph and the decisions, without an API.

#![allow(clippy::unwrap_used)]

use kube::api::PropagationPolicy;
use serde_json::{Value, json};
use std::sync::Arc;

use super::decide::{Action, Class, Own, decide};
use super::graph::{Fate, Graph, Uid};
use super::is_collected;
use crate::kinds::{Kind, known};

fn kind(group: &str, name: &str, namespaced: bool) -> Arc<Kind> {
    let verbs = ["list", "watch", "delete"].map(str::to_owned).into();
    Arc::new(Kind {
        resource: known(group, "v1", name, &format!("{}s", name.to_lowercase())),
        namespaced,
        verbs,
    })
}

/// An object of the namespace `a`, whose uid is its name.
fn saw(graph: &mut Graph, name: &str, owners: &[(&str, bool)], more: Value) -> Vec<String> {
    let owners: Vec<Value> = owners
        .iter()
        .map(|(owner, blocks)| {
            json!({"apiVersion": "v1", "kind": "Thing", "name": owner, "uid": owner, "blockOwnerDeletion": blocks})
        })
        .collect();
    let mut metadata = json!({"name": name, "uid": name, "namespace": "a", "ownerReferences": owners});
    for (key, value) in more.as_object().into_iter().flatten() {
        metadata[key] = value.clone();
    }
    let metadata = serde_json::from_value(metadata).unwrap();
    names(graph.saw(&kind("", "Thing", true), &metadata, 1))
}

fn names(looks: Vec<Uid>) -> Vec<String> {
    let mut looks: Vec<String> = looks.iter().map(|uid| uid.to_string()).collect();
    looks.sort();
    looks
}

fn going(finalizers: &[&str]) -> Value {
    json!({"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": finalizers})
}

fn uid(name: &str) -> Uid {
    name.into()
}

/// `graph_builder.go`, `processGraphChanges`: an owner that is not there yet makes its dependent be looked at; one that
/// is there does not; one that goes makes all of them.
#[test]
fn only_what_may_have_lost_its_owner_is_looked_at() {
    let mut graph = Graph::default();
    assert_eq!(saw(&mut graph, "early", &[("owner", false)], json!({})), ["early"]);
    assert!(saw(&mut graph, "owner", &[], json!({})).is_empty());
    assert!(graph.is_settled(graph.node(&uid("early")).unwrap()));
    assert!(saw(&mut graph, "late", &[("owner", true)], json!({})).is_empty());
    assert!(saw(&mut graph, "owner", &[], going(&["x.io/y"])).is_empty());
    assert_eq!(names(graph.gone(&uid("owner"))), ["early", "late"]);
    assert!(!graph.is_settled(graph.node(&uid("early")).unwrap()));
}

/// `processTransitions`: foreground deletion asks for all dependents and the owner; each dependent that goes asks for
/// the owner again.
#[test]
fn foreground_deletion_goes_down_and_comes_up() {
    let mut graph = Graph::default();
    saw(&mut graph, "owner", &[], json!({}));
    saw(&mut graph, "blocks", &[("owner", true)], json!({}));
    saw(&mut graph, "other", &[("owner", false)], json!({}));
    assert_eq!(saw(&mut graph, "owner", &[], going(&["foregroundDeletion"])), ["blocks", "other", "owner"]);
    assert_eq!(graph.node(&uid("owner")).unwrap().fate, Fate::Foreground);
    let blocking: Vec<String> = graph.blocking(&uid("owner")).map(|(uid, _)| uid.to_string()).collect();
    assert_eq!(blocking, ["blocks"]);
    // An update of what waits already does not go through the dependents again.
    assert_eq!(saw(&mut graph, "owner", &[], going(&["foregroundDeletion"])), ["owner"]);
    // `addUnblockedOwnersToDeleteQueue`: no longer blocking, no longer owned, gone.
    assert_eq!(saw(&mut graph, "blocks", &[("owner", false)], json!({})), ["blocks", "owner"]);
    assert_eq!(names(graph.gone(&uid("other"))), ["owner"]);
    assert!(graph.blocking(&uid("owner")).next().is_none());
}

#[test]
fn orphaning_asks_for_the_owner_alone() {
    let mut graph = Graph::default();
    saw(&mut graph, "owner", &[], json!({}));
    saw(&mut graph, "child", &[("owner", true)], json!({}));
    assert_eq!(saw(&mut graph, "owner", &[], going(&["orphan"])), ["owner"]);
    assert!(saw(&mut graph, "child", &[], json!({})).is_empty());
    assert!(graph.dependents(&uid("owner")).next().is_none());
}

/// Owners in another namespace do not count (`OwnerRefInvalidNamespace`), those in none do.
#[test]
fn an_owner_is_in_the_same_namespace_or_in_none() {
    let mut graph = Graph::default();
    saw(&mut graph, "owner", &[], json!({"namespace": "b"}));
    assert_eq!(saw(&mut graph, "child", &[("owner", false)], json!({})), ["child"]);
    assert!(!graph.is_settled(graph.node(&uid("child")).unwrap()));
    let cluster = serde_json::from_value(json!({"name": "wide", "uid": "wide"})).unwrap();
    graph.saw(&kind("", "Thing", false), &cluster, 1);
    assert!(saw(&mut graph, "other", &[("wide", false)], json!({})).is_empty());
}

/// A watch that had to list anew: what the list does not have is gone.
#[test]
fn what_a_new_list_does_not_have_is_gone() {
    let mut graph = Graph::default();
    saw(&mut graph, "owner", &[], json!({}));
    saw(&mut graph, "child", &[("owner", false)], json!({}));
    let metadata = serde_json::from_value(json!({
        "name": "child", "uid": "child", "namespace": "a",
        "ownerReferences": [{"apiVersion": "v1", "kind": "Thing", "name": "owner", "uid": "owner"}],
    }));
    let thing = kind("", "Thing", true);
    assert!(graph.saw(&thing, &metadata.unwrap(), 2).is_empty());
    assert!(graph.listed(&kind("x.io", "Thing", true), 2).is_empty());
    assert_eq!(names(graph.listed(&thing, 2)), ["child"]);
}

/// `attemptToDeleteItem`.
#[test]
fn what_becomes_of_an_object() {
    let of = |classes: &[Class], own| {
        let names = ["a", "b", "c"].map(uid);
        decide(&names.into_iter().zip(classes.iter().copied()).collect::<Vec<_>>(), own)
    };
    let (own, parent) = (Own::default(), Own { dependents: true, ..Own::default() });
    let delete = |policy| Action::Delete { policy, unblock: false };
    assert_eq!(of(&[], own), Action::Keep);
    assert_eq!(of(&[Class::Solid, Class::Solid], own), Action::Keep);
    let cut = Action::Cut(vec![uid("b"), uid("c")]);
    assert_eq!(of(&[Class::Solid, Class::Dangling, Class::Waiting], parent), cut);
    assert_eq!(of(&[Class::Dangling], parent), delete(PropagationPolicy::Background));
    assert_eq!(of(&[Class::Waiting], own), delete(PropagationPolicy::Background));
    assert_eq!(of(&[Class::Dangling, Class::Waiting], parent), delete(PropagationPolicy::Foreground));
    let circle = Own { circle: true, ..parent };
    let unblocked = Action::Delete { policy: PropagationPolicy::Foreground, unblock: true };
    assert_eq!(of(&[Class::Waiting], circle), unblocked);
    let orphan = Own { orphan: true, ..parent };
    assert_eq!(of(&[Class::Dangling], orphan), delete(PropagationPolicy::Orphan));
    let foreground = Own { foreground: true, ..own };
    assert_eq!(of(&[Class::Dangling], foreground), delete(PropagationPolicy::Foreground));
}

#[test]
fn events_are_not_collected() {
    assert!(is_collected(&kind("apps", "Thing", true)));
    assert!(!is_collected(&kind("", "Event", true)) && !is_collected(&kind("events.k8s.io", "Event", true)));
}
