//! What upstream's flags need that clap does not do by itself.

/// Go programs take `-flag` for `--flag`, and unit files of flanneld use it: `weft flannel
/// -etcd-endpoints=…` is rewritten to two dashes. As do those of etcd. Other subcommands are left alone.
pub fn double_dashes(args: impl Iterator<Item = String>) -> Vec<String> {
    let mut args: Vec<String> = args.collect();
    if matches!(args.get(1).map(String::as_str), Some("flannel" | "etcd")) {
        for arg in args.iter_mut().skip(2) {
            let single = arg.starts_with('-') && !arg.starts_with("--");
            if single && arg.chars().nth(2).is_some_and(|c| c.is_ascii_alphanumeric() || c == '-') {
                arg.insert(0, '-');
            }
        }
    }
    args
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_dashes_of_long_flags_are_doubled() {
        let given = ["weft", "flannel", "-etcd-endpoints=x", "--ip-masq", "-h", "-v"].map(String::from);
        assert_eq!(
            double_dashes(given.into_iter()),
            ["weft", "flannel", "--etcd-endpoints=x", "--ip-masq", "-h", "-v"]
        );
        let lab = ["weft", "lab", "exec", "pod1", "--", "ls", "-la"].map(String::from);
        assert_eq!(double_dashes(lab.clone().into_iter()), lab);
    }
}
