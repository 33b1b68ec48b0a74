//! Probes and hooks: what asks a container or tells it something.

use super::super::metadata::NOT_NEGATIVE;
use super::super::reading::{at, int, items, text};
use crate::fault::Faults;
use crate::names;
use serde_json::Value;

const HANDLERS: [&str; 5] = ["exec", "httpGet", "tcpSocket", "grpc", "sleep"];

/// A probe; only readiness may need more than one success.
pub fn probe(probe: &Value, field: &str, readiness: bool, faults: &mut Faults) {
    if probe.is_null() {
        return;
    }
    handler(probe, field, faults);
    for key in
        ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"]
    {
        if int(probe, key).is_some_and(|number| number < 0) {
            faults.invalid(format!("{field}.{key}"), at(probe, key).clone(), NOT_NEGATIVE);
        }
    }
    if !readiness && int(probe, "successThreshold").is_some_and(|number| number != 1) {
        faults.invalid(
            format!("{field}.successThreshold"),
            at(probe, "successThreshold").clone(),
            "must be 1",
        );
    }
    if let Some(seconds) = int(probe, "terminationGracePeriodSeconds") {
        let field = format!("{field}.terminationGracePeriodSeconds");
        if readiness {
            faults.invalid(field, seconds, "must not be set for readinessProbes");
        } else if seconds <= 0 {
            faults.invalid(field, seconds, "must be greater than 0");
        }
    }
}

/// The one thing that a probe or a hook does.
pub fn handler(handler: &Value, field: &str, faults: &mut Faults) {
    let mut told = 0;
    for key in HANDLERS {
        let action = at(handler, key);
        if action.is_null() {
            continue;
        }
        told += 1;
        let field = format!("{field}.{key}");
        if told > 1 {
            faults.forbidden(field, "may not specify more than 1 handler type");
            continue;
        }
        match key {
            "exec" if items(action, "command").is_empty() => faults.required(format!("{field}.command"), ""),
            "httpGet" => http_get(action, &field, faults),
            "tcpSocket" => port(at(action, "port"), &format!("{field}.port"), faults),
            "grpc" => port(at(action, "port"), &format!("{field}.port"), faults),
            _ => {}
        }
    }
    if told == 0 {
        faults.required(field, "must specify a handler type");
    }
}

fn http_get(action: &Value, field: &str, faults: &mut Faults) {
    if text(action, "path").is_empty() {
        faults.required(format!("{field}.path"), "");
    }
    port(at(action, "port"), &format!("{field}.port"), faults);
    if !matches!(text(action, "scheme"), "HTTP" | "HTTPS") {
        faults.not_supported(format!("{field}.scheme"), text(action, "scheme"), &["HTTP", "HTTPS"]);
    }
    for (at, header) in items(action, "httpHeaders").iter().enumerate() {
        let name = text(header, "name");
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if name.is_empty() || !name.bytes().all(fits) {
            let says = "a valid HTTP header must consist of alphanumeric characters or '-'";
            let text = names::pattern(says, "[-A-Za-z0-9]+", &["X-Header-Name"]);
            faults.invalid(format!("{field}.httpHeaders[{at}]"), name, text);
        }
    }
}

/// A port by number or by name.
pub fn port(port: &Value, field: &str, faults: &mut Faults) {
    let wrong = match port {
        Value::String(name) => names::port_name(name),
        other => names::port_number(other.as_i64().unwrap_or(0)),
    };
    for text in wrong {
        faults.invalid(field, if port.is_null() { Value::from(0) } else { port.clone() }, text);
    }
}
