//! The service proxy with the Kubernetes API as its source: what kubectl changes is served, also after the API was away.

#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

use std::net::SocketAddr;
use std::path::Path;
use weft_tests::apiserver::peer;
use weft_tests::services::{Backend, Bed, Daemon, HEALED};
use weft_tests::weft;

/// Where the API server runs, and where the proxy is that asks it.
const SERVER: &str = "k8s-node1";
const NODE: &str = "k8s-node2";
/// The proxy's configuration.
const CONFIG: &str = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nclientConnection: \
                      {kubeconfig: kubeconfig}\nmode: ebpf\nmetricsBindAddress: 127.0.0.1:10249\n";

/// The server, on the first node.
fn serve(bed: &Bed, folder: &Path) -> Daemon {
    let (weft, own) = (weft().display().to_string(), bed.node(SERVER, true).to_string());
    let (data, kubeconfig) = (folder.join("data"), folder.join("kubeconfig"));
    let words = [
        &weft,
        "apiserver",
        "--data-dir",
        data.to_str().unwrap(),
        "--bind-address",
        &own,
        "--write-kubeconfig",
        kubeconfig.to_str().unwrap(),
    ];
    bed.start_daemon(SERVER, &words, " ready")
}

fn kubectl(bed: &Bed, folder: &Path, words: &[&str], manifest: &str) {
    let file = folder.join("manifest.yaml");
    std::fs::write(&file, manifest).unwrap();
    let (program, cache) = (peer("kubectl-1.37", "kubectl").display().to_string(), folder.join("cache"));
    let (kubeconfig, file) = (folder.join("kubeconfig").display().to_string(), file.display().to_string());
    let cache = cache.display().to_string();
    let own = [program.as_str(), "--kubeconfig", &kubeconfig, "--cache-dir", &cache];
    let words: Vec<&str> = words.iter().map(|word| if *word == "FILE" { &file } else { *word }).collect();
    let output = bed.lab.exec(SERVER, &[&own[..], &words].concat());
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A Service of a fixed address, and a slice that leads to a pod.
fn manifest(bed: &Bed, pod: &str) -> String {
    let ip = bed.pod(pod, true);
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: told}}\nspec:\n  clusterIP: 10.96.0.200\n  ports: \
         [{{name: http, port: 80, targetPort: 5201}}]\n---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
         metadata: {{name: told-1, labels: {{kubernetes.io/service-name: told}}}}\naddressType: IPv4\nports: [{{name: \
         http, port: 5201}}]\nendpoints: [{{addresses: ['{ip}'], conditions: {{ready: true}}}}]\n"
    )
}

#[test]
fn what_kubectl_changes_is_served_and_stays_while_the_api_is_away() {
    let bed = Bed::up("t-service-api", Backend::Ebpf);
    let folder = tempfile::tempdir().unwrap();
    let server = serve(&bed, folder.path());
    bed.kill_proxy(NODE);
    // As kubeadm has it: a file that names the kubeconfig beside it.
    let config = folder.path().join("config.conf");
    std::fs::write(&config, CONFIG).unwrap();
    let _proxy = bed.start_proxy_from(NODE, &[], &["--config", config.to_str().unwrap()]);
    let to: SocketAddr = "10.96.0.200:80".parse().unwrap();
    let led_to = |pod: &str| bed.dial_tcp("pod3", to, 4).iter().all(|one| one.host() == Some(pod));

    kubectl(&bed, folder.path(), &["apply", "-f", "FILE"], &manifest(&bed, "pod1"));
    bed.lab.wait("the service leads to pod1", HEALED, || led_to("pod1"));
    kubectl(&bed, folder.path(), &["apply", "-f", "FILE"], &manifest(&bed, "pod5"));
    bed.lab.wait("the service leads to pod5", HEALED, || led_to("pod5"));

    drop(server);
    assert!(led_to("pod5"), "what is known stays in force while the API is away");
    let _server = serve(&bed, folder.path());
    kubectl(&bed, folder.path(), &["apply", "-f", "FILE"], &manifest(&bed, "pod1"));
    bed.lab.wait("the service leads to pod1 again", HEALED, || led_to("pod1"));
    kubectl(&bed, folder.path(), &["delete", "service", "told"], "");
    bed.lab.wait("the service is gone", HEALED, || {
        bed.dial_tcp("pod3", to, 1).iter().all(|one| one.host().is_none())
    });
}
