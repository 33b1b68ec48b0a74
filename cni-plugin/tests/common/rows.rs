//! The personalities with a configuration each, and a place to call one in.

use super::{Call, Node, Pod, Whose};
use serde_json::{Value, json};

/// A row of the matrix.
pub struct Row {
    pub plugin: &'static str,
    pub keys: fn(&Node) -> Value,
    /// It runs behind a bridge and needs its result.
    pub behind: bool,
    /// Debian has the reference plugin.
    pub reference: bool,
}

fn pool(node: &Node) -> Value {
    json!({"type": "host-local", "dataDir": node.data_dir(), "subnet": "10.99.0.0/24",
        "routes": [{"dst": "10.200.0.0/16", "gw": "10.99.0.1"}]})
}

/// All personalities.
pub fn rows() -> Vec<Row> {
    let row = |plugin, keys| Row { plugin, keys, behind: false, reference: true };
    let behind = |plugin, keys| Row { behind: true, ..row(plugin, keys) };
    vec![
        row("bridge", |node| json!({"bridge": "cni0", "isDefaultGateway": true, "ipam": pool(node)})),
        row("host-local", |node| json!({"ipam": pool(node)})),
        row("static", |_| {
            json!({"ipam": {"type": "static", "addresses": [{"address": "10.99.0.7/24", "gateway": "10.99.0.1"}],
                "routes": [{"dst": "0.0.0.0/0"}], "dns": {"nameservers": ["10.99.0.1"]}}})
        }),
        row("ptp", |node| json!({"ipam": pool(node), "mtu": 1400})),
        row("loopback", |_| json!({})),
        Row { reference: false, ..row("flannel", flannel) },
        behind("portmap", |node| {
            json!({"dataDir": node.dir.path().join("portmap"), "runtimeConfig": {"portMappings": [
                {"hostPort": 20080, "containerPort": 80, "protocol": "tcp"},
                {"hostPort": 20053, "containerPort": 53, "protocol": "udp"}]}})
        }),
        behind("bandwidth", |node| {
            json!({"dataDir": node.dir.path().join("bandwidth"), "runtimeConfig": {"bandwidth": {
                "ingressRate": 8_000_000, "ingressBurst": 8_000_000, "egressRate": 4_000_000, "egressBurst": 8_000_000}}})
        }),
        behind("tuning", |node| {
            json!({"dataDir": node.dir.path().join("tuning"), "mtu": 1300, "promisc": true, "mac": "02:00:00:00:00:77",
                "sysctl": {"net.core.somaxconn": "500", "net.ipv4.conf.eth0.log_martians": "1"}})
        }),
        behind("firewall", |node| json!({"dataDir": node.dir.path().join("firewall")})),
        Row { reference: false, ..row("weft-cni", chain) },
    ]
}

/// The whole chain in one process.
fn chain(node: &Node) -> Value {
    let folder = |name: &str| node.dir.path().join(name);
    json!({"bridge": "cni0", "isDefaultGateway": true, "ipam": pool(node),
        "portmap": {"dataDir": folder("portmap")}, "bandwidth": {"dataDir": folder("bandwidth")},
        "firewall": {"dataDir": folder("firewall"), "ingressPolicy": "same-bridge"},
        "tuning": {"dataDir": folder("tuning"), "sysctl": {"net.core.somaxconn": "500"}},
        "namesDir": folder("names"),
        "runtimeConfig": {
            "aliases": ["web", "db.example"],
            "portMappings": [{"hostPort": 20080, "containerPort": 80, "protocol": "tcp"}],
            "bandwidth": {"ingressRate": 8_000_000, "ingressBurst": 8_000_000, "egressRate": 4_000_000, "egressBurst": 8_000_000}}})
}

fn flannel(node: &Node) -> Value {
    let file = node.dir.path().join("subnet.env");
    let text =
        "FLANNEL_NETWORK=10.99.0.0/16\nFLANNEL_SUBNET=10.99.3.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n";
    std::fs::write(&file, text).unwrap();
    json!({"subnetFile": file, "dataDir": node.dir.path().join("flannel"),
        "delegate": {"isDefaultGateway": true, "bridge": "cni0"}, "ipam": {"dataDir": node.data_dir()}})
}

/// A node and a container in which one plugin of one side is called.
pub struct Cell<'a> {
    pub node: Node,
    pub pod: Pod,
    pub whose: Whose,
    pub row: &'a Row,
    pub config: Value,
}

impl<'a> Cell<'a> {
    /// A fresh node and container; behind a bridge where the row says so.
    pub fn new(row: &'a Row, whose: Whose, version: &str) -> Self {
        let (node, pod) = (Node::new(), Pod::new());
        let mut config = json!({"cniVersion": version, "name": "testnet", "type": row.plugin});
        for (key, value) in (row.keys)(&node).as_object().unwrap() {
            config[key] = value.clone();
        }
        let mut cell = Cell { node, pod, whose, row, config };
        if row.behind {
            let bridge = json!({"cniVersion": version, "name": "testnet", "type": "bridge", "bridge": "cni0",
                "isDefaultGateway": true, "ipam": pool(&cell.node)});
            let path = cell.pod.path();
            let call = Call::new(Whose::Ours, "ADD", "c1", &path).of(Whose::Ours, "bridge");
            cell.config["prevResult"] = call.run(&bridge).unwrap();
        }
        cell
    }

    /// A call with more keys.
    pub fn call(&self, command: &str, keys: &Value) -> Result<Value, Value> {
        let mut config = self.config.clone();
        for (key, value) in keys.as_object().unwrap() {
            config[key] = value.clone();
        }
        let path = self.pod.path();
        self.prepared(command, &path).run(&config)
    }

    /// A call of the plugin that is to be run on [`Cell::config`].
    pub fn prepared<'b>(&self, command: &'b str, netns: &'b str) -> Call<'b> {
        Call::new(self.whose, command, "c1", netns).of(self.whose, self.row.plugin)
    }

    /// A result without what is chosen by chance.
    pub fn normal(&self, result: &Value) -> Value {
        let mut text = result.to_string().replace(&self.pod.path(), "netns");
        let mut value: Value = serde_json::from_str(&text).unwrap();
        let interfaces = value.get_mut("interfaces").and_then(Value::as_array_mut);
        for interface in interfaces.into_iter().flatten() {
            if interface["name"] != "lo" {
                interface["mac"] = "by chance".into();
            }
            if interface["name"].as_str().unwrap().starts_with("veth") {
                interface["name"] = "veth".into();
            }
        }
        text = value.to_string();
        serde_json::from_str(&text).unwrap()
    }
}
