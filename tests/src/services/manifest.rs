//! Service and EndpointSlice manifests, with addresses that follow from the service's number.

use super::bed::Bed;
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Where each pod's load server answers.
pub const TARGET: u16 = 5201;
/// The port of cluster IPs, load balancers and external IPs.
pub const PORT: u16 = 80;

/// A service and its endpoints.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its name, in the namespace `default`.
    pub name: String,
    number: u16,
    families: Vec<bool>,
    metadata: Value,
    spec: Value,
    status: Value,
    slices: Vec<(Vec<End>, Vec<Value>)>,
}

/// An endpoint: a pod, or a node with a server of its own.
#[derive(Clone, Debug)]
pub struct End {
    who: String,
    conditions: Value,
    zones: Vec<String>,
}

impl End {
    /// A ready one.
    pub fn of(who: &str) -> End {
        let conditions = json!({"ready": true, "serving": true, "terminating": false});
        End { who: who.to_owned(), conditions, zones: Vec::new() }
    }

    /// One that is not ready.
    pub fn unready(who: &str) -> End {
        let conditions = json!({"ready": false, "serving": false, "terminating": false});
        End { conditions, ..End::of(who) }
    }

    /// One that ends, and serves until then or not.
    pub fn terminating(who: &str, serving: bool) -> End {
        let conditions = json!({"ready": false, "serving": serving, "terminating": true});
        End { conditions, ..End::of(who) }
    }

    /// A ready one with a hint for a zone.
    pub fn for_zone(who: &str, zone: &str) -> End {
        End { zones: vec![zone.to_owned()], ..End::of(who) }
    }

    fn object(&self, bed: &Bed, v4: bool) -> Value {
        let pod = self.who.starts_with("pod");
        let ip = if pod { bed.pod(&self.who, v4) } else { bed.node(&self.who, v4) };
        let node = if pod { bed.node_of(&self.who) } else { &self.who };
        let mut object = json!({"addresses": [ip], "conditions": self.conditions, "nodeName": node});
        if !self.zones.is_empty() {
            let zones: Vec<Value> = self.zones.iter().map(|name| json!({"name": name})).collect();
            object["hints"] = json!({"forZones": zones});
        }
        object
    }
}

impl Service {
    /// A ClusterIP service for TCP and UDP in both families, without endpoints.
    pub fn of(name: &str, number: u16) -> Service {
        let created = format!("2026-01-01T{:02}:{:02}:00Z", number / 60, number % 60);
        let ports = [("http", "TCP"), ("echo", "UDP")].map(|(name, protocol)| {
            json!({"name": name, "protocol": protocol, "port": PORT, "targetPort": TARGET})
        });
        Service {
            name: name.to_owned(),
            number,
            families: vec![true, false],
            metadata: json!({"name": name, "namespace": "default", "creationTimestamp": created, "uid": name}),
            spec: json!({"type": "ClusterIP", "ports": ports}),
            status: json!({}),
            slices: Vec::new(),
        }
    }

    /// In one family alone.
    pub fn only(mut self, v4: bool) -> Service {
        self.families = vec![v4];
        self
    }

    /// With a NodePort for each protocol.
    pub fn node_port(mut self) -> Service {
        let number = self.port_number();
        self.spec["type"] = "NodePort".into();
        self.ports().iter_mut().for_each(|port| port["nodePort"] = number.into());
        self
    }

    /// With a load balancer's ingress IPs, whose mode is as given.
    pub fn load_balancer(mut self, mode: &str) -> Service {
        self = self.node_port();
        self.spec["type"] = "LoadBalancer".into();
        let ingress = [true, false].map(|v4| json!({"ip": self.vip(v4).ip(), "ipMode": mode}));
        self.status = json!({"loadBalancer": {"ingress": ingress}});
        self
    }

    /// With a field of the spec.
    pub fn with(mut self, field: &str, value: impl Into<Value>) -> Service {
        self.spec[field] = value.into();
        self
    }

    /// With a status of its own.
    pub fn status(mut self, status: Value) -> Service {
        self.status = status;
        self
    }

    /// With a label.
    pub fn label(mut self, key: &str, value: &str) -> Service {
        self.metadata["labels"] = json!({key: value});
        self
    }

    /// With a slice of ready endpoints.
    pub fn on(self, ends: &[&str]) -> Service {
        self.slice(&ends.iter().map(|who| End::of(who)).collect::<Vec<_>>())
    }

    /// With a slice of endpoints whose ports are the usual.
    pub fn slice(self, ends: &[End]) -> Service {
        self.slice_at(ends, &[("http", "TCP", TARGET), ("echo", "UDP", TARGET)])
    }

    /// With a slice of endpoints with ports of its own: name, protocol, number.
    pub fn slice_at(mut self, ends: &[End], ports: &[(&str, &str, u16)]) -> Service {
        let ports = ports
            .iter()
            .map(|(name, protocol, port)| json!({"name": name, "protocol": protocol, "port": port}));
        self.slices.push((ends.to_vec(), ports.collect()));
        self
    }

    /// The address of the cluster IP, with the usual port.
    pub fn cluster(&self, v4: bool) -> SocketAddr {
        let ip = if v4 {
            IpAddr::V4(Ipv4Addr::new(10, 96, 1, self.number as u8))
        } else {
            IpAddr::V6(Ipv6Addr::new(0xfd00, 0x10, 0x96, 0, 0, 0, 1, self.number))
        };
        SocketAddr::new(ip, PORT)
    }

    /// The cluster IP in the form that an IPv6 socket dials IPv4 by.
    pub fn mapped(&self) -> SocketAddr {
        match self.cluster(true).ip() {
            IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), PORT),
            IpAddr::V6(ip) => SocketAddr::new(ip.into(), PORT),
        }
    }

    /// The address of the load balancer or external IP, with the usual port.
    pub fn vip(&self, v4: bool) -> SocketAddr {
        let ip = if v4 {
            IpAddr::V4(Ipv4Addr::new(192, 0, 2, self.number as u8))
        } else {
            IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 1, self.number))
        };
        SocketAddr::new(ip, PORT)
    }

    /// The number of the NodePort.
    pub fn port_number(&self) -> u16 {
        31000 + self.number
    }

    /// The NodePort on an address.
    pub fn at(&self, ip: IpAddr) -> SocketAddr {
        SocketAddr::new(ip, self.port_number())
    }

    fn ports(&mut self) -> &mut [Value] {
        self.spec["ports"].as_array_mut().map_or(&mut [], |ports| ports)
    }

    /// The objects.
    pub fn objects(&self, bed: &Bed) -> Vec<Value> {
        let mut spec = self.spec.clone();
        if spec.get("clusterIP").is_none() && spec["type"] != "ExternalName" {
            let ips: Vec<IpAddr> = self.families.iter().map(|v4| self.cluster(*v4).ip()).collect();
            spec["clusterIP"] = json!(ips[0]);
            spec["clusterIPs"] = json!(ips);
        }
        let names: Vec<&str> = self.families.iter().map(|v4| if *v4 { "IPv4" } else { "IPv6" }).collect();
        spec["ipFamilies"] = json!(names);
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": self.metadata, "spec": spec, "status": self.status,
        });
        let mut objects = vec![service];
        for (index, (ends, ports)) in self.slices.iter().enumerate() {
            for v4 in &self.families {
                let family = if *v4 { "IPv4" } else { "IPv6" };
                let ends: Vec<Value> = ends.iter().map(|end| end.object(bed, *v4)).collect();
                objects.push(json!({
                    "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": family,
                    "metadata": {
                        "name": format!("{}-{index}-{}", self.name, family.to_lowercase()), "namespace": "default",
                        "labels": {"kubernetes.io/service-name": self.name},
                    },
                    "ports": ports, "endpoints": ends,
                }));
            }
        }
        objects
    }
}
