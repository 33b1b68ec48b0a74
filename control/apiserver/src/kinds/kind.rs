//! One kind's descriptor.

use jiff::Timestamp;
use serde_json::Value;
use weft_objects::rules::{Rules, rules};

/// A kind that is served: everything about it that is not generic.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// The API group; empty for the core.
    pub group: &'static str,
    /// The version.
    pub version: &'static str,
    /// `Pod`.
    pub kind: &'static str,
    /// `pods`: the resource.
    pub plural: &'static str,
    /// `pod`.
    pub singular: &'static str,
    /// `po`.
    pub short: &'static [&'static str],
    /// `all`.
    pub categories: &'static [&'static str],
    /// Whether objects are in namespaces.
    pub namespaced: bool,
    /// Where objects are: etcd's `/registry/<this>/`. Empty where none are stored.
    pub stored: &'static str,
    /// What else is under an object's path.
    pub subresources: &'static [Subresource],
    /// kubectl's columns.
    pub columns: &'static [Column],
    /// A row of them.
    pub row: fn(&Value, Timestamp) -> Vec<Value>,
    /// Fields that a selector may name, beside the name and the namespace.
    pub fields: &'static [Field],
    /// How changes are prepared.
    pub strategy: Strategy,
    /// The verbs, where they are not all.
    pub verbs: &'static [&'static str],
}

/// A subresource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subresource {
    /// `status`: alone changes the status.
    Status,
    /// `scale`: `autoscaling/v1` Scale.
    Scale,
    /// `pods/binding`.
    Binding,
    /// `pods/eviction`.
    Eviction,
    /// `pods/ephemeralcontainers`.
    EphemeralContainers,
    /// `pods/resize`.
    Resize,
    /// `serviceaccounts/token`.
    Token,
    /// `certificatesigningrequests/approval`.
    Approval,
    /// `namespaces/finalize`.
    Finalize,
}

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// The heading.
    pub name: &'static str,
    /// `string`, `integer`, `date`, `boolean`.
    pub kind: &'static str,
    /// 0 is always shown, 1 with `-o wide`.
    pub priority: i32,
}

/// A field that a selector may name.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// `spec.nodeName`.
    pub path: &'static str,
    /// What it is of an object.
    pub of: fn(&Value) -> String,
}

/// How changes of a kind are prepared, as upstream's strategies do it.
#[derive(Clone, Copy, Debug)]
pub struct Strategy {
    /// Whether there is a status of its own, which only the subresource changes.
    pub status: bool,
    /// Whether `metadata.generation` counts changes of the spec.
    pub generation: bool,
    /// Whether a PUT on a missing object makes it.
    pub create_on_update: bool,
    /// Whether an update needs no resourceVersion.
    pub unconditional_update: bool,
    /// Whether deletion waits: pods.
    pub graceful: bool,
}

impl Strategy {
    const PLAIN: Strategy = Strategy {
        status: false,
        generation: false,
        create_on_update: false,
        unconditional_update: true,
        graceful: false,
    };
}

/// The columns of a kind without columns of its own.
const NAME_AND_AGE: &[Column] = &[column("Name", "string"), column("Created At", "date")];

/// All verbs of an object that is stored.
pub const ALL_VERBS: &[&str] =
    &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// A column that is always shown.
pub const fn column(name: &'static str, kind: &'static str) -> Column {
    Column { name, kind, priority: 0 }
}

/// A column of `-o wide`.
pub const fn wide(name: &'static str, kind: &'static str) -> Column {
    Column { name, kind, priority: 1 }
}

impl Kind {
    /// A namespaced kind that is stored under its plural, with name and age as its columns.
    pub const fn of(
        group: &'static str,
        version: &'static str,
        kind: &'static str,
        plural: &'static str,
        singular: &'static str,
    ) -> Kind {
        Kind {
            group,
            version,
            kind,
            plural,
            singular,
            short: &[],
            categories: &[],
            namespaced: true,
            stored: plural,
            subresources: &[],
            columns: NAME_AND_AGE,
            row: |object, _| {
                vec![
                    crate::object::name(object).into(),
                    crate::object::at(object, "metadata.creationTimestamp").clone(),
                ]
            },
            fields: &[],
            strategy: Strategy::PLAIN,
            verbs: ALL_VERBS,
        }
    }

    /// With short names.
    pub const fn short(self, short: &'static [&'static str]) -> Kind {
        Kind { short, ..self }
    }

    /// In categories.
    pub const fn categories(self, categories: &'static [&'static str]) -> Kind {
        Kind { categories, ..self }
    }

    /// In no namespace.
    pub const fn cluster(self) -> Kind {
        Kind { namespaced: false, ..self }
    }

    /// Stored under another name than its plural; empty for not at all.
    pub const fn stored(self, stored: &'static str) -> Kind {
        Kind { stored, ..self }
    }

    /// With subresources; `status` is one whose field only it changes.
    pub const fn subresources(self, subresources: &'static [Subresource]) -> Kind {
        Kind { subresources, ..self }
    }

    /// With a status that only its subresource changes.
    pub const fn status(self) -> Kind {
        Kind { strategy: Strategy { status: true, ..self.strategy }, ..self }
    }

    /// With a generation that counts changes of the spec.
    pub const fn generation(self) -> Kind {
        Kind { strategy: Strategy { generation: true, ..self.strategy }, ..self }
    }

    /// Made by a PUT.
    pub const fn create_on_update(self) -> Kind {
        Kind { strategy: Strategy { create_on_update: true, ..self.strategy }, ..self }
    }

    /// Never updated without a resourceVersion.
    pub const fn conditional(self) -> Kind {
        Kind { strategy: Strategy { unconditional_update: false, ..self.strategy }, ..self }
    }

    /// Deleted gracefully.
    pub const fn graceful(self) -> Kind {
        Kind { strategy: Strategy { graceful: true, ..self.strategy }, ..self }
    }

    /// With columns and what they show.
    pub const fn table(self, columns: &'static [Column], row: fn(&Value, Timestamp) -> Vec<Value>) -> Kind {
        Kind { columns, row, ..self }
    }

    /// With fields that a selector may name.
    pub const fn fields(self, fields: &'static [Field]) -> Kind {
        Kind { fields, ..self }
    }

    /// With these verbs alone.
    pub const fn verbs(self, verbs: &'static [&'static str]) -> Kind {
        Kind { verbs, ..self }
    }

    /// `v1` or `apps/v1`.
    pub fn api_version(&self) -> String {
        match self.group {
            "" => self.version.to_owned(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// `pods` or `deployments.apps`, as messages name it.
    pub fn qualified(&self) -> String {
        match self.group {
            "" => self.plural.to_owned(),
            group => format!("{}.{group}", self.plural),
        }
    }

    /// Defaults and validation.
    pub fn rules(&self) -> &'static Rules {
        rules(self.group, self.kind)
    }

    /// Where the kind's objects are in etcd.
    pub fn prefix(&self) -> String {
        format!("/registry/{}/", self.stored)
    }

    /// Where an object is in etcd.
    pub fn key(&self, namespace: &str, name: &str) -> String {
        match self.namespaced {
            true => format!("/registry/{}/{namespace}/{name}", self.stored),
            false => format!("/registry/{}/{name}", self.stored),
        }
    }

    /// Whether it has a subresource.
    pub fn has(&self, subresource: Subresource) -> bool {
        self.subresources.contains(&subresource)
    }
}

impl Subresource {
    /// The last part of its path.
    pub const fn name(self) -> &'static str {
        match self {
            Subresource::Status => "status",
            Subresource::Scale => "scale",
            Subresource::Binding => "binding",
            Subresource::Eviction => "eviction",
            Subresource::EphemeralContainers => "ephemeralcontainers",
            Subresource::Resize => "resize",
            Subresource::Token => "token",
            Subresource::Approval => "approval",
            Subresource::Finalize => "finalize",
        }
    }

    /// The group, version and kind of its bodies, where it is not the object's own.
    pub const fn body(self) -> Option<(&'static str, &'static str, &'static str)> {
        match self {
            Subresource::Scale => Some(("autoscaling", "v1", "Scale")),
            Subresource::Binding => Some(("", "v1", "Binding")),
            Subresource::Eviction => Some(("policy", "v1", "Eviction")),
            Subresource::Token => Some(("authentication.k8s.io", "v1", "TokenRequest")),
            _ => None,
        }
    }

    /// Its verbs.
    pub const fn verbs(self) -> &'static [&'static str] {
        match self {
            Subresource::Binding | Subresource::Eviction | Subresource::Token => &["create"],
            Subresource::Finalize => &["update"],
            _ => &["get", "patch", "update"],
        }
    }
}
