//! Helm of three years installs, upgrades, rolls back, lists and uninstalls a chart of ours, `tests/data/chart`.

#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

use serde_json::Value;
use std::path::Path;
use std::process::Command;
use weft_tests::apiserver::{Apiserver, State, peer, run};

/// The folders of the fetched programs.
const HELMS: [&str; 3] = ["kubectl-1.25", "kubectl-1.29", "kubectl-1.33"];

/// One Helm, and where it works.
struct Helm<'a> {
    server: &'a Apiserver,
    folder: &'static str,
    namespace: String,
}

impl Helm<'_> {
    fn run(&self, words: &[&str]) -> Result<String, String> {
        let mut helm = Command::new("timeout");
        helm.arg("120").arg(peer(self.folder, "helm")).arg("--kubeconfig").arg(self.server.kubeconfig());
        helm.args(["--namespace", &self.namespace]).args(words);
        let home = self.server.dir().join(self.folder);
        for (name, folder) in
            [("HELM_CACHE_HOME", "cache"), ("HELM_CONFIG_HOME", "config"), ("HELM_DATA_HOME", "data")]
        {
            helm.env(name, home.join(folder));
        }
        // Its discovery's cache.
        helm.env("HOME", home);
        let output = run(helm, "");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match output.status.success() {
            true => Ok(text(&output.stdout)),
            false => Err(text(&output.stderr)),
        }
    }

    fn ok(&self, words: &[&str]) -> String {
        self.run(words).unwrap_or_else(|why| panic!("{}: helm {}: {why}", self.folder, words.join(" ")))
    }

    /// What a call that writes objects needs beside.
    fn writes(&self) -> &'static [&'static str] {
        match self.ok(&["version", "--short"]).starts_with("v3.") {
            true => &["--no-hooks"],
            // As the earlier ones do it, by patches of the three states that it knows, not by the server's apply.
            false => &["--no-hooks", "--server-side=false"],
        }
    }

    /// A call that writes objects.
    fn write(&self, words: &[&str]) -> String {
        self.ok(&[words, self.writes()].concat())
    }

    fn json(&self, words: &[&str]) -> Value {
        serde_json::from_str(&self.ok(&[words, &["-o", "json"]].concat())).unwrap()
    }

    /// Part of an object, by kubectl.
    fn part(&self, object: &str, path: &str) -> Option<String> {
        let path = format!("jsonpath={path}");
        let words = ["-n", &self.namespace, "get", object, "-o", &path];
        let output = self.server.kubectl("1.37", &words, "");
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn is(&self, revision: u64, replicas: &str, message: &str, extra: bool) {
        let part = |object, path| self.part(object, path);
        assert_eq!(part("deployment/app", "{.spec.replicas}").as_deref(), Some(replicas), "{}", self.folder);
        assert_eq!(
            part("configmap/app-config", "{.data.message}").as_deref(),
            Some(message),
            "{}",
            self.folder
        );
        assert_eq!(part("service/app-extra", "{.spec.clusterIP}").is_some(), extra, "{}", self.folder);
        let listed = self.json(&["list"]);
        let release = &listed[0];
        assert_eq!(release["revision"], revision.to_string().as_str(), "{}: {listed}", self.folder);
        assert_eq!((&release["name"], &release["status"]), (&"app".into(), &"deployed".into()), "{listed}");
    }

    fn walk(&self, chart: &str) {
        self.write(&["install", "app", chart, "--create-namespace"]);
        self.is(1, "1", "first", false);
        let address = self.part("service/app", "{.spec.clusterIP}");
        let again = self.run(&["install", "app", chart]).unwrap_err();
        assert!(again.contains("a name that is still in use"), "{}: {again}", self.folder);
        self.write(&[
            "upgrade",
            "app",
            chart,
            "--set",
            "replicas=3,message=second,extra=true,image=busybox:2",
        ]);
        self.is(2, "3", "second", true);
        // What the chart does not say stays.
        assert_eq!(self.part("service/app", "{.spec.clusterIP}"), address, "{}", self.folder);
        self.write(&["rollback", "app", "1"]);
        self.is(3, "1", "first", false);
        let image = self.part("deployment/app", "{.spec.template.spec.containers[0].image}");
        assert_eq!(image.as_deref(), Some("busybox:1"), "{}", self.folder);
        let history = self.json(&["history", "app"]);
        let states: Vec<&Value> = history.as_array().unwrap().iter().map(|one| &one["status"]).collect();
        assert_eq!(states, ["superseded", "superseded", "deployed"], "{}", self.folder);
        assert!(self.ok(&["get", "manifest", "app"]).contains("kind: Deployment"), "{}", self.folder);
        assert_eq!(self.json(&["status", "app"])["info"]["status"], "deployed", "{}", self.folder);
        // Of a chart that the server refuses the release is failed, and the next one goes on.
        let refused = [&["upgrade", "app", chart, "--set", "replicas=-1"], self.writes()].concat();
        let why = self.run(&refused).unwrap_err();
        assert!(why.contains("must be greater than or equal to 0"), "{}: {why}", self.folder);
        self.write(&["upgrade", "app", chart, "--set", "message=third"]);
        self.is(5, "1", "third", false);
        assert!(self.ok(&["uninstall", "app", "--no-hooks"]).contains("uninstalled"), "{}", self.folder);
        assert_eq!(self.json(&["list"]), Value::Array(Vec::new()), "{}", self.folder);
        let left = self.part("deployments,services,roles,secrets", "{.items[*].metadata.name}");
        assert_eq!(left.as_deref(), Some(""), "{}: what is left", self.folder);
    }
}

fn walk(state: State) {
    let server = Apiserver::start(state, &[]);
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/chart").display().to_string();
    std::thread::scope(|scope| {
        for folder in HELMS {
            let (server, chart) = (&server, &chart);
            let namespace = format!("helm-{}", folder.replace('.', "-"));
            scope.spawn(move || Helm { server, folder, namespace }.walk(chart));
        }
    });
}

#[test]
fn helm_walks_a_chart_through_its_life_with_state_within() {
    walk(State::Within);
}

#[test]
fn helm_walks_a_chart_through_its_life_with_debians_etcd() {
    walk(State::Debian);
}
