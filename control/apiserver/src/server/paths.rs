//! Paths that are no resource's: version, health, metrics, OpenAPI, keys of tokens.

use http::StatusCode;
use serde_json::{Value, json};

use super::{Head, Server};
use crate::authn::discovery;
use crate::kinds;
use crate::metrics::{InFlight, Resource};
use crate::openapi;
use crate::rest::{Answer, Body};
use crate::status::{Failure, Outcome};

/// The Kubernetes version whose API this is.
pub const VERSION: (&str, &str, &str) = ("1", "36", "v1.36.0");

pub(super) async fn answer(server: &Server, head: &Head<'_>) -> Outcome<Answer> {
    let path = head.path.trim_end_matches('/');
    match path {
        "" => Ok(Answer::value(StatusCode::OK, &root())),
        "/version" => Ok(Answer::value(StatusCode::OK, &version())),
        "/metrics" => Ok(metrics(server)),
        "/healthz" | "/readyz" => Ok(checked(path, head, server.health.ready(&server.api).await)),
        "/livez" => Ok(checked(path, head, server.health.live())),
        "/.well-known/openid-configuration" => {
            let keys = format!("{}/openid/v1/jwks", server.api.accounts.issuer().trim_end_matches('/'));
            Ok(Answer::value(StatusCode::OK, &discovery::configuration(&server.api.accounts, &keys)))
        }
        "/openid/v1/jwks" => {
            let text = discovery::keys(&server.api.accounts).to_string();
            Ok(Answer::of(StatusCode::OK, "application/jwk-set+json", Body::of(text)))
        }
        "/openapi/v2" => Ok(openapi::v2(head.headers)),
        "/openapi/v3" => Ok(openapi::v3_index()),
        path => match path.strip_prefix("/openapi/v3/") {
            Some(of) => openapi::v3(of, head.headers).ok_or_else(Failure::no_such_path),
            None => one_check(server, path).await,
        },
    }
}

fn version() -> Value {
    let (major, minor, version) = VERSION;
    json!({
        "major": major, "minor": minor, "gitVersion": format!("{version}+weft.{}", env!("CARGO_PKG_VERSION")),
        "gitCommit": "", "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z", "goVersion": "",
        "compiler": "rustc", "platform": format!("linux/{}", platform()),
    })
}

/// The machine's architecture by Go's name.
fn platform() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn root() -> Value {
    let mut paths = vec!["/api".to_owned(), "/api/v1".to_owned(), "/apis".to_owned()];
    for (group, versions) in kinds::groups().into_iter().filter(|(group, _)| !group.is_empty()) {
        paths.push(format!("/apis/{group}"));
        paths.extend(versions.iter().map(|version| format!("/apis/{group}/{version}")));
    }
    let others = [
        "/.well-known/openid-configuration",
        "/healthz",
        "/livez",
        "/metrics",
        "/openapi/v2",
        "/openapi/v3",
        "/openid/v1/jwks",
        "/readyz",
        "/version",
    ];
    paths.extend(others.map(str::to_owned));
    json!({"paths": paths})
}

/// All checks of a path; those that `exclude` names are left out.
fn checked(path: &str, head: &Head<'_>, checks: Vec<super::health::Check>) -> Answer {
    let excluded: Vec<&str> = head.query.all("exclude").collect();
    let name = path.trim_start_matches('/');
    let mut text = String::new();
    let mut failed = false;
    for (check, wrong) in &checks {
        if excluded.contains(check) {
            text.push_str(&format!("[+]{check} excluded: ok\n"));
            continue;
        }
        match wrong {
            None => text.push_str(&format!("[+]{check} ok\n")),
            Some(why) => {
                failed = true;
                text.push_str(&format!("[-]{check} failed: {why}\n"));
            }
        }
    }
    match (failed, head.query.has("verbose")) {
        (true, _) => Answer::text(StatusCode::INTERNAL_SERVER_ERROR, format!("{text}{name} check failed\n")),
        (false, true) => Answer::text(StatusCode::OK, format!("{text}{name} check passed\n")),
        (false, false) => Answer::text(StatusCode::OK, "ok"),
    }
}

/// `/readyz/etcd`.
async fn one_check(server: &Server, path: &str) -> Outcome<Answer> {
    let (checks, name) = match path.split_once("z/") {
        Some(("/live", name)) => (server.health.live(), name),
        Some(("/ready" | "/health", name)) => (server.health.ready(&server.api).await, name),
        _ => return Err(Failure::no_such_path()),
    };
    let (_, wrong) = checks.into_iter().find(|(own, _)| *own == name).ok_or_else(Failure::no_such_path)?;
    Ok(match wrong {
        None => Answer::text(StatusCode::OK, "ok"),
        Some(why) => Answer::text(StatusCode::INTERNAL_SERVER_ERROR, format!("internal server error: {why}")),
    })
}

fn metrics(server: &Server) -> Answer {
    let (metrics, (reading, writing)) = (&server.api.metrics, server.in_flight.now());
    for (request_kind, now) in [("readOnly", reading), ("mutating", writing)] {
        metrics.in_flight.get_or_create(&InFlight { request_kind }).set(now as i64);
    }
    for cache in server.api.caches.all() {
        let resource = Resource { resource: cache.kind.qualified() };
        let (watchers, cut) = cache.watchers();
        metrics.watchers.get_or_create(&resource).set(watchers as i64);
        metrics.cut.get_or_create(&resource).set(cut as i64);
        metrics.objects.get_or_create(&resource).set(cache.len() as i64);
    }
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Answer::of(StatusCode::OK, kind, Body::of(metrics.text()))
}
