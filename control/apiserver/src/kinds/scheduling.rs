//! Priority classes and runtime classes.

use super::cells::{aged, named, or_none};
use super::kind::{Kind, column};
use crate::object::{at, number, text};

pub(super) static PRIORITY_CLASS: Kind =
    Kind::of("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", "priorityclass")
        .short(&["pc"])
        .cluster()
        .generation()
        .table(
            &[
                column("Name", "string"),
                column("Value", "integer"),
                column("Global-Default", "boolean"),
                column("Age", "string"),
                column("PreemptionPolicy", "string"),
            ],
            |one, now| {
                vec![
                    named(one),
                    number(one, "value").into(),
                    (at(one, "globalDefault") == true).into(),
                    aged(one, now),
                    or_none(text(one, "preemptionPolicy")),
                ]
            },
        );

pub(super) static RUNTIME_CLASS: Kind =
    Kind::of("node.k8s.io", "v1", "RuntimeClass", "runtimeclasses", "runtimeclass")
        .conditional()
        .cluster()
        .table(
            &[column("Name", "string"), column("Handler", "string"), column("Age", "string")],
            |one, now| vec![named(one), text(one, "handler").into(), aged(one, now)],
        );
