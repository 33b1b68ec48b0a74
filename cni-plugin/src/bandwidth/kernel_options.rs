//! Which option of the kernel a refused operation lacks, and whether all of them are there.
//!
//! The kernel says what it has only by doing it (loading the module first): STATUS makes an ifb with all of it in
//! a namespace of its own that is gone with the call, so nothing of the host is touched.

use super::config::{Limit, Subnets};
use super::shape;
use crate::attach::kernel_error;
use crate::types::{CniError, ErrorCode};
use netstate::tc::{Filter, Handle, Match, Qdisc, QdiscKind, Verdict};
use netstate::{Kernel, NetNs, NewLink, NewLinkKind, Op};

/// The option without which the kernel refuses `op`, where that may be why.
fn option_of(op: &Op, errno: Option<i32>) -> Option<&'static str> {
    let absent = matches!(errno, Some(libc::ENOENT | libc::EOPNOTSUPP | libc::ENODEV | libc::EINVAL));
    Some(match op {
        _ if !absent => return None,
        Op::AddLink(NewLink { kind: NewLinkKind::Ifb, .. }) => "CONFIG_IFB (module ifb)",
        Op::AddQdisc(Qdisc { kind: QdiscKind::Tbf(_), .. }) => "CONFIG_NET_SCH_TBF (module sch_tbf)",
        Op::AddQdisc(Qdisc { kind: QdiscKind::Htb { .. }, .. }) => "CONFIG_NET_SCH_HTB (module sch_htb)",
        Op::AddQdisc(Qdisc { kind: QdiscKind::Ingress, .. }) => "CONFIG_NET_SCH_INGRESS (module sch_ingress)",
        Op::AddFilter(Filter { verdict: Verdict::Redirect(_), .. }) => {
            "CONFIG_NET_CLS_U32 or CONFIG_NET_ACT_MIRRED (modules cls_u32, act_mirred)"
        }
        Op::AddFilter(_) => "CONFIG_NET_CLS_U32 (module cls_u32)",
        _ => return None,
    })
}

/// The error of an operation of ADD.
pub(super) fn refused(op: &Op, object: &str, error: netstate::Error) -> CniError {
    let errno = error.errno();
    match option_of(op, errno) {
        _ if errno == Some(libc::EEXIST) => taken(object, error),
        Some(option) => {
            let details = format!("this kernel may lack {option}: look into /boot/config-$(uname -r)");
            CniError::new(ErrorCode::Kernel, format!("{object}: {error}"), details)
        }
        None => kernel_error(object)(error),
    }
}

/// The error of a link that something shapes already.
pub(super) fn taken(object: &str, why: impl std::fmt::Display) -> CniError {
    let details = "call DEL for the container first; if something else shapes this link, take bandwidth out of the \
                   network's list";
    CniError::new(ErrorCode::Conflict, format!("{object} is limited already: {why}"), details)
}

/// The operations that need each option once, on the device `dev`.
fn samples(dev: &str) -> Vec<Op> {
    let limit = Limit { rate: 1_000_000, burst: 1_000_000 };
    let mut ops = vec![Op::AddLink(NewLink { up: true, ..NewLink::of(dev, NewLinkKind::Ifb) })];
    ops.extend(shape::ops(dev, limit, &Subnets::All));
    ops.push(Op::AddQdisc(Qdisc::ingress(dev)));
    ops.push(Op::AddFilter(redirection(dev, dev)));
    ops
}

/// What comes in by `from` leaves by `to`.
pub(super) fn redirection(from: &str, to: &str) -> Filter {
    Filter {
        dev: from.into(),
        parent: Handle::INGRESS_QDISC,
        priority: 1,
        matches: Match::All,
        verdict: Verdict::Redirect(to.into()),
    }
}

/// Whether an ADD could limit; with `subnets`, also by subnet.
pub(super) fn available(subnets: bool) -> Result<(), CniError> {
    let unavailable = |what: String| {
        CniError::new(
            ErrorCode::NotAvailable,
            what,
            "boot a kernel that has it, or load the module that is named",
        )
    };
    let netns = NetNs::anonymous().map_err(kernel_error("a namespace to try traffic control in"))?;
    let mut kernel =
        Kernel::open_in(&netns).map_err(kernel_error("a namespace to try traffic control in"))?;
    let mut ops = samples("bwp0");
    if subnets {
        let second = |op| {
            if let Op::AddLink(link) = op { Op::AddLink(NewLink { name: "bwp1".into(), ..link }) } else { op }
        };
        ops.extend(samples("bwp1").into_iter().take(1).map(second));
        let limit = Limit { rate: 1_000_000, burst: 1_000_000 };
        let net = "10.0.0.0/8".parse().map(|net| vec![net]).unwrap_or_default();
        ops.extend(shape::ops("bwp1", limit, &Subnets::Only(net)));
    }
    for op in &ops {
        if let Err(error) = kernel.apply_all(std::slice::from_ref(op)) {
            let option = option_of(op, error.errno()).unwrap_or("what the line above names");
            return Err(unavailable(format!(
                "no container can be limited: {error}; the kernel lacks {option}"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operation_names_its_option() {
        let options: Vec<_> =
            samples("x").iter().map(|op| option_of(op, Some(libc::ENOENT)).unwrap()).collect();
        let parts = ["CONFIG_IFB", "SCH_TBF", "SCH_INGRESS", "ACT_MIRRED"];
        assert!(options.iter().zip(parts).all(|(option, part)| option.contains(part)), "{options:?}");
        let htb = shape::ops("x", Limit { rate: 8, burst: 8 }, &Subnets::Only(Vec::new()));
        assert!(option_of(&htb[0], Some(libc::ENOENT)).unwrap().contains("SCH_HTB"));
        assert_eq!(option_of(&htb[0], Some(libc::EPERM)), None);
        let taken = netstate::Error::Refused { op: "x".into(), errno: libc::EEXIST, said: String::new() };
        assert_eq!(refused(&htb[0], "veth0", taken).code, 102);
        let lacks = netstate::Error::Refused { op: "x".into(), errno: libc::ENOENT, said: String::new() };
        let error = refused(&htb[0], "veth0", lacks);
        assert!(error.code == 100 && error.details.contains("CONFIG_NET_SCH_HTB"), "{error}");
    }
}
