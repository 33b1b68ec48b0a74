//! The lab's API server: `weft apiserver` on the first node, which the services are put into and the proxies watch.
//!
//! ```text
//! first node    /run/weft/admin.kubeconfig     the admin's, for kubectl and for `weft lab`
//!               /run/weft/tokens.csv           the proxies' token
//!               /var/lib/weft/apiserver        keys and state; not the lab's etcd, which may be somebody's
//! each node     /run/weft/proxy.kubeconfig     of system:kube-proxy, who may watch what a proxy needs and no more
//! ```
//!
//! Asked from within the first node's network namespace, by a runtime of one thread for each question, as etcd is.

use crate::daemons;
use crate::error::{At, LabError, Result};
use crate::state::{Home, PlaceState, State};
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig, NamedAuthInfo};
use netstate::NetNs;
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::Value;
use std::time::{Duration, Instant};

/// The port that it listens on.
pub const API_PORT: u16 = 6443;
/// The admin's kubeconfig, in the first node's view.
pub const ADMIN: &str = "/run/weft/admin.kubeconfig";
/// The proxy's, in each node's view.
pub const PROXY: &str = "/run/weft/proxy.kubeconfig";
const TOKENS: &str = "/run/weft/tokens.csv";
/// Whom the proxies are: upstream's default roles know the name.
const PROXY_USER: &str = "system:kube-proxy";
/// Cluster IPs of the lab.
const CLUSTER_IPS: &str = "10.96.0.0/16,fd00:10:96::/112";
const READY_WITHIN: Duration = Duration::from_secs(20);
/// For one question.
const PATIENCE: Duration = Duration::from_secs(10);

/// The words after `weft`.
pub fn arguments(place: &PlaceState) -> Vec<String> {
    let own = place.addresses.first().map(ToString::to_string).unwrap_or_default();
    [
        "apiserver",
        "--data-dir",
        "/var/lib/weft/apiserver",
        "--bind-address",
        &own,
        "--secure-port",
        &API_PORT.to_string(),
        "--service-cluster-ip-range",
        CLUSTER_IPS,
        "--token-auth-file",
        TOKENS,
        "--write-kubeconfig",
        ADMIN,
    ]
    .map(str::to_owned)
    .to_vec()
}

/// Starts it and waits until it is ready; then each node has its proxy's kubeconfig.
pub fn start(home: &Home, state: &mut State) -> Result<()> {
    let Some(first) = state.nodes().next().map(|node| node.name.clone()) else { return Ok(()) };
    let token = random_token(&first)?;
    daemons::make_dir_in(home, &first, "/run/weft")?;
    daemons::write_secret_in(home, &first, TOKENS, &format!("{token},{PROXY_USER},kube-proxy\n"))?;
    let pid = daemons::start(home, state, &first, "apiserver")?;
    home.save(state)?;
    wait(home, &first, pid)?;
    let config = of_proxy(admin(home, &first)?, &token);
    let form = |source| LabError::Form { what: "the proxies' kubeconfig".into(), source };
    // JSON is YAML.
    let text = serde_json::to_string(&config).map_err(form)?;
    for node in state.nodes() {
        daemons::make_dir_in(home, &node.name, "/run/weft")?;
        daemons::write_secret_in(home, &node.name, PROXY, &text)?;
    }
    Ok(())
}

fn random_token(node: &str) -> Result<String> {
    let mut bytes = [0_u8; 24];
    SystemRandom::new().fill(&mut bytes).map_err(|_| LabError::Api {
        node: node.to_owned(),
        why: "the system gives no random bytes for a token".into(),
    })?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The admin's kubeconfig with another user in it.
fn of_proxy(admin: Kubeconfig, token: &str) -> Kubeconfig {
    let user = AuthInfo { token: Some(token.to_owned().into()), ..AuthInfo::default() };
    let names = admin.auth_infos.iter().map(|one| one.name.clone());
    let auth_infos = names
        .map(|name| NamedAuthInfo { name, auth_info: Some(user.clone()), ..Default::default() })
        .collect();
    Kubeconfig { auth_infos, ..admin }
}

fn wait(home: &Home, node: &str, pid: u32) -> Result<()> {
    let (start, log) = (Instant::now(), home.log(node, "apiserver"));
    while start.elapsed() < READY_WITHIN {
        if daemons::read_in(home, node, ADMIN)?.is_some() && ask(home, node, is_ready).is_ok() {
            return Ok(());
        }
        if !daemons::runs(pid) {
            let said = daemons::last_line(&log);
            let what = "the API server".into();
            return Err(LabError::Program { what, place: node.into(), said, log: Some(log) });
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let what = format!("the API server on {node}");
    Err(LabError::Late { what, seconds: READY_WITHIN.as_secs(), log: Some(log) })
}

async fn is_ready(client: kube::Client) -> Result<(), String> {
    let request = http::Request::get("/readyz").body(Vec::new()).map_err(|error| error.to_string())?;
    client.request_text(request).await.map(drop).map_err(|error| error.to_string())
}

/// Makes the objects, or puts them in place of those that are there.
pub fn put(home: &Home, state: &State, objects: Vec<Value>) -> Result<()> {
    let Some(first) = state.nodes().next() else { return Ok(()) };
    ask(home, &first.name, async |client| {
        for object in &objects {
            put_one(&client, object)
                .await
                .map_err(|error| format!("{}: {error}", object["metadata"]["name"]))?;
        }
        Ok(())
    })
}

async fn put_one(client: &kube::Client, object: &Value) -> kube::Result<()> {
    let collection = match object["kind"].as_str() {
        Some("Node") => "/api/v1/nodes",
        Some("Service") => "/api/v1/namespaces/default/services",
        _ => "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices",
    };
    let send = async |method: &str, path: &str| {
        let request = http::Request::builder().method(method).uri(path);
        let request =
            request.header("content-type", "application/json").body(object.to_string().into_bytes());
        client.request::<Value>(request.map_err(kube::Error::HttpError)?).await.map(drop)
    };
    match send("POST", collection).await {
        Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            send("PUT", &format!("{collection}/{name}")).await
        }
        done => done,
    }
}

fn admin(home: &Home, node: &str) -> Result<Kubeconfig> {
    let wrong = |why: String| LabError::Api { node: node.to_owned(), why };
    let text = daemons::read_in(home, node, ADMIN)?;
    let text = text.ok_or_else(|| wrong(format!("{ADMIN} is not there; was the API server started?")))?;
    Kubeconfig::from_yaml(&text).map_err(|error| wrong(format!("{ADMIN}: {error}")))
}

fn ask<T: Send>(
    home: &Home,
    node: &str,
    question: impl AsyncFnOnce(kube::Client) -> Result<T, String> + Send,
) -> Result<T> {
    let config = admin(home, node)?;
    let asked = || -> Result<T, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(|error| error.to_string())?.block_on(async {
            let options = KubeConfigOptions::default();
            let config = kube::Config::from_custom_kubeconfig(config, &options).await;
            let client = kube::Client::try_from(config.map_err(|error| error.to_string())?);
            let asked = question(client.map_err(|error| error.to_string())?);
            tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| Err("no answer".into()))
        })
    };
    let namespace = NetNs::open(&home.place(node)?.net()).at(node)?;
    let answered = namespace.run(asked).at(node)?;
    answered.map_err(|why| LabError::Api { node: node.to_owned(), why })
}
