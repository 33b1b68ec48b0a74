//! The table of the API's rules: text files in `tests/api`, each case citing the rule of upstream's that it holds.
//!
//! ```text
//! # pkg/registry/core/service/storage/alloc.go: an address is given            the rule; begins a case
//! POST /api/v1/namespaces/$NS/services {"metadata":{"name":"a"},"spec":{"ports":[{"port":80}]}}
//! = 201                                                                        what must come of it
//!   /spec/type == "ClusterIP"                                                  at a JSON pointer; / is the whole
//!   /spec/clusterIP ~ 10.96.0.                                                 a part of the text there
//!   /spec/nothing absent
//!   /spec/clusterIP -> IP                                                      kept; $IP stands for it from here on
//!   header warning ~ unknown field
//! PATCH:merge, PATCH:json, PATCH:strategic, PUT:yaml                           other types of bodies
//! AS jane GET /api/v1/pods                                                     as another user than the admin
//! ```
//!
//! `$NS` is a namespace of the case's own, `$BIG` a text of 4 MiB, `$DEEP` 50,000 open braces; a watch's body is the
//! list of its events. Line by line, `\` at the end goes on in the next.

#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

#[allow(dead_code, reason = "each table of tests uses a part of it")]
mod common;

use common::{Api, Got};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

const FILES: [&str; 7] = ["verbs", "patches", "lists", "services", "access", "kinds", "paths"];
/// `$BIG`: more than a body may have; `$DEEP`: deeper than an object may be.
static BIG: LazyLock<String> = LazyLock::new(|| "x".repeat(4 << 20));
static DEEP: LazyLock<String> = LazyLock::new(|| "{\"a\":".repeat(50_000));
/// How many cases run at a time: each has a namespace of its own.
const AT_ONCE: usize = 8;

/// A case: its file, its rule and its lines.
struct Case {
    file: &'static str,
    rule: String,
    lines: Vec<String>,
}

fn cases(file: &'static str) -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/api/{file}.txt"));
    let text = std::fs::read_to_string(path).unwrap();
    let mut cases: Vec<Case> = Vec::new();
    let mut goes_on = false;
    for line in text.lines() {
        if let Some(rule) = line.strip_prefix("# ") {
            cases.push(Case { file, rule: rule.to_owned(), lines: Vec::new() });
            continue;
        }
        let Some(case) = cases.last_mut() else { continue };
        let (part, more) = match line.strip_suffix('\\') {
            Some(part) => (part, true),
            None => (line, false),
        };
        match case.lines.last_mut().filter(|_| goes_on) {
            Some(last) => last.push_str(part.trim_start()),
            None if part.trim().is_empty() => {}
            None => case.lines.push(part.to_owned()),
        }
        goes_on = more;
    }
    cases
}

#[test]
fn the_api_keeps_the_rules_of_the_table() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (count, failed) = runtime.block_on(async {
        let api = Arc::new(Api::start().await);
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let cases: Vec<Case> = FILES.into_iter().flat_map(cases).collect();
        let (count, mut running) = (cases.len(), JoinSet::new());
        for (index, case) in cases.into_iter().enumerate() {
            let (api, places) = (Arc::clone(&api), Arc::clone(&places));
            running.spawn(async move {
                let _place = places.acquire().await.unwrap();
                let why = alone(&api, &case, &format!("case-{index}")).await.err()?;
                Some(format!("{}: {}\n  {why}", case.file, case.rule))
            });
        }
        (count, running.join_all().await.into_iter().flatten().collect::<Vec<_>>())
    });
    assert!(failed.is_empty(), "{} of {count} cases failed:\n{}", failed.len(), failed.join("\n"));
    assert!(count >= 160, "the table has {count} cases");
}

/// Runs a case in a namespace of its own.
async fn alone(api: &Api, case: &Case, namespace: &str) -> Result<(), String> {
    let body = format!("{{\"metadata\":{{\"name\":\"{namespace}\"}}}}");
    let made = api.send("admin", "POST", "/api/v1/namespaces", "application/json", body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let account = "{\"metadata\":{\"name\":\"default\"}}";
    let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
    api.send("admin", "POST", &path, "application/json", account).await;
    run(api, case, namespace).await
}

async fn run(api: &Api, case: &Case, namespace: &str) -> Result<(), String> {
    let mut kept = BTreeMap::from([("NS".to_owned(), namespace.to_owned())]);
    let mut got: Option<Got> = None;
    for line in &case.lines {
        let filled = filled(line, &kept);
        let told = |why: String, got: &Option<Got>| {
            let text = got.as_ref().map_or("nothing", |got| &got.text);
            format!("{line}\n    {why}\n    got: {}", text.chars().take(1500).collect::<String>())
        };
        if let Some(code) = filled.strip_prefix("= ") {
            let status = got.as_ref().map(|got| got.status.as_u16().to_string());
            if status.as_deref() != Some(code.trim()) {
                return Err(told(format!("the status is {status:?}"), &got));
            }
        } else if let Some(check) = filled.strip_prefix("  ") {
            let answer = got.as_ref().ok_or("a check comes before any request")?;
            judge(answer, check.trim(), &mut kept).map_err(|why| told(why, &got))?;
        } else {
            got = Some(ask(api, &filled).await?);
        }
    }
    Ok(())
}

/// `$NAME` is replaced by what was kept, longer names first.
fn filled(line: &str, kept: &BTreeMap<String, String>) -> String {
    let mut line = line.replace("$BIG", if line.contains("$BIG") { &BIG } else { "" });
    line = line.replace("$DEEP", if line.contains("$DEEP") { &DEEP } else { "" });
    for (name, value) in kept.iter().rev() {
        if !line.contains("->") {
            line = line.replace(&format!("${name}"), value);
        }
    }
    line
}

async fn ask(api: &Api, line: &str) -> Result<Got, String> {
    let (user, rest) = match line.strip_prefix("AS ") {
        Some(rest) => rest.split_once(' ').ok_or("AS who?")?,
        None => ("admin", line),
    };
    let (method, rest) = rest.split_once(' ').ok_or_else(|| format!("no path: {line}"))?;
    let (path, body) = rest.split_once(' ').unwrap_or((rest, ""));
    let (method, form) = method.split_once(':').unwrap_or((method, "json"));
    let content_type = match (method, form) {
        ("PATCH", "json") => "application/json-patch+json",
        ("PATCH", "merge") => "application/merge-patch+json",
        ("PATCH", "strategic") => "application/strategic-merge-patch+json",
        (_, "yaml") => "application/yaml",
        (_, "json") => "application/json",
        (_, other) => other,
    };
    let user = if user == "nobody" { "" } else { user };
    let mut headers = vec![("content-type", content_type)];
    // What is before the path: headers, as Name:value.
    let mut path = path;
    let mut body = body;
    while let Some((name, value)) = path.split_once(':').filter(|_| !path.starts_with('/')) {
        headers.push((name, value));
        (path, body) = body.split_once(' ').unwrap_or((body, ""));
    }
    let body = body.replace("\\n", "\n");
    let path = path.to_owned();
    Ok(api.send_with(user, method, &path, &headers, body).await)
}

fn judge(got: &Got, check: &str, kept: &mut BTreeMap<String, String>) -> Result<(), String> {
    let (place, rest) = match check.strip_prefix("header ") {
        Some(rest) => {
            let (name, rest) = rest.split_once(' ').ok_or("header which?")?;
            let all: Vec<&str> = got.headers.get_all(name).iter().filter_map(|v| v.to_str().ok()).collect();
            (Some(Value::from(all.join("\n"))).filter(|_| !all.is_empty()), rest)
        }
        None if check.starts_with("text ") => (Some(Value::from(got.text.as_str())), &check[5..]),
        None => {
            let (pointer, rest) = check.split_once(' ').ok_or("what of it?")?;
            (got.body.pointer(if pointer == "/" { "" } else { pointer }).cloned(), rest)
        }
    };
    if rest == "absent" {
        return if place.is_none() { Ok(()) } else { Err(format!("it is {place:?}")) };
    }
    if rest == "present" {
        return if place.is_some() { Ok(()) } else { Err("it is absent".into()) };
    }
    let place = place.ok_or("it is absent")?;
    let text = place.as_str().map_or_else(|| place.to_string(), str::to_owned);
    let (operator, operand) = rest.split_once(' ').ok_or("compared with what?")?;
    let right = match operator {
        "==" => serde_json::from_str::<Value>(operand).map_err(|e| format!("{operand}: {e}"))? == place,
        "!=" => serde_json::from_str::<Value>(operand).map_err(|e| format!("{operand}: {e}"))? != place,
        "~" => text.contains(operand),
        "!~" => !text.contains(operand),
        "len" => place.as_array().map(Vec::len) == operand.parse().ok(),
        "->" => {
            kept.insert(operand.to_owned(), text);
            return Ok(());
        }
        other => return Err(format!("{other} is no comparison")),
    };
    if right { Ok(()) } else { Err(format!("it is {place}")) }
}
