//! Options of a request: its query, and what bodies of DELETE add.

use serde_json::Value;
use weft_objects::{FaultKind, Faults};

use crate::status::{Failure, Outcome};

/// The parameters of a query, decoded.
#[derive(Clone, Debug, Default)]
pub struct Query(Vec<(String, String)>);

/// How strictly unknown and duplicate fields are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldValidation {
    /// Not at all.
    Ignore,
    /// By a warning.
    Warn,
    /// By a refusal.
    Strict,
}

impl Query {
    /// Parses what stands behind `?`.
    pub fn parse(text: &str) -> Query {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decoded = |text: &str| super::target::decoded(&text.replace('+', " "));
            (decoded(key), decoded(value))
        });
        Query(pairs.collect())
    }

    /// With a parameter before all others of its name.
    pub fn with(mut self, key: &str, value: &str) -> Query {
        self.0.insert(0, (key.to_owned(), value.to_owned()));
        self
    }

    /// A parameter; empty where there is none.
    pub fn text(&self, key: &str) -> &str {
        self.0.iter().find(|(own, _)| own == key).map_or("", |(_, value)| value)
    }

    /// Values of a parameter that may be there several times.
    pub fn all(&self, key: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(own, _)| own == key).map(|(_, value)| value.as_str())
    }

    /// Whether a parameter is there.
    pub fn has(&self, key: &str) -> bool {
        self.0.iter().any(|(own, _)| own == key)
    }

    /// A truth value, as upstream's conversion has it: `0` and `false` are false, all else that is there is true.
    pub fn flag(&self, key: &str) -> bool {
        self.has(key) && !["", "0", "false"].contains(&self.text(key).to_lowercase().as_str())
    }

    /// A whole number.
    pub fn number(&self, key: &str) -> Outcome<Option<i64>> {
        match self.text(key) {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| {
                Failure::bad_request(format!("strconv.ParseInt: parsing {text:?}: invalid syntax ({key})"))
            }),
        }
    }

    /// Whether nothing is to be changed: `dryRun=All`. `of` is what upstream calls the options: `CreateOptions`.
    pub fn dry_run(&self, of: &str) -> Outcome<bool> {
        let mut dry = false;
        for value in self.all("dryRun") {
            match value {
                "All" => dry = true,
                other => return Err(unsupported(of, "dryRun", other, &["All"])),
            }
        }
        Ok(dry)
    }

    /// How unknown fields are judged; by a warning unless it says otherwise.
    pub fn field_validation(&self, of: &str) -> Outcome<FieldValidation> {
        match self.text("fieldValidation") {
            "" | "Warn" => Ok(FieldValidation::Warn),
            "Ignore" => Ok(FieldValidation::Ignore),
            "Strict" => Ok(FieldValidation::Strict),
            other => Err(unsupported(of, "fieldValidation", other, &["Ignore", "Strict", "Warn"])),
        }
    }
}

fn unsupported(of: &str, field: &str, value: &str, supported: &[&str]) -> Failure {
    let mut faults = Faults::default();
    faults.not_supported(field, value, supported);
    of_options(of, &faults)
}

/// 422 about options, which are a kind of their own: `ListOptions` of `meta.k8s.io`.
pub fn of_options(kind: &str, faults: &Faults) -> Failure {
    Failure::invalid_of("meta.k8s.io", kind, "", faults)
}

/// What a deletion is to keep to (`metav1.DeleteOptions`).
#[derive(Clone, Debug, Default)]
pub struct DeleteOptions {
    /// Seconds of grace; the object's own where it is none.
    pub grace: Option<i64>,
    /// The uid that the object must have.
    pub uid: Option<String>,
    /// The resourceVersion that it must have.
    pub resource_version: Option<String>,
    /// What becomes of dependents.
    pub propagation: Option<Propagation>,
    /// Change nothing.
    pub dry_run: bool,
}

/// What becomes of an object's dependents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// They stay.
    Orphan,
    /// They go afterwards.
    Background,
    /// They go first.
    Foreground,
}

impl DeleteOptions {
    /// From the query and the body; a body's field counts more.
    pub fn read(query: &Query, body: &Value) -> Outcome<DeleteOptions> {
        let text = |key: &str| match body.get(key).and_then(Value::as_str) {
            Some(text) => text.to_owned(),
            None => query.text(key).to_owned(),
        };
        let grace = match body.get("gracePeriodSeconds").and_then(Value::as_i64) {
            Some(seconds) => Some(seconds),
            None => query.number("gracePeriodSeconds")?,
        };
        let precondition =
            |key: &str| body.get("preconditions").and_then(|all| all.get(key)).and_then(Value::as_str);
        let mut dry_run = query.dry_run("DeleteOptions")?;
        for value in body.get("dryRun").and_then(Value::as_array).into_iter().flatten() {
            match value.as_str() {
                Some("All") => dry_run = true,
                other => {
                    return Err(unsupported("DeleteOptions", "dryRun", other.unwrap_or_default(), &["All"]));
                }
            }
        }
        let orphan = body
            .get("orphanDependents")
            .and_then(Value::as_bool)
            .or_else(|| query.has("orphanDependents").then(|| query.flag("orphanDependents")));
        let propagation = match (text("propagationPolicy").as_str(), orphan) {
            ("", Some(true)) => Some(Propagation::Orphan),
            ("", Some(false)) => Some(Propagation::Background),
            ("", None) => None,
            (_, Some(_)) => {
                let mut faults = Faults::default();
                let detail = "orphanDependents and deletionPropagation cannot be both set";
                faults.add(FaultKind::Invalid, "propagationPolicy", text("propagationPolicy"), detail);
                return Err(of_options("DeleteOptions", &faults));
            }
            ("Orphan", _) => Some(Propagation::Orphan),
            ("Background", _) => Some(Propagation::Background),
            ("Foreground", _) => Some(Propagation::Foreground),
            (other, _) => {
                let mut faults = Faults::default();
                faults.not_supported(
                    "propagationPolicy",
                    other,
                    &["Foreground", "Background", "Orphan", "nil"],
                );
                return Err(of_options("DeleteOptions", &faults));
            }
        };
        Ok(DeleteOptions {
            grace,
            uid: precondition("uid").map(str::to_owned),
            resource_version: precondition("resourceVersion").map(str::to_owned),
            propagation,
            dry_run,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_decoded() {
        let query = Query::parse("labelSelector=a%3Db%2Cc&limit=500&watch=1&x=a+b&dryRun=All");
        assert_eq!((query.text("labelSelector"), query.text("x")), ("a=b,c", "a b"));
        assert!(query.flag("watch") && !query.flag("nothing"));
        assert_eq!(query.number("limit").ok().flatten(), Some(500));
        assert!(query.dry_run("CreateOptions").unwrap_or(false));
        assert!(Query::parse("dryRun=Some").dry_run("CreateOptions").is_err());
    }
}
