//! A walk through the commands of kubectl that an API server alone can serve, by kubectl of several years, against the
//! state within and against Debian's etcd.
//!
//! Every step is a line of [`STEPS`]: what is called, and what it has to say. A step that fails is told, and the walk
//! goes on, so that one run tells all.

#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

#[path = "kubectl/steps.rs"]
mod steps;

use std::time::{Duration, Instant};
use steps::{STEPS, Says, Step};
use weft_tests::apiserver::{Apiserver, State};

/// One that reads nothing but OpenAPI version 2, two between, one of this year.
const VERSIONS: [&str; 4] = ["1.25", "1.29", "1.33", "1.37"];
/// How long a step is tried again that waits for a controller.
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn kubectl_of_every_year_walks_through_state_within() {
    walk(State::Within);
}

#[test]
fn kubectl_of_every_year_walks_through_debians_etcd() {
    walk(State::Debian);
}

fn walk(state: State) {
    let server = Apiserver::start(state, &[]);
    let failed: Vec<String> = std::thread::scope(|scope| {
        let walks = VERSIONS.map(|version| {
            let server = &server;
            scope.spawn(move || walk_of(server, version))
        });
        walks.into_iter().flat_map(|walk| walk.join().unwrap()).collect()
    });
    assert!(failed.is_empty(), "{} steps failed:\n{}", failed.len(), failed.join("\n"));
}

/// The steps of one kubectl, in a namespace of its own.
fn walk_of(server: &Apiserver, version: &str) -> Vec<String> {
    let namespace = format!("walk-{}", version.replace('.', "-"));
    let year: u32 = version.split('.').nth(1).unwrap().parse().unwrap();
    let mut failed = Vec::new();
    for step in STEPS.iter().filter(|step| step.since <= year) {
        if let Err(why) = take(server, version, &namespace, step) {
            failed.push(format!("kubectl {version}: {} {why}", step.words));
        }
    }
    failed
}

fn take(server: &Apiserver, version: &str, namespace: &str, step: &Step) -> Result<(), String> {
    let filled =
        |text: &str| text.replace("NS", namespace).replace("DIR", &server.dir().display().to_string());
    let words = filled(step.words);
    let mut words: Vec<&str> = words.split(' ').filter(|word| !word.is_empty()).collect();
    // Some words have spaces.
    let spaced: Vec<String> = words.iter().map(|word| word.replace('_', " ").replace("  ", "_")).collect();
    words = spaced.iter().map(String::as_str).collect();
    let all = [&["-n", namespace], &words[..]].concat();
    let input = with_uids(server, version, namespace, filled(step.input));
    let start = Instant::now();
    loop {
        let output = server.kubectl(version, &all, &input);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let text = if output.status.success() { &out } else { &err };
        let wrong = match (&step.says, output.status.success()) {
            (Says::Fails(_), true) => Some("did not fail"),
            (Says::Fails(part), false) => (!text.contains(&filled(part))).then_some("says something else"),
            (_, false) => Some("failed"),
            (Says::All(parts), true) => {
                parts.iter().any(|part| !text.contains(&filled(part))).then_some("says something else")
            }
        };
        match wrong {
            None => return Ok(()),
            Some(_) if step.waits && start.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(200));
            }
            Some(wrong) => return Err(format!("{wrong}: {:?}\n  out: {out}\n  err: {err}", step.says)),
        }
    }
}

/// A step's input with the uids of the objects that it names.
fn with_uids(server: &Apiserver, version: &str, namespace: &str, input: String) -> String {
    let mut input = input;
    while let Some((_, after)) = input.split_once("UID(") {
        let object = after.split(')').next().unwrap().to_owned();
        let words = ["-n", namespace, "get", &object, "-o", "jsonpath={.metadata.uid}"];
        let uid = String::from_utf8(server.kubectl(version, &words, "").stdout).unwrap();
        input = input.replace(&format!("UID({object})"), &uid);
    }
    input
}
