//! The parameters of requests, as the documents list them. kubectl looks for `fieldValidation` and `dryRun`.

use super::schemas::Dialect;
use serde_json::{Value, json};

/// A parameter of the query.
pub struct Parameter {
    name: &'static str,
    kind: &'static str,
    description: &'static str,
}

const PRETTY: Parameter = Parameter {
    name: "pretty",
    kind: "string",
    description: "If 'true', then the output is pretty printed.",
};
const DRY_RUN: Parameter = Parameter {
    name: "dryRun",
    kind: "string",
    description: "When it is All, all stages are processed but nothing is stored.",
};
const FIELD_MANAGER: Parameter = Parameter {
    name: "fieldManager",
    kind: "string",
    description: "The name of who makes the change, at most 128 printable characters.",
};
const FIELD_VALIDATION: Parameter = Parameter {
    name: "fieldValidation",
    kind: "string",
    description: "What unknown and duplicate fields do: Ignore, Warn (the default) or Strict.",
};
const FORCE: Parameter = Parameter {
    name: "force",
    kind: "boolean",
    description: "Takes fields over from other managers in an apply patch.",
};

/// What lists, watches and deletions of collections have.
const LIST: &[Parameter] = &[
    Parameter {
        name: "allowWatchBookmarks",
        kind: "boolean",
        description: "Asks for events of type BOOKMARK in a watch.",
    },
    Parameter {
        name: "continue",
        kind: "string",
        description: "The token that the previous chunk of a list came with.",
    },
    Parameter {
        name: "fieldSelector",
        kind: "string",
        description: "Restricts the objects by their fields; all by default.",
    },
    Parameter {
        name: "labelSelector",
        kind: "string",
        description: "Restricts the objects by their labels; all by default.",
    },
    Parameter { name: "limit", kind: "integer", description: "The most objects that a chunk of a list has." },
    Parameter {
        name: "resourceVersion",
        kind: "string",
        description: "The state that a list or the start of a watch is about.",
    },
    Parameter {
        name: "resourceVersionMatch",
        kind: "string",
        description: "How resourceVersion is meant for lists: Exact or NotOlderThan.",
    },
    Parameter {
        name: "sendInitialEvents",
        kind: "boolean",
        description: "Begins a watch with the objects that are there and a bookmark behind them.",
    },
    Parameter {
        name: "timeoutSeconds",
        kind: "integer",
        description: "How long a list or a watch may last.",
    },
    Parameter { name: "watch", kind: "boolean", description: "Streams changes instead of the list." },
];

/// What deletions have.
const DELETE: &[Parameter] = &[
    Parameter {
        name: "gracePeriodSeconds",
        kind: "integer",
        description: "How long the object may go on; 0 deletes it at once.",
    },
    Parameter {
        name: "orphanDependents",
        kind: "boolean",
        description: "Deprecated: what propagationPolicy tells.",
    },
    Parameter {
        name: "propagationPolicy",
        kind: "string",
        description: "What becomes of dependents: Orphan, Background or Foreground.",
    },
];

/// The parameters of an operation.
pub fn of_verb(verb: &str) -> Vec<&'static Parameter> {
    let mut found = match verb {
        "list" | "watch" => LIST.iter().collect(),
        "create" | "update" => vec![&DRY_RUN, &FIELD_MANAGER, &FIELD_VALIDATION],
        "patch" => vec![&DRY_RUN, &FIELD_MANAGER, &FIELD_VALIDATION, &FORCE],
        "delete" => std::iter::once(&DRY_RUN).chain(DELETE).collect(),
        "deletecollection" => {
            let list = LIST.iter().filter(|one| !matches!(one.name, "watch" | "allowWatchBookmarks"));
            std::iter::once(&DRY_RUN).chain(list).chain(DELETE).collect()
        }
        _ => Vec::new(),
    };
    found.push(&PRETTY);
    found
}

impl Parameter {
    /// As the document has it.
    pub fn json(&self, dialect: Dialect) -> Value {
        in_place(self.name, "query", self.kind, self.description, false, dialect)
    }
}

/// A part of the path.
pub fn of_path(name: &str, description: &str, dialect: Dialect) -> Value {
    in_place(name, "path", "string", description, true, dialect)
}

fn in_place(
    name: &str,
    place: &str,
    kind: &str,
    description: &str,
    required: bool,
    dialect: Dialect,
) -> Value {
    let mut parameter = json!({ "name": name, "in": place, "description": description });
    if required {
        parameter["required"] = true.into();
    }
    match dialect {
        Dialect::V2 => {
            parameter["type"] = kind.into();
            parameter["uniqueItems"] = true.into();
        }
        Dialect::V3 => parameter["schema"] = json!({ "type": kind, "uniqueItems": true }),
    }
    parameter
}
