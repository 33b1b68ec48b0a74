//! The bindings of one namespace, by whom they bind.

use crate::request::User;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// A role that is bound to.
#[derive(Clone, Debug, Default)]
pub struct RoleRef {
    /// `Role` or `ClusterRole`.
    pub kind: String,
    /// The namespace; none of a ClusterRole.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl RoleRef {
    /// The role that a binding in a namespace refers to.
    pub fn of(namespace: &str, object: &Value) -> RoleRef {
        let text = |key: &str| object["roleRef"][key].as_str().unwrap_or_default().to_owned();
        let kind = text("kind");
        let namespace = if kind == "Role" { namespace.to_owned() } else { String::new() };
        RoleRef { kind, namespace, name: text("name") }
    }

    /// What is told when it is not there.
    pub fn missing(&self) -> String {
        let resource = if self.kind == "Role" { "role" } else { "clusterrole" };
        format!("{resource}.{} {:?} not found", super::GROUP, self.name)
    }
}

/// A binding.
#[derive(Debug)]
pub struct Binding {
    namespace: String,
    name: String,
    /// To which role.
    pub role: RoleRef,
    subjects: Vec<Subject>,
}

#[derive(Debug)]
struct Subject {
    kind: String,
    name: String,
    /// Of a service account.
    namespace: String,
}

/// Whom a subject means.
#[derive(PartialEq)]
enum Whom {
    User(String),
    Group(String),
    Nobody,
}

impl Subject {
    fn whom(&self) -> Whom {
        match self.kind.as_str() {
            "User" => Whom::User(self.name.clone()),
            "Group" => Whom::Group(self.name.clone()),
            "ServiceAccount" if !self.namespace.is_empty() => {
                Whom::User(format!("system:serviceaccount:{}:{}", self.namespace, self.name))
            }
            _ => Whom::Nobody,
        }
    }
}

impl Binding {
    /// A binding as its object says.
    pub fn of(namespace: &str, name: &str, object: &Value) -> Binding {
        let text = |subject: &Value, key: &str| subject[key].as_str().unwrap_or_default().to_owned();
        let subjects = object["subjects"].as_array().into_iter().flatten().map(|subject| Subject {
            kind: text(subject, "kind"),
            name: text(subject, "name"),
            // A service account without one is of the binding's.
            namespace: Some(text(subject, "namespace"))
                .filter(|s| !s.is_empty())
                .unwrap_or(namespace.to_owned()),
        });
        Binding {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            role: RoleRef::of(namespace, object),
            subjects: subjects.collect(),
        }
    }

    /// As upstream's reasons tell it: `ClusterRoleBinding "b" of ClusterRole "r" to User "u"`.
    pub fn described(&self, subject: usize) -> String {
        let (kind, name) = match self.namespace.as_str() {
            "" => ("ClusterRoleBinding", self.name.clone()),
            namespace => ("RoleBinding", format!("{}/{namespace}", self.name)),
        };
        let to = self.subjects.get(subject).map_or(String::new(), |subject| match subject.kind.as_str() {
            "ServiceAccount" => {
                format!("ServiceAccount {:?}", format!("{}/{}", subject.name, subject.namespace))
            }
            kind => format!("{kind} {:?}", subject.name),
        });
        format!("{kind} {name:?} of {} {:?} to {to}", self.role.kind, self.role.name)
    }
}

/// A binding, and the place of the subject in it.
type Held = (Arc<Binding>, usize);

/// All bindings of a namespace, or of the cluster.
#[derive(Debug, Default)]
pub struct Bindings {
    by_name: BTreeMap<String, Arc<Binding>>,
    users: HashMap<String, Vec<Held>>,
    groups: HashMap<String, Vec<Held>>,
}

impl Bindings {
    /// A binding is as given now, or gone.
    pub fn set(&mut self, name: &str, binding: Option<Binding>) {
        if let Some(old) = self.by_name.remove(name) {
            for subject in &old.subjects {
                self.forget(subject, &old);
            }
        }
        let Some(binding) = binding.map(Arc::new) else { return };
        for (place, subject) in binding.subjects.iter().enumerate() {
            match subject.whom() {
                Whom::User(user) => self.users.entry(user).or_default().push((binding.clone(), place)),
                Whom::Group(group) => self.groups.entry(group).or_default().push((binding.clone(), place)),
                Whom::Nobody => {}
            }
        }
        self.by_name.insert(name.to_owned(), binding);
    }

    fn forget(&mut self, subject: &Subject, old: &Arc<Binding>) {
        let (held, key) = match subject.whom() {
            Whom::User(user) => (&mut self.users, user),
            Whom::Group(group) => (&mut self.groups, group),
            Whom::Nobody => return,
        };
        if let Some(list) = held.get_mut(&key) {
            list.retain(|(binding, _)| !Arc::ptr_eq(binding, old));
            if list.is_empty() {
                held.remove(&key);
            }
        }
    }

    /// The bindings that bind a user, by name or by group, with the subject that does.
    pub fn of<'a>(&'a self, user: &'a User) -> impl Iterator<Item = (&'a Binding, usize)> {
        let by_name = self.users.get(&user.name).into_iter().flatten();
        let by_group = user.groups.iter().filter_map(|group| self.groups.get(group)).flatten();
        by_name.chain(by_group).map(|(binding, place)| (binding.as_ref(), *place))
    }
}
