//! How what we make in the kernel is told from what others make.
//!
//! | object | tag |
//! | --- | --- |
//! | route, rule | protocol number [`ROUTE_PROTOCOL`] (`ip route show proto 87`) |
//! | link | alias that begins with [`ALIAS_PREFIX`] (`ip -d link`) |
//! | nftables | one table per component: `weft-flannel`, `weft-cni`, `weft-proxy` |
//!
//! Objects whose name the field's contract fixes (`flannel.1` and its entries, `cni0`) are adopted
//! where we find them; the alias then says whether we made them.

/// Protocol number of our routes and rules; free in iproute2's `rt_protos`.
pub const ROUTE_PROTOCOL: u8 = 87;

/// What the alias of a link that we made begins with.
pub const ALIAS_PREFIX: &str = "weft:";

/// The alias of a link that `component` made for `object`, at most 255 bytes (`IFALIASZ` is 256).
///
/// ```
/// assert_eq!(netstate::owned_alias("cni", "weft/abc/eth0"), "weft:cni:weft/abc/eth0");
/// ```
pub fn owned_alias(component: &str, object: &str) -> String {
    let mut alias = format!("{ALIAS_PREFIX}{component}:{object}");
    while alias.len() > 255 {
        alias.pop();
    }
    alias
}

/// FNV-1a, 64 bits: for tags, names and addresses that must be the same for ever and keep no secret.
/// It tells our own things apart, not an enemy's.
///
/// ```
/// assert_eq!(netstate::fnv1a("".bytes()), 0xcbf2_9ce4_8422_2325);
/// assert_eq!(netstate::fnv1a("a".bytes()), 0xaf63_dc4c_8601_ec8c); // the published test vector
/// ```
pub fn fnv1a(bytes: impl IntoIterator<Item = u8>) -> u64 {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    bytes.into_iter().fold(OFFSET_BASIS, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}
