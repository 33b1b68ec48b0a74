//! `--config`: a KubeProxyConfiguration of `kubeproxy.config.k8s.io/v1alpha1`, as kubeadm's ConfigMap `kube-proxy` holds it.
//!
//! Source of the fields and their defaults: `k8s.io/kube-proxy/config/v1alpha1/types.go` and
//! `pkg/proxy/apis/config/v1alpha1/defaults.go`. A field that means nothing here may be left out, empty, or what
//! `kube-proxy --write-config-to` writes for it; with any other value it is refused by its path, as its flag is. A
//! field that kube-proxy does not know is refused as well.

use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::Flags;

const API_VERSION: &str = "kubeproxy.config.k8s.io/v1alpha1";
const KIND: &str = "KubeProxyConfiguration";

/// Fields that are taken over.
const TAKEN: [&str; 11] = [
    "clientConnection.kubeconfig",
    "hostnameOverride",
    "bindAddress",
    "healthzBindAddress",
    "metricsBindAddress",
    "mode",
    "detectLocalMode",
    "detectLocal.bridgeInterface",
    "detectLocal.interfaceNamePrefix",
    "nodePortAddresses",
    "oomScoreAdj",
];

/// Fields that mean nothing here: kube-proxy's default, where that is not empty, and what to do instead.
const LEFT: [(&str, &str, &str); 42] = [
    ("bindAddressHardFail", "true", ""),
    ("clientConnection.acceptContentTypes", "", WATCHES),
    ("clientConnection.burst", "10", WATCHES),
    ("clientConnection.contentType", "\"application/vnd.kubernetes.protobuf\"", WATCHES),
    ("clientConnection.qps", "5", WATCHES),
    ("clusterCIDR", "", INTERFACE),
    ("configSyncPeriod", "\"15m0s\"", AT_ONCE),
    ("conntrack.max", "", STATES),
    ("conntrack.maxPerCore", "32768", STATES),
    ("conntrack.min", "131072", STATES),
    ("conntrack.tcpBeLiberal", "", STATES),
    ("conntrack.tcpCloseWaitTimeout", "\"1h0m0s\"", STATES),
    ("conntrack.tcpEstablishedTimeout", "\"24h0m0s\"", STATES),
    ("conntrack.udpStreamTimeout", "", STATES),
    ("conntrack.udpTimeout", "", STATES),
    ("detectLocal.clusterCIDRs", "", INTERFACE),
    ("enableProfiling", "", "there is no profiler"),
    ("featureGates", "", "there are no gates"),
    ("iptables.localhostNodePorts", "true", "NodePorts always answer on localhost"),
    ("iptables.masqueradeAll", "", RULES),
    ("iptables.masqueradeBit", "14", RULES),
    ("iptables.minSyncPeriod", "\"1s\"", AT_ONCE),
    ("iptables.syncPeriod", "\"30s\"", AT_ONCE),
    ("ipvs.excludeCIDRs", "", RULES),
    ("ipvs.minSyncPeriod", "", AT_ONCE),
    ("ipvs.scheduler", "", RULES),
    ("ipvs.strictARP", "", RULES),
    ("ipvs.syncPeriod", "\"30s\"", AT_ONCE),
    ("ipvs.tcpFinTimeout", "", RULES),
    ("ipvs.tcpTimeout", "", RULES),
    ("ipvs.udpTimeout", "", RULES),
    ("logging", "", "RUST_LOG sets what is logged"),
    ("minSyncPeriod", "\"1s\"", AT_ONCE),
    ("nftables.masqueradeAll", "", RULES),
    ("nftables.masqueradeBit", "14", RULES),
    ("nftables.minSyncPeriod", "\"1s\"", AT_ONCE),
    ("nftables.syncPeriod", "\"30s\"", AT_ONCE),
    ("portRange", "", "the proxy opens no ports of its own"),
    ("showHiddenMetricsForVersion", "", "no metric is hidden"),
    ("syncPeriod", "\"30s\"", AT_ONCE),
    ("windowsRunAsService", "", "this is Linux"),
    ("winkernel", "", "this is Linux"),
];

const WATCHES: &str = "three watches need no limits and no other encoding";
const INTERFACE: &str = "which packets are of this node's pods is told by the interface: see detectLocalMode";
const AT_ONCE: &str = "a change is programmed when it is seen";
const STATES: &str = "the packet path has its own states, in --map-connections";
const RULES: &str = "there are no rules and no virtual servers";

impl Flags {
    /// The flags with what the file of `--config` says, if it is given.
    pub(super) fn with_config(mut self) -> anyhow::Result<Flags> {
        let Some(path) = self.config.clone() else { return Ok(self) };
        let named = || format!("--config {}", path.display());
        let text = std::fs::read_to_string(&path).with_context(named)?;
        self.take(&text, &path).with_context(named)?;
        Ok(self)
    }

    fn take(&mut self, text: &str, path: &Path) -> anyhow::Result<()> {
        let config: Value = serde_saphyr::from_str(text)?;
        check(&config)?;
        let said = |path: &str| text_at(&config, path);
        if let Some(kubeconfig) = said("clientConnection.kubeconfig")? {
            // As upstream's: one that is relative is so to the file.
            let folder = path.parent().unwrap_or(Path::new("."));
            self.source.set_kubeconfig(folder.join(kubeconfig))?;
        }
        if let (None, Some(name)) = (&self.node.hostname_override, said("hostnameOverride")?) {
            self.node.hostname_override = Some(name);
        }
        if let Some(address) = said("bindAddress")? {
            let address: IpAddr = address.parse().with_context(|| format!("bindAddress: {address:?}"))?;
            // Any address: the node's own are found.
            self.node.node_ip = if address.is_unspecified() { Vec::new() } else { vec![address] };
        }
        for (path, flag) in [
            ("healthzBindAddress", &mut self.healthz_bind_address),
            ("metricsBindAddress", &mut self.metrics_bind_address),
        ] {
            if let Some(address) = said(path)? {
                let parsed = address.parse().or_else(|_| {
                    address.parse::<IpAddr>().map(|ip| std::net::SocketAddr::new(ip, flag.port()))
                });
                *flag = parsed.with_context(|| format!("{path}: {address:?} is no ADDRESS:PORT"))?;
            }
        }
        if let Some(mode) = said("mode")? {
            self.proxy_mode = mode;
        }
        self.detect_local_mode = said("detectLocalMode")?;
        self.pod_bridge_interface = said("detectLocal.bridgeInterface")?;
        self.pod_interface_name_prefix = said("detectLocal.interfaceNamePrefix")?;
        if let Some(list) = at(&config, "nodePortAddresses").as_array().filter(|list| !list.is_empty()) {
            let words: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
            let words = words.context("nodePortAddresses: it is a list of networks")?.join(",");
            self.node.nodeport_addresses =
                words.parse().map_err(|error| anyhow::anyhow!("nodePortAddresses: {error}"))?;
        }
        if let Some(score) = at(&config, "oomScoreAdj").as_i64() {
            self.oom_score_adj = Some(i32::try_from(score).with_context(|| format!("oomScoreAdj: {score}"))?);
        }
        Ok(())
    }
}

/// Refuses what is no such file, and what it cannot be held to.
fn check(config: &Value) -> anyhow::Result<()> {
    let (version, kind) = (&config["apiVersion"], &config["kind"]);
    if version != API_VERSION || kind != KIND {
        bail!("it is a {version} {kind}; what is read here is a {API_VERSION} {KIND}");
    }
    let top = config.as_object().into_iter().flatten();
    let fields = top.filter(|(key, _)| !["apiVersion", "kind"].contains(&key.as_str()));
    fields.into_iter().try_for_each(|(key, value)| field(key, value))
}

fn field(path: &str, value: &Value) -> anyhow::Result<()> {
    if TAKEN.contains(&path) {
        return Ok(());
    }
    if let Some((_, default, instead)) = LEFT.iter().find(|(known, ..)| *known == path) {
        let is_default = serde_json::from_str::<Value>(default).is_ok_and(|default| default == *value);
        if is_default || is_empty(value) || instead.is_empty() {
            return Ok(());
        }
        bail!("{path}: {value} cannot be done here: {instead}; leave it out");
    }
    let inside = format!("{path}.");
    let known = TAKEN.iter().copied().chain(LEFT.iter().map(|(known, ..)| *known));
    match value {
        _ if !known.into_iter().any(|known| known.starts_with(&inside)) => bail!("unknown field {path:?}"),
        Value::Null => Ok(()),
        Value::Object(inner) => {
            inner.iter().try_for_each(|(key, value)| field(&format!("{inside}{key}"), value))
        }
        other => bail!("{path}: {other} is no object"),
    }
}

/// Null, zero, or made of nothing else.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(yes) => !yes,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => ["", "0s", "0"].contains(&text.as_str()),
        Value::Array(list) => list.is_empty(),
        Value::Object(inner) => inner.values().all(is_empty),
    }
}

fn at<'a>(config: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(config, |value, key| &value[key])
}

/// The text of a field, if there is any.
fn text_at(config: &Value, path: &str) -> anyhow::Result<Option<String>> {
    match at(config, path) {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
        other => bail!("{path}: {other} is no text"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        flags: Flags,
    }

    fn with(words: &[&str], text: &str) -> anyhow::Result<Flags> {
        let words = std::iter::once("proxy").chain(words.iter().copied());
        let mut flags = Line::try_parse_from(words)?.flags;
        let whole = format!("apiVersion: {API_VERSION}\nkind: {KIND}\n{text}");
        flags.take(&whole, Path::new("/var/lib/kube-proxy/config.conf")).map(|()| flags)
    }

    fn refusal(text: &str) -> String {
        format!("{:#}", with(&[], text).err().unwrap_or_else(|| panic!("taken: {text}")))
    }

    /// The ConfigMap of kubeadm 1.33, without a pod network.
    const KUBEADM: &str = r#"
bindAddress: 0.0.0.0
bindAddressHardFail: false
clientConnection: {acceptContentTypes: "", burst: 0, contentType: "", kubeconfig: kubeconfig.conf, qps: 0}
clusterCIDR: ""
configSyncPeriod: 0s
conntrack: {maxPerCore: null, min: null, tcpBeLiberal: false, tcpCloseWaitTimeout: null, tcpEstablishedTimeout: null, udpStreamTimeout: 0s, udpTimeout: 0s}
detectLocal: {bridgeInterface: "", interfaceNamePrefix: ""}
detectLocalMode: ""
enableProfiling: false
healthzBindAddress: ""
hostnameOverride: ""
iptables: {localhostNodePorts: null, masqueradeAll: false, masqueradeBit: null, minSyncPeriod: 0s, syncPeriod: 0s}
ipvs: {excludeCIDRs: null, minSyncPeriod: 0s, scheduler: "", strictARP: false, syncPeriod: 0s, tcpFinTimeout: 0s, tcpTimeout: 0s, udpTimeout: 0s}
logging: {flushFrequency: 0, options: {json: {infoBufferSize: "0"}, text: {infoBufferSize: "0"}}, verbosity: 0}
metricsBindAddress: ""
mode: ""
nftables: {masqueradeAll: false, masqueradeBit: null, minSyncPeriod: 0s, syncPeriod: 0s}
nodePortAddresses: null
oomScoreAdj: null
portRange: ""
showHiddenMetricsForVersion: ""
winkernel: {enableDSR: false, forwardHealthCheckVip: false, networkName: "", rootHnsEndpointName: "", sourceVip: ""}
"#;

    #[test]
    fn kubeadms_is_taken_as_it_is() {
        let flags = with(&[], KUBEADM).unwrap();
        assert_eq!(flags.proxy_mode, "ebpf");
        assert_eq!(flags.healthz_bind_address.to_string(), "0.0.0.0:10256");
        assert_eq!(flags.source.kubeconfig(), Some(Path::new("/var/lib/kube-proxy/kubeconfig.conf")));
        assert_eq!((flags.detect_local_mode, flags.oom_score_adj), (None, None));
    }

    #[test]
    fn what_it_says_becomes_flags() {
        let text = "clientConnection: {kubeconfig: /etc/k}\nhostnameOverride: n1\nbindAddress: 10.0.0.9\nmode: ebpf\n\
                    healthzBindAddress: 127.0.0.1\nmetricsBindAddress: '[::1]:9'\ndetectLocalMode: BridgeInterface\n\
                    detectLocal: {bridgeInterface: cni0}\nnodePortAddresses: [10.0.0.0/8]\noomScoreAdj: -999\n";
        let flags = with(&[], text).unwrap();
        assert_eq!(flags.source.kubeconfig(), Some(Path::new("/etc/k")));
        assert_eq!(flags.node.hostname_override.as_deref(), Some("n1"));
        assert_eq!(flags.node.node_ip, ["10.0.0.9".parse::<IpAddr>().unwrap()]);
        assert_eq!(flags.healthz_bind_address.to_string(), "127.0.0.1:10256");
        assert_eq!(flags.metrics_bind_address.to_string(), "[::1]:9");
        assert_eq!(flags.pod_bridge_interface.as_deref(), Some("cni0"));
        assert_eq!(flags.oom_score_adj, Some(-999));
        // The flag wins, as upstream's does.
        let flags = with(&["--hostname-override", "n2"], text).unwrap();
        assert_eq!(flags.node.hostname_override.as_deref(), Some("n2"));
    }

    #[test]
    fn what_cannot_be_done_is_refused_by_its_path() {
        let refused = [
            ("clusterCIDR: 10.244.0.0/16", "clusterCIDR: \"10.244.0.0/16\" cannot be done here"),
            ("iptables: {masqueradeAll: true}", "iptables.masqueradeAll: true cannot"),
            ("conntrack: {maxPerCore: 1}", "conntrack.maxPerCore: 1 cannot"),
            ("featureGates: {X: true}", "featureGates: {\"X\":true} cannot"),
            ("modes: ebpf", "unknown field \"modes\""),
            ("iptables: {bit: 1}", "unknown field \"iptables.bit\""),
            ("iptables: 4", "iptables: 4 is no object"),
            ("mode: 4", "mode: 4 is no text"),
            ("healthzBindAddress: here", "is no ADDRESS:PORT"),
            ("mode: a\nmode: b", "duplicate"),
        ];
        for (text, wanted) in refused {
            let said = refusal(text);
            assert!(said.contains(wanted), "{text}: {said}");
        }
        // What `--write-config-to` writes is the default.
        with(&[], "conntrack: {maxPerCore: 32768, min: 131072, tcpEstablishedTimeout: 24h0m0s}").unwrap();
    }

    #[test]
    fn another_file_is_named_as_what_it_is() {
        let mut flags = Line::try_parse_from(["proxy"]).unwrap().flags;
        let said = flags.take("apiVersion: v1\nkind: Pod\n", Path::new("x")).unwrap_err().to_string();
        assert!(said.starts_with("it is a \"v1\" \"Pod\""), "{said}");
    }

    #[test]
    fn a_flag_that_the_file_would_set_is_refused_beside_it() {
        for word in
            ["--kubeconfig=x", "--proxy-mode=ebpf", "--nodeport-addresses=primary", "--node-ip=1.2.3.4"]
        {
            assert!(Line::try_parse_from(["proxy", "--config", "f", word]).is_err(), "{word}");
        }
        assert!(Line::try_parse_from(["proxy", "--config", "f", "--hostname-override", "n"]).is_ok());
    }
}
