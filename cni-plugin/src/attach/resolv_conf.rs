//! `ipam.resolvConf`: a file in resolv.conf(5)'s form whose content becomes the result's `dns`.

use crate::types::{CniError, Dns, ErrorCode};
use std::path::Path;

/// Reads the file.
pub(crate) fn read(path: &Path) -> Result<Dns, CniError> {
    let text = std::fs::read_to_string(path).map_err(|e| {
        let msg = format!("cannot read ipam.resolvConf {}: {e}", path.display());
        CniError::new(ErrorCode::Io, msg, "correct resolvConf in the network's file or make the file")
    })?;
    Ok(parse(&text))
}

/// Reads the text; lines that say nothing to us are passed over, as the resolver does.
fn parse(text: &str) -> Dns {
    let mut dns = Dns::default();
    for line in text.lines().map(str::trim).filter(|l| !l.starts_with(['#', ';'])) {
        let mut words = line.split_whitespace();
        let (Some(keyword), Some(first)) = (words.next(), words.next()) else { continue };
        let all = std::iter::once(first).chain(words).map(str::to_string);
        match keyword {
            "nameserver" => dns.nameservers.push(first.to_string()),
            "domain" => dns.domain = first.to_string(),
            "search" => dns.search.extend(all),
            "options" => dns.options.extend(all),
            _ => {}
        }
    }
    dns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keywords_are_read() {
        let dns = parse(
            "# note\nnameserver 10.0.0.2\nnameserver ::1\ndomain a.b\nsearch x y\noptions ndots:5 rotate\nfoo\n",
        );
        assert_eq!(dns.nameservers, ["10.0.0.2", "::1"]);
        assert_eq!((dns.domain.as_str(), dns.search.len(), dns.options.len()), ("a.b", 2, 2));
    }

    #[test]
    fn a_missing_file_is_named() {
        assert!(
            read(Path::new("/nonexistent/resolv.conf")).unwrap_err().msg.contains("/nonexistent/resolv.conf")
        );
    }
}
