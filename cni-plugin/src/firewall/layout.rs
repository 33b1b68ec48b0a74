//! The table `inet weft-cni-firewall`: sets and rules that are the same however many containers there are.

use netstate::nft::{ChainKind, Datatype, Family, Field, Hook, HookPoint, Layout, Rule, Set, TableId};

/// The whole table but for its elements.
pub(super) fn layout() -> Layout {
    use Datatype::{Ip4, Ip6, Name};
    use Field::{Destination4, Destination6, InputName, OutputName, Source4, Source6};
    let accept = |field, set: &str| Rule::all().in_set(&[field], set).accept();
    let hook = Hook { kind: ChainKind::Filter, point: HookPoint::Forward, priority: 0 };
    let through = [InputName, OutputName];
    Layout {
        table: TableId { family: Family::Inet, name: "weft-cni-firewall".into() },
        sets: vec![
            Set::of("pods4", &[Ip4]),
            Set::of("pods6", &[Ip6]),
            Set::of("alone", &[Name, Name]),
            Set::of("together", &[Name, Name]),
            Set::of("bridges", &[Name]),
        ],
        chains: vec![
            (
                "isolation".into(),
                None,
                vec![
                    Rule::all().in_set(&through, "alone").drop(),
                    Rule::all().in_set(&through, "together").return_(),
                    Rule::all().in_set(&[InputName], "bridges").in_set(&[OutputName], "bridges").drop(),
                ],
            ),
            (
                "forward".into(),
                Some(hook),
                vec![
                    Rule::all().jump("isolation"),
                    accept(Source4, "pods4"),
                    accept(Destination4, "pods4"),
                    accept(Source6, "pods6"),
                    accept(Destination6, "pods6"),
                ],
            ),
        ],
    }
}
