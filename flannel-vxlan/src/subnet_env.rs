//! `/run/flannel/subnet.env`: what CNI plugins read of the overlay.
//!
//! Replaced by rename, so that a reader sees the old file or the new one; mode 0644 as flanneld's.

use std::{
    fs, io,
    net::{Ipv4Addr, Ipv6Addr},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use ipnetwork::{Ipv4Network, Ipv6Network};

use crate::{Error, config::NetworkConfig, lease::Subnets};

/// The file's text.
pub fn render(config: &NetworkConfig, subnets: &Subnets, mtu: u32, ip_masq: bool) -> String {
    let mut text = String::new();
    if let (Some(pool), Some(net)) = (&config.v4, subnets.v4) {
        let first = Ipv4Addr::from(u32::from(net.network()) + 1);
        text += &format!("FLANNEL_NETWORK={}\nFLANNEL_SUBNET={first}/{}\n", pool.network, net.prefix());
    }
    if let (Some(pool), Some(net)) = (&config.v6, subnets.v6) {
        let first = Ipv6Addr::from(u128::from(net.network()) + 1);
        text +=
            &format!("FLANNEL_IPV6_NETWORK={}\nFLANNEL_IPV6_SUBNET={first}/{}\n", pool.network, net.prefix());
    }
    text + &format!("FLANNEL_MTU={mtu}\nFLANNEL_IPMASQ={ip_masq}\n")
}

/// The subnets that a file names; `None` where it names none.
pub fn parse(text: &str) -> Option<Subnets> {
    let value = |key: &str| text.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='));
    let v4 = value("FLANNEL_SUBNET").and_then(|v| v.parse::<Ipv4Network>().ok());
    let v6 = value("FLANNEL_IPV6_SUBNET").and_then(|v| v.parse::<Ipv6Network>().ok());
    let v4 = v4.and_then(|net| Ipv4Network::new(net.network(), net.prefix()).ok());
    let v6 = v6.and_then(|net| Ipv6Network::new(net.network(), net.prefix()).ok());
    (v4.is_some() || v6.is_some()).then_some(Subnets { v4, v6 })
}

/// The subnets of an earlier run's file, if there is one that can be read.
pub fn read(path: &Path) -> Option<Subnets> {
    parse(&fs::read_to_string(path).ok()?)
}

/// Writes the file where it differs; answers whether it did.
pub fn write(path: &Path, text: &str) -> Result<bool, Error> {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(false);
    }
    replace(path, text).map_err(|source| Error::File { path: path.to_owned(), source })?;
    Ok(true)
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let name = path.file_name().ok_or_else(|| io::Error::other("it names no file"))?.to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.weft"));
    fs::write(&temporary, text)?;
    fs::set_permissions(&temporary, fs::Permissions::from_mode(0o644))?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_flannelds_and_is_read_back() {
        let config =
            NetworkConfig::parse(r#"{"Network":"10.244.0.0/16","Backend":{"Type":"vxlan"}}"#).unwrap();
        let subnets = Subnets::parse("10.244.83.0-24").unwrap();
        let text = render(&config, &subnets, 1450, true);
        assert_eq!(
            text,
            "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.83.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n"
        );
        assert_eq!(parse(&text), Some(subnets));
        assert_eq!(parse("FLANNEL_SUBNET=x\n"), None);
    }
}
