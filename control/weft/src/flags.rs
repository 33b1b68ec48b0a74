//! What upstream's flags need that clap does not do by itself.

use std::time::Duration;

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

/// Reads a duration as Go writes it: `1h30m`, `10s`, `500ms`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text}: is no duration such as 10m, 1h30m or 500ms");
    let mut rest = text;
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match &rest[..letters] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 0.001,
            _ => return Err(wrong()),
        };
        total += Duration::try_from_secs_f64(number * unit).map_err(|_| wrong())?;
        rest = &rest[letters..];
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("1.5s500ms"), Ok(Duration::from_secs(2)));
        for wrong in ["", "5", "m", "1x", "-1s", "1..2s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

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
