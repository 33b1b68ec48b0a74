//! Leases.

use super::cells::{aged, named};
use super::kind::{Kind, column};
use crate::object::text;

pub(super) static LEASE: Kind =
    Kind::of("coordination.k8s.io", "v1", "Lease", "leases", "lease").conditional().create_on_update().table(
        &[column("Name", "string"), column("Holder", "string"), column("Age", "string")],
        |one, now| vec![named(one), text(one, "spec.holderIdentity").into(), aged(one, now)],
    );
