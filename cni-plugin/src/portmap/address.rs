//! Which addresses of a result are the container's.

use crate::types::CniResult;
use std::net::IpAddr;

/// The first address of each family, of the container's interface where the result says of which it is.
pub(crate) fn of_container(result: &CniResult, ifname: &str) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = Vec::new();
    for ip in &result.ips {
        let interface = ip.interface.and_then(|number| result.interfaces.get(number));
        let elsewhere = interface.is_some_and(|i| i.name != ifname || i.sandbox.is_empty());
        let address = ip.address.ip();
        if !elsewhere && !found.iter().any(|other| other.is_ipv4() == address.is_ipv4()) {
            found.push(address);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_containers_first_of_each_family_is_taken() {
        let result = serde_json::json!({"cniVersion": "1.0.0",
            "interfaces": [{"name": "cni0"}, {"name": "eth0", "sandbox": "/ns"}, {"name": "net1", "sandbox": "/ns"}],
            "ips": [{"address": "10.1.0.1/24", "interface": 0}, {"address": "10.9.0.2/24", "interface": 2},
                {"address": "10.1.0.2/24", "interface": 1}, {"address": "fd00::2/64"},
                {"address": "10.1.0.3/24", "interface": 1}]});
        let result = CniResult::from_value(&result).unwrap();
        let found: Vec<String> = of_container(&result, "eth0").iter().map(IpAddr::to_string).collect();
        assert_eq!(found, ["10.1.0.2", "fd00::2"]);
        assert_eq!(of_container(&CniResult::default(), "eth0"), Vec::<IpAddr>::new());
    }
}
