//! Completion of what IPAM gave, by the reference plugin's rules.

use super::*;

fn ip(address: &str, gateway: Option<&str>) -> IpConfig {
    let gateway = gateway.map(|g| g.parse().unwrap());
    IpConfig { interface: None, address: address.parse().unwrap(), gateway }
}

fn completed(ips: Vec<IpConfig>, routes: &[Route], gateway: bool, default: bool) -> Addressing {
    let mut addressing = Addressing { ips, routes: routes.to_vec(), ..Addressing::default() };
    complete(&mut addressing, gateway, default);
    addressing
}

fn route(dst: &str, gw: Option<&str>) -> Route {
    Route::new(dst.parse().unwrap(), gw.map(|g| g.parse().unwrap()))
}

#[test]
fn a_gateway_is_the_subnets_first_address() {
    let all = completed(vec![ip("10.1.2.3/16", None), ip("fd00::9/64", None)], &[], true, false);
    let bridge: Vec<String> = all.bridge_addresses.iter().map(IpNetwork::to_string).collect();
    assert_eq!(bridge, ["10.1.0.1/16", "fd00::1/64"]);
    assert!(all.routes.is_empty());
    assert!(completed(vec![ip("10.1.2.3/16", None)], &[], false, false).ips[0].gateway.is_none());
}

#[test]
fn default_routes_are_added_once_per_family() {
    let ips = vec![ip("10.1.0.3/16", Some("10.1.0.1")), ip("fd00::9/64", Some("fd00::1"))];
    let all = completed(ips.clone(), &[], true, true);
    assert_eq!(all.routes, [route("0.0.0.0/0", Some("10.1.0.1")), route("::/0", Some("fd00::1"))]);
    let own = [route("0.0.0.0/0", Some("10.1.0.7"))];
    assert_eq!(completed(ips, &own, true, true).routes, [own[0].clone(), route("::/0", Some("fd00::1"))]);
}

#[test]
fn routes_without_next_hop_go_by_their_familys_gateway() {
    let ips = [ip("10.1.0.3/16", Some("10.1.0.1")), ip("fd00::9/64", None)];
    assert_eq!(gateway_of(&route("10.9.0.0/16", None), &ips), "10.1.0.1".parse().ok());
    assert_eq!(gateway_of(&route("10.9.0.0/16", Some("10.1.0.9")), &ips), "10.1.0.9".parse().ok());
    assert_eq!(gateway_of(&route("fd09::/64", None), &ips), None);
}
